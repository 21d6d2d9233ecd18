//! Both sides of whole exchanges: heads, bodies, windows, and how connections end.

mod common;

use common::*;
use http::{BodyLength, Method, Status};
use millstream_h2::{Code, EncodeError, Engine, Limits, Request, StreamId};

type Pairs<'a> = [(&'a [u8], &'a [u8])];

fn pairs<'a>(fields: &'a Pairs<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    fields.iter().copied()
}

/// Appends a piece of a body.
fn send(engine: &mut Engine, stream: StreamId, payload: &[u8], last: bool, out: &mut Vec<u8>) {
    let frame = engine.frame(stream, payload.len(), last).unwrap();
    out.extend_from_slice(frame.prefix());
    out.extend_from_slice(payload);
}

/// Carries what both have to say until neither has anything left.
fn talk(client: &mut Engine, server: &mut Engine, wire: &mut Vec<u8>) -> (Vec<Told>, Vec<Told>) {
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    loop {
        client.poll_output(wire);
        to_server.extend(feed(server, wire));
        wire.clear();
        server.poll_output(wire);
        to_client.extend(feed(client, wire));
        wire.clear();
        if !client.has_output() && !server.has_output() {
            return (to_client, to_server);
        }
    }
}

fn pair() -> (Engine, Engine) {
    let (mut client, mut server) = (Engine::client(Limits::default()), Engine::server(Limits::default()));
    let told = talk(&mut client, &mut server, &mut Vec::new());
    assert_eq!(told, (vec![Told::Settings], vec![Told::Settings]));
    (client, server)
}

#[test]
fn both_sides_introduce_themselves() {
    let (mut client, mut server) = (Engine::client(Limits::default()), Engine::server(Limits::default()));
    let mut hello = Vec::new();
    client.poll_output(&mut hello);
    assert!(hello.starts_with(PREFACE));
    let kinds: Vec<_> = frames(&hello).iter().map(|sent| sent.kind).collect();
    assert_eq!(kinds, [SETTINGS, WINDOW_UPDATE]);
    assert!(frames(&hello)[0].payload.starts_with(&[0, 2, 0, 0, 0, 0, 0, 4, 0, 2, 0, 0]), "no pushes");
    let sent = output(&mut server);
    assert_eq!(sent[0].payload[..6], [0, 3, 0, 0, 0, 100]);
    assert!(!client.has_output() && !server.has_output());
}

#[test]
fn a_request_and_its_answer_with_bodies_and_trailers() {
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    let request = Request::new(Method::Post, b"https", b"a.example", b"/up?x=1");
    let fields = [(&b"Content-Type"[..], &b"text/plain"[..]), (b"authorization", b"secret")];
    let stream = client.encode_request(&request, pairs(&fields), BodyLength::Known(5), &mut wire).unwrap();
    assert_eq!(client.tx_left(stream), Some(5));
    send(&mut client, stream, b"he", false, &mut wire);
    send(&mut client, stream, b"llo", false, &mut wire);
    assert!(client.tx_done(stream) && !client.rx_done(stream));
    let told = feed(&mut server, &wire);
    let head = "POST /up?x=1 host=a.example;content-type=text/plain;authorization=secret;content-length=5;";
    assert_eq!(
        told,
        [Told::Request(1, head.into()), Told::Body(1, b"hello".to_vec()), Told::End(1, String::new())]
    );
    wire.clear();
    server.encode_informational(stream, Status::EARLY_HINTS, &mut wire).unwrap();
    server.encode_response(stream, Status::OK, pairs(&fields[..1]), BodyLength::Unknown, &mut wire).unwrap();
    send(&mut server, stream, b"world", false, &mut wire);
    server.encode_trailers(stream, pairs(&[(b"X-Sum", b"9")]), &mut wire).unwrap();
    assert!(server.is_idle());
    let told = feed(&mut client, &wire);
    let expected = [
        Told::Informational(1, 103),
        Told::Response(1, 200, "content-type=text/plain;".into()),
        Told::Body(1, b"world".to_vec()),
        Told::End(1, "x-sum=9;".into()),
    ];
    assert_eq!(told, expected);
    assert!(client.is_idle());
}

