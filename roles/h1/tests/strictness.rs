//! Everything that a lax reading of a head or a chunk could smuggle past somebody, and the limits with their statuses.

mod common;

use common::{Told, client, every_split, server};
use http::{Method, Status};
use millstream_h1::{Engine, Error, Limits};

fn error_of(told: &[Told]) -> Option<Error> {
    match told.last() {
        Some(Told::Error(error)) => Some(*error),
        _ => None,
    }
}

/// A request head with these lines, on which all else is in order.
fn request(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

#[test]
fn a_body_whose_length_can_be_read_in_two_ways_is_refused() {
    use Error::{Coding, ContentLength, Field, TransferEncoding};
    let cases = [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", ContentLength),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", ContentLength),
        ("Content-Length: +5\r\n", ContentLength),
        ("Content-Length: -5\r\n", ContentLength),
        ("Content-Length: 5, 5\r\n", ContentLength),
        ("Content-Length: 5 5\r\n", ContentLength),
        ("Content-Length: 0x5\r\n", ContentLength),
        ("Content-Length: 5a\r\n", ContentLength),
        ("Content-Length:\r\n", ContentLength),
        ("Content-Length: 18446744073709551616\r\n", ContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", TransferEncoding),
        ("Transfer-Encoding: xchunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked, identity\r\n", TransferEncoding),
        ("Transfer-Encoding: identity\r\n", TransferEncoding),
        ("Transfer-Encoding:\r\n", TransferEncoding),
        ("Transfer-Encoding: \"chunked\"\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", Coding),
        ("Transfer-Encoding: gzip, chunked\r\n", Coding),
        ("Transfer-Encoding : chunked\r\n", Field),
        ("Transfer\u{b}-Encoding: chunked\r\n", Field),
    ];
    for (lines, expected) in cases {
        assert_eq!(error_of(&server(&request(lines))), Some(expected), "{lines:?}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(error_of(&server(old)), Some(TransferEncoding));
}

#[test]
fn lines_that_are_none_are_refused_as_soon_as_they_are_there() {
    use Error::{Field, LineEnd, Nul, StartLine};
    let cases: [(&[u8], Error); 13] = [
        (b"GET / HTTP/1.1\nHost: a\n\n", LineEnd),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", LineEnd),
        (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", LineEnd),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Nul),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", Field),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Field),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", Field),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Field),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", Field),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", Field),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", StartLine),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", StartLine),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", StartLine),
    ];
    for (input, expected) in cases {
        let told = every_split(|| Engine::server(Limits::default()), input, false);
        assert_eq!(error_of(&told), Some(expected), "{:?}", String::from_utf8_lossy(input));
    }
}

