use proptest::prelude::*;

use super::*;

fn entry(typed: &str) -> AllowlistEntry {
    typed.parse().unwrap()
}

fn address(typed: &str) -> EmailAddress {
    typed.parse().unwrap()
}

fn verdict(email: &str, list: &[&str]) -> &'static str {
    match email.parse() {
        Ok(address) => decide(&address, &Allowlist::from_stored(list.iter().copied())).verdict(),
        Err(_) => "refuse-invalid",
    }
}

#[test]
fn every_case_of_the_corpus_comes_out_as_written() {
    let corpus = include_str!("../../../tests/corpus/emails.jsonl");
    let mut wrong = Vec::new();
    for line in corpus.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let list: Vec<&str> =
            case["allowlist"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap()).collect();
        if verdict(case["email"].as_str().unwrap(), &list) != case["verdict"].as_str().unwrap() {
            wrong.push(case["id"].clone());
        }
    }
    assert_eq!(wrong, Vec::<serde_json::Value>::new());
    assert_eq!(corpus.lines().count(), 178);
}

#[test]
fn marks_capitals_and_scripts_come_to_one_form() {
    for (typed, canonical) in [
        ("company.com", "company.com"),
        ("@company.com", "company.com"),
        (" \t@Company.COM.\r\n", "company.com"),
        ("*.company.com", "*.company.com"),
        ("@*.Company.com.", "*.company.com"),
        ("MÜNCHEN.de", "xn--mnchen-3ya.de"),
        ("*.münchen\u{3002}de", "*.xn--mnchen-3ya.de"),
        ("co.uk", "co.uk"),
        ("www.company.com", "www.company.com"),
    ] {
        assert_eq!(entry(typed).to_string(), canonical, "{typed:?}");
    }
    assert_eq!(entry("*.xn--mnchen-3ya.de").unicode(), "*.münchen.de");
}

#[test]
fn each_mistake_has_its_own_reason() {
    for (typed, reason) in [
        ("", Invalid::EntryEmpty),
        (" \n", Invalid::EntryEmpty),
        ("@", Invalid::EntryEmpty),
        (".", Invalid::EntryEmpty),
        ("*", Invalid::EntryEverybody),
        ("@*", Invalid::EntryEverybody),
        ("*.", Invalid::EntryEverybody),
        ("*.*", Invalid::EntryEverybody),
        ("com", Invalid::EntrySingleLabel),
        ("*.com", Invalid::EntrySingleLabel),
        ("@company", Invalid::EntrySingleLabel),
        ("https://company.com", Invalid::EntryLink),
        (".company.com", Invalid::EntryLeadingDot),
        ("@.company.com", Invalid::EntryLeadingDot),
        ("*company.com", Invalid::EntryAsterisk),
        ("eu.*.com", Invalid::EntryAsterisk),
        ("*.*.company.com", Invalid::EntryAsterisk),
        ("ada@company.com", Invalid::EntryWholeAddress { address: address("ada@company.com") }),
        (" Ada@Company.com. ", Invalid::EntryWholeAddress { address: address("Ada@company.com") }),
        ("com\u{200b}pany.com", Invalid::EntryInvisible),
        ("\u{a0}company.com", Invalid::EntryInvisible),
        ("company.com other.com", Invalid::EntryInvisible),
        ("@@company.com", Invalid::EntryShape),
        ("*.@company.com", Invalid::EntryAsterisk),
        ("company.com..", Invalid::EntryShape),
        ("company..com", Invalid::EntryShape),
        ("company.com\u{3002}", Invalid::EntryShape),
        ("company.com,other.com", Invalid::EntryShape),
        ("127.0.0.1", Invalid::EntryShape),
        ("\u{ff0a}.company.com", Invalid::EntryShape),
        ("\u{ff20}company.com", Invalid::EntryShape),
    ] {
        assert_eq!(typed.parse::<AllowlistEntry>(), Err(reason), "{typed:?}");
    }
}

#[test]
fn what_is_pasted_is_split_and_nothing_is_empty() {
    let pasted = " a.com,b.com; c.com\r\n\r\n@d.com\t*.e.com,,\u{a0}f.com ";
    assert_eq!(split_pasted(pasted), ["a.com", "b.com", "c.com", "@d.com", "*.e.com", "f.com"]);
    assert!(split_pasted(" ,;\n").is_empty());
}

#[test]
fn no_list_admits_everybody_and_a_broken_list_nobody() {
    assert_eq!(verdict("a@anything.example", &[]), "admit");
    for broken in [&[""][..], &["   "], &["*"], &["com", "@"], &["a@company.com"]] {
        assert_eq!(verdict("a@company.com", broken), "refuse-domain", "{broken:?}");
    }
    assert_eq!(verdict("a@company.com", &["", "company.com"]), "admit");
    assert!(!Allowlist::from_stored([""]).admits_everybody());
    assert!(Allowlist::default().admits_everybody());
    assert!(!Allowlist::from_part([], true).admits_everybody());
    assert!(!Allowlist::from_part([entry("a.com")], false).admits_everybody());
}