#[test]
fn the_table_makes_a_second_head_small() {
    let mut client = idle_client_with(Limits::default());
    let sizes = [0; 3].map(|_| {
        let mut wire = Vec::new();
        let fields = [(&b"user-agent"[..], &b"millstream"[..]), (b"accept", b"*/*")];
        let request = Request::new(Method::Get, b"https", b"a.example", b"/");
        client.encode_request(&request, pairs(&fields), BodyLength::None, &mut wire).unwrap();
        wire.len()
    });
    assert!(sizes[0] > 30 && sizes[1] == 9 + 6 && sizes[2] == sizes[1], "{sizes:?}");
}

#[test]
fn the_answer_to_head_and_304_have_no_body() {
    let mut engine = server();
    let head = [&[(":method", "HEAD")], &GET[1..]].concat();
    let stream = accept(&mut engine, &headers(END_HEADERS, 1, &head));
    let mut wire = Vec::new();
    engine.encode_response(stream, Status::OK, pairs(&[]), BodyLength::Known(7), &mut wire).unwrap();
    assert_eq!(frames(&wire).last().unwrap().flags, WHOLE);
    // The request is not complete, so the stream lives; what would be its body goes nowhere.
    assert!(engine.frame(stream, 7, true).unwrap().is_suppressed());
    let stream = accept(&mut engine, &headers(WHOLE, 3, &GET));
    engine
        .encode_response(stream, Status::NOT_MODIFIED, pairs(&[]), BodyLength::Known(7), &mut wire)
        .unwrap();
    assert!(engine.tx_done(stream));
    assert_eq!(engine.frame(stream, 7, true), Err(EncodeError::Stream));
}

#[test]
fn what_cannot_be_said_is_refused_and_leaves_no_trace() {
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    let good = Request::new(Method::Get, b"https", b"a.example", b"/");
    for bad in [
        Request { target: b"a", ..good },
        Request { target: b"/a b", ..good },
        Request { target: b"*", ..good },
        Request { scheme: b"", ..good },
        Request { authority: b"", ..good },
        Request { authority: b"me@a", ..good },
    ] {
        let refused = client.encode_request(&bad, pairs(&[]), BodyLength::None, &mut wire);
        assert_eq!(refused, Err(EncodeError::Target), "{bad:?}");
    }
    for bad in [&b"connection"[..], b"Host", b"content-length", b"te", b"a b", b":path", b"upgrade", b""] {
        let refused = client.encode_request(&good, pairs(&[(bad, b"x")]), BodyLength::None, &mut wire);
        assert_eq!(refused, Err(EncodeError::Field), "{bad:?}");
    }
    let refused = client.encode_request(&good, pairs(&[(b"a", b"b\r\nc: d")]), BodyLength::None, &mut wire);
    assert_eq!(refused, Err(EncodeError::Field));
    let connect = Request { method: Method::Connect, ..good };
    let refused = client.encode_request(&connect, pairs(&[]), BodyLength::None, &mut wire);
    assert_eq!(refused, Err(EncodeError::Unsupported));
    assert_eq!(server.encode_request(&good, pairs(&[]), BodyLength::None, &mut wire), Err(EncodeError::Turn));
    assert_eq!((wire.len(), client.streams()), (0, 0));

    let stream = client.encode_request(&good, pairs(&[]), BodyLength::None, &mut wire).unwrap();
    feed(&mut server, &wire);
    wire.clear();
    assert_eq!(server.frame(stream, 1, false), Err(EncodeError::Turn));
    assert_eq!(server.encode_trailers(stream, pairs(&[]), &mut wire), Err(EncodeError::Turn));
    let early = server.encode_response(stream, Status::CONTINUE, pairs(&[]), BodyLength::None, &mut wire);
    assert_eq!(early, Err(EncodeError::Status));
    let switch = server.encode_informational(stream, Status::SWITCHING_PROTOCOLS, &mut wire);
    assert_eq!(switch, Err(EncodeError::Status));
    server.encode_response(stream, Status::OK, pairs(&[]), BodyLength::Known(3), &mut wire).unwrap();
    assert_eq!(server.frame(stream, 4, false), Err(EncodeError::TooMuch));
    assert_eq!(server.frame(stream, 2, true), Err(EncodeError::TooLittle));
    assert_eq!(server.frame(stream, 0, false).unwrap().prefix(), b"");
    let again = server.encode_response(stream, Status::OK, pairs(&[]), BodyLength::None, &mut wire);
    assert_eq!(again, Err(EncodeError::Turn));
    send(&mut server, stream, b"abc", false, &mut wire);
    assert_eq!(server.frame(stream, 0, true), Err(EncodeError::Stream));
    assert_eq!(feed(&mut client, &wire).len(), 3);
}

