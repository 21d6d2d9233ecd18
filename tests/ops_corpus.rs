//! The corpus of the fuzz target `ops`, run as an ordinary test, and some sequences made by chance.
#![cfg(all(feature = "h1", feature = "h2", feature = "mqtt", feature = "raw", feature = "ws"))]

#[path = "../fuzz/bodies/ops.rs"]
mod ops;

use std::fs;
use std::path::Path;

#[test]
fn the_corpus() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/ops");
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        ops::ops(&fs::read(path).unwrap());
        files += 1;
    }
    assert!(files >= 10, "{files} inputs");
}

#[test]
fn sequences_made_by_chance() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..500 {
        let mut sequence = Vec::new();
        for _ in 0..16 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            sequence.extend(random.to_le_bytes());
        }
        println!("{sequence:?}");
        ops::ops(&sequence);
    }
}
