//! A page as a person reads it.

use axum::http::HeaderMap;

/// An answer.
#[derive(Debug, Clone)]
pub struct Page {
    pub status: u16,
    pub location: Option<String>,
    pub headers: HeaderMap,
    pub html: String,
}

impl Page {
    /// The value of the form field with this id or name.
    pub fn input(&self, name: &str) -> String {
        let tag = self
            .html
            .split('<')
            .find(|tag| {
                tag.starts_with("input")
                    && (tag.contains(&format!("id=\"{name}\"")) || tag.contains(&format!("name=\"{name}\"")))
            })
            .unwrap_or_else(|| panic!("no field {name} in {}", self.html));
        let value = tag.split("value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        value
            .replace("&#38;", "&")
            .replace("&amp;", "&")
            .replace("&#60;", "<")
            .replace("&#39;", "'")
            .replace("&#34;", "\"")
    }

    /// The words on the page, without its markup.
    pub fn words(&self) -> String {
        words_of(&self.html)
    }

    /// The path to which the link with these words leads.
    pub fn link_to(&self, words: &str) -> String {
        let tag = self.html.split("<a ").find(|tag| {
            tag.split_once('>').is_some_and(|(_, rest)| rest.split('<').next().is_some_and(|text| text.trim() == words))
        });
        let tag = tag.unwrap_or_else(|| panic!("no link {words} in {}", self.html));
        tag.split("href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&")
    }

    /// The rows of the page's first table, each as its words.
    pub fn rows(&self) -> Vec<String> {
        let body = self.html.split("<tbody>").nth(1).and_then(|rest| rest.split("</tbody>").next()).unwrap_or_default();
        body.split("<tr>").skip(1).map(words_of).collect()
    }

    /// Whether the page says this.
    pub fn says(&self, words: &str) -> bool {
        self.words().contains(words)
    }
}

fn words_of(html: &str) -> String {
    let mut words = String::new();
    for piece in html.split('<') {
        words.push(' ');
        words.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
