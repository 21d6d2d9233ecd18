//! What must hold for any bytes given to an HTTP/2 engine whose user does all that a user may: no panic, ranges within
//! the input, errors that stay, windows that are kept, and the same events however the bytes are cut.

#[path = "../../roles/h2/tests/common/mod.rs"]
mod common;

use common::{ACK, PREFACE, SETTINGS, Told, frame, tell};
use http::{BodyLength, Head, Method, Status};
use millstream_h2::{Code, Engine, Event, Limits, Rate, Request, StreamId};

/// Small limits, so that short inputs reach them.
const LIMITS: Limits = Limits {
    streams: 4,
    header_list: 600,
    fields: 12,
    header_block: 500,
    continuations: 3,
    header_table: 128,
    encoder_table: 128,
    initial_window: 100,
    by_hand: false,
    requests: 1 << 30,
    window: 200,
    connection_window: 65_535,
    frame: 16_384,
    output: 500,
    frames: Rate { burst: 40, per_second: 0 },
    resets: Rate { burst: 6, per_second: 0 },
    connect_protocol: true,
    saturates: false,
};

/// What the user of a stream does when something has happened on it: another thing for each of eight streams.
fn act(engine: &mut Engine, stream: StreamId, out: &mut Vec<u8>) {
    let fields = [(&b"X-Field"[..], &b"some value"[..])];
    match stream.get() / 2 % 8 {
        0 => engine.reset(stream, Code::CANCEL),
        1 => engine.hold_credit(stream),
        2 => {
            engine.hold_credit(stream);
            let _ = engine.add_credit(stream, 50);
        }
        3 => engine.release_credit(stream),
        4 => {
            let _ = engine.encode_informational(stream, Status::CONTINUE, out);
        }
        5 => {
            let _ = engine.encode_trailers(stream, fields.into_iter(), out);
        }
        6 => engine.ping([7; 8]),
        _ => engine.shutdown(),
    }
    let _ = engine.encode_response(stream, Status::OK, fields.into_iter(), BodyLength::Known(1000), out);
    let room = engine.tx_room(stream).min(300);
    if let Ok(frame) = engine.frame(stream, room, false) {
        assert!(frame.prefix().is_empty() || frame.prefix().len() == 9);
    }
    assert!(engine.rx_credit(stream).is_none_or(|credit| credit < 0x8000_0000));
}

/// What it told, and what it has said.
fn run(mut engine: Engine, pieces: &[&[u8]]) -> (Vec<Told>, Vec<u8>) {
    let (mut told, mut head, mut rest, mut out) = (Vec::new(), Head::new(), Vec::new(), Vec::new());
    for piece in pieces {
        rest.extend_from_slice(piece);
        loop {
            match engine.input(0, &rest, &mut head) {
                Ok((0, None)) => break,
                Ok((used, event)) => {
                    assert!(used <= rest.len());
                    if let Some(event) = event {
                        // What a body is cut into is told apart, and no occasion to act: it depends on the pieces.
                        let stream = match event {
                            Event::Request { stream }
                            | Event::Response { stream }
                            | Event::End { stream }
                            | Event::Window { stream: Some(stream) } => Some(stream),
                            _ => None,
                        };
                        tell(event, &rest, &head, &mut told);
                        if let Some(stream) = stream {
                            act(&mut engine, stream, &mut out);
                        }
                    }
                    rest.drain(..used);
                }
                Err(error) => {
                    assert_eq!(engine.input(0, &rest, &mut head), Err(error), "an error stays");
                    assert!(engine.has_output());
                    told.push(Told::Error(error));
                    engine.poll_output(&mut out);
                    return (told, out);
                }
            }
        }
        assert!(rest.len() < 24);
    }
    engine.poll_output(&mut out);
    (told, out)
}

fn cut_anyhow(make: impl Fn() -> Engine, cut: u8, input: &[u8]) {
    let whole = run(make(), &[input]);
    let (first, second) = input.split_at(usize::from(cut).min(input.len()));
    assert_eq!(run(make(), &[first, second]), whole);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(make(), &bytes), whole);
}

/// Bytes from a client, behind what all of them begin with.
pub(crate) fn h2_server(data: &[u8]) {
    let Some((&cut, frames)) = data.split_first() else { return };
    let mut input = Vec::new();
    if cut % 8 != 7 {
        input.extend_from_slice(PREFACE);
        input.extend(frame(SETTINGS, 0, 0, &[]));
        input.extend(frame(SETTINGS, ACK, 0, &[]));
    }
    input.extend_from_slice(frames);
    cut_anyhow(|| Engine::server(LIMITS), cut, &input);
}

/// Bytes from a server, to a client that has asked three times.
pub(crate) fn h2_client(data: &[u8]) {
    let Some((&cut, frames)) = data.split_first() else { return };
    let make = || {
        let mut engine = Engine::client(LIMITS);
        for method in [Method::Get, Method::Head, Method::Post] {
            let credit = (method == Method::Head).then_some(50);
            let request = Request { credit, ..Request::new(method, b"https", b"a.example", b"/") };
            engine.encode_request(&request, [].into_iter(), BodyLength::Unknown, &mut Vec::new()).unwrap();
        }
        engine
    };
    let mut input = Vec::new();
    if cut % 8 != 7 {
        input.extend(frame(SETTINGS, 0, 0, &[]));
        input.extend(frame(SETTINGS, ACK, 0, &[]));
    }
    input.extend_from_slice(frames);
    cut_anyhow(make, cut, &input);
}
