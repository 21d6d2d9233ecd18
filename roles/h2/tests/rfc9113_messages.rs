//! The rules of RFC 9113 8 (and RFC 8441) for messages, each test named by its section. What breaks one is malformed: an
//! error of its stream.

mod common;

use common::*;
use http::{BodyLength, Method};
use millstream_h2::{Code, Engine, Limits, Request};

type Fields<'a> = &'a [(&'a str, &'a str)];

#[track_caller]
fn malformed_request(fields: Fields<'_>) {
    assert_stream_error(&mut server(), &headers(WHOLE, 1, fields), 1, Code::PROTOCOL_ERROR);
}

/// A GET with these fields behind it.
#[track_caller]
fn malformed_with(fields: Fields<'_>) {
    malformed_request(&[&GET[..], fields].concat());
}

#[track_caller]
fn malformed_response(fields: Fields<'_>) {
    assert_stream_error(&mut client(), &headers(WHOLE, 1, fields), 1, Code::PROTOCOL_ERROR);
}

/// GET without the field of this name.
fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    GET.into_iter().filter(|field| field.0 != name).collect()
}

fn connecting() -> Limits {
    Limits { connect_protocol: true, ..Limits::default() }
}

#[test]
fn section_8_1_interim_responses_do_not_end_and_come_in_reasonable_numbers() {
    malformed_response(&[(":status", "100")]);
    let early = headers(END_HEADERS, 1, &[(":status", "103"), ("link", "a")]);
    let whole = [early.clone(), headers(WHOLE, 1, &[(":status", "200")])].concat();
    assert_eq!(
        feed(&mut client(), &whole),
        [Told::Informational(1, 103), Told::Response(1, 200, String::new()), Told::End(1, String::new())]
    );
    assert_stream_error(&mut client(), &early.repeat(17), 1, Code::ENHANCE_YOUR_CALM);
}

#[test]
fn section_8_1_trailers_end_their_message() {
    let head = headers(END_HEADERS, 1, &POST);
    let more = [head.clone(), headers(END_HEADERS, 1, &[("x-sum", "1")])].concat();
    assert_stream_error(&mut server(), &more, 1, Code::PROTOCOL_ERROR);
    let fields = [("x-sum", "1"), ("content-length", "7"), ("authorization", "forbidden here")];
    let good = [head, frame(DATA, 0, 1, b"a"), headers(WHOLE, 1, &fields)].concat();
    let told = feed(&mut server(), &good);
    assert_eq!(told[1..], [Told::Body(1, b"a".to_vec()), Told::End(1, "x-sum=1;".into())]);
}

#[test]
fn section_8_1_data_before_the_head_of_a_response() {
    assert_stream_error(&mut client(), &frame(DATA, 0, 1, b"a"), 1, Code::PROTOCOL_ERROR);
}

#[test]
fn section_8_1_a_response_is_kept_when_the_rest_of_its_request_is_not_wanted() {
    let mut engine = idle_client_with(Limits::default());
    let stream = ask(&mut engine, Method::Post, BodyLength::Unknown);
    let input = [headers(WHOLE, 1, &[(":status", "200")]), rst_stream(1, Code::NO_ERROR)].concat();
    let whole = [Told::Response(1, 200, String::new()), Told::End(1, String::new())];
    assert_eq!(feed(&mut engine, &input), [&whole[..], &[Told::Reset(1, Code::NO_ERROR)]].concat());
    assert!(engine.tx_done(stream) && engine.is_idle());
}

#[test]
fn section_8_1_1_bodies_that_are_not_as_long_as_announced() {
    let head = headers(END_HEADERS, 1, &[&POST[..], &[("content-length", "3")]].concat());
    for (data, ends) in [(&b"ab"[..], END_STREAM), (b"abcd", 0)] {
        let input = [head.clone(), frame(DATA, ends, 1, data)].concat();
        assert_stream_error(&mut server(), &input, 1, Code::PROTOCOL_ERROR);
    }
    let trailers = [head.clone(), frame(DATA, 0, 1, b"ab"), headers(WHOLE, 1, &[("a", "b")])].concat();
    assert_stream_error(&mut server(), &trailers, 1, Code::PROTOCOL_ERROR);
    let good = [head, frame(DATA, 0, 1, b"abc"), frame(DATA, END_STREAM, 1, b"")].concat();
    assert_eq!(
        feed(&mut server(), &good)[1..],
        [Told::Body(1, b"abc".to_vec()), Told::End(1, String::new())]
    );
    malformed_with(&[("content-length", "3")]);
    malformed_response(&[(":status", "200"), ("content-length", "3")]);
}

