//! What a policy says reaches the typed values; overlays; every key of the table.

use std::collections::BTreeSet;

use millstream::policy::{Key, Kind, MetadataDef, Policy, Protocol, RetryPolicy, Section, StreamType, keys};

/// Things for references to name, in front of what a test adds.
const NAMED: &str = r#"
    "retry": [ { "r": {} } ], "certs": [ { "c": "AAAA" } ], "trust_stores": [ { "name": "t", "stack": [ "c" ] } ],
    "auth": [ { "name": "u" } ]"#;

fn parse(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}")).policy
}

/// The stream type `a` of a policy, with these members.
fn stream_type(members: &str) -> StreamType {
    let policy = parse(&format!("{{ {NAMED}, \"s\": [ {{ \"a\": {{ {members} }} }} ] }}"));
    policy.stream_type("a").unwrap().as_ref().clone()
}

/// A value for a key that is not its default.
fn sample(key: &Key) -> String {
    let other = match key.name {
        "backoff" => "[7]",
        "stack" => r#"["c"]"#,
        "conceal" => "7",
        "protocol" => r#""raw""#,
        "via-socks5" => r#""127.0.0.1:1080""#,
        "tls_trust_store" => r#""t""#,
        "retry" if key.section == Section::StreamType => r#""r""#,
        "use_auth" => r#""u""#,
        "server_cert" | "server_key" => r#""c""#,
        "plugins" | "options" => r#"["x"]"#,
        "metadata" => r#"[{"m":""}]"#,
        "http_resp_map" => r#"[{"530":1530}]"#,
        "retry" | "s" => r#"[{"x":{}}]"#,
        "certs" => r#"[{"x":"AAAA"}]"#,
        "trust_stores" => r#"[{"x":[]}]"#,
        "auth" | "metrics" => r#"[{"name":"x"}]"#,
        "http_method" => r#""PUT""#,
        _ => "",
    };
    match key.kind {
        _ if !other.is_empty() => other.to_owned(),
        Kind::Boolean => "true".to_owned(),
        Kind::Integer { min, max } => (min + 1).min(max).to_string(),
        _ => r#""x""#.to_owned(),
    }
}

