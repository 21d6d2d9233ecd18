//! The policy parser against published policies and against typical mistakes.

use std::fs;
use std::path::{Path, PathBuf};

use millstream::policy::{Parsed, Policy};

fn vectors(of: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/policies").join(of);
    let Ok(entries) = fs::read_dir(&dir) else {
        println!("skipped: there is no {}", dir.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

#[test]
fn published_policies_are_accepted() {
    for file in vectors("") {
        let text = fs::read_to_string(&file).unwrap();
        match Policy::parse(&text) {
            Ok(Parsed { policy, warnings, .. }) => {
                assert!(policy.stream_types().next().is_some());
                println!("{}: {} warnings", file.display(), warnings.len());
                for warning in warnings {
                    println!("    {warning}");
                }
            }
            Err(error) => panic!("{}:\n{error}", file.display()),
        }
    }
}

#[test]
fn broken_policies_are_refused_with_a_place() {
    for file in vectors("must-reject") {
        let text = fs::read_to_string(&file).unwrap();
        let error = Policy::parse(&text).expect_err("must be refused");
        for diagnostic in error.errors() {
            let line = text.lines().nth(diagnostic.line - 1).expect("a line of the text");
            assert!(diagnostic.column >= 1 && diagnostic.column <= line.chars().count() + 1, "{diagnostic}");
        }
        println!("{}: {error}", file.file_name().unwrap().display());
    }
}
