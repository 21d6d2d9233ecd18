//! The corpora of the resolver's fuzz targets, run as an ordinary test.

#[path = "../../../fuzz/bodies/dns.rs"]
mod dns;

use std::path::Path;

#[test]
fn inputs_that_once_were_of_interest_hold_what_must_hold() {
    for target in ["dns_answer", "hosts", "resolv_conf"] {
        let body = match target {
            "dns_answer" => dns::dns_answer,
            "hosts" => dns::hosts,
            _ => dns::resolv_conf,
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
