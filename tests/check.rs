//! `millstream check`, run as a program.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs `millstream` on arguments, with this on its standard input: status, output, complaints.
fn millstream(args: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that has not read everything may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn file(name: &str, text: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, text).unwrap();
    file
}

const GOOD: &str = r#"{"s":[{"a":{"endpoint":"a.example","port":80,"protocol":"h1"}}]}"#;

#[test]
fn a_good_policy_is_ok() {
    let (status, out, err) = millstream(&["check", "-"], GOOD.as_bytes());
    assert_eq!((status, out.as_str(), err.as_str()), (0, "-: ok; stream types: 1, warnings: 0\n", ""));
}

#[test]
fn what_is_refused_is_said_with_file_line_and_column() {
    let policy =
        file("refused.json", "{\n \"s\": [ { \"a\": { \"endpoint\": \"b\", \"port\": \"x\" } } ]\n}\n");
    let policy = policy.to_str().unwrap();
    let (status, out, _) = millstream(&["check", policy], b"");
    let expected = "2:43: error: s[0].a.port: found \"x\"; expected a whole number from 0 to 65535";
    assert_eq!((status, out), (1, format!("{policy}:{expected}\n")));
}

#[test]
fn warnings_do_not_refuse_unless_strict_is_asked_for() {
    let text = r#"{"s":[{"a":{"endpoint":"b","ports":1,}}]}"#;
    let (status, out, _) = millstream(&["check", "-"], text.as_bytes());
    assert_eq!(status, 0);
    assert!(
        out.contains("-:1:28: warning: s[0].a.ports: unknown key \"ports\"; did you mean \"port\"?\n"),
        "{out}"
    );
    assert!(out.contains("-:1:37: warning: a comma with nothing after it\n"), "{out}");
    let (status, out, _) = millstream(&["check", "--strict", "-"], text.as_bytes());
    assert_eq!((status, out.matches(": error: ").count()), (1, 2), "{out}");
}

#[test]
fn what_is_not_text_and_what_is_too_long_is_refused() {
    let (status, out, _) = millstream(&["check", "-"], b"{\n\"\xc3\xa9\xff");
    assert_eq!((status, out.as_str()), (1, "-:2:3: error: a byte that is no text; expected UTF-8\n"));
    let (status, out, _) = millstream(&["check", "-"], "é".repeat(200_000).as_bytes());
    assert_eq!(status, 1);
    assert!(out.contains("too long; expected no more than 262144 bytes"), "{out}");
}

#[test]
fn overlays_are_laid_over_in_turn() {
    let first = file("overlay-1.json", r#"{"s":[{"a":{"port":81}}]}"#);
    let second = file("overlay-2.json", r#"{"s":[{"b":{"endpoint":"b.example"}}]}"#);
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    let args = ["check", "--json", "--overlay", first, "--overlay", second, "-"];
    let (status, out, _) = millstream(&args, GOOD.as_bytes());
    assert_eq!(status, 0);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["stream_types"][0]["port"], 81);
    assert_eq!(json["stream_types"][0]["endpoint"], "a.example");
    assert_eq!(json["stream_types"][1]["name"], "b");
}

#[test]
fn json_has_the_diagnostics_field_by_field() {
    let (status, out, _) = millstream(&["check", "--json", "-"], br#"{"s":[{"a":{"retry":"x"}}]}"#);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &json["ok"]), (1, &serde_json::Value::Bool(false)));
    let error = &json["diagnostics"][0];
    assert_eq!((error["line"].as_u64(), error["column"].as_u64()), (Some(1), Some(21)));
    assert_eq!((error["file"].as_str(), error["path"].as_str()), (Some("-"), Some("s[0].a.retry")));
    assert_eq!(error["severity"], "error");
}

#[test]
fn keys_are_listed_with_what_is_not_in_force() {
    let (status, all, _) = millstream(&["check", "--keys"], b"");
    assert_eq!((status, all.lines().count()), (0, millstream::policy::keys().count()));
    let text = r#"{"s":[{"a":{"endpoint":"b","protocol":"h1","urgent_tx":true}}]}"#;
    let (status, out, _) = millstream(&["check", "--keys", "-"], text.as_bytes());
    assert_eq!(status, 0);
    assert!(out.contains("-: parsed, not yet in force: urgent_tx\n"), "{out}");
    assert_eq!(out.lines().filter(|line| line.contains(" in force ")).count(), 3, "{out}");
}

#[test]
fn a_wrong_command_line_is_told_how_to_be_right() {
    for args in [&[][..], &["frobnicate"], &["check"], &["check", "--frobnicate", "-"], &["check", "-", "-"]]
    {
        let (status, out, err) = millstream(args, b"");
        assert_eq!((status, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains("millstream check"), "{args:?}: {err}");
    }
    let (status, _, err) = millstream(&["check", "/no/such/policy"], b"");
    assert_eq!(status, 2);
    assert!(err.starts_with("/no/such/policy: "), "{err}");
    assert_eq!(millstream(&["help"], b"").0, 0);
    assert!(millstream(&["--version"], b"").1.starts_with("millstream "));
}
