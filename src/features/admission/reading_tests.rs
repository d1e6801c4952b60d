use proptest::prelude::*;

use super::*;

fn warned(pasted: &str) -> Vec<Vec<Warning>> {
    read_entries(pasted).lines.into_iter().map(|line| line.warnings).collect()
}

fn alike(pasted: &str) -> Vec<String> {
    let lines = read_entries(pasted).lines;
    let warnings = lines.into_iter().flat_map(|line| line.warnings);
    warnings.filter_map(|warning| if let Warning::LooksLike { other } = warning { Some(other) } else { None }).collect()
}

#[test]
fn what_is_pasted_is_understood_piece_by_piece_and_merged() {
    let reading = read_entries("@Acme.com, acme.com;\n*.acme.com foo  ACME.COM. münchen.de xn--mnchen-3ya.de");
    let lines: Vec<_> = reading.lines.iter().map(|line| (line.typed.as_str(), line.duplicate_of)).collect();
    assert_eq!(
        lines,
        [
            ("@Acme.com", None),
            ("acme.com", Some(0)),
            ("*.acme.com", None),
            ("foo", None),
            ("ACME.COM.", Some(0)),
            ("münchen.de", None),
            ("xn--mnchen-3ya.de", Some(5)),
        ]
    );
    let entries: Vec<String> = reading.entries().map(ToString::to_string).collect();
    assert_eq!(entries, ["acme.com", "*.acme.com", "xn--mnchen-3ya.de"]);
    assert_eq!(reading.refused().collect::<Vec<_>>(), [("foo", &Invalid::EntrySingleLabel)]);
    assert!(!reading.is_valid() && read_entries("").is_valid());
}

#[test]
fn a_whole_address_is_asked_about() {
    let reading = read_entries("ada@acme.com");
    let refused: Vec<_> = reading.refused().collect();
    assert!(matches!(refused[..], [("ada@acme.com", Invalid::EntryWholeAddress { .. })]));
}

#[test]
fn an_array_is_never_split() {
    assert_eq!(read_pieces(["a.com, b.com"]).lines.len(), 1);
    assert!(!read_pieces(["a.com, b.com"]).is_valid());
    assert!(!read_pieces([""]).is_valid());
}

#[test]
fn a_public_suffix_is_told_with_how_wide_it_is() {
    for (typed, suffix, every) in [
        ("co.uk", "co.uk", false),
        ("*.co.uk", "co.uk", true),
        ("*.gov.uk", "gov.uk", true),
        ("ac.uk", "ac.uk", false),
        ("*.github.io", "github.io", true),
        ("*.kawasaki.jp", "kawasaki.jp", true),
        ("*.公司.cn", "xn--55qx5d.cn", true),
    ] {
        let expected = Warning::PublicSuffix { suffix: suffix.to_owned(), every };
        assert_eq!(warned(typed), [vec![expected]], "{typed}");
    }
    for typed in ["company.co.uk", "*.company.co.uk", "*.company.com", "company.com", "foo.bar.internal"] {
        assert_eq!(warned(typed), [vec![]], "{typed}");
    }
}

#[test]
fn a_free_mail_domain_is_told() {
    for typed in ["gmail.com", "@GMail.com", "outlook.com", "proton.me", "web.de", "qq.com", "yahoo.co.uk"] {
        assert_eq!(warned(typed), [vec![Warning::FreeMail]], "{typed}");
    }
    assert_eq!(
        warned("gmail.com, googlemail.com yahoo.com hotmail.com aol.com mail.com email.com gmx.de gmx.net").len(),
        9
    );
    assert_eq!(alike("gmail.com mail.com email.com 163.com 126.com gmx.de gmx.net"), Vec::<String>::new());
}

#[test]
fn mixed_scripts_are_told_with_both_spellings() {
    let expected =
        Warning::MixedScripts { ascii: "*.xn--cmpany-wqf.com".to_owned(), unicode: "*.c\u{43e}mpany.com".to_owned() };
    assert_eq!(warned("*.c\u{43e}mpany.com"), [vec![expected.clone()]]);
    assert_eq!(warned("*.xn--cmpany-wqf.com"), [vec![expected]]);
    for typed in ["münchen.de", "пример.рф", "例え.jp", "한국.kr", "пример.com", "3com-4.com", "ひらカナ漢字.jp"]
    {
        assert_eq!(warned(typed), [vec![]], "{typed}");
    }
}

#[test]
fn what_reads_like_another_domain_is_told() {
    for (pasted, others) in [
        ("gmial.com", vec!["gmail.com"]),
        ("qmail.com", vec!["gmail.com"]),
        ("gmai.com", vec!["gmail.com"]),
        ("gmail.co", vec!["gmail.com"]),
        ("gmail.con", vec!["gmail.com"]),
        ("*.gmaill.com", vec!["gmail.com"]),
        ("0utlook.com", vec!["outlook.com"]),
        ("gmial.com gmail.com", vec!["gmail.com"]),
        ("company.com conpany.com", vec!["conpany.com", "company.com"]),
        ("cornpany.com company.com", vec!["company.com", "cornpany.com"]),
        ("company.com c\u{43e}mpany.com", vec!["c\u{43e}mpany.com", "company.com"]),
        ("münchen.de munchen.de", vec!["munchen.de", "münchen.de"]),
        ("acme.com acme.co", vec!["acme.co", "acme.com"]),
    ] {
        assert_eq!(alike(pasted), others, "{pasted}");
    }
}

#[test]
fn names_shared_on_purpose_are_no_warning() {
    for pasted in [
        "acme.de acme.com",
        "acme.de acme.dk acme.nl acme.no",
        "acme.co.uk acme.co.nz",
        "*.acme.com acme.com",
        "a.acme.com b.acme.com",
        "a.com b.com c.com",
        "sol.com",
        "web.dk",
        "company.com other.org",
        "co.uk co.nz",
    ] {
        assert_eq!(alike(pasted), Vec::<String>::new(), "{pasted}");
    }
}

#[test]
fn a_long_list_is_read_at_once() {
    let pasted: Vec<String> = (0..10_000).map(|n| format!("{:07}x.com", n * 9_973 % 9_999_991)).collect();
    assert_eq!(read_entries(&pasted.join("\n")).entries().count(), 10_000);
}

proptest! {
    #[test]
    fn the_index_misses_no_pair(one in "[ab]{3,6}\\.(com|co|de)", other in "[ab]{3,6}\\.(com|co|de)") {
        let (a, b): (Domain, Domain) = (one.parse().unwrap(), other.parse().unwrap());
        let (look, expected) = (Look::of(&a), Look::of(&b));
        let found = Lookalikes::of([&b].into_iter()).find(&look, NAME_MINIMUM).is_some();
        prop_assert_eq!(found, look.could_be_taken_for(&expected, NAME_MINIMUM));
    }

    #[test]
    fn every_piece_gets_its_line_and_nothing_panics(pasted in any::<String>()) {
        prop_assert_eq!(read_entries(&pasted).lines.len(), split_pasted(&pasted).len());
    }
}

#[test]
fn a_list_of_domains_one_character_apart_is_read_at_once() {
    let pasted: String = ('\u{4e00}'..'\u{7e00}').flat_map(|c| [c.to_string(), "aaa.com\n".to_owned()]).collect();
    let started = std::time::Instant::now();
    let reading = read_entries(&pasted);
    assert!(reading.is_valid() && reading.lines.iter().all(|line| !line.warnings.is_empty()));
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}
