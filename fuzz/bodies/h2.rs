//! What must hold for any bytes given to an HTTP/2 engine whose user does all that a user may: no panic, ranges within
//! the input, errors that stay, windows that are kept, and the same events however the bytes are cut.

#[path = "../../roles/h2/tests/common/mod.rs"]
mod common;
#[path = "h2_script.rs"]
mod script;
#[path = "h2_witness.rs"]
mod witness;

use common::{ACK, PREFACE, SETTINGS, Told, frame, tell};
use http::{BodyLength, Head, Method, Status};
use millstream_h2::{Code, Engine, Event, Limits, Rate, Request, StreamId};
use witness::Witness;

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

/// Other limits, by the highest bits of the first byte: of a few streams, of windows at both ends of what there is.
fn limits(first: u8) -> Limits {
    match first >> 5 {
        1 => Limits { initial_window: 0, by_hand: true, connect_protocol: false, ..LIMITS },
        2 => Limits { initial_window: u32::MAX, window: 1, saturates: true, ..LIMITS },
        3 => Limits { streams: 1, header_table: 0, encoder_table: 4096, ..LIMITS },
        4 => Limits { initial_window: 1, window: 1, connection_window: 70_000, ..LIMITS },
        5 => Limits::default(),
        _ => LIMITS,
    }
}

/// What the user of a stream does when something has happened on it: another thing for each of eight streams.
fn act(engine: &mut Engine, stream: StreamId, out: &mut Vec<u8>) {
    let fields = [(&b"X-Field"[..], &b"some value"[..])];
    let is_known = stream.get() % 4 == 1;
    let body = if is_known { BodyLength::Known(100_000) } else { BodyLength::Unknown };
    match stream.get() / 2 % 8 {
        0 => engine.reset(stream, Code::CANCEL),
        1 => engine.hold_credit(stream),
        2 => {
            engine.hold_credit(stream);
            let _ = engine.add_credit(stream, 50);
        }
        3 => {
            let _ = engine.add_credit(stream, 0x7fff_0000);
            engine.release_credit(stream);
        }
        4 => {
            let _ = engine.encode_informational(stream, Status::CONTINUE, out);
        }
        5 => {}
        6 => engine.ping([7; 8]),
        _ => engine.shutdown(),
    }
    let _ = engine.encode_response(stream, Status::OK, fields.into_iter(), body, out);
    send(engine, stream, false, out);
    if stream.get() / 2 % 8 == 5 {
        let _ = engine.encode_trailers(stream, fields.into_iter(), out);
    }
    assert!(engine.rx_credit(stream).is_none_or(|credit| credit < 0x8000_0000));
}

/// As much as there is room for, but not much on most streams.
fn send(engine: &mut Engine, stream: StreamId, last: bool, out: &mut Vec<u8>) {
    let most = if stream.get() % 8 == 1 { 16_384 } else { 300 };
    let room = engine.tx_room(stream).min(most);
    if let Ok(frame) = engine.frame(stream, room, last) {
        assert!(frame.prefix().is_empty() || frame.prefix().len() == 9);
        out.extend_from_slice(frame.prefix());
        out.resize(out.len() + if frame.prefix().is_empty() { 0 } else { room }, b'.');
    }
}

/// What a user does whom nobody has called.
fn stir(engine: &mut Engine, witness: &mut Witness, turn: usize, out: &mut Vec<u8>) {
    let live = witness.live();
    match (turn % 8, live.get(turn / 8 % live.len().max(1))) {
        (0, _) if turn < 200 => {
            let credit = [None, Some(0), Some(70_000), Some(0x7fff_ffff)][turn / 8 % 4];
            let request = Request { credit, ..Request::new(Method::Post, b"https", b"a.example", b"/") };
            let asked = engine.encode_request(&request, [].into_iter(), BodyLength::Unknown, out);
            if let Ok(stream) = asked {
                witness.asked(stream);
            }
        }
        (1, _) => engine.put_by().into_iter().for_each(|memory| engine.take_up(memory)),
        (2, Some(stream)) => act(engine, *stream, out),
        (3, Some(stream)) => send(engine, *stream, true, out),
        (4, Some(stream)) => drop(engine.encode_trailers(*stream, [].into_iter(), out)),
        (5, _) if turn % 128 == 125 => engine.go_away(Code::NO_ERROR),
        (6, Some(stream)) => engine.release_credit(*stream),
        (7, Some(stream)) => drop(engine.add_credit(*stream, 1)),
        _ => {}
    }
}

