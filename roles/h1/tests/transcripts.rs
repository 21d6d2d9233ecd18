//! What another implementation said and heard (`../shared/vectors/transcripts`), replayed against both sides of the
//! engine: each message it sent is understood, and what it understood is what the engine says. Skipped where they are
//! not.

mod common;

use common::{Told, client_of, every_split};
use http::{BodyLength, Head, Method, Status};
use millstream_h1::{Engine, Event, Limits};
use std::path::Path;

struct Step {
    /// `tx`, `rx` or `app_rx`, as the recorded side saw it.
    what: String,
    bytes: Vec<u8>,
}

fn transcript(name: &str) -> Option<Vec<Step>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/transcripts").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: there is no {}", path.display());
        return None;
    };
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut steps = Vec::new();
    for step in json["steps"].as_array().unwrap() {
        for (what, hex) in step.as_object().unwrap() {
            let Some(hex) = hex.as_str() else { continue };
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            steps.push(Step { what: what.clone(), bytes: hex.as_bytes().chunks(2).map(byte).collect() });
        }
    }
    Some(steps)
}

fn is_told<'a>(told: &'a [Told], steps: &'a [Step], nth: usize, what: &str) -> &'a [Told] {
    assert_eq!(steps[nth].what, what);
    assert!(!told.iter().any(|told| matches!(told, Told::Error(_))), "{told:?}");
    told
}

#[test]
fn the_client_understands_the_response_and_the_server_the_request_of_another() {
    let Some(steps) = transcript("h1-client-get.json") else { return };
    let told = every_split(|| Engine::server(Limits::default()), &steps[0].bytes, false);
    let [Told::Request(request), Told::End(_)] = is_told(&told, &steps, 0, "tx") else { panic!("{told:?}") };
    assert!(request.starts_with("GET /x ") && request.contains("Host=sansio;"), "{request}");
    let told = every_split(|| client_of(Method::Get), &steps[1].bytes, false);
    let [Told::Response(200, fields), Told::Body(body), Told::End(_)] = is_told(&told, &steps, 1, "rx")
    else {
        panic!("{told:?}")
    };
    assert!(fields.contains("Content-Type=text/plain;"), "{fields}");
    assert_eq!((&steps[2].what[..], &steps[2].bytes), ("app_rx", body));
}

#[test]
fn the_server_serves_a_request_and_an_upgrade_as_another_did() {
    let Some(steps) = transcript("h1-ws-server.json") else { return };
    let (mut engine, mut head, mut out) = (Engine::server(Limits::default()), Head::new(), Vec::new());
    assert_eq!(engine.input(&steps[0].bytes, &mut head), Ok((steps[0].bytes.len(), Some(Event::Request))));
    assert_eq!((head.method(), head.target()), (Some(Method::Get), &b"/x"[..]));
    assert_eq!(engine.input(&[], &mut head), Ok((0, Some(Event::End))));
    let fields = [(&b"content-type"[..], &b"text/plain"[..])];
    engine.encode_response(Status::OK, fields.into_iter(), BodyLength::Known(10), &mut out).unwrap();
    engine.frame(10, true).unwrap();
    out.extend_from_slice(b"sansio ok\n");
    let (ours, theirs) =
        (String::from_utf8(out).unwrap(), String::from_utf8(steps[1].bytes.clone()).unwrap());
    assert_eq!(ours.to_ascii_lowercase(), theirs.to_ascii_lowercase());
    assert_eq!(engine.input(&steps[2].bytes, &mut head), Ok((steps[2].bytes.len(), Some(Event::Request))));
    assert!(engine.wants_upgrade());
    assert_eq!(head.get("sec-websocket-key"), Some(&b"dGhlIHNhbXBsZSBub25jZQ=="[..]));
    // What the recorded server granted, a client that had asked would understand.
    let (mut client, mut granted) = (Engine::client(Limits::default()), Vec::new());
    client.ask_upgrade();
    let asks = [(&b"Upgrade"[..], &b"websocket"[..])];
    client
        .encode_request(Method::Get, b"/echo", b"sansio", asks.into_iter(), BodyLength::None, &mut granted)
        .unwrap();
    let answer = &steps[3].bytes;
    assert_eq!(client.input(answer, &mut head), Ok((answer.len(), Some(Event::Upgraded))));
}