#[test]
fn section_8_1_1_the_answer_to_head_has_a_length_and_no_body() {
    let ask_head = || {
        let mut engine = idle_client_with(Limits::default());
        ask(&mut engine, Method::Head, BodyLength::None);
        engine
    };
    let fields = [(":status", "200"), ("content-length", "3")];
    assert_eq!(feed(&mut ask_head(), &headers(WHOLE, 1, &fields)).len(), 2);
    let input = [headers(END_HEADERS, 1, &fields), frame(DATA, END_STREAM, 1, b"abc")].concat();
    assert_stream_error(&mut ask_head(), &input, 1, Code::PROTOCOL_ERROR);
    let input = [headers(END_HEADERS, 1, &[(":status", "304")]), frame(DATA, END_STREAM, 1, b"a")].concat();
    assert_stream_error(&mut client(), &input, 1, Code::PROTOCOL_ERROR);
}

#[test]
fn section_8_1_1_lengths_that_are_none_or_differ() {
    for length in ["", "+1", "1,1", "0x1", " 0", "99999999999999999999"] {
        malformed_with(&[("content-length", length)]);
    }
    malformed_with(&[("content-length", "0"), ("content-length", "1")]);
    let same = [&GET[..], &[("content-length", "0"), ("content-length", "0")]].concat();
    assert_eq!(feed(&mut server(), &headers(WHOLE, 1, &same)).len(), 2);
}

#[test]
fn section_8_2_1_names_and_values_that_are_none() {
    for name in ["X-Upper", "", "a b", "a:", "a\0", "\u{e9}", "a\n"] {
        malformed_with(&[(name, "v")]);
    }
    for value in [" v", "v ", "\tv", "v\t", "a\0b", "a\rb", "a\nb"] {
        malformed_with(&[("name", value)]);
    }
}

#[test]
fn section_8_2_2_fields_about_the_connection() {
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] {
        malformed_with(&[(name, "close")]);
        malformed_response(&[(":status", "200"), (name, "close")]);
    }
    malformed_with(&[("te", "trailers, gzip")]);
    let good = [&GET[..], &[("te", "trailers")]].concat();
    assert_eq!(feed(&mut server(), &headers(WHOLE, 1, &good)).len(), 2);
}

