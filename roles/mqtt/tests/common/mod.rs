//! Feeding engines, and telling what came out in a form that can be compared.

#![allow(dead_code, reason = "each test crate uses its share")]

use core::fmt::Write as _;
use millstream_mqtt::{Connect, Engine, Error, Event, Limits, Session, Version};

/// What an engine told, with the pieces of a payload put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// An event with all that can be asked about it.
    Event(Event, String),
    Payload(Vec<u8>),
    End,
    Error(Error),
}

/// Everything that came of some input: what was told, and what the engine answered.
pub(crate) type Outcome = (Vec<Told>, Vec<u8>);

fn tell(engine: &Engine, event: Event, input: &[u8], told: &mut Vec<Told>) {
    let mut properties = String::new();
    engine.properties().for_each(|property| write!(properties, " {property:?}").unwrap());
    match event {
        Event::Payload { range, is_last } => {
            let piece = &input[range];
            match told.last_mut() {
                Some(Told::Payload(bytes)) => bytes.extend_from_slice(piece),
                _ if piece.is_empty() => {}
                _ => told.push(Told::Payload(piece.to_vec())),
            }
            if is_last {
                told.push(Told::End);
            }
        }
        Event::Message(_) => {
            let about = format!("{}{properties}", engine.topic());
            told.push(Told::Event(event, about));
        }
        Event::Subscribed(_) | Event::Unsubscribed(_) => {
            let about = format!("{:?}{properties}", engine.reasons());
            told.push(Told::Event(event, about));
        }
        _ => told.push(Told::Event(event, properties)),
    }
}

/// Gives the engine `pieces` one after the other, as a connection would. Checks what must hold on any input.
pub(crate) fn feed(engine: &mut Engine, pieces: &[&[u8]]) -> Outcome {
    let (mut told, mut out, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    'pieces: for piece in pieces {
        rest.extend_from_slice(piece);
        loop {
            match engine.input(&rest) {
                Ok((0, None)) if engine.is_paused() => engine.poll_output(&mut out),
                Ok((0, None)) => break,
                Ok((used, event)) => {
                    assert!(used <= rest.len());
                    if let Some(event) = event {
                        tell(engine, event, &rest[..used], &mut told);
                    }
                    rest.drain(..used);
                }
                Err(error) => {
                    assert_eq!(engine.input(&rest), Err(error), "an error stays");
                    assert_eq!(engine.input(&[]), Err(error), "an error stays");
                    told.push(Told::Error(error));
                    break 'pieces;
                }
            }
        }
    }
    assert!(!engine.has_event());
    engine.poll_output(&mut out);
    assert!(!engine.has_output());
    (told, out)
}

/// The same however the input is cut in two, or into bytes: what it is.
pub(crate) fn feed_cut_anyhow(make: impl Fn() -> Engine, input: &[u8]) -> Outcome {
    let whole = feed(&mut make(), &[input]);
    for cut in 0..=input.len() {
        let (first, second) = input.split_at(cut);
        assert_eq!(feed(&mut make(), &[first, second]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(feed(&mut make(), &bytes), whole, "in single bytes");
    whole
}

/// One that has sent CONNECT, and goes on with `session`.
pub(crate) fn connecting(version: Version, limits: Limits, session: Session) -> Engine {
    let mut engine = Engine::new(version, limits, session);
    let connect = Connect { client_id: "a", clean_start: false, keep_alive: 60, ..Connect::default() };
    engine.connect(&connect, 0, &mut Vec::new()).unwrap();
    engine
}

/// One whose server has let it in, without a session and with nothing to say about itself.
pub(crate) fn connected(version: Version, limits: Limits) -> Engine {
    let mut engine = connecting(version, limits, Session::new());
    let connack: &[u8] = if version == Version::V4 { &[0x20, 2, 0, 0] } else { &[0x20, 3, 0, 0, 0] };
    assert_eq!(engine.input(connack), Ok((connack.len(), Some(Event::Connected { session_present: false }))));
    engine
}

/// A 3.1.1 engine that is connected.
pub(crate) fn v4() -> Engine {
    connected(Version::V4, Limits::default())
}

/// A MQTT 5 engine that is connected.
pub(crate) fn v5() -> Engine {
    connected(Version::V5, Limits::default())
}