#[test]
fn exactly_one_valid_host_is_asked_for() {
    let with = |lines: &str| server(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes());
    for bad in
        ["", "Host: a\r\nHost: a\r\n", "Host: a b\r\n", "Host: a/b\r\n", "Host: a,b@c\r\n", "Host: a:x\r\n"]
    {
        assert_eq!(error_of(&with(bad)), Some(Error::Host), "{bad:?}");
    }
    for good in ["Host: a\r\n", "Host: a:80\r\n", "Host: [::1]:80\r\n", "Host:\r\n", "Host: xn--a.b\r\n"] {
        assert_eq!(error_of(&with(good)), None, "{good:?}");
    }
    assert_eq!(error_of(&server(b"GET / HTTP/1.0\r\n\r\n")), None);
    assert_eq!(error_of(&server(b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n")), Some(Error::Host));
}

#[test]
fn chunk_sizes_are_hexadecimal_digits_and_nothing_else() {
    let with = |body: &str| {
        let mut input = request("Transfer-Encoding: chunked\r\n");
        input.extend_from_slice(body.as_bytes());
        every_split(|| Engine::server(Limits::default()), &input, false)
    };
    for bad in [
        "\r\n",
        "+5\r\nhello\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\r\n",
        "5\rhello\r\n",
        "g\r\n",
        ";a\r\n",
        "5;\r\nhello\r\n",
        "10000000000000000\r\n",
        "00000000000000005\r\nhello\r\n",
    ] {
        assert_eq!(error_of(&with(bad)), Some(Error::ChunkSize), "{bad:?}");
    }
    assert_eq!(error_of(&with("5\r\nhelloX\r\n")), Some(Error::ChunkEnd));
    assert_eq!(error_of(&with("5\r\nhello\n0\r\n\r\n")), Some(Error::ChunkEnd));
    assert_eq!(error_of(&with("ffffffffffffffff\r\n")), None);
    let overflow = "1\r\na\r\nffffffffffffffff\r\n";
    assert_eq!(error_of(&with(overflow)), Some(Error::BodyTooLong));
    let good = with("5;a=b\r\nhello\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(good[1..], [Told::Body(b"hello".to_vec()), Told::End("X-T=1;".into())]);
}

#[test]
fn each_limit_has_its_status() {
    let limits = Limits {
        head: 200,
        target: 50,
        fields: 3,
        body: 10,
        chunk_line: 16,
        trailers: 20,
        ..Limits::default()
    };
    let status = |input: &[u8]| {
        let told = common::feed(&mut Engine::server(limits), &[input], false);
        error_of(&told).map(Error::status)
    };
    let long = "x".repeat(300);
    let of = |text: String| status(text.as_bytes());
    assert_eq!(of(format!("GET /{long}")), Some(Status::URI_TOO_LONG));
    assert_eq!(of(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..60])), Some(Status::URI_TOO_LONG));
    assert_eq!(of(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}")), Some(Status::HEADER_FIELDS_TOO_LARGE));
    assert_eq!(
        of("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n".into()),
        Some(Status::HEADER_FIELDS_TOO_LARGE)
    );
    assert_eq!(status(&request("Content-Length: 11\r\n")), Some(Status::CONTENT_TOO_LARGE));
    let chunked = |body: &str| [request("Transfer-Encoding: chunked\r\n"), body.as_bytes().to_vec()].concat();
    assert_eq!(status(&chunked("b\r\n")), Some(Status::CONTENT_TOO_LARGE));
    assert_eq!(status(&chunked("5;aaaaaaaaaaaaaaaaaaaaaaaa")), Some(Status::BAD_REQUEST));
    assert_eq!(status(&chunked("0\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")), Some(Status::BAD_REQUEST));
    assert_eq!(status(b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(Status::NOT_IMPLEMENTED));
    assert_eq!(status(b"get / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(Status::NOT_IMPLEMENTED));
    assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Some(Status::VERSION_NOT_SUPPORTED));
    assert_eq!(status(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"), Some(Status::VERSION_NOT_SUPPORTED));
    assert_eq!(status(b"GET x HTTP/1.1\r\nHost: a\r\n\r\n"), Some(Status::BAD_REQUEST));
}

#[test]
fn an_error_is_answered_once_and_closes() {
    let mut engine = Engine::server(Limits::default());
    let mut head = http::Head::new();
    let error = engine.input(b"GET / HTTP/3.0\r\n\r\n", &mut head).unwrap_err();
    let mut out = Vec::new();
    assert!(engine.error_response(error, None, &mut out));
    assert_eq!(
        out,
        b"HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(!engine.error_response(error, None, &mut out) && !engine.may_reuse());
}

#[test]
fn a_response_with_a_doubtful_length_is_refused_as_a_request_is() {
    let with = |lines: &str| client(format!("HTTP/1.1 200 OK\r\n{lines}\r\nhello").as_bytes(), false);
    for (lines, expected) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Error::ContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: xchunked\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", Error::Coding),
    ] {
        assert_eq!(error_of(&with(lines)), Some(expected), "{lines:?}");
    }
    for bad in [
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTP/1.1 200 OK\r\n\r\n",
    ] {
        assert_eq!(error_of(&client(bad.as_bytes(), false)), Some(Error::StartLine), "{bad:?}");
    }
    assert_eq!(error_of(&client(b"HTTP/2.0 200 OK\r\n\r\n", false)), Some(Error::Version));
    assert_eq!(error_of(&client(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", false)), Some(Error::Upgrade));
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17);
    assert_eq!(error_of(&client(interim.as_bytes(), false)), Some(Error::Interim));
}

#[test]
fn bytes_that_nobody_asked_for_are_an_error() {
    let mut engine = Engine::client(Limits::default());
    assert_eq!(engine.input(b"HTTP/1.1 200 OK\r\n\r\n", &mut http::Head::new()), Err(Error::Unexpected));
    let told = client(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false);
    assert_eq!(error_of(&told), Some(Error::Unexpected));
    let _ = Method::Get;
}
