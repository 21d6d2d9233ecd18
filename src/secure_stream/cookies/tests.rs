//! The jar by the sections of RFC 6265, and its bounds.

#[path = "../../../fuzz/bodies/cookies.rs"]
mod fuzz_body;

use super::*;
// Where the body of the fuzz target looks for it.
use crate::secure_stream::cookies;

const NOW: u64 = 1_000_000;

fn uri(url: &str) -> RequestUri<'_> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    RequestUri { host, path: path.as_bytes(), is_secure: scheme == "https" }
}

fn get_at(jar: &mut CookieJar, url: &str, now: u64) -> String {
    let mut out = Vec::new();
    if let Some(cookies) = jar.matching(&uri(url), now) {
        cookies.write(&mut out);
        assert!(!out.is_empty());
    }
    String::from_utf8(out).unwrap()
}

fn get(jar: &mut CookieJar, url: &str) -> String {
    get_at(jar, url, NOW)
}

fn set(jar: &mut CookieJar, url: &str, header: &str) {
    jar.set(&uri(url), header.as_bytes(), NOW);
    assert_eq!(jar.len, jar.domains.values().map(Vec::len).sum::<usize>());
    assert!(jar.domains.values().all(|cookies| !cookies.is_empty()));
}

/// What a jar with this one cookie sends there.
fn sent(from: &str, header: &str, to: &str) -> bool {
    let mut jar = CookieJar::default();
    set(&mut jar, from, header);
    !get(&mut jar, to).is_empty()
}

#[test]
fn rfc6265_5_1_3_a_domain_is_the_host_and_what_is_below_it() {
    let shared = "a=b; Domain=example.com";
    for to in ["http://example.com/", "http://a.example.com/", "http://x.a.Example.COM/"] {
        assert!(sent("http://a.example.com/", shared, to), "{to}");
        assert!(sent("http://example.com/", "a=b; Domain=.EXAMPLE.com", to), "{to}");
    }
    for to in ["http://badexample.com/", "http://com/", "http://example.com.evil.net/", "http://example.co/"]
    {
        assert!(!sent("http://a.example.com/", shared, to), "{to}");
    }
}

#[test]
fn rfc6265_5_1_3_an_address_has_nothing_below_it() {
    assert!(sent("http://1.2.3.4/", "a=b; Domain=1.2.3.4", "http://1.2.3.4/"));
    assert!(!sent("http://1.2.3.4/", "a=b; Domain=3.4", "http://1.2.3.4/"));
    assert!(!sent("http://3.4.5.6/", "a=b; Domain=3.4.5.6", "http://2.3.4.5.6/"));
    assert!(!sent("http://3.4/", "a=b; Domain=3.4", "http://2.1.3.4/"));
    assert!(sent("http://::1/", "a=b", "http://::1/"));
}

#[test]
fn rfc6265_5_1_4_a_path_is_itself_and_what_is_below_it() {
    for (set_path, to, goes) in [
        ("/a", "/a", true),
        ("/a", "/a/", true),
        ("/a", "/a/b", true),
        ("/a", "/ab", false),
        ("/a", "/", false),
        ("/a/", "/a/b", true),
        ("/a/", "/a", false),
        ("/", "/anything", true),
        ("/A", "/a", false),
    ] {
        let (header, to) = (format!("a=b; Path={set_path}"), format!("http://h.example{to}"));
        assert_eq!(sent("http://h.example/x/y", &header, &to), goes, "{header} {to}");
    }
}

#[test]
fn rfc6265_5_1_4_the_default_path_is_the_directory_of_the_request() {
    for (path, default) in [
        (&b""[..], &b"/"[..]),
        (b"x/y", b"/"),
        (b"/", b"/"),
        (b"/a", b"/"),
        (b"/a/", b"/a"),
        (b"/a/b", b"/a"),
        (b"/a/b/c", b"/a/b"),
    ] {
        assert_eq!(default_path(path), default);
    }
    assert!(sent("http://h.example/a/b", "a=b; Path=relative", "http://h.example/a/c"));
    assert!(!sent("http://h.example/a/b", "a=b", "http://h.example/b"));
}

#[test]
fn rfc6265_5_3_without_a_domain_a_cookie_is_the_hosts_alone() {
    assert!(sent("http://example.com/", "a=b", "http://EXAMPLE.com/"));
    assert!(!sent("http://example.com/", "a=b", "http://a.example.com/"));
    assert!(sent("http://localhost/", "a=b", "http://localhost/"));
}