#[test]
fn section_8_2_3_cookies_in_pieces_are_one() {
    let fields = [&GET[..], &[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")]].concat();
    let told = feed(&mut server(), &headers(WHOLE, 1, &fields));
    assert_eq!(told[0], Told::Request(1, "GET / host=a.example;x=y;cookie=a=b; c=d;".into()));
}

#[test]
fn section_8_3_pseudo_headers_in_wrong_places() {
    malformed_request(&[&GET[..3], &[("a", "b"), (":path", "/")]].concat());
    malformed_with(&[(":unknown", "a")]);
    malformed_with(&[(":status", "200")]);
    malformed_with(&[(":path", "/")]);
    malformed_response(&[(":status", "200"), (":path", "/")]);
    malformed_response(&[("a", "b"), (":status", "200")]);
    let trailers = [headers(END_HEADERS, 1, &POST), headers(WHOLE, 1, &[(":path", "/")])].concat();
    assert_stream_error(&mut server(), &trailers, 1, Code::PROTOCOL_ERROR);
}

#[test]
fn section_8_3_1_requests_without_what_they_must_have() {
    for name in [":method", ":scheme", ":path", ":authority"] {
        malformed_request(&without(name));
    }
    for path in ["", "a", "*", "/a b", "/\u{e9}"] {
        malformed_request(&[&without(":path")[..], &[(":path", path)]].concat());
    }
    for authority in ["", "user@a.example", "a b", "a:b"] {
        malformed_request(&[&without(":authority")[..], &[(":authority", authority)]].concat());
    }
    for method in ["", "G T"] {
        malformed_request(&[&without(":method")[..], &[(":method", method)]].concat());
    }
    for scheme in ["", "1http", "ht tp"] {
        malformed_request(&[&without(":scheme")[..], &[(":scheme", scheme)]].concat());
    }
    let all = [(":method", "OPTIONS"), (":scheme", "https"), (":authority", "a"), (":path", "*")];
    assert_eq!(
        feed(&mut server(), &headers(WHOLE, 1, &all))[0],
        Told::Request(1, "OPTIONS * host=a;".into())
    );
}

#[test]
fn section_8_3_1_a_host_beside_the_authority() {
    malformed_with(&[("host", "b.example")]);
    malformed_request(&[&without(":authority")[..], &[("host", "a"), ("host", "b")]].concat());
    malformed_request(&[&without(":authority")[..], &[("host", "")]].concat());
    let same = [&GET[..], &[("host", "A.Example")]].concat();
    assert_eq!(
        feed(&mut server(), &headers(WHOLE, 1, &same))[0],
        Told::Request(1, "GET / host=a.example;".into())
    );
    let alone = [&without(":authority")[..], &[("host", "b")]].concat();
    assert_eq!(feed(&mut server(), &headers(WHOLE, 1, &alone))[0], Told::Request(1, "GET / host=b;".into()));
}

#[test]
fn section_8_3_2_responses_without_a_status() {
    for status in ["", "20", "2000", "2x0", "099", "+20"] {
        malformed_response(&[(":status", status)]);
    }
    malformed_response(&[]);
}

#[test]
fn section_8_5_connect_has_an_authority_and_nothing_else() {
    malformed_request(&[(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")]);
    malformed_request(&[(":method", "CONNECT")]);
    // A tunnel is a method that is not known here.
    let mut engine = server();
    assert_eq!(
        feed(&mut engine, &headers(END_HEADERS, 1, &[(":method", "CONNECT"), (":authority", "a:1")])),
        []
    );
    let sent = output(&mut engine);
    assert_eq!((sent[0].kind, sent[0].flags), (HEADERS, WHOLE));
    assert_eq!(sent[1..], frames(&rst_stream(1, Code::NO_ERROR)));
}

#[test]
fn section_8_6_switching_protocols_is_no_status() {
    assert_stream_error(
        &mut client(),
        &headers(END_HEADERS, 1, &[(":status", "101")]),
        1,
        Code::PROTOCOL_ERROR,
    );
}

#[test]
fn section_10_5_1_a_header_list_that_is_too_long_is_answered_431() {
    let long = "v".repeat(6000);
    let fields = [&GET[..], &[("a", &long), ("b", &long), ("c", &long)]].concat();
    let mut engine = server();
    let block = block(&fields);
    let input = [
        frame(HEADERS, END_STREAM, 1, &block[..9000]),
        frame(CONTINUATION, END_HEADERS, 1, &block[9000..]),
        headers(WHOLE, 3, &GET),
    ];
    let told = feed(&mut engine, &input.concat());
    assert!(matches!(told[0], Told::Request(3, _)), "{told:?}");
    let mut decoder = hpack::Decoder::new(hpack::Limits::default());
    let mut status = Vec::new();
    decoder
        .decode(&output(&mut engine)[0].payload, |name, value| {
            status.push((name.to_vec(), value.to_vec()));
            core::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(status, [(b":status".to_vec(), b"431".to_vec())]);
}

#[test]
fn an_unknown_method_is_answered_501() {
    let fields = [&[(":method", "BREW")], &GET[1..]].concat();
    let mut engine = server();
    assert_eq!(feed(&mut engine, &headers(WHOLE, 1, &fields)), []);
    assert_eq!(output(&mut engine).len(), 1);
    assert!(engine.is_idle());
}

const WEBSOCKET: [(&str, &str); 5] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":authority", "a.example"),
    (":path", "/chat"),
];

#[test]
fn rfc_8441_4_extended_connect_where_it_was_allowed() {
    assert_stream_error(&mut server(), &headers(END_HEADERS, 1, &WEBSOCKET), 1, Code::PROTOCOL_ERROR);
    let mut engine = server_with(connecting());
    let stream = accept(&mut engine, &headers(END_HEADERS, 1, &WEBSOCKET));
    let mut out = Vec::new();
    engine.encode_response(stream, http::Status::OK, [].into_iter(), BodyLength::None, &mut out).unwrap();
    assert_eq!(frames(&out).last().unwrap().flags, END_HEADERS, "the tunnel stays open");
    assert_eq!(feed(&mut engine, &frame(DATA, 0, 1, b"frame")), [Told::Body(1, b"frame".to_vec())]);
    let get = [&GET[..], &[(":protocol", "websocket")]].concat();
    assert_stream_error(&mut server_with(connecting()), &headers(WHOLE, 1, &get), 1, Code::PROTOCOL_ERROR);
    let half = headers(END_HEADERS, 1, &WEBSOCKET[..4]);
    assert_stream_error(&mut server_with(connecting()), &half, 1, Code::PROTOCOL_ERROR);
}

#[test]
fn rfc_8441_4_extended_connect_between_two_engines() {
    let (mut client, mut server) = (Engine::client(Limits::default()), Engine::server(connecting()));
    let request = Request::connect(b"websocket", b"https", b"a.example", b"/chat");
    let mut wire = Vec::new();
    let refused = client.encode_request(&request, [].into_iter(), BodyLength::Unknown, &mut wire);
    assert_eq!(refused, Err(millstream_h2::EncodeError::Unsupported));
    server.poll_output(&mut wire);
    assert_eq!(feed(&mut client, &wire), [Told::Settings]);
    wire.clear();
    let fields = [(&b"Sec-WebSocket-Version"[..], &b"13"[..])];
    client.encode_request(&request, fields.into_iter(), BodyLength::Unknown, &mut wire).unwrap();
    let told = feed(&mut server, &wire);
    let expected = "CONNECT /chat host=a.example;:protocol=websocket;sec-websocket-version=13;";
    assert_eq!(told, [Told::Settings, Told::Request(1, expected.into())]);
}

#[test]
fn section_8_5_a_tunnel_carries_data_and_no_heads() {
    let tunnel = |status| {
        let mut engine = server_with(connecting());
        let stream = accept(&mut engine, &headers(END_HEADERS, 1, &WEBSOCKET));
        let mut out = Vec::new();
        engine.encode_response(stream, status, [].into_iter(), BodyLength::Unknown, &mut out).unwrap();
        (engine, stream)
    };
    let (mut engine, stream) = tunnel(http::Status::OK);
    let none = [(&b"x-sum"[..], &b"1"[..])].into_iter();
    let refused = engine.encode_trailers(stream, none.clone(), &mut Vec::new());
    assert_eq!(refused, Err(millstream_h2::EncodeError::Turn));
    let trailers = headers(WHOLE, 1, &[("x-sum", "1")]);
    assert_stream_error(&mut engine, &trailers, 1, Code::PROTOCOL_ERROR);
    // One that was refused is a response like others.
    let (mut engine, stream) = tunnel(http::Status::FORBIDDEN);
    engine.encode_trailers(stream, none, &mut Vec::new()).unwrap();
    assert_eq!(feed(&mut engine, &trailers), [Told::End(1, "x-sum=1;".into())]);
}

#[test]
fn section_8_5_a_client_takes_no_heads_within_a_tunnel() {
    let tunnel = |status| {
        let mut engine = idle_client_with(Limits::default());
        feed(&mut engine, &setting(8, 1));
        output(&mut engine);
        let request = Request::connect(b"websocket", b"https", b"a.example", b"/chat");
        engine.encode_request(&request, [].into_iter(), BodyLength::Unknown, &mut Vec::new()).unwrap();
        assert_eq!(feed(&mut engine, &headers(END_HEADERS, 1, &[(":status", status)])).len(), 1);
        engine
    };
    let trailers = headers(WHOLE, 1, &[("x-sum", "1")]);
    assert_stream_error(&mut tunnel("200"), &trailers, 1, Code::PROTOCOL_ERROR);
    assert_eq!(feed(&mut tunnel("403"), &trailers), [Told::End(1, "x-sum=1;".into())]);
}