/// A policy in which `members` stand where the section's keys belong.
fn policy_with(section: Section, members: &str) -> Policy {
    let name = if members.contains("\"name\"") { "" } else { "\"name\":\"n\"," };
    let inner = format!("{name}{members}");
    let inner = inner.trim_end_matches(',');
    parse(&match section {
        Section::Root => format!("{{{members}}}"),
        Section::Retry => format!(r#"{{"retry":[{{"n":{{{members}}}}}]}}"#),
        Section::TrustStore => format!(r#"{{"certs":[{{"c":"AAAA"}}],"trust_stores":[{{{inner}}}]}}"#),
        Section::Auth => format!(r#"{{"auth":[{{{inner}}}]}}"#),
        Section::Metrics => format!(r#"{{"metrics":[{{{inner}}}]}}"#),
        Section::StreamType => format!("{{{NAMED},\"s\":[{{\"a\":{{{members}}}}}]}}"),
    })
}

#[test]
fn every_key_of_the_table_reaches_its_value_and_says_what_it_is_for() {
    let mut names = BTreeSet::new();
    for key in keys() {
        assert!(names.insert((key.section, key.name)), "{key:?} is there twice");
        assert!(!key.doc.is_empty() && !key.doc.ends_with('.'), "{key:?}");
        let without = policy_with(key.section, "");
        for name in [Some(key.name), key.alias].into_iter().flatten() {
            let with = policy_with(key.section, &format!("\"{name}\":{}", sample(key)));
            assert_ne!(with, without, "{name} has no effect on the policy");
        }
    }
    assert_eq!(keys().filter(|key| key.section == Section::StreamType).count(), 83);
}

#[test]
fn two_keys_never_write_to_the_same_place() {
    let mut policies: Vec<(&Key, String)> = Vec::new();
    for key in keys().filter(|key| key.section == Section::StreamType) {
        let members = format!("\"{}\":{}", key.name, sample(key));
        let policy = format!("{:?}", policy_with(key.section, &members));
        let same = policies.iter().find(|(_, other)| *other == policy);
        assert!(same.is_none(), "{} and {:?}", key.name, same.map(|(other, _)| other.name));
        policies.push((key, policy));
    }
}

#[test]
fn retry_schemes_have_lws_defaults() {
    let policy = parse(
        r#"{"retry":[{"all":{"backoff":[1,2],"conceal":65535,"jitterpc":0,"svalidping":3,"svalidhup":9,"hold_ms":5},
                      "none":{}},{"much":{"conceal":99999,"svalidping":0,"backoff":[]}}],"s":[]}"#,
    );
    let all = policy.retry("all").unwrap();
    assert_eq!(
        (all.backoff.as_slice(), all.conceal, all.jitterpc),
        (&[1, 2][..], RetryPolicy::CONCEAL_ALWAYS, 0)
    );
    assert_eq!((all.svalidping, all.svalidhup, all.hold_ms), (Some(3), Some(9), 5));
    let none = RetryPolicy { name: "none".to_owned(), ..RetryPolicy::default() };
    assert_eq!(policy.retry("none").unwrap().as_ref(), &none);
    let much = policy.retry("much").unwrap();
    assert_eq!((much.conceal, much.svalidping, much.backoff.as_slice()), (65535, None, &[3000][..]));
}

#[test]
fn certificates_are_decoded_and_trust_stores_come_in_both_shapes() {
    let policy = parse(
        r#"{"certs":[{"a":"AQID"},{"b":"AQ\nI=\n","c":"AQI"}],
            "trust_stores":[{"name":"x","stack":["a","b"]},{"y":["c"],"z":["a"]}],"s":[]}"#,
    );
    assert_eq!(policy.cert("a").unwrap().der.as_ref(), [1, 2, 3]);
    assert_eq!(policy.cert("b").unwrap().der.as_ref(), [1, 2]);
    let names = |store| -> Vec<String> {
        policy.trust_store(store).unwrap().stack.iter().map(|cert| cert.name.clone()).collect()
    };
    assert_eq!(
        (names("x"), names("y"), names("z")),
        (vec!["a".into(), "b".into()], vec!["c".into()], vec!["a".into()])
    );
    assert_eq!(policy.trust_stores().count(), 3);
    let shown = format!("{:?}", policy.cert("a").unwrap());
    assert!(!shown.contains("1, 2, 3"), "key material stays out of logs: {shown}");
}

#[test]
fn stream_types_name_the_things_defined_above_them() {
    let of = stream_type(
        r#""server":true,"tls":true,"server_cert":"c","server_key":"c","retry":"r","tls_trust_store":"t","use_auth":"u""#,
    );
    assert_eq!(of.server_cert.as_ref().unwrap().name, "c");
    assert_eq!(of.server_key, of.server_cert);
    assert_eq!(of.retry.unwrap().name, "r");
    assert_eq!(of.tls_trust_store.unwrap().name, "t");
    assert_eq!(of.use_auth.unwrap().name, "u");
}

#[test]
fn the_auth_scheme_lwa_goes_with_an_auth_header() {
    let text =
        r#"{"auth":[{"name":"lwa","blob":2}],"s":[{"a":{"http_auth_header":"authorization:"},"b":{}}]}"#;
    let policy = parse(text);
    let a = policy.stream_type("a").unwrap();
    assert_eq!(a.use_auth.as_ref().unwrap().blob, 2);
    assert_eq!(a.http.auth_header.as_deref(), Some("authorization"));
    assert!(policy.stream_type("b").unwrap().use_auth.is_none());
}