#[test]
fn rfc6265_5_3_a_domain_that_is_not_the_hosts_or_of_one_label_is_refused() {
    for (from, domain) in [
        ("http://a.example.com/", "com"),
        ("http://a.example.com/", ".com"),
        ("http://a.example.com./", "com."),
        ("http://a.example.com/", "b.example.com"),
        ("http://example.com/", "a.example.com"),
        ("http://example.com/", "ample.com"),
        ("http://example.com/", "\u{e9}xample.com"),
    ] {
        let mut jar = CookieJar::default();
        set(&mut jar, from, &format!("a=b; Domain={domain}"));
        assert_eq!(jar.len, 0, "{from} {domain}");
    }
    // The host itself may be called as a public suffix is: the cookie is its own then.
    assert!(sent("http://localhost/", "a=b; Domain=localhost", "http://localhost/"));
    assert!(!sent("http://localhost/", "a=b; Domain=localhost", "http://a.localhost/"));
}

#[test]
fn rfc6265_5_3_a_cookie_of_the_same_name_domain_and_path_is_replaced_in_its_place() {
    let (mut jar, at) = (CookieJar::default(), "http://h.example/");
    for header in ["a=1", "b=2", "a=3", "a=4; Path=/x", "A=5"] {
        set(&mut jar, at, header);
    }
    assert_eq!(get(&mut jar, at), "a=3; b=2; A=5");
    assert_eq!(get(&mut jar, "http://h.example/x"), "a=4; a=3; b=2; A=5");
}

