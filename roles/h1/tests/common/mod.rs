//! Feeding engines, and telling what came out in a form that can be compared.

#![allow(dead_code, reason = "each test crate uses its share")]

use http::{BodyLength, Head, Method, Status};
use millstream_h1::{Engine, Error, Event, Limits};

/// What an engine told, with the pieces of a body put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Request(String),
    Informational(u16),
    Response(u16, String),
    Body(Vec<u8>),
    End(String),
    Upgraded,
    Error(Error),
}

fn fields(head: &Head) -> String {
    let mut text = String::new();
    for (name, value) in head.iter() {
        text.extend([&String::from_utf8_lossy(name), "=", &String::from_utf8_lossy(value), ";"]);
    }
    text
}

fn tell(event: &Event, input: &[u8], head: &Head, told: &mut Vec<Told>) {
    let next = match event {
        Event::Request => Told::Request(format!(
            "{} {} {}",
            head.method().unwrap(),
            String::from_utf8_lossy(head.target()),
            fields(head)
        )),
        Event::Informational => Told::Informational(head.status().unwrap().code()),
        Event::Response => Told::Response(head.status().unwrap().code(), fields(head)),
        Event::Body(range) => {
            let piece = &input[range.clone()];
            if let Some(Told::Body(bytes)) = told.last_mut() {
                bytes.extend_from_slice(piece);
                return;
            }
            Told::Body(piece.to_vec())
        }
        Event::End => Told::End(fields(head)),
        Event::Upgraded => Told::Upgraded,
    };
    told.push(next);
}

/// Gives the engine `pieces` one after the other, as a connection would; a server answers each request that is
/// complete. Checks what must hold on any input.
pub(crate) fn feed(engine: &mut Engine, pieces: &[&[u8]], eof: bool) -> Vec<Told> {
    let (mut told, mut head, mut rest, mut out) = (Vec::new(), Head::new(), Vec::new(), Vec::new());
    for piece in pieces {
        rest.extend_from_slice(piece);
        loop {
            match engine.input(&rest, &mut head) {
                Ok((0, None)) => {
                    if !engine.is_paused() || engine.tx_done() {
                        break;
                    }
                    engine.encode_response(Status::OK, [].into_iter(), BodyLength::None, &mut out).unwrap();
                }
                Ok((used, event)) => {
                    assert!(used <= rest.len(), "took more than there was");
                    if let Some(event) = &event {
                        if let Event::Body(range) = event {
                            assert!(range.end <= used && range.start <= range.end);
                        }
                        tell(event, &rest, &head, &mut told);
                    }
                    rest.drain(..used);
                }
                Err(error) => {
                    assert_eq!(engine.input(&rest, &mut head), Err(error), "an error stays");
                    told.push(Told::Error(error));
                    return told;
                }
            }
        }
    }
    if eof {
        match engine.input_eof() {
            Ok(Some(event)) => tell(&event, &[], &Head::new(), &mut told),
            Ok(None) => {}
            Err(error) => told.push(Told::Error(error)),
        }
    }
    told
}

pub(crate) fn server(input: &[u8]) -> Vec<Told> {
    feed(&mut Engine::server(Limits::default()), &[input], false)
}

/// A client that has asked with this method.
pub(crate) fn client_of(method: Method) -> Engine {
    let (mut engine, mut out) = (Engine::client(Limits::default()), Vec::new());
    engine.encode_request(method, b"/", b"host", [].into_iter(), BodyLength::None, &mut out).unwrap();
    engine
}

pub(crate) fn client(input: &[u8], eof: bool) -> Vec<Told> {
    feed(&mut client_of(Method::Get), &[input], eof)
}

/// The same bytes in one piece, in two at every place, and one by one give the same events. `eof` ends them.
pub(crate) fn every_split(make: impl Fn() -> Engine, input: &[u8], eof: bool) -> Vec<Told> {
    let whole = feed(&mut make(), &[input], eof);
    for at in 0..input.len() {
        let (first, second) = input.split_at(at);
        assert_eq!(feed(&mut make(), &[first, second], eof), whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(feed(&mut make(), &bytes, eof), whole, "byte by byte");
    whole
}