#[test]
fn the_decision_names_its_rule() {
    let list = Allowlist::from_stored(["company.com", "*.company.com", "*.eu.company.com", "b.eu.company.com"]);
    for (email, rule) in [
        ("a@company.com", "company.com"),
        ("a@us.company.com", "*.company.com"),
        ("a@x.eu.company.com", "*.eu.company.com"),
        ("a@b.eu.company.com", "b.eu.company.com"),
        ("a@other.com", "no-entry"),
    ] {
        assert_eq!(decide(&address(email), &list).rule_text(), rule);
    }
    assert_eq!(decide(&address("a@b.com"), &Allowlist::default()).rule_text(), "every-domain");
}

#[test]
fn only_an_admitted_address_gives_a_proof() {
    let list = Allowlist::from_stored(["company.com"]);
    let admitted = decide(&address("ada@company.com"), &list).admitted().unwrap();
    assert_eq!(admitted.address(), &address("ada@company.com"));
    let refused = decide(&address("ada@other.com"), &list).admitted().unwrap_err();
    assert_eq!(refused, RefusedDomain { domain: "other.com".parse().unwrap() });
}

#[test]
fn exemptions_name_themselves() {
    let ada = address("ada@other.com");
    assert_eq!(Admitted::by_invitation(ada.clone()).rule(), &AdmissionRule::Invitation);
    assert_eq!(Admitted::by_manager(ada.clone()).rule(), &AdmissionRule::Manager);
    assert_eq!(Admitted::by_manager(ada.clone()).address(), &ada);
    assert_eq!(Admission::Admitted(Admitted::by_invitation(ada)).rule_text(), "invitation");
}

#[test]
fn the_nearest_entry_is_a_relative_or_one_slip_away() {
    let list = Allowlist::from_stored(["company.com", "*.acme.org", "eu.school.edu"]);
    for (domain, nearest) in [
        ("eu.company.com", Some("company.com")),
        ("acme.org", Some("*.acme.org")),
        ("school.edu", Some("eu.school.edu")),
        ("conpany.com", Some("company.com")),
        ("evil-company.com", None),
        ("other.net", None),
    ] {
        let found = list.nearest(&domain.parse().unwrap()).map(ToString::to_string);
        assert_eq!(found.as_deref(), nearest, "{domain}");
    }
}

#[test]
fn ten_thousand_entries_are_no_burden() {
    let stored: Vec<String> = (0..10_000).map(|n| format!("company{n}.com")).collect();
    let list = Allowlist::from_stored(stored.iter().map(String::as_str));
    assert_eq!(list.entries().count(), 10_000);
    for n in 0..10_000 {
        assert_eq!(decide(&address(&format!("a@company{n}.com")), &list).verdict(), "admit");
    }
}

fn domains() -> impl Strategy<Value = String> {
    "([ab]\\.){0,3}[ab]\\.(com|co)"
}

proptest! {
    #[test]
    fn an_entry_is_read_back_as_it_was_shown(typed in "@?(\\*\\.)?[a-zA-Zäß0-9-]{1,6}\\.[a-zé.]{1,6}|\\PC{0,15}") {
        if let Ok(entry) = typed.parse::<AllowlistEntry>() {
            prop_assert_eq!(entry.to_string().parse(), Ok(entry.clone()));
            prop_assert_eq!(entry.unicode().parse(), Ok(entry));
        }
    }

    #[test]
    fn no_text_makes_it_panic(typed in any::<String>()) {
        let _ = typed.parse::<AllowlistEntry>();
        split_pasted(&typed);
    }

    #[test]
    fn a_decision_is_what_its_entries_say_one_by_one(domain in domains(), texts in proptest::collection::vec((any::<bool>(), domains()), 1..6)) {
        let stored: Vec<String> = texts.iter().map(|(wild, text)| if *wild { format!("*.{text}") } else { text.clone() }).collect();
        let admission = decide(&address(&format!("x@{domain}")), &Allowlist::from_stored(stored.iter().map(String::as_str)));
        let naive = texts.iter().any(|(wild, text)| if *wild { domain.ends_with(&format!(".{text}")) } else { domain == *text });
        prop_assert_eq!(admission.verdict() == "admit", naive);
        if let Admission::Admitted(admitted) = admission {
            let AdmissionRule::Entry(entry) = admitted.rule() else { return Err(TestCaseError::fail("an entry decides")) };
            prop_assert!(stored.contains(&entry.to_string()) && entry.matches(admitted.address().domain()));
        }
    }

    #[test]
    fn an_exact_entry_matches_no_other_domain(one in domains(), other in domains()) {
        prop_assert_eq!(verdict(&format!("x@{one}"), &[&other]) == "admit", one == other);
    }
}
