//! The policy parser against published policies and against typical mistakes.

use std::fs;
use std::path::{Path, PathBuf};

use millstream::policy::{ParseOptions, Parsed, Policy, PolicyError};

fn vectors(of: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/policies").join(of);
    let Ok(entries) = fs::read_dir(&dir) else {
        println!("skipped: there is no {}", dir.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

#[test]
fn published_policies_are_accepted() {
    for file in vectors("") {
        let text = fs::read_to_string(&file).unwrap();
        match Policy::parse(&text) {
            Ok(Parsed { policy, warnings, .. }) => {
                assert!(policy.stream_types().next().is_some());
                println!("{}: {} warnings", file.display(), warnings.len());
                for warning in warnings {
                    println!("    {warning}");
                }
            }
            Err(error) => panic!("{}:\n{error}", file.display()),
        }
    }
}

#[test]
fn broken_policies_are_refused_with_a_place() {
    for file in vectors("must-reject") {
        let text = fs::read_to_string(&file).unwrap();
        let error = Policy::parse(&text).expect_err("must be refused");
        for diagnostic in error.errors() {
            let line = text.lines().nth(diagnostic.line - 1).expect("a line of the text");
            assert!(diagnostic.column >= 1 && diagnostic.column <= line.chars().count() + 1, "{diagnostic}");
        }
        println!("{}: {error}", file.file_name().unwrap().display());
    }
}

/// A document cut short is never taken for a whole one, with one exception: where published policies
/// have an array closed by `}` at the very end, the text up to there looks the same.
#[test]
fn truncated_policies_are_refused_wherever_they_are_cut() {
    for file in vectors("").into_iter().chain(vectors("must-reject")) {
        let text = fs::read_to_string(&file).unwrap();
        let text = text.trim_end();
        let last = if text.ends_with("}}]}") { text.len() - 2 } else { text.len() };
        let stride = 1 + text.len() / 1000;
        for cut in (0..last).step_by(stride).chain(last.saturating_sub(40)..last) {
            let Some(cut) = text.get(..cut) else { continue };
            let refused = Policy::parse(cut).is_err();
            assert!(refused || cut.ends_with("}}}"), "{} cut to {} bytes", file.display(), cut.len());
        }
    }
}

/// Asserts that `text` has this to be said about it, errors or else warnings.
#[track_caller]
fn says(text: &str, expected: &[&str]) {
    let said: Vec<String> = match Policy::parse(text) {
        Ok(parsed) => parsed.warnings.iter().map(ToString::to_string).collect(),
        Err(error) => error.errors().iter().map(ToString::to_string).collect(),
    };
    assert_eq!(said, expected, "{text}");
}

/// A policy with one stream type, whose members these are.
fn type_of(members: &str) -> String {
    format!(r#"{{"s":[{{"a":{{"endpoint":"e",{members}}}}}]}}"#)
}

#[test]
fn mistakes_in_the_text_are_shown_where_they_are() {
    says("", &["1:1: error: EOF while parsing a value"]);
    says("[]", &["1:1: error: found an array; expected an object"]);
    says(
        "{\n\"s\": [}",
        &[
            "1:1: warning: the policy has no stream types",
            "2:7: warning: the array before this '}' is not closed; expected ']'",
        ],
    );
    says("{\n  \"release\": \"é\" \"s\"}", &["2:18: error: expected `,` or `}`"]);
    says("{} {}", &["1:4: error: trailing characters"]);
    let deep = "[".repeat(17);
    says(&deep, &["1:17: error: nested too deeply; expected no more than 16 levels"]);
    let long = " ".repeat(256 * 1024 + 1);
    says(&long, &["1:1: error: the policy is too long; expected no more than 262144 bytes"]);
}

#[test]
fn mistakes_in_sections_are_shown_where_they_are() {
    says(
        r#"{"schema-version":2,"s":[]}"#,
        &["1:19: error: schema-version: version 2 is newer than this parser; expected at most 1"],
    );
    says(
        r#"{"retry":[{"d":{"backoff":[1,-2]}}]}"#,
        &[r#"1:30: error: retry[0].d.backoff[1]: found "-2"; expected a whole number from 0 to 4294967295"#],
    );
    says(r#"{"retry":{"d":{}}}"#, &["1:10: error: retry: found an object; expected an array"]);
    says(
        r#"{"certs":[{"c":"-----BEGIN"}]}"#,
        &[
            r#"1:16: error: certs[0].c: found "-----BEGIN"; expected base64 of DER, without the BEGIN and END lines of PEM"#,
        ],
    );
    says(
        r#"{"trust_stores":[{"name":"t"},{"stack":[]}],"s":[]}"#,
        &[
            "1:31: error: trust_stores[1]: it has no name; expected a name",
            r#"1:40: error: trust_stores[1].stack: "stack" stands before "name"; expected "name" first"#,
        ],
    );
    says(
        r#"{"auth":[{"name":"n","blob":4}]}"#,
        &["1:29: error: auth[0].blob: 4 is out of range; expected a whole number from 0 to 3"],
    );
    says(
        r#"{"via-socks5":"::1:1080"}"#,
        &[
            r#"1:15: error: via-socks5: found "::1:1080"; expected address:port, as 127.0.0.1:1080 or [::1]:1080"#,
        ],
    );
    says(
        r#"{"s":[{"a":{"retry":"d"}}],"retry":[{"d":{}}]}"#,
        &[
            r#"1:21: error: s[0].a.retry: unknown retry scheme "d"; expected a name that is defined before it is used"#,
        ],
    );
    says(
        r#"{"retry":[{"default":{}}],"s":[{"a":{"endpoint":"e","retry":"defalt"}}]}"#,
        &[r#"1:61: error: s[0].a.retry: unknown retry scheme "defalt"; did you mean "default"?"#],
    );
}

#[test]
fn mistakes_in_stream_types_are_shown_where_they_are() {
    let name = "n".repeat(32);
    says(
        &format!(r#"{{"s":[{{"{name}":{{}}}}]}}"#),
        &[&format!("1:8: error: s[0].{name}: a name of 32 bytes; expected 1 to 31 bytes")],
    );
    says(
        &type_of(r#""port":65536"#),
        &["1:35: error: s[0].a.port: 65536 is out of range; expected a whole number from 0 to 65535"],
    );
    says(
        &type_of(r#""protocol":"http""#),
        &[
            r#"1:39: error: s[0].a.protocol: unknown protocol "http"; expected one of h1, h2, h3, ws, mqtt, raw"#,
        ],
    );
    says(
        &type_of(r#""server":true,"tls":true"#),
        &[
            r#"1:8: error: s[0].a: a TLS server without a certificate and key; expected "server_cert" and "server_key""#,
        ],
    );
    says(
        &type_of(r#""http_url":"/\r\nHost: x""#),
        &[
            r#"1:39: error: s[0].a.http_url: a control character in "/\r\nHost: x"; expected text without control characters"#,
        ],
    );
    says(
        &type_of(r#""metadata":[{"m":"bad header:"}]"#),
        &[r#"1:45: error: s[0].a.metadata[0].m: "bad header:" cannot be a header; expected a header name"#],
    );
    says(
        &type_of(r#""http_resp_map":[{"530":999},{"9":1000}]"#),
        &[
            "1:52: error: s[0].a.http_resp_map[0].530: 999 is out of range; expected a whole number from 1000 to 4294967295",
            r#"1:58: error: s[0].a.http_resp_map[1].9: found "9"; expected an http status from 100 to 999"#,
        ],
    );
    says(
        &type_of(r#""tls_trust_store":5,"http_method":"G T""#),
        &[
            "1:46: error: s[0].a.tls_trust_store: found a number; expected a string",
            r#"1:62: error: s[0].a.http_method: "G T" cannot be a method; expected a method, as GET"#,
        ],
    );
}

#[test]
fn what_is_let_pass_is_warned_about() {
    says(&type_of(r#""port":"443""#), &["1:35: warning: s[0].a.port: a number written as a string"]);
    says(
        &type_of(r#""tls":"true""#),
        &["1:34: warning: s[0].a.tls: found a string, taken as false; expected true or false"],
    );
    says(&type_of(r#""aux":"index.html""#), &[r#"1:28: warning: s[0].a.aux: unknown key "aux""#]);
    says(
        &type_of(r#""http_ulr":"/""#),
        &[r#"1:28: warning: s[0].a.http_ulr: unknown key "http_ulr"; did you mean "http_url"?"#],
    );
    says(&type_of(r#""port":1,"port":2"#), &["1:37: warning: s[0].a.port: given twice: the last one counts"]);
    says(
        &type_of(r#""http_url":"/${file}/${","metadata":[{"files":""}]"#),
        &[
            r#"1:39: warning: s[0].a.http_url: "${" without a '}' after it stands for itself"#,
            r#"1:39: warning: s[0].a.http_url: "file" is not declared in this stream type's metadata; did you mean "files"?"#,
        ],
    );
    says(
        &type_of(r#""rideshare":"b""#),
        &[r#"1:40: warning: s[0].a.rideshare: unknown stream type "b"; did you mean "a"?"#],
    );
    says(
        r#"{"s":[{"a":{"port":1}}]}"#,
        &[r#"1:8: warning: s[0].a: a client without an endpoint cannot connect; expected "endpoint""#],
    );
}

#[test]
fn errors_are_collected_up_to_a_bound() {
    let text = format!(r#"{{"s":[{{{}}}]}}"#, r#""a":{"port":-1},"#.repeat(1000).trim_end_matches(','));
    let error = Policy::parse(&text).unwrap_err();
    assert_eq!(error.errors().len(), PolicyError::MAX_ERRORS);
    assert_eq!(error.to_string().lines().count(), PolicyError::MAX_ERRORS);
}

#[test]
fn strict_parsing_takes_json_and_the_documented_types_only() {
    let strict = ParseOptions { strict: true, ..ParseOptions::default() };
    assert!(Policy::parse_with(&type_of(r#""port":1"#), &strict).is_ok());
    for lax in [
        r#""port":1,"#,
        r#""port":"1""#,
        r#""tls":1"#,
        r#""port":1,"port":2"#,
        r#""aux":"""#,
        r#""port":null"#,
    ] {
        assert!(Policy::parse(&type_of(lax)).is_ok(), "{lax}");
        assert!(Policy::parse_with(&type_of(lax), &strict).is_err(), "{lax}");
    }
}

/// Each of these makes the parser look for the nearest name as often as a text of the largest size can.
#[test]
fn hostile_policies_of_the_largest_size_are_done_with() {
    let fill = |open: &str, piece: &str, close: &str| {
        let room = ParseOptions::DEFAULT_MAX_LEN - open.len() - close.len();
        format!("{open}{}{close}", piece.repeat(room / piece.len()))
    };
    let metadata: Vec<String> =
        (0..255).map(|n| format!(r#"{{"name_that_is_near_enough_{n}":""}}"#)).collect();
    let metadata = metadata.join(",");
    let of = format!(r#"{{"s":[{{"a":{{"metadata":[{metadata}],"endpoint":""#);
    let rides: Vec<String> =
        (0..5000).map(|n| format!(r#""stream_{n}":{{"rideshare":"stream_x{n}"}},"#)).collect();
    let rides = rides.concat();
    for text in [
        fill(&of, "${name_that_is_near_enough}", r#""}}]}"#),
        fill(r#"{"s":[{"a":{"#, r#""endpont":1,"#, r#""port":1}}]}"#),
        fill("[", "[],", "[]]"),
        fill("", "@A_@", ""),
        fill(r#"{"s":[{"a":{"metadata":["#, r#"{"m":""},"#, "]}}]}"),
        format!(r#"{{"s":[{{{rides}"a":{{}}}}]}}"#),
    ] {
        assert!(text.len() <= ParseOptions::DEFAULT_MAX_LEN);
        for strict in [false, true] {
            let options = ParseOptions { strict, ..ParseOptions::default() };
            let said = match Policy::parse_with(&text, &options) {
                Ok(parsed) => parsed.warnings.len(),
                Err(error) => error.errors().len() + error.warnings().len(),
            };
            assert!((1..=220).contains(&said), "{said}: {}", text.get(..60).unwrap_or_default());
        }
    }
}