#[test]
fn rfc6265_5_3_what_has_expired_is_gone_and_a_date_that_has_passed_removes() {
    let (mut jar, at) = (CookieJar::default(), "http://h.example/");
    set(&mut jar, at, "a=1; Max-Age=10");
    set(&mut jar, at, "b=2; Expires=Mon, 12 Jan 1970 13:46:45 GMT");
    set(&mut jar, at, "c=3");
    assert_eq!(get_at(&mut jar, at, NOW + 4), "a=1; b=2; c=3");
    assert_eq!(get_at(&mut jar, at, NOW + 5), "a=1; c=3");
    assert_eq!((get_at(&mut jar, at, NOW + 10), jar.len), ("c=3".into(), 1));
    set(&mut jar, at, "d=4; Max-Age=0");
    set(&mut jar, at, "c=; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!((get(&mut jar, at), jar.len), (String::new(), 0));
    set(&mut jar, at, "a=1; Max-Age=10");
    set(&mut jar, at, "a=2");
    assert_eq!(get_at(&mut jar, at, NOW + 11), "a=2");
}

#[test]
fn rfc6265_5_4_a_secure_cookie_goes_over_tls_alone() {
    assert!(sent("https://h.example/", "a=b; Secure", "https://h.example/"));
    assert!(!sent("https://h.example/", "a=b; Secure", "http://h.example/"));
    assert!(sent("https://h.example/", "a=b; HttpOnly", "http://h.example/"));
}

#[test]
fn rfc6265_5_4_longer_paths_go_first_then_older_cookies_whatever_their_domain() {
    let mut jar = CookieJar::default();
    set(&mut jar, "http://a.h.example/", "one=1; Domain=h.example");
    set(&mut jar, "http://a.h.example/", "two=2");
    set(&mut jar, "http://a.h.example/", "deep=3; Path=/x/y; Domain=h.example");
    set(&mut jar, "http://a.h.example/", "four=4; Domain=h.example");
    assert_eq!(get(&mut jar, "http://a.h.example/x/y/z"), "deep=3; one=1; two=2; four=4");
}

#[test]
fn rfc6265_6_1_a_domain_has_50_cookies_and_those_not_used_for_longest_go() {
    let (mut jar, at) = (CookieJar::default(), "http://h.example/");
    set(&mut jar, at, "kept=1; Path=/kept");
    (0..PER_DOMAIN - 1).for_each(|nth| set(&mut jar, at, &format!("n{nth}=x")));
    assert_eq!(get(&mut jar, "http://h.example/kept").matches('=').count(), PER_DOMAIN);
    get(&mut jar, at);
    set(&mut jar, at, "new=1");
    let after = get(&mut jar, "http://h.example/kept");
    assert!(after.ends_with("new=1") && !after.contains("kept"), "{after}");
    set(&mut jar, at, "newer=1");
    let after = get(&mut jar, at);
    assert!(!after.contains("n0=x") && after.contains("n1=x"), "{after}");
    assert_eq!(jar.len, PER_DOMAIN);
}

#[test]
fn rfc6265_6_1_there_are_3000_cookies_and_the_expired_go_first_then_those_not_used_for_longest() {
    let mut jar = CookieJar::default();
    set(&mut jar, "http://first.example/", "a=1");
    set(&mut jar, "http://second.example/", "a=1");
    set(&mut jar, "http://brief.example/", "a=1; Max-Age=1");
    (3..IN_TOTAL)
        .for_each(|nth| set(&mut jar, &format!("http://h{}.example/", nth / 50), &format!("n{nth}=x")));
    assert_eq!(jar.len, IN_TOTAL);
    jar.set(&uri("http://late.example/"), b"a=1", NOW + 1);
    assert_eq!((jar.len, jar.domains.contains_key("brief.example")), (IN_TOTAL, false));
    assert_eq!(get(&mut jar, "http://first.example/"), "a=1");
    set(&mut jar, "http://later.example/", "a=1");
    assert_eq!((jar.len, jar.domains.contains_key("second.example")), (IN_TOTAL, false));
    assert_eq!(get(&mut jar, "http://first.example/"), "a=1");
    jar.clear();
    assert_eq!((jar.len, get(&mut jar, "http://first.example/")), (0, String::new()));
}

#[test]
fn a_cookie_that_is_too_long_or_would_break_a_header_is_not_kept() {
    let (mut jar, at) = (CookieJar::default(), "http://h.example/");
    let fits = MAX_SIZE - "h.example".len() - "/".len() - "a".len();
    set(&mut jar, at, &format!("a={}", "x".repeat(fits + 1)));
    assert_eq!(jar.len, 0);
    set(&mut jar, at, "a=x\u{1}y");
    set(&mut jar, at, "a\u{7f}=x");
    assert_eq!(jar.len, 0);
    set(&mut jar, at, &format!("a={}", "x".repeat(fits)));
    assert_eq!(jar.len, 1);
}

#[test]
fn a_header_is_no_longer_than_its_bound_and_leaves_out_what_does_not_fit() {
    let (mut jar, at) = (CookieJar::default(), "http://h.example/");
    for name in ["a", "b", "c"] {
        set(&mut jar, at, &format!("{name}={}", "x".repeat(4000)));
    }
    set(&mut jar, at, &format!("d={}", "x".repeat(MAX_HEADER - 8006 - 4)));
    set(&mut jar, at, "e=x");
    let header = get(&mut jar, at);
    assert_eq!(header.len(), MAX_HEADER);
    let names: Vec<&str> = header.split("; ").map(|pair| &pair[..1]).collect();
    assert_eq!(names, ["a", "b", "d"]);
}

#[test]
fn a_jar_goes_to_a_netscape_cookie_file_and_back() {
    let mut jar = CookieJar::default();
    set(&mut jar, "https://a.example.com/x/y", "one=1; Domain=example.com; Secure; HttpOnly; Max-Age=10");
    set(&mut jar, "http://localhost/", "two=; Path=/p");
    set(&mut jar, "http://localhost/", "tab=a\tb");
    set(&mut jar, "http://localhost/", "brief=1; Max-Age=1");
    let text = String::from_utf8(jar.export(NOW + 1)).unwrap();
    assert_eq!(
        text.lines().skip(1).collect::<Vec<_>>(),
        ["#HttpOnly_.example.com\tTRUE\t/x\tTRUE\t1000010\tone\t1", "localhost\tFALSE\t/p\tFALSE\t0\ttwo\t"]
    );
    let mut copy = CookieJar::default();
    assert_eq!(copy.import(text.replace('\n', "\r\n").as_bytes(), NOW + 1), 2);
    assert_eq!(copy.export(NOW + 1), text.as_bytes());
    assert_eq!(copy.import(text.as_bytes(), NOW + 10), 1);
    assert_eq!(get_at(&mut copy, "http://localhost/p", NOW + 10), "two=");
}

#[test]
fn lines_of_a_cookie_file_that_are_no_cookies_are_passed_over() {
    for line in [
        "",
        "# a comment",
        "#HttpOnly_# a comment",
        "h.example\tFALSE\t/\tFALSE\t0",
        "h.example\tFALSE\t/\tFALSE\t0\ta\tb\tc",
        "h.example\tmaybe\t/\tFALSE\t0\ta\tb",
        "h.example\tFALSE\t/\tFALSE\tsoon\ta\tb",
        "h.example\tFALSE\tx\tFALSE\t0\ta\tb",
        "h.example\tFALSE\t/\tFALSE\t5\ta\tb",
        "h.example\tFALSE\t/\tFALSE\t0\t\tb",
        "h.example\tFALSE\t/\tFALSE\t0\ta=x\tb",
        "h.example\tFALSE\t/\tFALSE\t0\ta\tb;c",
        "h.example\tFALSE\t/\tFALSE\t0\ta\tb\u{1}",
        ".com\tTRUE\t/\tFALSE\t0\ta\tb",
        "\tFALSE\t/\tFALSE\t0\ta\tb",
        "..h.example\tFALSE\t/\tFALSE\t0\ta\tb",
    ] {
        let mut jar = CookieJar::default();
        assert_eq!((jar.import(line.as_bytes(), NOW), jar.len), (0, 0), "{line:?}");
    }
    let mut jar = CookieJar::default();
    assert_eq!(jar.import(b"H.example\tFALSE\t/\tFALSE\t0\ta", NOW), 1);
    assert_eq!(get(&mut jar, "http://h.example/"), "a=");
}

#[test]
fn inputs_that_once_were_of_interest_to_the_fuzzer_hold_what_must_hold() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/cookies");
    let mut inputs = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        fuzz_body::cookies(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "{inputs} inputs");
}
