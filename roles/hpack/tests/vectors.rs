//! What four other encoders wrote (http2jp/hpack-test-case), read where it is: `../shared/vectors/hpack`. Skipped where
//! it is not.

mod common;

use common::{Fields, decode, encode};
use millstream_hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder, Limits};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn stories() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/hpack");
    if !dir.is_dir() {
        println!("skipped: there are no vectors at {}", dir.display());
        return Vec::new();
    }
    let entries = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let folders = entries(&dir).into_iter().filter(|path| path.is_dir());
    folders
        .flat_map(|folder| entries(&folder))
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn fields(case: &Value) -> Fields {
    let list = case["headers"].as_array().unwrap().iter();
    list.flat_map(|field| field.as_object().unwrap())
        .map(|(name, value)| (name.clone().into_bytes(), value.as_str().unwrap().as_bytes().to_vec()))
        .collect()
}

#[test]
fn blocks_of_other_encoders_are_read_and_their_fields_written_and_read_again() {
    let stories = stories();
    let mut blocks = 0;
    for path in &stories {
        let story: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let (mut decoder, mut encoder) = (Decoder::new(Limits::default()), Encoder::new(DEFAULT_TABLE_SIZE));
        let mut own = Decoder::new(Limits::default());
        for case in story["cases"].as_array().unwrap() {
            if let Some(size) = case["header_table_size"].as_u64() {
                decoder.set_max_table_size(size as u32);
                encoder.set_max_table_size(size as u32);
                own.set_max_table_size(size as u32);
            }
            let expected = fields(case);
            let wire = hex(case["wire"].as_str().unwrap());
            assert_eq!(
                decode(&mut decoder, &wire).as_ref(),
                Ok(&expected),
                "{} {}",
                path.display(),
                case["seqno"]
            );
            assert_eq!(
                decode(&mut own, &encode(&mut encoder, &expected)),
                Ok(expected),
                "{}",
                path.display()
            );
            blocks += 1;
        }
    }
    assert!(stories.is_empty() || blocks > 1000, "{blocks} blocks");
}
