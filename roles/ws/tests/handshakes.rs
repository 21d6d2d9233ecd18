//! The way in, from both sides: by the rules of RFC 6455 section 4 and RFC 8441, and around heads of the h1 engine.

use http::{BodyLength, Head, Method, Status};
use millstream_ws::Deflate;
use millstream_ws::handshake::{Answer, HandshakeError, Offer, Terms};

type Fields = Vec<(&'static str, String)>;

fn request() -> Fields {
    [
        ("Host", "server.example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", "http://example.com"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Version", "13"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

fn response() -> Fields {
    [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("Sec-WebSocket-Protocol", "chat"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

fn bytes(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

/// `fields` with another value for `name`, or without it.
fn with(mut fields: Fields, name: &'static str, value: Option<&str>) -> Fields {
    fields.retain(|(known, _)| *known != name);
    fields.extend(value.map(|value| (name, value.to_owned())));
    fields
}

/// `fields` with one more.
fn and(mut fields: Fields, name: &'static str, value: &str) -> Fields {
    fields.push((name, value.to_owned()));
    fields
}

const SUPERCHAT: Terms<'_> = Terms { protocols: "mqtt, superchat,chat", deflate: None };

fn answer(fields: &Fields) -> Result<Answer<'static>, HandshakeError> {
    Answer::new(Method::Get, bytes(fields), &SUPERCHAT)
}

fn check(status: Status, fields: &Fields) -> Result<Option<&'static str>, HandshakeError> {
    let offer = Offer::new(b"the sample nonce", Terms { protocols: "chat, superchat", deflate: None });
    offer.check(status, bytes(fields)).map(|agreed| agreed.protocol)
}

fn text<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let line = |(name, value): (&[u8], &[u8])| [name, b": ", value, b"\n"].concat();
    String::from_utf8(fields.flat_map(line).collect()).unwrap()
}

#[test]
fn the_request_of_rfc_6455_1_3_is_answered_as_there_with_the_clients_first_choice() {
    let answer = answer(&request()).unwrap();
    assert_eq!((answer.status(), answer.agreed().protocol), (Status::SWITCHING_PROTOCOLS, Some("chat")));
    let expected = "Upgrade: websocket\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n\
                    Sec-WebSocket-Protocol: chat\n";
    assert_eq!(text(answer.fields()), expected);
}

#[test]
fn a_client_asks_for_all_that_a_request_needs() {
    let terms = Terms { protocols: "chat, superchat", deflate: Some(Deflate::default()) };
    let offer = Offer::new(b"the sample nonce", terms);
    let expected = "Upgrade: websocket\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\n\
        Sec-WebSocket-Protocol: chat, superchat\nSec-WebSocket-Extensions: permessage-deflate; \
        server_no_context_takeover; client_no_context_takeover; client_max_window_bits\n";
    assert_eq!(text(offer.fields()), expected);
    let bare = Offer::new(b"the sample nonce", Terms::default());
    assert_eq!(bare.fields().count(), 3);
}

#[test]
fn requests_that_ask_for_something_else_are_refused() {
    for (fields, error) in [
        (with(request(), "Upgrade", None), HandshakeError::Upgrade),
        (with(request(), "Upgrade", Some("h2c")), HandshakeError::Upgrade),
        (with(request(), "Connection", None), HandshakeError::Connection),
        (with(request(), "Connection", Some("keep-alive")), HandshakeError::Connection),
        (with(request(), "Sec-WebSocket-Key", None), HandshakeError::Key),
        (with(request(), "Sec-WebSocket-Key", Some("dGhlIHNhbXBsZQ==")), HandshakeError::Key),
        (with(request(), "Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25j!Q==")), HandshakeError::Key),
        (and(request(), "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), HandshakeError::Key),
        (with(request(), "Sec-WebSocket-Version", None), HandshakeError::Version),
        (with(request(), "Sec-WebSocket-Version", Some("8")), HandshakeError::Version),
        (with(request(), "Sec-WebSocket-Version", Some("013")), HandshakeError::Version),
        (and(request(), "Sec-WebSocket-Version", "13"), HandshakeError::Version),
        (with(request(), "Sec-WebSocket-Protocol", Some("a b")), HandshakeError::Protocol),
        (and(request(), "Sec-WebSocket-Extensions", "a b"), HandshakeError::Extension),
    ] {
        assert_eq!(answer(&fields), Err(error), "{fields:?}");
    }
    for method in [Method::Post, Method::Head, Method::Put] {
        assert_eq!(Answer::new(method, bytes(&request()), &SUPERCHAT), Err(HandshakeError::Method));
    }
}

#[test]
fn case_blanks_lists_and_other_members_do_not_matter() {
    let fields = with(request(), "Upgrade", Some("h2c,  WebSocket"));
    let fields = with(fields, "Connection", Some("keep-alive, UPGRADE"));
    let fields: Fields = with(fields, "Sec-WebSocket-Version", Some(" 13 "));
    let fields =
        and(with(fields, "Sec-WebSocket-Protocol", Some("x")), "SEC-WEBSOCKET-PROTOCOL", "superchat");
    assert_eq!(answer(&fields).unwrap().agreed().protocol, Some("superchat"));
    // Names of subprotocols are what they are.
    let fields = with(request(), "Sec-WebSocket-Protocol", Some("CHAT"));
    let answer = answer(&fields).unwrap();
    assert_eq!((answer.agreed().protocol, answer.fields().count()), (None, 2));
}

#[test]
fn refusals_say_what_to_try_instead() {
    assert_eq!(HandshakeError::Version.status(), Status::UPGRADE_REQUIRED);
    let fields = text(HandshakeError::Version.fields());
    assert_eq!(fields, "Upgrade: websocket\nSec-WebSocket-Version: 13\n");
    assert_eq!(HandshakeError::Method.status(), Status::METHOD_NOT_ALLOWED);
    assert_eq!(text(HandshakeError::Method.fields()), "Allow: GET\n");
    assert_eq!(HandshakeError::Key.status(), Status::BAD_REQUEST);
    assert_eq!(HandshakeError::Key.fields().count(), 0);
}

#[test]
fn a_client_takes_no_response_that_it_did_not_ask_for() {
    let ok = Status::SWITCHING_PROTOCOLS;
    assert_eq!(check(ok, &response()), Ok(Some("chat")));
    assert_eq!(check(ok, &with(response(), "Sec-WebSocket-Protocol", None)), Ok(None));
    for status in [Status::OK, Status::FOUND, Status::UNAUTHORIZED] {
        assert_eq!(check(status, &response()), Err(HandshakeError::Status(status)));
    }
    for (fields, error) in [
        (with(response(), "Upgrade", None), HandshakeError::Upgrade),
        (with(response(), "Upgrade", Some("h2c")), HandshakeError::Upgrade),
        (with(response(), "Connection", None), HandshakeError::Connection),
        (with(response(), "Connection", Some("close")), HandshakeError::Connection),
        (with(response(), "Sec-WebSocket-Accept", None), HandshakeError::Accept),
        (
            with(response(), "Sec-WebSocket-Accept", Some("S3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
            HandshakeError::Accept,
        ),
        (and(response(), "Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), HandshakeError::Accept),
        (with(response(), "Sec-WebSocket-Protocol", Some("mqtt")), HandshakeError::Protocol),
        (with(response(), "Sec-WebSocket-Protocol", Some("")), HandshakeError::Protocol),
        (with(response(), "Sec-WebSocket-Protocol", Some("chat, superchat")), HandshakeError::Protocol),
        (and(response(), "Sec-WebSocket-Protocol", "chat"), HandshakeError::Protocol),
        (and(response(), "Sec-WebSocket-Extensions", "permessage-deflate"), HandshakeError::Extension),
        (and(response(), "Sec-WebSocket-Extensions", "foo"), HandshakeError::Extension),
    ] {
        assert_eq!(check(ok, &fields), Err(error), "{fields:?}");
    }
}

#[test]
fn over_http_2_there_is_nothing_to_prove_and_names_are_in_lower_case() {
    let terms = Terms { protocols: "chat", deflate: Some(Deflate::default()) };
    let offer = Offer::connect(terms);
    let expected = "sec-websocket-version: 13\nsec-websocket-protocol: chat\nsec-websocket-extensions: \
        permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits\n";
    assert_eq!(text(offer.fields()), expected);
    let answer = Answer::new(Method::Connect, offer.fields(), &terms).unwrap();
    let expected = "sec-websocket-protocol: chat\nsec-websocket-extensions: permessage-deflate; \
        server_no_context_takeover; client_no_context_takeover\n";
    assert_eq!((answer.status(), text(answer.fields()).as_str()), (Status::OK, expected));
    assert_eq!(offer.check(Status::OK, answer.fields()), Ok(answer.agreed()));
    assert_eq!(offer.check(Status::FOUND, answer.fields()), Err(HandshakeError::Status(Status::FOUND)));
    let without_version = Vec::new();
    let refused = Answer::new(Method::Connect, bytes(&without_version), &terms);
    assert_eq!(refused, Err(HandshakeError::Version));
}

#[test]
fn heads_of_the_h1_engine_carry_it_both_ways() {
    let terms = Terms { protocols: "chat", deflate: Some(Deflate::default()) };
    let (mut client, mut server) =
        (h1::Engine::client(h1::Limits::default()), h1::Engine::server(h1::Limits::default()));
    let (mut head, mut wire) = (Head::new(), Vec::new());
    let offer = Offer::new(b"0123456789abcdef", terms);
    client.ask_upgrade();
    client.encode_request(Method::Get, b"/", b"a", offer.fields(), BodyLength::None, &mut wire).unwrap();
    assert_eq!(server.input(&wire, &mut head), Ok((wire.len(), Some(h1::Event::Request))));
    assert!(server.wants_upgrade());
    let answer = Answer::new(head.method().unwrap(), head.iter(), &terms).unwrap();
    // The request is over before it can be answered.
    assert_eq!(server.input(&[], &mut Head::new()), Ok((0, Some(h1::Event::End))));
    wire.clear();
    server.encode_upgrade(answer.fields(), &mut wire).unwrap();
    assert_eq!(client.input(&wire, &mut head), Ok((wire.len(), Some(h1::Event::Upgraded))));
    assert_eq!(offer.check(head.status().unwrap(), head.iter()), Ok(answer.agreed()));
}
