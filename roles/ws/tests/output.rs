//! What is sent, and what may not be (RFC 6455 sections 5.4 to 5.6 and 7).

mod common;

use common::*;
use millstream_ws::{CloseCode, EncodeError, Engine, Piece, Scratch};

const FIRST: Piece = Piece { is_last: false, ..Piece::TEXT };
const MIDDLE: Piece = Piece { is_first: false, is_last: false, is_binary: false };
const LAST: Piece = Piece { is_first: false, ..Piece::TEXT };

fn sent(engine: &mut Engine, payload: &[u8], piece: Piece) -> Result<Vec<u8>, EncodeError> {
    let mut payload = payload.to_vec();
    let prefix = engine.frame(&mut payload, piece, KEY)?;
    Ok([prefix.as_bytes(), &payload].concat())
}

#[test]
fn section_5_2_every_length_of_header_for_both_sides() {
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![0x55; len];
        assert_eq!(sent(&mut client(), &payload, Piece::BINARY).unwrap(), masked(FIN | BINARY, &payload));
        assert_eq!(sent(&mut server(), &payload, Piece::BINARY).unwrap(), bare(FIN | BINARY, &payload));
    }
}

#[test]
fn section_5_3_a_server_leaves_payload_as_it_is_and_a_client_masks_it_where_it_is() {
    let mut payload = *b"Hello";
    server().frame(&mut payload, Piece::TEXT, KEY).unwrap();
    assert_eq!(&payload, b"Hello");
    client().frame(&mut payload, Piece::TEXT, KEY).unwrap();
    assert_eq!(&payload, b"\x7f\x9f\x4d\x51\x58");
}

#[test]
fn section_5_4_pieces_become_fragments() {
    let mut engine = server();
    assert_eq!(sent(&mut engine, b"a", FIRST).unwrap(), bare(TEXT, b"a"));
    assert_eq!(sent(&mut engine, b"b", MIDDLE).unwrap(), bare(CONTINUE, b"b"));
    assert_eq!(sent(&mut engine, b"", MIDDLE).unwrap(), bare(CONTINUE, b""));
    assert_eq!(sent(&mut engine, b"c", LAST).unwrap(), bare(FIN | CONTINUE, b"c"));
    assert_eq!(sent(&mut engine, b"d", Piece::BINARY).unwrap(), bare(FIN | BINARY, b"d"));
}

#[test]
fn section_5_4_pieces_that_do_not_follow_the_last_one_are_refused_and_change_nothing() {
    let mut engine = client();
    for piece in [MIDDLE, LAST] {
        assert_eq!(sent(&mut engine, b"", piece), Err(EncodeError::Turn));
    }
    sent(&mut engine, b"a", FIRST).unwrap();
    let other_kind = Piece { is_binary: true, ..LAST };
    for piece in [FIRST, Piece::TEXT, Piece::BINARY, other_kind] {
        let mut payload = *b"abc";
        assert_eq!(engine.frame(&mut payload, piece, KEY), Err(EncodeError::Turn));
        assert_eq!(&payload, b"abc", "not masked");
    }
    sent(&mut engine, b"b", LAST).unwrap();
    assert_eq!(sent(&mut engine, b"", LAST), Err(EncodeError::Turn));
}

#[test]
fn section_5_6_text_is_checked_before_it_is_sent() {
    let mut engine = client();
    let mut payload = *b"\xff";
    assert_eq!(engine.frame(&mut payload, Piece::TEXT, KEY), Err(EncodeError::Utf8));
    assert_eq!(&payload, b"\xff");
    assert_eq!(sent(&mut engine, b"\xe2\x82", Piece::TEXT), Err(EncodeError::Utf8));
    sent(&mut engine, b"\xe2\x82", FIRST).unwrap();
    assert_eq!(sent(&mut engine, b"a", MIDDLE), Err(EncodeError::Utf8));
    assert_eq!(sent(&mut engine, b"", LAST), Err(EncodeError::Utf8));
    sent(&mut engine, b"\xac", LAST).unwrap();
    sent(&mut engine, b"\xff", Piece::BINARY).unwrap();
}

