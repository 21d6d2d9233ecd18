//! The corpora of the engine's fuzz targets, run as an ordinary test.

#[path = "../../../fuzz/bodies/ws.rs"]
mod ws;

use std::path::Path;

#[test]
fn inputs_that_once_were_of_interest_hold_what_must_hold() {
    for target in ["ws_server", "ws_client", "ws_handshake", "ws_deflate"] {
        let body = match target {
            "ws_server" => ws::ws_server,
            "ws_client" => ws::ws_client,
            "ws_handshake" => ws::ws_handshake,
            _ => ws::ws_deflate,
        };
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut inputs = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            body(&std::fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 20, "{target} has {inputs} inputs");
    }
}
