//! Streams that are granted by hand, beside others that are not; and a client that has used up its streams.

mod common;

use common::*;
use http::{BodyLength, Method};
use millstream_h2::{Code, EncodeError, Engine, Limits, Request, StreamId};

fn by_hand(credit: u32) -> Request<'static> {
    Request { credit: Some(credit), ..Request::new(Method::Get, b"https", b"a.example", b"/") }
}

fn send(engine: &mut Engine, request: &Request<'_>) -> (StreamId, Vec<Sent>) {
    let mut out = Vec::new();
    let stream = engine.encode_request(request, [].into_iter(), BodyLength::None, &mut out).unwrap();
    (stream, frames(&out))
}

fn of(frames: &[Sent], kind: u8) -> Vec<(u32, Vec<u8>)> {
    let such = frames.iter().filter(|frame| frame.kind == kind);
    such.map(|frame| (frame.stream, frame.payload.clone())).collect()
}

const LOWERED: [u8; 6] = [0, 4, 0, 0, 0, 0];

#[test]
fn the_first_stream_that_is_granted_by_hand_lets_streams_begin_with_nothing() {
    let mut engine = idle_client_with(Limits::default());
    let old = ask(&mut engine, Method::Get, BodyLength::None);
    let (new, said) = send(&mut engine, &by_hand(4000));
    // RFC 9113 6.9.2: what it takes from those that are open is given back to them.
    assert_eq!(of(&said, SETTINGS), [(0, LOWERED.to_vec())]);
    let grants = [(old.get(), 131_072_u32), (new.get(), 4000)].map(|(id, n)| (id, n.to_be_bytes().to_vec()));
    assert_eq!(of(&said, WINDOW_UPDATE), grants);
    let place = |kind| said.iter().position(|frame| frame.kind == kind).unwrap();
    assert!(place(SETTINGS) < place(HEADERS), "the peer knows before it can answer");
    assert_eq!((engine.rx_credit(old), engine.rx_credit(new)), (Some(131_072), Some(4000)));
    assert!(!engine.is_acknowledged());
    feed(&mut engine, &frame(SETTINGS, ACK, 0, &[]));
    assert!(engine.is_acknowledged());
    assert_eq!((engine.rx_credit(old), engine.rx_credit(new)), (Some(131_072), Some(4000)));

    let (another, said) = send(&mut engine, &by_hand(0));
    assert_eq!((of(&said, SETTINGS), of(&said, WINDOW_UPDATE)), (vec![], vec![]));
    let (third, said) = send(&mut engine, &Request { credit: None, ..by_hand(0) });
    assert_eq!(of(&said, WINDOW_UPDATE), [(third.get(), 131_072_u32.to_be_bytes().to_vec())]);
    assert_eq!((engine.rx_credit(another), engine.rx_credit(third)), (Some(0), Some(131_072)));
}

#[test]
fn a_stream_that_is_granted_more_than_all_have_changes_nothing_for_the_others() {
    let mut engine = idle_client_with(Limits::default());
    let (stream, said) = send(&mut engine, &by_hand(200_000));
    assert!(of(&said, SETTINGS).is_empty());
    assert_eq!(engine.rx_credit(stream), Some(200_000));
}

#[test]
fn no_grant_goes_beyond_the_largest_window_whatever_the_peer_knows_of_our_settings() {
    const LARGEST: u32 = 0x7fff_ffff;
    let largest = Limits { initial_window: LARGEST, ..Limits::default() };
    let mut engine = Engine::client(largest);
    let stream = ask(&mut engine, Method::Get, BodyLength::None);
    // RFC 9113 6.9.1: the peer reads our settings before any grant.
    assert_eq!(
        (engine.rx_credit(stream), engine.add_credit(stream, 1)),
        (Some(LARGEST), Err(EncodeError::Room))
    );
    let (new, _) = send(&mut engine, &by_hand(0));
    assert_eq!(engine.add_credit(new, LARGEST), Ok(()));
    let hello = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[]).repeat(2)].concat();
    feed(&mut engine, &hello);
    assert_eq!((engine.rx_credit(stream), engine.rx_credit(new)), (Some(LARGEST), Some(LARGEST)));

    let mut engine = Engine::client(Limits { initial_window: 0, ..Limits::default() });
    let (stream, said) = send(&mut engine, &by_hand(u32::MAX));
    assert_eq!(of(&said, WINDOW_UPDATE).last(), Some(&(1, LARGEST.to_be_bytes().to_vec())));
    assert_eq!(engine.rx_credit(stream), Some(LARGEST));
}

#[test]
fn nothing_is_granted_for_a_message_that_is_over() {
    let mut engine = idle_client_with(Limits::default());
    let request = Request { method: Method::Post, ..by_hand(10) };
    let stream =
        engine.encode_request(&request, [].into_iter(), BodyLength::Unknown, &mut Vec::new()).unwrap();
    feed(&mut engine, &frame(SETTINGS, ACK, 0, &[]));
    feed(&mut engine, &headers(WHOLE, 1, &[(":status", "200")]));
    engine.release_credit(stream);
    assert_eq!((engine.add_credit(stream, 5), engine.rx_credit(stream)), (Ok(()), Some(10)));
    assert!(output(&mut engine).is_empty());
}

