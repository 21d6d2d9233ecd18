//! What a well-behaved peer sends, and what is sent to it.

mod common;

use common::{Told, client, client_of, every_split, feed, server};
use http::{BodyLength, Head, Method, Status};
use millstream_h1::{EncodeError, Engine, Error, Event, Limits};

fn end() -> Told {
    Told::End(String::new())
}

fn body(text: &str) -> Told {
    Told::Body(text.as_bytes().to_vec())
}

#[test]
fn pipelined_requests_are_served_in_order_however_they_are_cut() {
    let input = b"\r\nPOST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\
        PUT /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\nT: v\r\n\r\n";
    let told = every_split(|| Engine::server(Limits::default()), input, true);
    let expected = [
        Told::Request("POST /1 Host=a;Content-Length=3;".into()),
        body("abc"),
        end(),
        Told::Request("GET /2 Host=a;".into()),
        end(),
        Told::Request("PUT /3 Host=a;Transfer-Encoding=Chunked;".into()),
        body("def"),
        Told::End("T=v;".into()),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_next_request_waits_until_this_one_is_answered() {
    let (mut engine, mut head, mut out) = (Engine::server(Limits::default()), Head::new(), Vec::new());
    let one = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(engine.input(one, &mut head), Ok((one.len(), Some(Event::Request))));
    assert!(engine.has_event() && !engine.is_paused());
    assert_eq!(engine.input(one, &mut head), Ok((0, Some(Event::End))));
    assert!(engine.is_paused());
    assert_eq!(engine.input(one, &mut head), Ok((0, None)));
    engine.encode_response(Status::OK, [].into_iter(), BodyLength::Known(3), &mut out).unwrap();
    assert_eq!(engine.tx_left(), Some(3));
    assert_eq!(engine.input(one, &mut head), Ok((0, None)));
    engine.frame(3, true).unwrap();
    assert!(!engine.is_paused());
    assert_eq!(engine.input(one, &mut head), Ok((one.len(), Some(Event::Request))));
}

#[test]
fn responses_end_by_length_by_chunks_or_with_the_connection() {
    let told = |input: &[u8], eof| every_split(|| client_of(Method::Get), input, eof);
    let response = |fields: &str| Told::Response(200, fields.into());
    assert_eq!(
        told(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false),
        [response("Content-Length=2;"), body("hi"), end()]
    );
    assert_eq!(
        told(b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false),
        [response("Transfer-Encoding=chunked;"), body("hi"), end()]
    );
    assert_eq!(told(b"HTTP/1.0 200 OK\r\n\r\nhi there", true), [response(""), body("hi there"), end()]);
    assert_eq!(told(b"HTTP/1.1 204 No Content\r\n\r\n", false), [Told::Response(204, String::new()), end()]);
    assert_eq!(
        told(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false),
        [Told::Response(304, "Content-Length=9;".into()), end()]
    );
    assert_eq!(
        told(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        [Told::Informational(100), Told::Informational(103), response("Content-Length=0;"), end()]
    );
    let head =
        every_split(|| client_of(Method::Head), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false);
    assert_eq!(head, [response("Content-Length=9;"), end()]);
}

#[test]
fn an_end_in_the_middle_of_a_message_is_an_error() {
    let truncated = Some(&Told::Error(Error::Truncated));
    for input in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nContent-",
        "",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        assert_eq!(client(input.as_bytes(), true).last(), truncated, "{input:?}");
    }
    let mut engine = Engine::server(Limits::default());
    assert_eq!(feed(&mut engine, &[b"GET / HT"], true), [Told::Error(Error::Truncated)]);
    assert_eq!(feed(&mut Engine::server(Limits::default()), &[], true), []);
}

#[test]
fn connections_are_kept_as_version_and_options_say() {
    let kept = |request: &str| {
        let (mut engine, mut out) = (Engine::server(Limits::default()), Vec::new());
        feed_until_request(&mut engine, request);
        engine.encode_response(Status::OK, [].into_iter(), BodyLength::None, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let says = if text.contains("Connection: close") { Some(false) } else { None };
        let says = if text.contains("Connection: keep-alive") { Some(true) } else { says };
        (engine.may_reuse(), says)
    };
    assert_eq!(kept("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (true, None));
    assert_eq!(kept("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"), (false, Some(false)));
    assert_eq!(kept("GET / HTTP/1.0\r\n\r\n"), (false, Some(false)));
    assert_eq!(kept("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), (true, Some(true)));
}

fn feed_until_request(engine: &mut Engine, request: &str) {
    let used = engine.input(request.as_bytes(), &mut Head::new()).unwrap();
    assert_eq!(used, (request.len(), Some(Event::Request)));
    if engine.has_event() {
        assert_eq!(engine.input(b"", &mut Head::new()), Ok((0, Some(Event::End))));
    }
}

#[test]
fn a_response_without_known_length_is_chunked_or_lasts_until_the_end_for_old_clients() {
    let answer = |request: &str| {
        let (mut engine, mut out) = (Engine::server(Limits::default()), Vec::new());
        feed_until_request(&mut engine, request);
        engine.encode_response(Status::OK, [].into_iter(), BodyLength::Unknown, &mut out).unwrap();
        for (text, last) in [(&b"hello, world"[..], false), (b"", false), (b"!", true)] {
            let frame = engine.frame(text.len(), last).unwrap();
            if !frame.is_suppressed() {
                out.extend_from_slice(frame.prefix());
                out.extend_from_slice(text);
                out.extend_from_slice(frame.suffix());
            }
        }
        assert!(engine.tx_done());
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nhello, world\r\n1\r\n!\r\n0\r\n\r\n"
    );
    assert_eq!(answer("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello, world!");
    assert_eq!(
        answer("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn what_was_announced_is_what_is_sent() {
    let (mut engine, mut out) = (Engine::server(Limits::default()), Vec::new());
    assert_eq!(engine.frame(1, false), Err(EncodeError::Turn));
    feed_until_request(&mut engine, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    engine.encode_response(Status::OK, [].into_iter(), BodyLength::Known(5), &mut out).unwrap();
    assert_eq!(engine.frame(6, false), Err(EncodeError::TooMuch));
    assert_eq!(engine.frame(4, true), Err(EncodeError::TooLittle));
    assert!(engine.frame(4, false).is_ok() && !engine.tx_done());
    assert!(engine.frame(1, false).is_ok() && engine.tx_done());
    let again = engine.encode_response(Status::OK, [].into_iter(), BodyLength::None, &mut out);
    assert_eq!(again, Err(EncodeError::Turn));
}

#[test]
fn no_value_can_add_a_line_to_a_head() {
    let mut engine = Engine::client(Limits::default());
    let mut out = Vec::new();
    let mut try_field = |name: &'static str, value: &'static str| {
        let fields = [(name.as_bytes(), value.as_bytes())].into_iter();
        engine.encode_request(Method::Get, b"/", b"a", fields, BodyLength::None, &mut out)
    };
    for (name, value) in [
        ("x", "a\r\nb: c"),
        ("x\r\n", "a"),
        ("x", "a\0"),
        ("", "a"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("host", "b"),
    ] {
        assert_eq!(try_field(name, value), Err(EncodeError::Field), "{name:?}: {value:?}");
    }
    assert!(out.is_empty());
    for (target, host) in
        [(&b"/a b"[..], &b"a"[..]), (b"/\r\n", b"a"), (b"", b"a"), (b"/", b"a\r\nx: y"), (b"/", b"a b")]
    {
        let refused =
            engine.encode_request(Method::Get, target, host, [].into_iter(), BodyLength::None, &mut out);
        assert_eq!(refused, Err(EncodeError::Target));
    }
    assert!(out.is_empty());
}

#[test]
fn a_client_that_waits_for_leave_is_told_once() {
    let (mut engine, mut out) = (Engine::server(Limits::default()), Vec::new());
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    engine.input(request, &mut Head::new()).unwrap();
    assert!(engine.expects_continue());
    engine.encode_informational(Status::CONTINUE, &mut out).unwrap();
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(!engine.expects_continue());
}

#[test]
fn what_follows_an_early_answer_is_dropped_within_bounds() {
    let limits = Limits { discard: 100, ..Limits::default() };
    for (len, kept) in [(50, true), (200, false)] {
        let (mut engine, mut head, mut out) = (Engine::server(limits), Head::new(), Vec::new());
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        engine.input(request.as_bytes(), &mut head).unwrap();
        engine.encode_response(Status::NOT_FOUND, [].into_iter(), BodyLength::None, &mut out).unwrap();
        assert_eq!(engine.input(&vec![b'x'; len], &mut head), Ok((len, None)));
        assert_eq!(engine.may_reuse(), kept);
    }
}

#[test]
fn an_upgrade_is_granted_and_taken_and_nothing_after_it_is_http() {
    let (mut server, mut client, mut head) =
        (Engine::server(Limits::default()), Engine::client(Limits::default()), Head::new());
    let (mut there, mut back) = (Vec::new(), Vec::new());
    client.ask_upgrade();
    let upgrade = || [(&b"Upgrade"[..], &b"echo"[..])].into_iter();
    client.encode_request(Method::Get, b"/", b"a", upgrade(), BodyLength::None, &mut there).unwrap();
    assert_eq!(server.input(&there, &mut head), Ok((there.len(), Some(Event::Request))));
    assert!(server.wants_upgrade());
    server.encode_upgrade(upgrade(), &mut back).unwrap();
    let len = back.len();
    back.extend_from_slice(b"echo!");
    assert_eq!(client.input(&back, &mut head), Ok((len, Some(Event::Upgraded))));
    assert_eq!(client.input(b"echo!", &mut head), Ok((0, None)));
    assert_eq!(server.input(b"echo?", &mut head), Ok((0, None)));
}

#[test]
fn an_upgrade_is_asked_for_by_one_request_and_by_none_after_it() {
    let (mut client, mut head) = (Engine::client(Limits::default()), Head::new());
    let ask = |client: &mut Engine| {
        let mut out = Vec::new();
        client.encode_request(Method::Get, b"/", b"a", [].into_iter(), BodyLength::None, &mut out).unwrap();
        String::from_utf8(out).unwrap().contains("Connection: Upgrade")
    };
    client.ask_upgrade();
    assert!(ask(&mut client));
    // Before its answer no other is, and this one is refused.
    client.ask_upgrade();
    let busy =
        client.encode_request(Method::Get, b"/", b"a", [].into_iter(), BodyLength::None, &mut Vec::new());
    assert!(busy.is_err());
    let refusal = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(client.input(refusal, &mut head), Ok((refusal.len(), Some(Event::Response))));
    assert_eq!(client.input(b"", &mut head), Ok((0, Some(Event::End))));
    assert!(!ask(&mut client));
    let switched = b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    assert_eq!(client.input(switched, &mut head), Err(Error::Upgrade));
}

#[test]
fn an_engine_is_small_and_its_head_is_the_callers() {
    assert!(size_of::<Engine>() <= 96, "{}", size_of::<Engine>());
    assert_eq!(server(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").len(), 2);
}
