//! permessage-deflate: what is agreed on holds, and what is not is refused (RFC 7692 6 and 7).

mod common;

use common::*;
use millstream_ws::{Deflate, EncodeError, Engine, Error, Event, Limits, Piece, Scratch};

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
/// "Hello" as a reference to the "Hello" before it.
const AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

fn server_with(deflate: Deflate) -> Engine {
    Engine::server(Limits::default(), Some(deflate))
}

fn told_with(deflate: Deflate, frames: &[Vec<u8>]) -> Vec<Told> {
    every_split(|| server_with(deflate), &frames.concat())
}

fn told(frames: &[Vec<u8>]) -> Vec<Told> {
    told_with(TAKEOVER, frames)
}

/// One compressed message of one frame.
fn compressed(payload: &[u8]) -> Vec<u8> {
    masked(FIN | RSV1 | TEXT, payload)
}

fn hello() -> Told {
    whole(b"Hello", false)
}

/// Bytes that a compressor cannot foresee.
fn noise(len: usize) -> Vec<u8> {
    let mut seed = 1u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// As a zlib of the largest window makes it, in one flush.
fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut zlib = zlib_rs::Deflate::new(9, false, 15);
    let mut out = vec![0; payload.len() + 1000];
    zlib.compress(payload, &mut out, zlib_rs::DeflateFlush::SyncFlush).unwrap();
    out.truncate(zlib.total_out() as usize - 4);
    out
}