#[test]
fn a_head_longer_than_a_frame_goes_on_in_continuations() {
    let (mut client, mut server) = pair();
    let long = vec![b'~'; 9000];
    let fields = [(&b"a"[..], &long[..]), (b"b", &long)];
    let request = Request::new(Method::Get, b"https", b"a.example", b"/");
    let mut wire = Vec::new();
    let refused = client.encode_request(&request, pairs(&fields), BodyLength::None, &mut wire);
    assert_eq!(refused, Err(EncodeError::HeaderList), "the server takes 16,384");
    feed(&mut client, &setting(6, 100_000));
    client.encode_request(&request, pairs(&fields), BodyLength::None, &mut wire).unwrap();
    let kinds: Vec<_> = frames(&wire).iter().map(|sent| (sent.kind, sent.flags)).collect();
    assert_eq!(kinds, [(SETTINGS, ACK), (HEADERS, END_STREAM), (CONTINUATION, END_HEADERS)]);
    let mut wide = server_with(Limits { header_list: 100_000, ..Limits::default() });
    let told = feed(&mut wide, &wire[9..]);
    assert!(matches!(&told[0], Told::Request(1, head) if head.len() > 18_000));
    // The acknowledgement is one of settings that this server has never sent.
    assert!(feed(&mut server, &wire[9..]).is_empty());
    assert_eq!(output(&mut server).len(), 1);
}

#[test]
fn sending_stops_at_each_window_and_is_told_when_it_opens() {
    let mut engine = server();
    let (one, three) =
        (accept(&mut engine, &headers(WHOLE, 1, &GET)), accept(&mut engine, &headers(WHOLE, 3, &GET)));
    let mut wire = Vec::new();
    for stream in [one, three] {
        engine.encode_response(stream, Status::OK, pairs(&[]), BodyLength::Unknown, &mut wire).unwrap();
    }
    let mut sent = 0;
    while engine.tx_room(one) > 0 {
        let room = engine.tx_room(one);
        assert!(room <= 16_384);
        assert_eq!(engine.frame(one, room + 1, false), Err(EncodeError::Room));
        engine.frame(one, room, false).unwrap();
        sent += room;
    }
    assert_eq!((sent, engine.tx_room(three)), (65_535, 0));
    assert_eq!(feed(&mut engine, &window_update(1, 10)), [Told::Window(1)]);
    assert_eq!((engine.tx_room(one), engine.tx_room(three)), (0, 0), "the connection's is shut");
    assert_eq!(feed(&mut engine, &window_update(0, 7)), [Told::Window(0)]);
    assert_eq!((engine.tx_room(one), engine.tx_room(three)), (7, 7));
    assert_eq!(feed(&mut engine, &window_update(0, 5)), []);
    // Smaller windows for all: what is on its way makes them negative, and growing tells nothing until they are not.
    assert_eq!(feed(&mut engine, &setting(4, 65_505)), [Told::Settings]);
    assert_eq!(engine.tx_room(one), 0);
    assert_eq!(feed(&mut engine, &window_update(1, 20)), []);
    assert_eq!(feed(&mut engine, &window_update(1, 3)), [Told::Window(1)]);
    assert_eq!(engine.tx_room(one), 3);
    engine.frame(one, 0, true).unwrap();
    assert!(engine.tx_done(one));
}

#[test]
fn frames_may_be_as_large_as_the_peer_says() {
    let mut engine = server();
    let stream = accept(&mut engine, &[setting(5, 20_000), headers(WHOLE, 1, &GET)].concat());
    engine.encode_response(stream, Status::OK, pairs(&[]), BodyLength::Unknown, &mut Vec::new()).unwrap();
    assert_eq!(engine.tx_room(stream), 20_000);
}

