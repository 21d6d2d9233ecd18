//! The corpora of the policy's fuzz targets, run as an ordinary test.

#[path = "../fuzz/bodies/policy.rs"]
mod policy;

use std::fs;
use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap() {
        body(&fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 10, "{target} has {files} inputs");
}

#[test]
fn strict_policies() {
    replay("policy_strict", policy::policy_strict);
}

#[test]
fn lenient_policies() {
    replay("policy_lenient", policy::policy_lenient);
}

#[test]
fn substitution() {
    replay("substitution", policy::substitution);
}
