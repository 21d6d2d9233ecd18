//! The request cases of another parser (llhttp), read where they are: `../shared/vectors/h1`. Skipped where they are not.

mod common;

use common::{Told, every_split, feed};
use millstream_h1::{Engine, Error, Limits};
use std::path::{Path, PathBuf};

struct Case {
    name: String,
    kind: String,
    input: Vec<u8>,
    accepted: bool,
}

fn vectors() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if dir.is_dir() {
        return Some(dir);
    }
    println!("skipped: there are no vectors at {}", dir.display());
    None
}

/// The text between a line that begins with `open` and the next line that is ```` ``` ````.
fn block<'a>(text: &'a str, open: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(open)?;
    rest.split_once("\n```").map(|(block, _)| block)
}

/// Lines end in CR LF; a backslash at the end of a line joins it to the next; escapes are those of C.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek().copied()) {
            (b'\n', _) => out.extend_from_slice(b"\r\n"),
            (b'\\', Some(next)) => {
                bytes.next();
                match next {
                    b'r' => out.push(b'\r'),
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'f' => out.push(0x0c),
                    b'\n' => {}
                    b'0'..=b'7' => {
                        let mut value = u32::from(next - b'0');
                        while let Some(digit @ b'0'..=b'7') = bytes.peek().copied() {
                            if value > 31 {
                                break;
                            }
                            value = value * 8 + u32::from(digit - b'0');
                            bytes.next();
                        }
                        out.push(value as u8);
                    }
                    other => out.extend_from_slice(&[b'\\', other]),
                }
            }
            _ => out.push(byte),
        }
    }
    out
}

fn cases(dir: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(dir.join("h1/request")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "md")) {
        let text = std::fs::read_to_string(path).unwrap();
        for section in text.split("<!-- meta=").skip(1) {
            let kind = section.split('"').nth(3).unwrap_or_default().to_owned();
            let before = text.split(section).next().unwrap_or_default();
            let title = before.lines().rev().find(|line| line.starts_with('#')).unwrap_or_default();
            let (Some(input), Some(log)) = (block(section, "```http\n"), block(section, "```log\n")) else {
                continue;
            };
            let mut input = unescape(input);
            // The other parser does not ask for a Host.
            let text = String::from_utf8_lossy(&input).to_ascii_lowercase();
            if text.contains("http/1.1")
                && !text.contains("host:")
                && let Some(at) = input.windows(2).position(|pair| pair == b"\r\n")
            {
                input.splice(at..at, *b"\r\nHost: a");
            }
            let name = format!("{}: {}", path.file_stem().unwrap().display(), title.trim_matches(['#', ' ']));
            // What comes after the last message of a connection is not read here, which is no acceptance.
            let ended = log.contains("after `Connection: close`")
                || log.contains("reason=\"Pause on CONNECT/Upgrade\"");
            let accepted = !log.contains("error code=") || ended;
            cases.push(Case { name, kind, input, accepted });
        }
    }
    cases
}

/// Why this engine refuses what the other parser takes.
fn stricter(error: Error) -> Option<&'static str> {
    match error {
        Error::Method => Some("methods that are not served are 501; CONNECT is one of them"),
        Error::Host => Some("exactly one valid Host (RFC 9112 3.2)"),
        Error::Version => Some("HTTP/1.0 and HTTP/1.1 only"),
        Error::StartLine => Some("no blanks but one between the parts of a request line (RFC 9112 3)"),
        Error::Target => Some("a target in a form that its method allows (RFC 9112 3.2)"),
        Error::Coding | Error::TransferEncoding => Some("no transfer coding but chunked, said once"),
        Error::Field => Some("no folded lines (RFC 9112 5.2), no controls in values"),
        Error::Nul => Some("no NUL"),
        Error::Truncated => Some("the case ends within its message"),
        _ => None,
    }
}

#[test]
fn what_another_strict_parser_refuses_is_refused_here_and_more_only_for_a_reason() {
    let Some(dir) = vectors() else { return };
    let cases = cases(&dir);
    assert!(cases.len() > 100, "{} cases", cases.len());
    let (mut agreed, mut reasons) = (0, std::collections::BTreeMap::<&str, u32>::new());
    for case in cases.iter().filter(|case| matches!(case.kind.as_str(), "request" | "request-finish")) {
        let told = every_split(|| Engine::server(Limits::default()), &case.input, false);
        match (told.last(), case.accepted) {
            (Some(Told::Error(error)), true) => match stricter(*error) {
                Some(reason) => *reasons.entry(reason).or_default() += 1,
                None => panic!("{}: refused with {error:?}, without a reason for it", case.name),
            },
            (Some(Told::Error(_)), false) | (_, true) => agreed += 1,
            // A head is judged when it is whole.
            (_, false) => {
                let whole = [&case.input[..], b"\r\n\r\n"].concat();
                let told = feed(&mut Engine::server(Limits::default()), &[&whole], false);
                assert!(matches!(told.last(), Some(Told::Error(_))), "{}: accepted as {told:?}", case.name);
                agreed += 1;
            }
        }
    }
    println!("{agreed} cases agree");
    for (reason, count) in reasons {
        println!("{count} are refused here alone: {reason}");
    }
}

#[test]
fn what_only_a_lenient_parser_takes_is_refused_here() {
    let Some(dir) = vectors() else { return };
    for case in cases(&dir).iter().filter(|case| case.kind.contains("lenient")) {
        let told = feed(&mut Engine::server(Limits::default()), &[&case.input], true);
        let refused = matches!(told.last(), Some(Told::Error(_)));
        // After the last message of a connection nothing is read any more.
        let is_over = case.name.starts_with("connection: ") && case.kind.contains("keep-alive");
        assert!(refused || is_over, "{}: {:?} as {told:?}", case.name, String::from_utf8_lossy(&case.input));
    }
}