/// An engine, what it has said, and which streams it has begun.
type Begun = (Engine, Vec<u8>, Vec<StreamId>);

/// The whole of a connection whose user is never at rest, and whose peer takes at once all that there is.
fn watch(begun: Begun, first: u8, input: &[u8]) {
    let (mut engine, mut out, asked) = begun;
    let mut witness = Witness::new(asked.is_empty(), limits(first).saturates);
    for stream in asked {
        witness.asked(stream);
    }
    let (mut head, mut rest, mut now) = (Head::new(), Vec::new(), 0);
    for (turn, piece) in input.chunks(1 + usize::from(first % 32)).enumerate() {
        rest.extend_from_slice(piece);
        stir(&mut engine, &mut witness, turn + usize::from(first / 8), &mut out);
        loop {
            engine.poll_output(&mut out);
            witness.read(&mut out);
            witness.look(&engine);
            now += 10_000;
            match engine.input(now, &rest, &mut head) {
                Ok((0, None)) => break,
                Ok((used, event)) => {
                    witness.hear(&rest[..used]);
                    rest.drain(..used);
                    let Some(event) = event else { continue };
                    witness.told(&event);
                    engine.poll_output(&mut out);
                    witness.read(&mut out);
                    if let Event::Request { stream } | Event::End { stream } | Event::Response { stream } =
                        event
                    {
                        act(&mut engine, stream, &mut out);
                    }
                }
                Err(error) => {
                    engine.poll_output(&mut out);
                    witness.read(&mut out);
                    return witness.failed(error);
                }
            }
        }
    }
    let _ = engine.input_eof();
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

fn cut_anyhow(make: impl Fn() -> Begun, cut: u8, input: &[u8]) {
    let whole = run(make().0, &[input]);
    let (first, second) = input.split_at(usize::from(cut).min(input.len()));
    assert_eq!(run(make().0, &[first, second]), whole);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(make().0, &bytes), whole);
    watch(make(), cut, input);
}

/// What the peer says behind its first words: bytes as they are, or frames that they stand for.
fn said(first: u8, from_client: bool, bytes: &[u8]) -> Vec<u8> {
    if first % 8 < 4 { bytes.to_vec() } else { script::frames(from_client, bytes) }
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
    input.extend(said(cut, true, frames));
    cut_anyhow(|| (Engine::server(limits(cut)), Vec::new(), Vec::new()), cut, &input);
}

/// Bytes from a server, to a client that has asked three times.
pub(crate) fn h2_client(data: &[u8]) {
    let Some((&cut, frames)) = data.split_first() else { return };
    let make = || {
        let (mut engine, mut out, mut asked) = (Engine::client(limits(cut)), Vec::new(), Vec::new());
        for method in [Method::Get, Method::Head, Method::Post] {
            let credit = (method == Method::Head).then_some(50);
            let request = Request { credit, ..Request::new(method, b"https", b"a.example", b"/") };
            let stream = engine.encode_request(&request, [].into_iter(), BodyLength::Unknown, &mut out);
            asked.push(stream.unwrap());
        }
        (engine, out, asked)
    };
    let mut input = Vec::new();
    if cut % 8 != 7 {
        input.extend(frame(SETTINGS, 0, 0, &[]));
        input.extend(frame(SETTINGS, ACK, 0, &[]));
    }
    input.extend(said(cut, false, frames));
    cut_anyhow(make, cut, &input);
}
