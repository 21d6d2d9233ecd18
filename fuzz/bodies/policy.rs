//! What the policy's fuzz targets do with their input. The corpora are run through it by an ordinary test, too.

use millstream::policy::{Diagnostic, ExpandError, Lookup, ParseOptions, Policy, PolicyError, Template};

/// What strict parsing accepts, lenient parsing takes for the same policy.
pub(crate) fn policy_strict(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options = ParseOptions { strict: true, ..ParseOptions::default() };
    match Policy::parse_with(text, &options) {
        Ok(strict) => {
            said_well(text, &strict.warnings);
            let lenient = Policy::parse(text).expect("lenient parsing accepts more");
            assert_eq!(strict.policy, lenient.policy);
            assert_eq!(strict.warnings, lenient.warnings);
        }
        Err(error) => refused_well(text, &error),
    }
}

/// Any text is accepted or refused; laid over what it is itself, too.
pub(crate) fn policy_lenient(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Policy::parse(text) {
        Ok(parsed) => {
            said_well(text, &parsed.warnings);
            let before = parsed.policy.clone();
            match parsed.policy.overlay(text) {
                Ok(overlaid) => {
                    said_well(text, &overlaid.warnings);
                    let names =
                        |policy: &Policy| policy.stream_types().map(|of| of.name.clone()).collect::<Vec<_>>();
                    assert_eq!(names(&overlaid.policy), names(&before));
                }
                Err(error) => refused_well(text, &error),
            }
            assert_eq!(parsed.policy, before);
            for stream_type in before.stream_types() {
                assert!(stream_type.name.len() <= Policy::MAX_NAME);
                assert!(stream_type.metadata.len() <= Policy::MAX_METADATA);
            }
        }
        Err(error) => refused_well(text, &error),
    }
}

fn refused_well(text: &str, error: &PolicyError) {
    assert!((1..=PolicyError::MAX_ERRORS).contains(&error.errors().len()));
    assert!(error.errors().iter().all(Diagnostic::is_error));
    said_well(text, error.errors());
    said_well(text, error.warnings());
}

/// Every place is in the text, and every message is one line that a terminal can be shown.
fn said_well(text: &str, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let line = text.split('\n').nth(diagnostic.line - 1).expect("a line of the text");
        assert!((1..=line.chars().count() + 1).contains(&diagnostic.column), "{diagnostic}");
        let shown = diagnostic.to_string();
        assert!(!shown.contains(char::is_control) && shown.len() < 4096, "{shown:?}");
    }
}

/// The first byte is a limit, the rest a template. It is filled in like a plain search and replace would.
pub(crate) fn substitution(data: &[u8]) {
    let Some((limit, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let limit = usize::from(*limit);
    let template = Template::parse(text);
    assert_eq!(template.source(), text);
    let mut out = b"kept".to_vec();
    let result = template.expand(value_of, &mut out, limit);
    let (kept, appended) = out.split_at(4);
    assert_eq!(kept, b"kept");
    match (result, replaced(text)) {
        (Ok(()), Some(expected)) => assert_eq!(appended, expected),
        (Err(ExpandError::TooLong { limit: told }), expected) => {
            assert_eq!((told, appended), (limit, &b""[..]));
            assert!(expected.is_none_or(|expected| expected.len() > limit));
        }
        (Err(ExpandError::Unknown(name)), None) => {
            assert!(appended.is_empty() && template.names().any(|used| used == name));
        }
        (result, expected) => panic!("{result:?} where {expected:?} was expected"),
    }
    assert!(appended.len() <= limit);
}

fn value_of(name: &str) -> Lookup<'static> {
    match name.len() {
        1 => Lookup::Value(b"one ${x}"),
        2 => Lookup::Unset,
        3 => Lookup::Value(b"\xff}\0"),
        _ => Lookup::Unknown,
    }
}

fn replaced(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, (name, after))) =
        rest.split_once("${").and_then(|(before, after)| Some((before, after.split_once('}')?)))
    {
        out.extend_from_slice(before.as_bytes());
        match value_of(name) {
            Lookup::Value(value) => out.extend_from_slice(value),
            Lookup::Unset => {}
            Lookup::Unknown => return None,
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}
