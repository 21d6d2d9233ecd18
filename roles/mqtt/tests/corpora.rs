//! The corpora of the engine's fuzz targets, run as an ordinary test.

#[path = "../../../fuzz/bodies/mqtt.rs"]
mod mqtt;

use std::path::Path;

#[test]
fn inputs_that_once_were_of_interest_hold_what_must_hold() {
    for (target, body) in [("mqtt_v4", mqtt::mqtt_v4 as fn(&[u8])), ("mqtt_v5", mqtt::mqtt_v5)] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut inputs = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            body(&std::fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 10, "{target} has {inputs} inputs");
    }
}
