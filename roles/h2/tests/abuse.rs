//! Peers that make work for its own sake, and how soon that ends.

mod common;

use common::*;
use http::{BodyLength, Status};
use millstream_h2::{Code, Error, Limits, Rate};

/// Gives a fresh server the same input again and again, and tells after how many times it has had enough, and why.
fn patience(limits: Limits, mut input: impl FnMut(u32) -> Vec<u8>) -> (u32, Error) {
    let mut engine = server_with(limits);
    for round in 0..100_000 {
        if let Some(Told::Error(error)) = feed(&mut engine, &input(round)).last() {
            assert_eq!(output(&mut engine).last().unwrap().kind, GOAWAY);
            return (round, *error);
        }
        // A peer that takes its answers.
        output(&mut engine);
    }
    panic!("endless patience");
}

fn id(round: u32) -> u32 {
    2 * round + 1
}

#[test]
fn streams_begun_to_be_reset() {
    let rapid = |round| [headers(WHOLE, id(round), &GET), rst_stream(id(round), Code::CANCEL)].concat();
    assert_eq!(patience(Limits::default(), rapid), (200, Error::Resets));
}

#[test]
fn streams_that_make_us_reset_them() {
    let overflow =
        |round| [headers(END_HEADERS, id(round), &POST), window_update(id(round), 0x7fff_ffff)].concat();
    assert_eq!(patience(Limits::default(), overflow), (200, Error::Resets));
    let malformed = |round| headers(WHOLE, id(round), &GET[..2]);
    assert_eq!(patience(Limits::default(), malformed), (200, Error::Resets));
    let unknown = |round| headers(WHOLE, id(round), &[&[(":method", "X")], &GET[1..]].concat());
    assert_eq!(patience(Limits::default(), unknown), (200, Error::Resets));
}

#[test]
fn streams_beyond_the_limit() {
    let open = |round| headers(END_HEADERS, id(round), &POST);
    assert_eq!(patience(Limits::default(), open), (300, Error::Resets));
}

#[test]
fn streams_that_are_served_give_back_what_resets_take() {
    let mut engine = server();
    let mut out = Vec::new();
    for round in (0..2000).step_by(2) {
        let stream = accept(&mut engine, &headers(WHOLE, id(round), &GET));
        engine.encode_response(stream, Status::OK, [].into_iter(), BodyLength::None, &mut out).unwrap();
        let reset = [headers(WHOLE, id(round + 1), &GET), rst_stream(id(round + 1), Code::CANCEL)].concat();
        assert_eq!(feed(&mut engine, &reset).last(), Some(&Told::Reset(id(round + 1), Code::CANCEL)));
    }
}

#[test]
fn time_gives_back_what_resets_and_pings_take() {
    let mut engine = server();
    for round in 0..5000 {
        let now = u64::from(round) * 50_000;
        let input = [
            headers(WHOLE, id(round), &GET),
            rst_stream(id(round), Code::CANCEL),
            frame(PING, 0, 0, &[0; 8]),
        ];
        let told = feed_at(&mut engine, now, &[&input.concat()]);
        assert!(!matches!(told.last(), Some(Told::Error(_))), "{round}");
        output(&mut engine);
    }
}

#[test]
fn frames_that_carry_nothing() {
    let floods = [
        frame(PING, 0, 0, &[0; 8]),
        frame(PING, ACK, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(PRIORITY, 0, 1, &[0; 5]),
        frame(GOAWAY, 0, 0, &[0; 8]),
        frame(0xfe, 0, 0, &[]),
        window_update(0, 1),
    ];
    for flood in floods {
        // The settings that every connection begins with count as well.
        assert_eq!(patience(Limits::default(), |_| flood.clone()), (998, Error::Flood));
    }
}

#[test]
fn empty_data() {
    for empty in [frame(DATA, 0, 1, &[]), frame(DATA, PADDED, 1, &[3, 0, 0, 0])] {
        let (rounds, error) = patience(Limits::default(), |round| match round {
            0 => headers(END_HEADERS, 1, &POST),
            _ => empty.clone(),
        });
        assert_eq!((rounds, error), (999, Error::Flood));
    }
}

#[test]
fn frames_for_streams_that_are_over() {
    let late = |round| match round {
        0 => [headers(WHOLE, 1, &GET), rst_stream(1, Code::CANCEL)].concat(),
        round if round % 2 == 0 => rst_stream(1, Code::CANCEL),
        _ => window_update(1, 1),
    };
    assert_eq!(patience(Limits::default(), late), (999, Error::Flood));
}

#[test]
fn heads_for_a_stream_that_we_have_reset() {
    let late = |round| match round {
        0 => headers(WHOLE, 1, &GET[..1]),
        _ => headers(WHOLE, 1, &[("a", "b")]),
    };
    assert_eq!(patience(Limits::default(), late), (999, Error::Flood));
}

#[test]
fn answers_that_are_not_taken() {
    let mut engine = server_with(Limits { output: 1000, ..Limits::default() });
    let told = feed(&mut engine, &frame(PING, 0, 0, &[0; 8]).repeat(100));
    assert_eq!(told, [Told::Error(Error::Output)]);
    assert!(output(&mut engine).len() < 64);
}

#[test]
fn a_header_block_without_end() {
    let limits = Limits::default();
    let mut engine = server();
    let mut input = headers(END_STREAM, 1, &GET);
    for _ in 0..=limits.continuations {
        input.extend(frame(CONTINUATION, 0, 1, &[]));
    }
    assert_eq!(feed(&mut engine, &input), [Told::Error(Error::HeaderBlock)]);
    assert_eq!(Error::HeaderBlock.code(), Code::ENHANCE_YOUR_CALM);

    let mut engine = server();
    let large = frame(CONTINUATION, 0, 1, &[0x82; 16_384]);
    let input = [frame(HEADERS, END_STREAM, 1, &[0x82; 16_384]), large.clone(), large[..9].to_vec()].concat();
    // What would go beyond the limit is refused for its head: none of it has come.
    assert_eq!(feed(&mut engine, &input), [Told::Error(Error::HeaderBlock)]);
}

#[test]
fn a_bomb_of_indexes_is_not_stored_and_not_carried_far() {
    let mut encoder = hpack::Encoder::new(4096);
    let mut block = Vec::new();
    encoder.block(&mut block).field(b"x", &[b'v'; 4000]);
    let literal = block.len();
    block.resize(16_000, 0x80 + 62);
    let told = feed(&mut server(), &frame(HEADERS, WHOLE, 1, &block));
    assert_eq!(told, [Told::Error(Error::Compression(hpack::Error::ListTooLong))]);
    block.truncate(literal + 20);
    let mut engine = server();
    // A list beyond what we said we take, but within reason: that stream's affair alone.
    let told = feed(&mut engine, &[frame(HEADERS, WHOLE, 1, &block), headers(WHOLE, 3, &GET)].concat());
    assert!(matches!(told[0], Told::Request(3, _)), "{told:?}");
}

#[test]
fn limits_are_parameters() {
    let limits = Limits {
        frames: Rate { burst: 5, per_second: 0 },
        resets: Rate { burst: 2, per_second: 0 },
        ..Limits::default()
    };
    assert_eq!(patience(limits, |_| frame(PING, 0, 0, &[0; 8])), (3, Error::Flood));
    assert_eq!(patience(limits, |round| headers(WHOLE, id(round), &GET[..1])), (2, Error::Resets));
}
