//! What messages cost of the heap: counted, not estimated.

mod common;

use common::connected;
use millstream_mqtt::{Engine, Event, Limits, Publish, QoS, Version};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Without the test harness, whose threads have a share in the heap.
fn main() {
    a_message_of_100_megabytes_takes_no_more_than_its_topic();
    messages_each_way_allocate_nothing();
    what_announces_much_takes_nothing_before_it_is_there();
}

fn allocations(mut exchange: impl FnMut()) -> usize {
    (0..10).for_each(|_| exchange());
    let region = Region::new(HEAP);
    (0..1000).for_each(|_| exchange());
    let change = region.change();
    change.allocations + change.reallocations
}

fn a_message_of_100_megabytes_takes_no_more_than_its_topic() {
    const LEN: u32 = 100_000_000;
    for version in [Version::V4, Version::V5] {
        let (mut engine, mut out) = (connected(version, Limits::default()), Vec::with_capacity(100));
        let mut head = vec![0x32, 0, 0, 0, 0, 0, 1, b'a', 0, 1];
        head.extend_from_slice(if version == Version::V5 { &[0] } else { &[] });
        let mut rest = LEN + head.len() as u32 - 5;
        for byte in head.iter_mut().skip(1).take(4) {
            *byte = (rest & 0x7f) as u8 | 0x80;
            rest >>= 7;
        }
        head[4] &= 0x7f;
        let piece = vec![b'x'; 64 * 1024];
        let region = Region::new(HEAP);
        assert!(matches!(engine.input(&head).unwrap(), (_, Some(Event::Message(_)))));
        let mut got = 0;
        loop {
            let (used, event) = engine.input(&piece).unwrap();
            got += used;
            match event {
                Some(Event::Payload { is_last: true, .. }) => break,
                Some(Event::Payload { range, .. }) => assert_eq!(range, 0..piece.len()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(got, LEN as usize);
        let publish = Publish { topic: "a", qos: QoS::AtLeastOnce, ..Publish::default() };
        engine.publish(&publish, LEN, &mut out).unwrap();
        while !engine.payload(piece.len().min(engine.payload_due() as usize)).unwrap() {}
        let change = region.change();
        assert!(change.bytes_allocated < 200, "{} bytes", change.bytes_allocated);
    }
}

/// A message of this QoS each way, acknowledged to its end.
fn exchange(engine: &mut Engine, qos: QoS, out: &mut Vec<u8>) {
    out.clear();
    let publish = Publish { topic: "some/topic", qos, ..Publish::default() };
    let id = engine.publish(&publish, 5, out).unwrap();
    engine.payload(5).unwrap();
    let [high, low] = id.map_or([0, 0], |id| id.get().to_be_bytes());
    let mut take = |mut bytes: &[u8]| {
        while !bytes.is_empty() {
            let (used, _) = engine.input(bytes).unwrap();
            bytes = &bytes[used..];
        }
        engine.poll_output(out);
    };
    match qos {
        QoS::AtMostOnce => take(b"\x30\x05\0\x01b\0x"),
        QoS::AtLeastOnce => {
            take(&[0x40, 2, high, low]);
            take(b"\x32\x07\0\x01b\0\x09\0x");
        }
        QoS::ExactlyOnce => {
            take(&[0x50, 2, high, low]);
            take(&[0x70, 2, high, low]);
            take(b"\x34\x07\0\x01b\0\x09\0x");
            take(&[0x62, 2, 0, 9]);
        }
    }
}

fn messages_each_way_allocate_nothing() {
    for version in [Version::V4, Version::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (mut engine, mut out) = (connected(version, Limits::default()), Vec::new());
            assert_eq!(allocations(|| exchange(&mut engine, qos, &mut out)), 0, "{version:?} {qos:?}");
        }
    }
}

fn what_announces_much_takes_nothing_before_it_is_there() {
    let mut engine = connected(Version::V5, Limits::default());
    let region = Region::new(HEAP);
    assert_eq!(engine.input(b"\x30\xff\xff\xff\x7f\x3f\xf0"), Ok((0, None)));
    assert_eq!(region.change().bytes_allocated, 0);
}
