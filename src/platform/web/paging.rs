//! Lists are paged by key, never by offset: the address of a page holds the place after which it begins.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::values::{Id, Kind, Timestamp};

/// Rows on one page of a list.
pub const PAGE: i64 = 50;

/// One page of a list, and the place after which the next one begins.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// For the address of the next page; none on the last one.
    pub next: Option<String>,
}

impl<T> Paged<T> {
    /// From one row more than fits, which says that there is another page. `place` writes a row's place.
    pub fn new(mut rows: Vec<T>, place: impl Fn(&T) -> String) -> Self {
        let fits = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let there_is_more = rows.len() > fits;
        rows.truncate(fits);
        let next = rows.last().filter(|_| there_is_more).map(place);
        Self { rows, next }
    }
}

/// A place in a list sorted by time.
pub fn place_in_time<K: Kind>(at: Timestamp, id: Id<K>) -> String {
    place_by_text(&at.micros().to_string(), id)
}

/// Reads [`place_in_time`]; a place that nobody wrote is the beginning.
pub fn read_place_in_time<K: Kind>(text: &str) -> Option<(Timestamp, Id<K>)> {
    let (micros, id) = read_place_by_text(text)?;
    Some((Timestamp::from_micros(micros.parse().ok()?), id))
}

/// A place in a list sorted by a text.
pub fn place_by_text<K: Kind>(text: &str, id: Id<K>) -> String {
    URL_SAFE_NO_PAD.encode(format!("{text}\n{id}"))
}

/// Reads [`place_by_text`]; a place that nobody wrote is the beginning.
pub fn read_place_by_text<K: Kind>(text: &str) -> Option<(String, Id<K>)> {
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (text, id) = decoded.rsplit_once('\n')?;
    Some((text.to_owned(), id.parse().ok()?))
}

/// A number as people read it: 1,234,567.
pub fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::UserId;

    #[test]
    fn a_place_comes_back_from_the_address() {
        let (at, id) = (Timestamp::from_micros(7), UserId::new(Timestamp::from_micros(1), [3; 10]));
        assert_eq!(read_place_in_time(&place_in_time(at, id)), Some((at, id)));
        assert_eq!(read_place_by_text(&place_by_text("ada@acme.com", id)), Some(("ada@acme.com".to_owned(), id)));
        assert_eq!(read_place_by_text::<crate::values::kinds::User>("nonsense"), None);
    }

    #[test]
    fn a_number_is_read_in_threes() {
        assert_eq!([7, 1_234, 1_000_000].map(grouped), ["7", "1,234", "1,000,000"]);
    }

    #[test]
    fn one_row_too_many_says_that_there_is_another_page() {
        let full: Vec<i64> = (0..=PAGE).collect();
        let page = Paged::new(full, ToString::to_string);
        assert_eq!((page.rows.len(), page.next.as_deref()), (50, Some("49")));
        assert_eq!(Paged::new(vec![1], ToString::to_string).next, None);
    }
}
