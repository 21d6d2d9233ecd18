//! The rules of the RFCs, and the tests that show them: what `roles/*/tests/README.md` lists is there, and what is there is
//! listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What stands behind each `begin`, as far as a name goes.
fn names<'a>(text: &'a str, begin: &str) -> BTreeSet<&'a str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name = |rest: &'a str| rest.split(|letter| !is_part(letter)).next().unwrap_or_default();
    text.split(begin).skip(1).map(name).filter(|name| is_by_section(name)).collect()
}

fn is_by_section(name: &str) -> bool {
    name.starts_with("section_") || name.starts_with("rfc_")
}

#[test]
fn every_rule_that_is_listed_has_its_test_and_every_test_of_a_rule_is_listed() {
    for role in ["h2", "hpack", "ws"] {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("roles").join(role).join("tests");
        let list = fs::read_to_string(tests.join("README.md")).unwrap();
        let source: String = fs::read_dir(&tests)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let (listed, written) = (names(&list, "`"), names(&source, "#[test]\nfn "));
        assert!(!listed.is_empty());
        let missing: Vec<_> = listed.difference(&written).collect();
        assert!(missing.is_empty(), "{role}: listed, and not there: {missing:#?}");
        let unlisted: Vec<_> = written.difference(&listed).collect();
        assert!(unlisted.is_empty(), "{role}: there, and not listed: {unlisted:#?}");
    }
}
