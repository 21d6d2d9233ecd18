//! The corpora of the engine's fuzz targets, run as an ordinary test.

#[path = "../../../fuzz/bodies/h2.rs"]
mod h2;

use std::path::Path;

#[test]
fn inputs_that_once_were_of_interest_hold_what_must_hold() {
    for (target, body) in [("h2_server", h2::h2_server as fn(&[u8])), ("h2_client", h2::h2_client)] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut inputs = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            body(&std::fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 10, "{target} has {inputs} inputs");
    }
}
