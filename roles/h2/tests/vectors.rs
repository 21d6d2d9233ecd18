//! Frames of others (http2jp/http2-frame-test-case), read where they are: `../shared/vectors/h2-frames`. Skipped where
//! they are not.

mod common;

use common::*;
use http::{BodyLength, Method};
use millstream_h2::{Engine, Limits};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn cases() -> Vec<(PathBuf, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/h2-frames");
    if !dir.is_dir() {
        println!("skipped: there are no vectors at {}", dir.display());
        return Vec::new();
    }
    let entries = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let files = entries(&dir).into_iter().filter(|path| path.is_dir()).flat_map(|folder| entries(&folder));
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let read = |path: &Path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    files.map(|path| (path.clone(), read(&path))).collect()
}

fn wire(case: &Value) -> Vec<u8> {
    let text = case["wire"].as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// An engine of the side that such a frame is sent to, with streams open up to the one it is for.
fn engine_for(wire: &[u8]) -> Engine {
    let stream = u32::from_be_bytes(wire[5..9].try_into().unwrap()) & 0x7fff_ffff;
    if wire[3] == PUSH_PROMISE {
        return client();
    }
    let mut engine = server_with(Limits { streams: 1000, ..Limits::default() });
    if wire[3] == HEADERS && stream % 2 == 1 {
        return engine;
    }
    // Several of these frames are for even streams, which only servers could begin: nothing here ever does.
    for id in (1..=stream).step_by(2) {
        feed(&mut engine, &headers(END_HEADERS, id, &POST));
    }
    if wire[3] == CONTINUATION {
        feed(&mut engine, &frame(HEADERS, 0, stream | 1, &block(&GET)));
    }
    output(&mut engine);
    engine
}

#[test]
fn frames_that_are_wrong_are_answered_with_a_code_that_was_expected() {
    for (path, case) in cases() {
        let Some(codes) = case["error"].as_array() else { continue };
        let wire = wire(&case);
        let mut engine = engine_for(&wire);
        feed(&mut engine, &wire);
        let sent = output(&mut engine);
        let code = sent.iter().find_map(|sent| match sent.kind {
            GOAWAY => Some(&sent.payload[4..8]),
            RST_STREAM => Some(&sent.payload[..4]),
            _ => None,
        });
        let code = code.map(|code| u64::from(u32::from_be_bytes(code.try_into().unwrap())));
        assert!(codes.iter().any(|known| known.as_u64() == code), "{} {code:?}", path.display());
    }
}

#[test]
fn frames_that_are_right_are_taken_in_pieces_of_any_size() {
    let mut taken = 0;
    for (path, case) in cases() {
        let frame = &case["frame"];
        if frame.is_null() {
            continue;
        }
        let wire = wire(&case);
        assert_eq!(frame["length"].as_u64(), Some(wire.len() as u64 - 9), "{}", path.display());
        let told = every_split(|| engine_for(&wire), &wire);
        if let Some(Told::Body(_, bytes)) = told.first() {
            assert_eq!(frame["frame_payload"]["data"].as_str().unwrap().as_bytes(), bytes);
        }
        taken += 1;
    }
    assert!(taken == 0 || taken >= 10);
}

#[test]
fn what_an_engine_writes_has_the_form_that_others_read() {
    let (mut engine, mut out) = (idle_client_with(Limits::default()), Vec::new());
    let stream = ask(&mut engine, Method::Post, BodyLength::Unknown);
    let prefix = engine.frame(stream, 5, true).unwrap();
    out.extend_from_slice(prefix.prefix());
    out.extend_from_slice(b"hello");
    assert_eq!(out, frame(DATA, END_STREAM, 1, b"hello"));
}
