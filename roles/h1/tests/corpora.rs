//! The corpora of the engine's fuzz targets, run as an ordinary test.

#[path = "../../../fuzz/bodies/h1.rs"]
mod h1;

use std::path::Path;

#[test]
fn inputs_that_once_were_of_interest_hold_what_must_hold() {
    for target in ["h1_request", "h1_response", "chunked"] {
        let body = match target {
            "h1_request" => h1::h1_request,
            "h1_response" => h1::h1_response,
            _ => h1::chunked,
        };
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut inputs = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            body(&std::fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 10, "{target} has {inputs} inputs");
    }
}