#[test]
fn section_5_5_control_frames_go_between_pieces_and_have_up_to_125_bytes() {
    let (mut engine, mut out) = (client(), Vec::new());
    sent(&mut engine, b"a", FIRST).unwrap();
    engine.encode_ping(&[1; 125], KEY, &mut out).unwrap();
    engine.encode_pong(b"", KEY, &mut out).unwrap();
    assert_eq!(out, [masked(FIN | PING, &[1; 125]), masked(FIN | PONG, b"")].concat());
    assert_eq!(engine.encode_ping(&[1; 126], KEY, &mut out), Err(EncodeError::TooLong));
    assert_eq!(engine.encode_pong(&[1; 126], KEY, &mut out), Err(EncodeError::TooLong));
    sent(&mut engine, b"b", LAST).unwrap();
}

#[test]
fn section_7_4_a_goodbye_has_a_code_that_may_be_sent_and_a_reason_of_up_to_123_bytes() {
    let (mut engine, mut out) = (server(), Vec::new());
    for code in [CloseCode::ABNORMAL, CloseCode::NO_STATUS] {
        assert_eq!(engine.encode_close(code, "why", KEY, &mut out), Err(EncodeError::CloseCode));
    }
    let long = "x".repeat(124);
    assert_eq!(engine.encode_close(CloseCode::NORMAL, &long, KEY, &mut out), Err(EncodeError::TooLong));
    assert!(out.is_empty() && !engine.tx_done());
    engine.encode_close(CloseCode::NORMAL, &long[1..], KEY, &mut out).unwrap();
    assert_eq!(out.len(), 127);
    let mut engine = client();
    out.clear();
    engine.encode_close(CloseCode::NO_STATUS, "", KEY, &mut out).unwrap();
    assert_eq!(out, masked(FIN | CLOSE, b""));
}

#[test]
fn section_5_5_1_nothing_follows_a_goodbye() {
    let (mut engine, mut out, mut scratch) =
        (Engine::server(millstream_ws::Limits::default(), Some(TAKEOVER)), Vec::new(), Scratch::default());
    engine.input(&mut masked(FIN | PING, b"before"), &mut scratch).unwrap();
    engine.encode_close(CloseCode::NORMAL, "", KEY, &mut out).unwrap();
    let len = out.len();
    assert_eq!(engine.encode_close(CloseCode::NORMAL, "", KEY, &mut out), Err(EncodeError::Closed));
    assert_eq!(engine.encode_ping(b"", KEY, &mut out), Err(EncodeError::Closed));
    assert_eq!(engine.encode_pong(b"", KEY, &mut out), Err(EncodeError::Closed));
    assert_eq!(sent(&mut engine, b"", Piece::TEXT), Err(EncodeError::Closed));
    let deflated = engine.encode_deflated(b"", Piece::TEXT, KEY, &mut scratch, &mut out);
    assert_eq!(deflated, Err(EncodeError::Closed));
    // Not even the answer to a ping, or the verdict on what comes.
    engine.input(&mut masked(FIN | PING, b"after"), &mut scratch).unwrap();
    assert!(!engine.has_output());
    engine.input(&mut masked(FIN | 3, b""), &mut scratch).unwrap_err();
    engine.poll_output(|| KEY, &mut out);
    assert_eq!(out.len(), len);
    assert!(engine.is_closed());
}

#[test]
fn section_5_5_2_the_pong_to_a_ping_is_sent_before_the_goodbye_and_each_has_a_key_of_its_own() {
    let (mut engine, mut out, mut keys) = (client(), Vec::new(), 0);
    engine.input(&mut bare(FIN | PING, b"1"), &mut Scratch::default()).unwrap();
    engine.input(&mut bare(FIN | 3, b""), &mut Scratch::default()).unwrap_err();
    let mut draw = || {
        keys += 1;
        [keys; 4]
    };
    engine.poll_output(&mut draw, &mut out);
    assert_eq!(
        out,
        frame(FIN | CLOSE, &1002u16.to_be_bytes(), Some([1; 4])),
        "after a fault there is no pong"
    );
    let mut engine = client();
    out.clear();
    engine.input(&mut bare(FIN | PING, b"1"), &mut Scratch::default()).unwrap();
    engine.poll_output(&mut draw, &mut out);
    engine.input(&mut bare(FIN | CLOSE, b""), &mut Scratch::default()).unwrap();
    engine.poll_output(&mut draw, &mut out);
    let expected = [frame(FIN | PONG, b"1", Some([2; 4])), frame(FIN | CLOSE, b"", Some([3; 4]))];
    assert_eq!(out, expected.concat());
}
