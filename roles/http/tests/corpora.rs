//! The corpus of the fuzz target, run as an ordinary test.

extern crate millstream_http as http;

#[path = "../../../fuzz/bodies/multipart.rs"]
mod multipart;

use std::path::Path;

#[test]
fn inputs_that_once_were_of_interest_hold_what_must_hold() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/multipart");
    let mut inputs = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        multipart::multipart(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "{inputs} inputs");
}
