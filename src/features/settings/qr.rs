//! The invite link as a QR code: a path that a template draws, without styles, as the pages' policy asks.

use std::fmt::Write as _;

use qrcode::{Color, QrCode};

/// Empty modules around the code, without which cameras do not find it (ISO/IEC 18004).
const QUIET: usize = 4;

/// A drawn code.
pub(super) struct Drawn {
    /// Its width and height in modules.
    pub size: usize,
    /// The dark modules, as an SVG path.
    pub path: String,
}

/// Draws a text. One too long for a QR code (links are not) is drawn as nothing.
pub(super) fn draw(text: &str) -> Drawn {
    let Ok(code) = QrCode::new(text) else { return Drawn { size: 2 * QUIET, path: String::new() } };
    let mut path = String::new();
    for (index, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            // Writing to a string does not fail.
            let _ = write!(path, "M{} {}h1v1h-1z", index % code.width() + QUIET, index / code.width() + QUIET);
        }
    }
    Drawn { size: code.width() + 2 * QUIET, path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_drawn_with_its_three_finders() {
        let drawn = draw("https://id.acme.com/join/pV3m9Qk2Xr7sLw0ZtB4e6A");
        assert!(drawn.path.starts_with("M4 4h1v1h-1z"));
        assert!(drawn.size > 2 * QUIET + 20);
    }
}
