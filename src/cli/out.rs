//! What a command prints: plain lines in columns, or with `--json` one object a line.

use std::io::{self, Write as _};

/// Standard output in one of its two dresses.
#[derive(Clone, Copy)]
pub(super) struct Out {
    json: bool,
}

impl Out {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// One thing: its cells side by side, each at least as wide as told; or its object.
    pub(super) fn row(self, cells: &[(usize, &str)], object: &serde_json::Value) -> io::Result<()> {
        if self.json {
            return self::object(object);
        }
        let mut line = String::new();
        for (width, cell) in cells {
            line = format!("{line}{cell:<width$}  ");
        }
        writeln!(io::stdout(), "{}", line.trim_end())
    }

    /// One thing told as several lines of name and value; or its object.
    pub(super) fn facts(self, facts: &[(&str, &str)], object: &serde_json::Value) -> io::Result<()> {
        if self.json {
            return self::object(object);
        }
        let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            writeln!(io::stdout(), "{}", format!("{name:<widest$}  {value}").trim_end())?;
        }
        Ok(())
    }
}

/// One object on its line, whatever the dress.
pub(super) fn object(object: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout(), "{object}")
}

/// What somebody typed, so that no character of it can move a terminal's cursor or hide.
pub(super) fn shown(typed: &str) -> String {
    let mut text = String::from("\"");
    for c in typed.chars() {
        match c {
            ' '..='~' => text.push(c),
            other => text.extend(other.escape_debug()),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_typed_can_move_the_cursor_or_hide() {
        assert_eq!(shown("o'brien@acme.com"), "\"o'brien@acme.com\"");
        assert_eq!(shown("a\u{1b}[2J\u{200b}é\n"), "\"a\\u{1b}[2J\\u{200b}é\\n\"");
    }
}