#[test]
fn more_than_was_granted_ends_the_stream_and_leaves_the_others() {
    let mut engine = idle_client_with(Limits::default());
    let (stream, _) = send(&mut engine, &by_hand(10));
    let other = ask(&mut engine, Method::Get, BodyLength::None);
    feed(&mut engine, &frame(SETTINGS, ACK, 0, &[]));
    let head = |stream: StreamId| headers(END_HEADERS, stream.get(), &[(":status", "200")]);
    feed(&mut engine, &[head(stream), head(other), frame(DATA, 0, stream.get(), &[0; 10])].concat());
    let update = output(&mut engine).iter().any(|sent| sent.kind == WINDOW_UPDATE);
    assert!(!update, "nothing is granted unasked");
    let excess = frame(DATA, 0, stream.get(), b"a");
    assert_stream_error(&mut engine, &excess, stream.get(), Code::FLOW_CONTROL_ERROR);
    feed(&mut engine, &frame(DATA, END_STREAM, other.get(), &[0; 10_000]));
    assert!(engine.is_idle());
}

#[test]
fn a_peer_that_acknowledges_more_than_it_was_told_breaks_the_rules() {
    let mut engine = idle_client_with(Limits::default());
    send(&mut engine, &by_hand(0));
    let ack = frame(SETTINGS, ACK, 0, &[]);
    assert_connection_error(&mut engine, &ack.repeat(2), Code::PROTOCOL_ERROR);
}

#[test]
fn a_server_may_grant_bodies_by_hand() {
    let mut engine = server_with(Limits { initial_window: 0, by_hand: true, ..Limits::default() });
    let stream = accept(&mut engine, &headers(END_HEADERS, 1, &POST));
    assert_eq!(engine.rx_credit(stream), Some(0));
    engine.add_credit(stream, 100).unwrap();
    assert_eq!(of(&output(&mut engine), WINDOW_UPDATE), [(1, 100_u32.to_be_bytes().to_vec())]);
    feed(&mut engine, &frame(DATA, 0, 1, &[0; 100]));
    assert_eq!(engine.rx_credit(stream), Some(0));
    assert!(output(&mut engine).is_empty());
    assert_stream_error(&mut engine, &frame(DATA, 0, 1, b"a"), 1, Code::FLOW_CONTROL_ERROR);
    let stream = accept(&mut engine, &headers(END_HEADERS, 3, &POST));
    engine.release_credit(stream);
    assert_eq!(engine.rx_credit(stream), Some(131_072));
}

#[test]
fn who_holds_a_stream_gives_back_what_it_takes_in_pieces_that_are_worth_a_frame() {
    let mut engine = server_with(Limits::default());
    let stream = accept(&mut engine, &headers(END_HEADERS, 1, &POST));
    engine.refill_credit(stream, 0);
    engine.hold_credit(stream);
    feed(&mut engine, &frame(DATA, 0, 1, &[0; 16_000]).repeat(8));
    output(&mut engine);
    assert_eq!(engine.rx_credit(stream), Some(131_072 - 128_000));
    let grants = |engine: &mut Engine, kept| {
        engine.refill_credit(stream, kept);
        of(&output(engine), WINDOW_UPDATE)
    };
    assert_eq!(grants(&mut engine, 128_000), []);
    assert_eq!(grants(&mut engine, 128_000 - 8191), []);
    assert_eq!(grants(&mut engine, 128_000 - 8192), [(1, 8192_u32.to_be_bytes().to_vec())]);
    assert_eq!(grants(&mut engine, 112_000), [], "what was granted can be on its way");
    // Of the next frame a part has come: the rest counts as if it had.
    feed(&mut engine, &frame(DATA, 0, 1, &[0; 10_000])[..9 + 2000]);
    assert_eq!(grants(&mut engine, 112_000 + 2000 - 384), [(1, 8192_u32.to_be_bytes().to_vec())]);
    feed(&mut engine, &[0; 8000]);
    assert_eq!(grants(&mut engine, 112_000 + 10_000 - 384), []);
    // RFC 9113 5.1: a client that has said all needs no more.
    feed(&mut engine, &frame(DATA, END_STREAM, 1, &[]));
    assert_eq!(grants(&mut engine, 0), []);
}

#[test]
fn a_client_that_has_used_up_its_requests_has_no_places() {
    let mut engine = idle_client_with(Limits { requests: 2, ..Limits::default() });
    assert_eq!(engine.places(), 2);
    ask(&mut engine, Method::Get, BodyLength::None);
    assert_eq!((engine.places(), engine.can_open()), (1, Ok(())));
    ask(&mut engine, Method::Get, BodyLength::None);
    assert_eq!((engine.places(), engine.can_open()), (0, Err(EncodeError::Ending)));
}
