//! What an engine takes from the heap, and when. Without the test harness, because the counters are the process's.

use millstream_ws::{Deflate, Engine, Event, Limits, Piece, Scratch};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KEY: [u8; 4] = [1, 2, 3, 4];

/// Bytes of the heap that `work` leaves in use, and how often it asked for some.
fn heap<R>(work: impl FnOnce() -> R) -> (R, isize, usize) {
    let region = Region::new(HEAP);
    let result = work();
    let change = region.change();
    let kept = change.bytes_allocated.cast_signed() - change.bytes_deallocated.cast_signed();
    (result, kept, change.allocations + change.reallocations)
}

/// Takes all of `wire`; how many bytes of payload came.
fn take(engine: &mut Engine, wire: &mut [u8], scratch: &mut Scratch) -> usize {
    let (mut rest, mut len) = (wire, 0);
    while !rest.is_empty() || engine.has_event() {
        let (used, event) = engine.input(rest, scratch).unwrap();
        if let Some(Event::Payload(piece)) = event {
            len += piece.bytes(rest, scratch).len();
        }
        rest = &mut rest[used..];
    }
    len
}

fn pair(deflate: Option<Deflate>) -> (Engine, Engine) {
    (Engine::client(Limits::default(), deflate), Engine::server(Limits::default(), deflate))
}

fn plain_messages_take_nothing() {
    let (mut payload, mut wire) = ([7; 3000], Vec::with_capacity(4000));
    let ((), kept, count) = heap(|| {
        let ((mut client, mut server), mut scratch) = (pair(None), Scratch::default());
        for _ in 0..100 {
            let prefix = client.frame(&mut payload, Piece::BINARY, KEY).unwrap();
            wire.clear();
            wire.extend_from_slice(prefix.as_bytes());
            wire.extend_from_slice(&payload);
            assert_eq!(take(&mut server, &mut wire, &mut scratch), 3000);
        }
    });
    assert_eq!((kept, count), (0, 0));
}

fn a_ping_takes_something_until_it_is_answered() {
    let ((mut client, mut server), mut scratch) = (pair(None), Scratch::default());
    let (mut wire, mut out) = (Vec::new(), Vec::with_capacity(300));
    client.encode_ping(b"ping", KEY, &mut wire).unwrap();
    let (_, kept, _) = heap(|| take(&mut server, &mut wire, &mut scratch));
    assert!(kept > 0 && kept < 200, "{kept} bytes");
    let ((), freed, _) = heap(|| server.poll_output(|| KEY, &mut out));
    assert_eq!(kept + freed, 0);
}

fn compressed_messages_share_memory_and_keep_none_without_takeover() {
    let mut scratch = Scratch::default();
    let (mut wire, payload) = (Vec::with_capacity(20_000), [7; 3000]);
    let mut exchange = |(client, server): &mut (Engine, Engine), scratch: &mut Scratch| {
        wire.clear();
        client.encode_deflated(&payload, Piece::BINARY, KEY, scratch, &mut wire).unwrap();
        assert_eq!(take(server, &mut wire, scratch), 3000);
    };
    let mut pairs: Vec<_> = (0..100).map(|_| pair(Some(Deflate::default()))).collect();
    let ((), first, _) = heap(|| exchange(&mut pairs[0], &mut scratch));
    assert!(first < 500_000, "{first} bytes");
    let ((), kept, count) = heap(|| pairs.iter_mut().for_each(|pair| exchange(pair, &mut scratch)));
    assert_eq!((kept, count), (0, 0), "the first message's memory serves for all");
    let ((), freed, _) = heap(|| drop(scratch));
    assert_eq!(first + freed, 0, "the engines kept nothing");
}

fn takeover_keeps_a_window_for_each_direction_that_was_used() {
    for (bits, inflating, deflating) in [(15, 46_000, 300_000), (9, 12_000, 170_000), (8, 12_000, 170_000)] {
        let deflate = Deflate {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: bits,
            client_max_window_bits: bits,
        };
        let ((mut client, mut server), mut scratch) = (pair(Some(deflate)), Scratch::new(1, 6));
        let mut wire = Vec::with_capacity(20_000);
        let encode = || client.encode_deflated(b"Hello", Piece::TEXT, KEY, &mut scratch, &mut wire).unwrap();
        let ((), kept, _) = heap(encode);
        println!("window of {bits} bits: {kept} bytes to deflate");
        assert!(kept < deflating, "{kept} bytes to deflate with {bits} bits");
        let (_, kept, _) = heap(|| take(&mut server, &mut wire, &mut scratch));
        println!("window of {bits} bits: {kept} bytes to inflate");
        assert!(kept < inflating, "{kept} bytes to inflate with {bits} bits");
    }
}

fn main() {
    assert!(size_of::<Engine>() <= 64);
    plain_messages_take_nothing();
    a_ping_takes_something_until_it_is_answered();
    compressed_messages_share_memory_and_keep_none_without_takeover();
    takeover_keeps_a_window_for_each_direction_that_was_used();
}