#[test]
fn metadata_keeps_its_order_and_loses_the_colon_of_its_header() {
    let of = stream_type(r#""metadata":[{"z":"X-Z:","a":""},{"m":"accept"},{"z":""}]"#);
    let def = |name: &str, header: Option<&str>| MetadataDef {
        name: name.into(),
        header: header.map(str::to_owned),
    };
    assert_eq!(of.metadata, [def("z", None), def("a", None), def("m", Some("accept"))]);
    assert_eq!(of.metadata("m"), of.metadata.get(2));
    assert_eq!(of.metadata("q"), None);
}

#[test]
fn the_documentations_own_example_is_understood() {
    let of = stream_type(
        r#""endpoint":"warmcat.com","port":4443,"protocol":"h1get","aux":"index.html","plugins":[],"client cert":1,
           "mqtt qos":2,"http_resp_map":[{"530":1530,"531":1531},{"530":1600}]"#,
    );
    assert_eq!((of.protocol, of.http.method.as_deref()), (Some(Protocol::H1), Some("GET")));
    assert_eq!((of.client_cert, of.mqtt.qos), (Some(1), 2));
    assert_eq!(of.http.resp_map, [(530, 1600), (531, 1531)]);
    assert_eq!(stream_type(r#""http_method":"PUT","protocol":"h1get""#).http.method.as_deref(), Some("PUT"));
}

#[test]
fn socks_proxies_are_addresses_with_a_port() {
    for (text, address) in
        [("127.0.0.1:1080", "127.0.0.1"), ("[::1]:1080", "::1"), ("proxy.example:1080", "proxy.example")]
    {
        let policy = parse(&format!(r#"{{"via-socks5":"{text}","s":[]}}"#));
        let proxy = policy.via_socks5().unwrap();
        assert_eq!((proxy.address.as_str(), proxy.port), (address, 1080));
    }
    for wrong in ["", "a", "a:", ":1", "a:0", "a:65536", "::1", "[]:1"] {
        assert!(Policy::parse(&format!(r#"{{"via-socks5":"{wrong}"}}"#)).is_err(), "{wrong}");
    }
}

const BASE: &str = r#"{"release":"1","retry":[{"r":{"conceal":3}}],
    "s":[{"a":{"endpoint":"one","port":1,"metadata":[{"m":""},{"n":""}]}},{"b":{"endpoint":"two"}}]}"#;

#[test]
fn an_overlay_replaces_what_it_gives_and_adds_what_is_new() {
    let base = parse(BASE);
    let text = r#"{"release":"2","s":[{"a":{"port":2,"retry":"r","metadata":[{"n":"x-n:"}]}},{"c":{"endpoint":"three"}}]}"#;
    let overlaid = base.overlay(text).unwrap();
    assert_eq!(overlaid.warnings.len(), 1, "release is no part of an overlay");
    let policy = overlaid.policy;
    let a = policy.stream_type("a").unwrap();
    assert_eq!((a.endpoint.as_ref().unwrap().source(), a.port), ("one", Some(2)));
    assert_eq!((a.retry.as_ref().unwrap().conceal, a.metadata.len()), (3, 1));
    assert_eq!(policy.stream_types().map(|of| of.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(policy.release(), Some("1"));
    assert_eq!(policy.stream_type("b"), base.stream_type("b"));
    assert_eq!(base, parse(BASE), "the policy below stays what it was");
}

#[test]
fn a_refused_overlay_changes_nothing() {
    let base = parse(BASE);
    assert!(base.overlay(r#"{"s":[{"a":{"port":2}},{"b":{"retry":"nope"}}]}"#).is_err());
    assert!(base.overlay(r#"{"s":[{"a":{"server":true,"tls":true}}]}"#).is_err(), "judged as a whole");
    assert_eq!(base, parse(BASE));
}

#[test]
fn a_stream_type_defined_twice_is_laid_over_itself() {
    let parsed = Policy::parse(r#"{"s":[{"a":{"endpoint":"one","port":1}},{"a":{"port":2}}]}"#).unwrap();
    assert_eq!(parsed.warnings.len(), 1);
    let a = parsed.policy.stream_type("a").unwrap();
    assert_eq!((a.endpoint.as_ref().unwrap().source(), a.port), ("one", Some(2)));
}
