//! Input cut at every byte gives the same events.

mod common;

use common::*;
use http::{BodyLength, Method};
use millstream_h2::{Code, Engine, Limits};

#[test]
fn all_that_a_client_sends_wherever_it_is_cut() {
    let long = "v".repeat(300);
    let block = block(&[&POST[..], &[("x-long", &long), ("content-length", "9")]].concat());
    let prioritized = [&[3, 0, 0, 0, 0, 16][..], &block[..100], &[0; 3]].concat();
    let settings: Vec<u8> = [[0, 4, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 16, 0]].concat();
    let input = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &settings),
        frame(SETTINGS, ACK, 0, &[]),
        frame(HEADERS, PADDED | PRIORITIZED, 1, &prioritized),
        frame(CONTINUATION, 0, 1, &[]),
        frame(CONTINUATION, END_HEADERS, 1, &block[100..]),
        frame(PING, 0, 0, b"12345678"),
        frame(DATA, PADDED, 1, b"\x02abcd--"),
        headers(WHOLE, 3, &GET),
        frame(DATA, PADDED, 1, b"\x01e-"),
        frame(0xfe, 0, 0, b"ignored"),
        frame(DATA, PADDED | END_STREAM, 1, b"\x03fghi---"),
        frame(PRIORITY, 0, 3, &[0; 5]),
        window_update(3, 10),
        headers(END_HEADERS, 5, &POST),
        frame(DATA, END_STREAM, 5, b""),
        headers(END_HEADERS, 7, &POST),
        frame(HEADERS, WHOLE | PADDED, 7, &[0]),
        rst_stream(3, Code::CANCEL),
        headers(WHOLE, 9, &[&GET[..], &[("Upper", "case")]].concat()),
        frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0debug"),
        frame(DATA, 0, 11, b"an error"),
    ]
    .concat();
    let told = every_split(|| Engine::server(Limits::default()), &input);
    assert_eq!(told.len(), 14, "{told:?}");
    assert!(matches!(told.last(), Some(Told::Error(_))));
    assert_eq!(told[2], Told::Body(1, b"abcd".to_vec()));
}

#[test]
fn all_that_a_server_sends_wherever_it_is_cut() {
    let make = || {
        let mut engine = Engine::client(Limits::default());
        for method in [Method::Get, Method::Head, Method::Post] {
            ask(&mut engine, method, BodyLength::Unknown);
        }
        output(&mut engine);
        engine
    };
    let input = [
        setting(3, 10),
        frame(SETTINGS, ACK, 0, &[]),
        headers(END_HEADERS, 1, &[(":status", "103"), ("link", "a")]),
        headers(END_HEADERS, 1, &[(":status", "200"), ("content-length", "6")]),
        frame(DATA, 0, 1, b"abc"),
        headers(WHOLE, 3, &[(":status", "200"), ("content-length", "6")]),
        frame(DATA, 0, 1, b"def"),
        headers(WHOLE, 1, &[("x-sum", "6")]),
        window_update(0, 10),
        frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]),
        headers(WHOLE, 5, &[(":status", "200")]),
        frame(PING, ACK, 0, b"12345678"),
        frame(PUSH_PROMISE, 0, 1, b"an error"),
    ]
    .concat();
    let told = every_split(make, &input);
    assert_eq!(told.len(), 11, "{told:?}");
}