#[test]
fn the_examples_of_7_2_3() {
    assert_eq!(told(&[compressed(HELLO)]), [hello()]);
    let fragments = [masked(RSV1 | TEXT, &HELLO[..3]), masked(FIN | CONTINUE, &HELLO[3..])];
    let [first, last] = &told(&fragments)[..] else { panic!("not two fragments") };
    let bytes = |told: &Told| match told {
        Told::Frame { bytes, .. } => bytes.clone(),
        _ => panic!("{told:?}"),
    };
    assert_eq!([bytes(first), bytes(last)].concat(), b"Hello");
    assert_eq!(told(&[compressed(HELLO), compressed(AGAIN)]), [hello(), hello()]);
    assert_eq!(told(&[compressed(b"\x00\x05\x00\xfa\xffHello\x00")]), [hello()]);
    assert_eq!(told(&[compressed(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00")]), [hello()]);
    let two_blocks = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
    assert_eq!(told(&[compressed(two_blocks)]), [hello()]);
    assert_eq!(told(&[compressed(b"\x00")]), [whole(b"", false)]);
}

#[test]
fn a_message_of_nothing_at_all_is_taken_for_an_empty_one() {
    let told = told(&[compressed(HELLO), compressed(b""), masked(RSV1 | TEXT, b""), masked(FIN, AGAIN)]);
    let last = [part(b"", false, true, false), part(b"Hello", false, false, true)];
    assert_eq!(told, [&[hello(), whole(b"", false)][..], &last].concat());
}

#[test]
fn what_is_sent_is_as_in_the_examples_too() {
    let mut client = Engine::client(Limits::default(), Some(TAKEOVER));
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    for expected in [HELLO, AGAIN] {
        out.clear();
        client.encode_deflated(b"Hello", Piece::TEXT, KEY, &mut scratch, &mut out).unwrap();
        assert_eq!(out, compressed(expected));
    }
    out.clear();
    client.encode_deflated(b"", Piece::TEXT, KEY, &mut scratch, &mut out).unwrap();
    assert_eq!(out, compressed(b"\x00"));
}

#[test]
fn after_a_block_that_calls_itself_the_last_the_window_is_still_there() {
    let last = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    assert_eq!(told(&[compressed(last), compressed(AGAIN)]), [hello(), hello()]);
    // Within a message too, and without the empty block that belongs behind it.
    let twice = [&last[..7], AGAIN].concat();
    assert_eq!(told(&[compressed(&twice)]), [whole(b"HelloHello", false)]);
    assert_eq!(told(&[compressed(&last[..7]), compressed(AGAIN)]), [hello(), hello()]);
}

#[test]
fn references_beyond_what_there_is_and_other_nonsense_fail_the_connection() {
    let forgetful = Deflate::default();
    let told_forgetful = told_with(forgetful, &[compressed(HELLO), compressed(AGAIN)]);
    assert_eq!(told_forgetful[0], hello());
    assert!(told_forgetful.ends_with(&failed(Error::Deflate)), "{told_forgetful:?}");
    assert!(told(&[compressed(AGAIN)]).ends_with(&failed(Error::Deflate)));
    for nonsense in [&b"\x07"[..], b"\xff\xff", b"\x00\x05\x00\xfa\xfeHello\x00", b"\x05\x00"] {
        assert_eq!(told(&[compressed(nonsense)]), failed(Error::Deflate), "{nonsense:x?}");
    }
}

#[test]
fn a_message_that_breaks_off_within_a_block_fails_the_connection() {
    for cut in 1..HELLO.len() - 1 {
        let told = told(&[compressed(&HELLO[..cut]), compressed(HELLO)]);
        assert!(told.contains(&Told::Error(Error::Deflate)), "cut at {cut}: {told:?}");
        assert!(!told.contains(&hello()), "cut at {cut}: {told:?}");
    }
}

#[test]
fn the_bit_belongs_to_the_first_frame_of_a_message() {
    let told_of = |frames: &[Vec<u8>]| told(frames).pop();
    let fault = Some(failed(Error::ReservedBit)[1].clone());
    let first = masked(RSV1 | TEXT, HELLO);
    assert_eq!(told_of(&[first.clone(), masked(FIN | RSV1 | CONTINUE, b"")]), fault);
    assert_eq!(told_of(&[masked(TEXT, b"a"), masked(FIN | RSV1 | CONTINUE, HELLO)]), fault);
    assert_eq!(told_of(&[masked(FIN | RSV1 | PING, b"")]), fault);
    assert_eq!(told_of(&[masked(FIN | RSV1 | 0x20 | TEXT, HELLO)]), fault);
    // A message without it is as it is.
    assert_eq!(told(&[masked(FIN | TEXT, b"Hello"), compressed(HELLO)]), [hello(), hello()]);
}

#[test]
fn control_frames_come_between_compressed_fragments_and_empty_ones_are_told() {
    let told = told(&[
        masked(RSV1 | BINARY, b""),
        masked(CONTINUE, HELLO),
        masked(FIN | PING, b"1"),
        masked(CONTINUE, b""),
        masked(FIN | CONTINUE, b""),
    ]);
    assert_eq!(
        told,
        [
            part(b"", true, true, false),
            part(b"Hello", true, false, false),
            Told::Ping(b"1".to_vec()),
            Told::Sent(bare(FIN | PONG, b"1")),
            part(b"", true, false, false),
            part(b"", true, false, true),
        ]
    );
}

#[test]
fn inflated_text_is_checked_across_pieces_and_fragments() {
    let text = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}\u{10ffff}".repeat(100);
    let whole_text = deflated(text.as_bytes());
    assert_eq!(told(&[compressed(&whole_text)]), [whole(text.as_bytes(), false)]);
    let (first, second) = whole_text.split_at(20);
    let fragments = told(&[masked(RSV1 | TEXT, first), masked(FIN | CONTINUE, second)]);
    assert!(matches!(fragments[..], [Told::Frame { is_last: false, .. }, Told::Frame { is_last: true, .. }]));
    let told = told(&[compressed(&deflated(b"abc\xff"))]);
    let [error, goodbye] = failed(Error::Utf8);
    assert_eq!(told[1..], [error, goodbye]);
    assert!(matches!(&told[0], Told::Frame { bytes, is_whole: false, .. } if bytes == b"abc"));
}

#[test]
fn inflated_pieces_are_no_longer_than_the_scratch_and_wait_without_input() {
    let mut engine = server_with(TAKEOVER);
    let (mut scratch, mut lens) = (Scratch::new(1000, 6), Vec::new());
    let mut input = masked(FIN | RSV1 | BINARY, &deflated(&[7; 9500]));
    let mut used = 0;
    while used < input.len() || engine.has_event() {
        let (n, event) = engine.input(&mut input[used..], &mut scratch).unwrap();
        used += n;
        let Some(Event::Payload(piece)) = event else { continue };
        assert_eq!(piece.is_first, lens.is_empty());
        assert!(piece.bytes(&[], &scratch).iter().all(|byte| *byte == 7));
        lens.push(piece.bytes(&[], &scratch).len());
        assert_eq!(piece.is_last, lens.iter().sum::<usize>() == 9500 && piece.ends_frame);
    }
    assert!(lens.len() >= 10 && lens.iter().all(|len| *len <= 1000));
    assert_eq!(lens.iter().sum::<usize>(), 9500);
}

#[test]
fn what_a_part_of_a_frame_inflates_to_does_not_wait_for_the_rest() {
    let mut engine = server_with(TAKEOVER);
    let (mut scratch, mut len) = (Scratch::new(100, 6), 0);
    // A flush in the middle of the frame, then a byte that has not come.
    let mut input =
        masked(FIN | RSV1 | BINARY, &[&deflated(&[7; 950])[..], b"\x00\x00\xff\xff\x00"].concat());
    let all = input.len() - 1;
    let mut used = 0;
    while used < all || engine.has_event() {
        let (n, event) = engine.input(&mut input[used..all], &mut scratch).unwrap();
        used += n;
        len += if let Some(Event::Payload(piece)) = event { piece.bytes(&[], &scratch).len() } else { 0 };
    }
    assert_eq!(len, 950);
}

#[test]
fn a_message_is_limited_by_what_it_inflates_to() {
    let limits = Limits { message: 5000, ..Limits::default() };
    let make = || Engine::server(limits, Some(TAKEOVER));
    let fits = compressed(&deflated(&[b'a'; 5000]));
    assert_eq!(every_split(make, &fits), [whole(&[b'a'; 5000], false)]);
    let too_long = every_split(make, &compressed(&deflated(&[b'a'; 5001])));
    let [error, goodbye] = failed(Error::MessageTooLong);
    assert_eq!(too_long[1..], [error, goodbye]);
    assert!(matches!(&too_long[0], Told::Frame { bytes, is_whole: false, .. } if bytes.len() == 5000));
}

#[test]
fn a_bomb_is_stopped_at_the_ratio() {
    const MIB: usize = 1 << 20;
    let bomb = deflated(&vec![0; 8 * MIB]);
    let told = |ratio, payload: &[u8]| {
        let mut engine = Engine::server(Limits { ratio, ..Limits::default() }, Some(TAKEOVER));
        feed(&mut engine, &[&masked(FIN | RSV1 | BINARY, payload)], 16_384)
    };
    let stopped = told(200, &bomb);
    assert!(matches!(&stopped[0], Told::Frame { bytes, .. } if bytes.len() == MIB + 200 * bomb.len()));
    assert_eq!(stopped[1..], failed(Error::Bomb));
    assert_eq!(told(1100, &bomb).len(), 1);
    // What is not much is no bomb.
    assert_eq!(told(1, &deflated(&vec![0; MIB])).len(), 1);
    // It is the message that counts, not the frame.
    let mut engine = Engine::server(Limits { ratio: 10, ..Limits::default() }, Some(TAKEOVER));
    let frames: Vec<u8> = bomb
        .chunks(100)
        .enumerate()
        .flat_map(|(n, chunk)| masked(if n == 0 { RSV1 | BINARY } else { CONTINUE }, chunk))
        .collect();
    assert_eq!(feed(&mut engine, &[&frames], 16_384).iter().rev().nth(1), Some(&Told::Error(Error::Bomb)));
}

#[test]
fn pieces_of_a_message_go_all_one_way() {
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let first = Piece { is_last: false, ..Piece::TEXT };
    let last = Piece { is_first: false, ..Piece::TEXT };
    let mut plain = server();
    assert_eq!(plain.encode_deflated(b"", first, KEY, &mut scratch, &mut out), Err(EncodeError::Deflate));
    let mut engine = server_with(TAKEOVER);
    engine.encode_deflated(b"a", first, KEY, &mut scratch, &mut out).unwrap();
    assert_eq!(engine.frame(&mut [], last, KEY), Err(EncodeError::Turn));
    engine.encode_deflated(b"b", last, KEY, &mut scratch, &mut out).unwrap();
    engine.frame(&mut [], first, KEY).unwrap();
    let len = out.len();
    assert_eq!(engine.encode_deflated(b"b", last, KEY, &mut scratch, &mut out), Err(EncodeError::Turn));
    assert_eq!(engine.encode_deflated(b"\xff", first, KEY, &mut scratch, &mut out), Err(EncodeError::Turn));
    engine.frame(&mut [], last, KEY).unwrap();
    assert_eq!(engine.encode_deflated(b"\xff", first, KEY, &mut scratch, &mut out), Err(EncodeError::Utf8));
    assert_eq!(out.len(), len);
}

/// Messages that put windows to the test: repeats at all distances, noise, nothing.
fn messages() -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new(), b"Hello".to_vec(), b"Hello".to_vec(), Vec::new(), vec![7; 1000]];
    for distance in [100, 250, 256, 257, 262, 300, 512, 1000, 5000] {
        let unit = noise(distance);
        all.push(unit.repeat(3));
    }
    all
}

/// Sends `message` in `parts` pieces, and gives what arrives.
fn carry(
    from: &mut Engine,
    to: &mut Engine,
    message: &[u8],
    parts: usize,
    scratch: &mut Scratch,
) -> (Vec<Told>, usize) {
    let (mut out, size) = (Vec::new(), message.len().div_ceil(parts).max(1));
    let count = message.len().div_ceil(size).max(1);
    for n in 0..count {
        let piece = Piece { is_binary: true, is_first: n == 0, is_last: n + 1 == count };
        let payload = &message[(n * size).min(message.len())..((n + 1) * size).min(message.len())];
        from.encode_deflated(payload, piece, KEY, scratch, &mut out).unwrap();
    }
    let (first, second) = out.split_at(out.len() / 3);
    (feed(to, &[first, second], 5000), out.len())
}

#[test]
fn all_combinations_of_parameters_carry_messages_both_ways() {
    for index in 0..256u32 {
        let deflate = Deflate {
            server_no_context_takeover: index & 1 != 0,
            client_no_context_takeover: index & 2 != 0,
            server_max_window_bits: 8 + (index >> 2 & 7) as u8,
            client_max_window_bits: 8 + (index >> 5 & 7) as u8,
        };
        let mut server = server_with(deflate);
        let mut client = Engine::client(Limits::default(), Some(deflate));
        let mut scratch = Scratch::default();
        // Directions do not know of each other: every size of window meets every message where both are equal.
        let all = deflate.server_max_window_bits == deflate.client_max_window_bits;
        let messages = if all { messages() } else { vec![b"Hello".to_vec(), noise(300).repeat(3)] };
        for (n, message) in messages.iter().enumerate() {
            let (told, _) = carry(&mut client, &mut server, message, 1 + n % 3, &mut scratch);
            check_message(&told, message, &deflate);
            let (told, _) = carry(&mut server, &mut client, message, 1 + n % 3, &mut scratch);
            check_message(&told, message, &deflate);
        }
    }
}

#[test]
fn a_message_larger_than_any_window_is_carried_whatever_its_size() {
    for bits in [8, 15] {
        let deflate = Deflate { server_max_window_bits: bits, ..TAKEOVER };
        let mut from = server_with(deflate);
        let mut to = Engine::client(Limits::default(), Some(deflate));
        let message = noise(40_000).repeat(2);
        let (told, _) = carry(&mut from, &mut to, &message, 3, &mut Scratch::default());
        check_message(&told, &message, &deflate);
    }
}

fn check_message(told: &[Told], message: &[u8], deflate: &Deflate) {
    let mut all = Vec::new();
    for one in told {
        let Told::Frame { bytes, is_whole: true, is_first, .. } = one else { panic!("{deflate:?}: {one:?}") };
        assert_eq!(*is_first, std::ptr::eq(one, &raw const told[0]));
        all.extend_from_slice(bytes);
    }
    assert!(matches!(told.last(), Some(Told::Frame { is_last: true, .. })));
    assert!(all == message, "{deflate:?}: {} bytes became {}", message.len(), all.len());
}

#[test]
fn takeover_pays_and_forgetting_does_not_remember() {
    let message = noise(200);
    let sizes = |deflate: Deflate| {
        let (mut from, mut to) = (server_with(deflate), Engine::client(Limits::default(), Some(deflate)));
        let mut scratch = Scratch::default();
        [(); 2].map(|()| carry(&mut from, &mut to, &message, 1, &mut scratch).1)
    };
    let [first, second] = sizes(TAKEOVER);
    assert!(first > 200 && second < 20, "{first} {second}");
    let [first, second] = sizes(Deflate::default());
    assert!(first > 200 && first == second, "{first} {second}");
}

#[test]
fn what_one_connection_left_in_the_scratch_does_not_reach_another() {
    let deflate = Deflate::default();
    let (mut one, mut other, mut scratch) = (server_with(deflate), server_with(deflate), Scratch::default());
    let mut input = compressed(HELLO);
    let (used, _) = one.input(&mut input, &mut scratch).unwrap();
    assert_eq!(used, input.len());
    let mut input = compressed(AGAIN);
    let (used, event) = other.input(&mut input, &mut scratch).unwrap();
    // A literal that needs nothing, then the reference.
    assert!(matches!(event, Some(Event::Payload(piece)) if piece.bytes(&[], &scratch) == b"H"));
    assert_eq!(other.input(&mut input[used..], &mut scratch), Err(Error::Deflate));
}