fn granted(engine: &mut Engine, stream: u32) -> u32 {
    let sent = output(engine);
    let updates = sent.iter().filter(|sent| sent.kind == WINDOW_UPDATE && sent.stream == stream);
    updates.map(|sent| u32::from_be_bytes(sent.payload[..].try_into().unwrap())).sum()
}

#[test]
fn what_is_received_is_granted_again_while_nobody_holds_it() {
    let mut engine = server();
    let stream = accept(&mut engine, &headers(END_HEADERS, 1, &POST));
    assert_eq!(engine.rx_credit(stream), Some(131_072));
    let piece = frame(DATA, PADDED, 1, &[&[99][..], &[0; 16_099]].concat());
    feed(&mut engine, &piece.repeat(4));
    assert_eq!((granted(&mut engine, 1), engine.rx_credit(stream)), (0, Some(131_072 - 64_400)));
    feed(&mut engine, &piece);
    assert_eq!((granted(&mut engine, 1), engine.rx_credit(stream)), (80_500, Some(131_072)));
}

#[test]
fn held_credit_is_granted_by_hand_or_on_release() {
    let mut engine = server();
    let stream = accept(&mut engine, &headers(END_HEADERS, 1, &POST));
    engine.hold_credit(stream);
    output(&mut engine);
    feed(&mut engine, &frame(DATA, 0, 1, &[0; 10_000]).repeat(13));
    assert_eq!((granted(&mut engine, 1), engine.rx_credit(stream)), (0, Some(1072)));
    engine.add_credit(stream, 500).unwrap();
    assert_eq!((granted(&mut engine, 1), engine.rx_credit(stream)), (500, Some(1572)));
    assert_eq!(engine.add_credit(stream, 0x7fff_ffff), Err(EncodeError::Room));
    engine.release_credit(stream);
    assert_eq!((granted(&mut engine, 1), engine.rx_credit(stream)), (129_500, Some(131_072)));
    assert_eq!(granted(&mut engine, 0), 0);
    engine.reset(stream, Code::CANCEL);
    assert_eq!((engine.add_credit(stream, 1), engine.rx_credit(stream)), (Err(EncodeError::Stream), None));
}

