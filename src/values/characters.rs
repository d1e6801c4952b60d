//! Which characters nobody can see: the one table that addresses, entries and names share.

/// Unicode's `Default_Ignorable_Code_Point`: drawn as nothing, so two texts that look alike could differ by one.
///
/// Source: `DerivedCoreProperties.txt`; the ranges are reserved as a whole, so they do not change with Unicode versions.
pub(super) fn is_default_ignorable(c: char) -> bool {
    matches!(u32::from(c),
        0x00AD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
        | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFF8
        | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
}

/// A control, blank or ignorable character: none may stand inside an address or an allowlist entry.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control() || c.is_whitespace() || is_default_ignorable(c)
}

/// One of the 66 code points Unicode promises never to assign.
pub(super) fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_every_ignorable_range_are_in_and_their_neighbours_out() {
        for (first, last) in [
            (0x115F, 0x1160),
            (0x17B4, 0x17B5),
            (0x180B, 0x180F),
            (0x200B, 0x200F),
            (0x202A, 0x202E),
            (0x2060, 0x206F),
            (0xFE00, 0xFE0F),
            (0xFFF0, 0xFFF8),
            (0x1BCA0, 0x1BCA3),
            (0x1D173, 0x1D17A),
            (0xE0000, 0xE0FFF),
        ] {
            let at = |code: u32| is_default_ignorable(char::from_u32(code).unwrap());
            assert!(at(first) && at(last), "{first:X}-{last:X}");
            assert!(!at(first - 1) && !at(last + 1), "around {first:X}-{last:X}");
        }
    }

    #[test]
    fn there_are_exactly_66_noncharacters() {
        assert_eq!(('\0'..=char::MAX).filter(|c| is_noncharacter(*c)).count(), 66);
    }
}
