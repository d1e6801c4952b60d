//! The walls that privacy cannot build: which words stand on which floor, and which feature may call which.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Features call downhill only: each may name those after it.
const ORDER: [&str; 14] = [
    "settings",
    "account",
    "set_up",
    "provisioning",
    "join",
    "sign_in",
    "invitations",
    "links",
    "sessions",
    "users",
    "address_changes",
    "admission",
    "organizations",
    "audit",
];

/// Where queries stand: a feature's store, and the platform.
const SQL: [&str; 5] = ["store.rs", "store/", "src/platform/", "src/values/", "src/cli/"];

/// Where HTTP stands: a feature's web files, the extractors of sessions, the portal's pages, the platform's web.
const HTTP: [&str; 8] = [
    "web.rs",
    "web_",
    "web/",
    "src/features/settings/",
    "src/features/sessions/extract.rs",
    "src/platform/web/",
    "src/lib.rs",
    "src/cli/serve.rs",
];

pub struct Source {
    pub name: String,
    pub text: String,
}

/// Every source, without comments and without its tests.
pub fn sources() -> Vec<Source> {
    fn gather(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    gather(&root.join("src"), &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod").next().unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            Source { name: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text: code }
        })
        .collect()
}

fn is_among(name: &str, places: &[&str]) -> bool {
    places.iter().any(|place| {
        if place.starts_with("src/") { name.starts_with(place) } else { name.contains(&format!("/{place}")) }
    })
}

/// Lines of the sources that `belongs` picks which hold one of these words.
fn found(belongs: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| belongs(&source.name)) {
        let holds = |line: &str| words.iter().any(|word| format!(" {}", line.trim()).contains(word));
        for line in source.text.lines().filter(|line| holds(line)) {
            found.push(format!("{}: {}", source.name, line.trim()));
        }
    }
    found
}

fn assert_none(found: &[String], why: &str) {
    assert!(found.is_empty(), "{why}\n{}", found.join("\n"));
}

#[test]
fn values_do_nothing_but_parse() {
    let words = ["crate::platform", "crate::features", "sqlx", "async ", ".await", "axum", "std::fs", "std::net::Tcp"];
    assert_none(&found(|name| name.starts_with("src/values/"), &words), "values know no floor above and do no I/O");
}

#[test]
fn the_platform_names_no_feature() {
    let words = ["crate::features", "crate::cli", "crate::worker"];
    assert_none(&found(|name| name.starts_with("src/platform/"), &words), "the platform names no feature");
}

#[test]
fn queries_stand_in_stores() {
    let outside = |name: &str| !is_among(name, &SQL);
    assert_none(&found(outside, &["sqlx::", " query(", "(query("]), "queries stand in store.rs and the platform");
    assert_none(
        &found(
            |name| name.starts_with("src/cli/") || name.starts_with("src/values/"),
            &["sqlx::", " query(", "(query("],
        ),
        "nor here",
    );
}

#[test]
fn http_stands_in_web_files() {
    let pure =
        |name: &str| !is_among(name, &HTTP) && name != "src/features/sessions/mod.rs" && !name.ends_with("/web.rs");
    assert_none(&found(pure, &["axum::", "use axum"]), "HTTP stands in web.rs; sessions sets its cookies on an answer");
}

#[test]
fn no_value_becomes_sql() {
    let built = found(|name| name.ends_with("store.rs"), &["query(&", "query(format", "Box::leak"]);
    assert_none(&built, "SQL is a literal");
}

#[test]
fn features_call_downhill_only() {
    let mut uphill = Vec::new();
    for source in sources() {
        let Some(feature) = source.name.strip_prefix("src/features/").and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        for above in above(feature.0) {
            if names(&source.text, above) {
                uphill.push(format!("{} names {above}", source.name));
            }
        }
    }
    assert_none(&uphill, "features call downhill only, in the order of src/features/mod.rs");
}

/// The features that this one may not name.
fn above(feature: &str) -> &'static [&'static str] {
    let place = ORDER.iter().position(|name| *name == feature);
    &ORDER[..place.unwrap_or_else(|| panic!("{feature} has no place in the order"))]
}

/// Whether a source imports a feature, alone or in a list, or names it by its path.
fn names(text: &str, feature: &str) -> bool {
    if text.contains(&format!("features::{feature}")) {
        return true;
    }
    let mut rest = text;
    while let Some((_, list)) = rest.split_once("features::{").or_else(|| rest.split_once("use super::{")) {
        let mut depth = 0;
        let mut word = String::new();
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                c if c.is_alphanumeric() || c == '_' => {
                    word.push(c);
                    continue;
                }
                _ => {}
            }
            if depth == 0 && word == feature && (c == ',' || c == ':' || c == '}') {
                return true;
            }
            word.clear();
        }
        if word == feature {
            return true;
        }
        rest = list;
    }
    false
}

#[test]
fn an_import_is_found_alone_and_in_a_list() {
    assert!(names("use crate::features::join;", "join"));
    assert!(names("use crate::{\n features::{\n audit::{self, Actor},\n join,\n },\n};", "join"));
    assert!(names("use crate::features::{join::{self, End}, users};", "join"));
    assert!(!names("use crate::{features::{users}};\nlet text = pieces.join(\", \");", "join"));
}

#[test]
fn files_stay_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for source in sources() {
        let lines = fs::read_to_string(root.join(&source.name)).unwrap().lines().count();
        assert!(lines <= 400, "{} has {lines} lines", source.name);
    }
}