#[test]
fn a_request_can_say_how_much_its_response_may_have() {
    let limits = Limits { initial_window: 0, ..Limits::default() };
    let mut engine = Engine::client(limits);
    let mut out = Vec::new();
    let request = Request { credit: Some(4000), ..Request::new(Method::Get, b"https", b"a", b"/") };
    let stream = engine.encode_request(&request, pairs(&[]), BodyLength::None, &mut out).unwrap();
    assert_eq!(*frames(&out).last().unwrap(), frames(&window_update(1, 4000))[0]);
    feed(&mut engine, &[frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat());
    assert_eq!(engine.rx_credit(stream), Some(4000));
    let head = headers(END_HEADERS, 1, &[(":status", "200")]);
    feed(&mut engine, &[head, frame(DATA, 0, 1, &[0; 4000])].concat());
    assert_eq!(engine.rx_credit(stream), Some(0));
    assert_stream_error(&mut engine, &frame(DATA, 0, 1, b"a"), 1, Code::FLOW_CONTROL_ERROR);
}

#[test]
fn credit_released_before_the_settings_are_known_is_what_it_should_be_after() {
    let mut engine = Engine::client(Limits { initial_window: 0, ..Limits::default() });
    let request = Request { credit: Some(0), ..Request::new(Method::Get, b"https", b"a", b"/") };
    let stream = engine.encode_request(&request, pairs(&[]), BodyLength::None, &mut Vec::new()).unwrap();
    engine.release_credit(stream);
    assert_eq!((granted(&mut engine, 1), engine.rx_credit(stream)), (131_072, Some(131_072)));
    feed(&mut engine, &[frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat());
    assert_eq!(engine.rx_credit(stream), Some(131_072));
}

#[test]
fn windows_that_begin_at_their_largest_may_saturate() {
    let mut engine = idle_client_with(Limits { saturates: true, ..Limits::default() });
    let stream = ask(&mut engine, Method::Post, BodyLength::Unknown);
    let input = [setting(4, 0x7fff_ffff), window_update(1, 1000), window_update(0, 0x7fff_ffff)].concat();
    assert_eq!(feed(&mut engine, &input), [Told::Settings]);
    assert_eq!(engine.tx_room(stream), 16_384);
}

#[test]
fn streams_wait_for_a_place() {
    let mut engine = idle_client_with(Limits::default());
    feed(&mut engine, &setting(3, 1));
    let stream = ask(&mut engine, Method::Get, BodyLength::None);
    assert_eq!(engine.can_open(), Err(EncodeError::Full));
    engine.reset(stream, Code::CANCEL);
    assert_eq!(engine.can_open(), Ok(()));
    assert_eq!(ask(&mut engine, Method::Get, BodyLength::None).get(), 3);
    feed(&mut engine, &setting(3, 2));
    assert_eq!(engine.can_open(), Ok(()));
}

#[test]
fn a_refused_stream_is_told_with_its_code() {
    let mut engine = client();
    assert_eq!(
        feed(&mut engine, &rst_stream(1, Code::REFUSED_STREAM)),
        [Told::Reset(1, Code::REFUSED_STREAM)]
    );
    assert!(engine.is_idle());
}

#[test]
fn a_server_that_has_enough_of_a_request_says_so_after_its_answer() {
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    let request = Request::new(Method::Post, b"https", b"a", b"/");
    let stream = client.encode_request(&request, pairs(&[]), BodyLength::Unknown, &mut wire).unwrap();
    talk(&mut client, &mut server, &mut wire);
    let mut answer = Vec::new();
    let status = Status::CONTENT_TOO_LARGE;
    server.encode_response(stream, status, pairs(&[]), BodyLength::None, &mut answer).unwrap();
    server.reset(stream, Code::NO_ERROR);
    server.poll_output(&mut answer);
    let told = feed(&mut client, &answer);
    let expected =
        [Told::Response(1, 413, String::new()), Told::End(1, String::new()), Told::Reset(1, Code::NO_ERROR)];
    assert_eq!(told, expected);
    assert!(client.is_idle() && server.is_idle());
}

#[test]
fn a_server_that_shuts_down_serves_what_is_on_its_way() {
    let (mut client, mut server) = pair();
    let one = ask(&mut client, Method::Get, BodyLength::None);
    assert_eq!(one.get(), 1);
    let mut wire = headers(WHOLE, 1, &GET);
    let one = accept(&mut server, &wire);
    wire.clear();
    server.shutdown();
    // The client has asked again before it hears of the end.
    let late = accept(&mut server, &headers(WHOLE, 3, &GET));
    let first = output(&mut server);
    assert_eq!(first[0].payload, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    assert_eq!(feed(&mut server, &frame(PING, ACK, 0, &first[1].payload)), []);
    let last = output(&mut server);
    assert_eq!((last[0].kind, &last[0].payload[..4]), (GOAWAY, &[0, 0, 0, 3][..]));
    assert_stream_error(&mut server, &headers(WHOLE, 5, &GET), 5, Code::REFUSED_STREAM);
    for stream in [one, late] {
        assert!(!server.is_drained());
        server.encode_response(stream, Status::OK, pairs(&[]), BodyLength::None, &mut wire).unwrap();
    }
    assert!(server.is_drained());
}

#[test]
fn a_client_that_is_told_to_go_keeps_what_was_accepted() {
    let mut engine = client();
    ask(&mut engine, Method::Get, BodyLength::None);
    let goodbye = frame(GOAWAY, 0, 0, &[&[0, 0, 0, 1, 0, 0, 0, 0][..], b"maintenance"].concat());
    assert_eq!(feed(&mut engine, &goodbye), [Told::GoAway(1, Code::NO_ERROR)]);
    assert_eq!((engine.streams(), engine.can_open()), (1, Err(EncodeError::Ending)));
    assert_eq!(feed(&mut engine, &frame(DATA, 0, 3, b"late")), []);
    assert_eq!(feed(&mut engine, &headers(WHOLE, 1, &[(":status", "200")])).len(), 2);
    assert!(engine.is_drained());
}

#[test]
fn a_client_that_shuts_down_asks_no_more() {
    let mut engine = client();
    engine.shutdown();
    assert_eq!(output(&mut engine)[0].payload, [0; 8]);
    assert_eq!(engine.can_open(), Err(EncodeError::Ending));
    assert_eq!(feed(&mut engine, &headers(WHOLE, 1, &[(":status", "200")])).len(), 2);
    assert!(engine.is_drained());
}

#[test]
fn pings_are_answered_and_told() {
    let (mut client, mut server) = pair();
    client.ping(*b"are you?");
    let told = talk(&mut client, &mut server, &mut Vec::new());
    assert_eq!(told, (vec![Told::Pong(*b"are you?")], vec![]));
}

#[test]
fn an_end_in_the_middle_of_something_is_an_error() {
    assert_eq!(server().input_eof(), Ok(()));
    assert_eq!(Engine::server(Limits::default()).input_eof(), Ok(()), "who says nothing breaks no rule");
    assert!(client().input_eof().is_err());
    let mut engine = server();
    feed(&mut engine, &frame(0xfe, 0, 0, &[0; 9])[..12]);
    assert!(engine.input_eof().is_err());
    assert!(engine.input(0, &[], &mut http::Head::new()).is_err());
}

#[test]
fn a_stream_that_ends_between_events_is_told_of_no_more() {
    let mut engine = server();
    let (mut head, input) =
        (http::Head::new(), [headers(WHOLE, 1, &GET), frame(PING, 0, 0, &[0; 8])].concat());
    let mut at = 0;
    let stream = loop {
        let (used, event) = engine.input(0, &input[at..], &mut head).unwrap();
        at += used;
        if let Some(millstream_h2::Event::Request { stream }) = event {
            break stream;
        }
    };
    assert!(engine.has_event());
    engine.reset(stream, Code::CANCEL);
    assert_eq!(feed(&mut engine, &input[at..]), []);
    assert_eq!(output(&mut engine).last().unwrap().kind, PING);
}

#[test]
fn a_client_that_waits_for_leave_gets_it() {
    let mut engine = server();
    let fields = [&POST[..], &[("expect", "100-continue")]].concat();
    let stream = accept(&mut engine, &headers(END_HEADERS, 1, &fields));
    assert!(engine.expects_continue(stream));
    let mut wire = Vec::new();
    engine.encode_informational(stream, Status::CONTINUE, &mut wire).unwrap();
    assert!(!engine.expects_continue(stream));
    assert_eq!(frames(&wire).last().unwrap().flags, END_HEADERS);
}

#[test]
fn a_request_of_http_1_1_goes_on_as_stream_1() {
    let settings = [&[0, 4, 0, 0, 0, 10][..], &[0, 3, 0, 0, 0, 9]].concat();
    let (mut engine, stream) = Engine::server_upgraded(Limits::default(), &settings, false).unwrap();
    let mut wire = Vec::new();
    engine.encode_response(stream, Status::OK, pairs(&[]), BodyLength::Unknown, &mut wire).unwrap();
    let kinds: Vec<_> = frames(&wire).iter().map(|sent| (sent.kind, sent.stream)).collect();
    assert_eq!(kinds, [(SETTINGS, 0), (WINDOW_UPDATE, 0), (HEADERS, 1)]);
    assert_eq!(engine.tx_room(stream), 10);
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(WHOLE, 3, &GET)].concat();
    assert_eq!(feed(&mut engine, &hello).len(), 3);
    assert_eq!(
        Engine::server_upgraded(Limits::default(), &[0; 5], false).map(|_| ()),
        Err(millstream_h2::Error::FrameSize)
    );
}

#[test]
fn identifiers_are_used_up_at_last() {
    let mut engine = server();
    assert_eq!(feed(&mut engine, &headers(WHOLE, 0x7fff_ffff, &GET)).len(), 2);
    assert_eq!(feed(&mut engine, &frame(PING, 0, 0, &[0; 8])), []);
}
