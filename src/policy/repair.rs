//! The laxness that published policies need.
//!
//! lws' own parser takes more than JSON, and policies have come to rely on it. They are made JSON
//! again by replacing single bytes in place, so that every offset stays what it was.

use std::borrow::Cow;

use super::diagnostic::{Hint, Path, Report};

/// Arrays and objects inside each other. The deepest place in a policy is 6.
const MAX_DEPTH: usize = 16;

/// Gives `text` back as JSON, as far as the known departures from it go; each is reported.
/// `None`: it is nested too deeply, and that is reported.
pub(super) fn repair<'t>(text: &'t str, report: &mut Report<'_>) -> Option<Cow<'t, str>> {
    let mut pass = Pass { text: text.as_bytes(), open: Vec::new(), repairs: Vec::new(), append: false };
    pass.scan(report)?;
    if pass.repairs.is_empty() {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.as_bytes().to_vec();
    for (at, byte) in pass.repairs {
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
    }
    if pass.append {
        bytes.push(b'}');
    }
    // Only whole ASCII characters were replaced, or the three bytes of a byte order mark.
    Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

struct Pass<'t> {
    text: &'t [u8],
    /// What is open: `{` or `[`, and where.
    open: Vec<u8>,
    /// Offset, and the byte to be put there.
    repairs: Vec<(usize, u8)>,
    /// The document lacks its last `}`.
    append: bool,
}

impl Pass<'_> {
    fn scan(&mut self, report: &mut Report<'_>) -> Option<()> {
        let mut at = self.byte_order_mark(report);
        while let Some(byte) = self.text.get(at) {
            at = match byte {
                b'"' => self.string(at),
                b'@' => self.placeholder(at, report),
                b'{' | b'[' => {
                    if self.open.len() >= MAX_DEPTH {
                        let hint = Hint::expected(format!("no more than {MAX_DEPTH} levels"));
                        report.error(at, &Path::Root, "nested too deeply", hint);
                        return None;
                    }
                    self.open.push(*byte);
                    at.saturating_add(1)
                }
                b'}' if self.open.last() == Some(&b'[') => {
                    self.brace_in_array(at, report);
                    at.saturating_add(1)
                }
                b'}' | b']' => {
                    self.open.pop();
                    at.saturating_add(1)
                }
                b',' => {
                    if matches!(self.next_after(at), Some((_, b'}' | b']'))) {
                        report.lax(at, &Path::Root, "a comma with nothing after it", Hint::none());
                        self.repairs.push((at, b' '));
                    }
                    at.saturating_add(1)
                }
                _ => at.saturating_add(1),
            };
        }
        Some(())
    }

    /// A `}` where an array is open. Policies have it in three ways: the array's own `]` was meant,
    /// the `}` is one too many before that `]`, or the `]` is missing before the document's last `}`.
    fn brace_in_array(&mut self, at: usize, report: &mut Report<'_>) {
        match self.next_after(at) {
            Some((_, b']')) => {
                report.lax(at, &Path::Root, "one '}' too many before ']'", Hint::none());
                self.repairs.push((at, b' '));
            }
            None if self.open == [b'{', b'['] => {
                report.lax(at, &Path::Root, "the array before this '}' is not closed", Hint::expected("']'"));
                self.repairs.push((at, b']'));
                self.append = true;
                self.open.clear();
            }
            _ => {
                report.lax(at, &Path::Root, "an array closed by '}'", Hint::expected("']'"));
                self.repairs.push((at, b']'));
                self.open.pop();
            }
        }
    }

    /// A value like `@PORT@`, which a build system should have filled in. It becomes `null`: absent.
    fn placeholder(&mut self, at: usize, report: &mut Report<'_>) -> usize {
        let name_at = at.saturating_add(1);
        let name = self.text.get(name_at..).unwrap_or_default();
        let len = name.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let end = name_at.saturating_add(len).saturating_add(1);
        // `null` has to fit.
        if len < 2 || name.get(len) != Some(&b'@') {
            return name_at;
        }
        report.lax(
            at,
            &Path::Root,
            "a placeholder that was never filled in: ignored",
            Hint::expected("a value"),
        );
        let null = b"null".iter().copied().chain(std::iter::repeat(b' '));
        self.repairs.extend((at..end).zip(null));
        end
    }

    fn byte_order_mark(&mut self, report: &mut Report<'_>) -> usize {
        if !self.text.starts_with("\u{feff}".as_bytes()) {
            return 0;
        }
        report.lax(0, &Path::Root, "a byte order mark", Hint::none());
        self.repairs.extend((0..3).map(|at| (at, b' ')));
        3
    }

    /// The offset behind the string that begins at `at`.
    fn string(&self, at: usize) -> usize {
        let mut escaped = false;
        let body = at.saturating_add(1);
        let rest = self.text.get(body..).unwrap_or_default();
        let quote = rest.iter().position(|byte| {
            let ends = !escaped && *byte == b'"';
            escaped = !escaped && *byte == b'\\';
            ends
        });
        quote.map_or(self.text.len(), |quote| body.saturating_add(quote).saturating_add(1))
    }

    /// The next byte behind `at` that is no white space.
    fn next_after(&self, at: usize) -> Option<(usize, u8)> {
        let mut rest = self.text.iter().copied().enumerate().skip(at.saturating_add(1));
        rest.find(|(_, byte)| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(text: &str) -> (String, Vec<String>) {
        let mut report = Report::new(text, false);
        let repaired = repair(text, &mut report).unwrap().into_owned();
        let warnings = report.finish().unwrap();
        (repaired, warnings.iter().map(|w| format!("{}:{} {}", w.line, w.column, w.message)).collect())
    }

    #[test]
    fn json_is_left_alone() {
        for text in [
            "",
            "{}",
            r#"{"a":[1,{"b":"},]@X@\"},"}],"c":"\\"}"#,
            "[",
            "}",
            "]]",
            "\"",
            "\"\\",
            "@",
            "@A",
            "@A@",
        ] {
            let mut report = Report::new(text, true);
            assert!(matches!(repair(text, &mut report), Some(Cow::Borrowed(same)) if same == text), "{text}");
            assert!(report.finish().is_ok(), "{text}");
        }
    }

    #[test]
    fn each_departure_is_repaired_in_place_and_reported_with_its_place() {
        for (text, expected, warning) in [
            ("{\"a\":1,\n}", "{\"a\":1 \n}", "1:7 a comma with nothing after it"),
            ("[1, ]", "[1  ]", "1:3 a comma with nothing after it"),
            ("{\"s\":[{}},\"t\":1}", "{\"s\":[{}],\"t\":1}", "1:9 an array closed by '}'"),
            ("{\"s\":[{}}}", "{\"s\":[{}]}", "1:9 an array closed by '}'"),
            ("{\"s\":[{}}\n", "{\"s\":[{}]\n}", "1:9 the array before this '}' is not closed"),
            ("{\"s\":[{}}]}", "{\"s\":[{} ]}", "1:9 one '}' too many before ']'"),
            ("{\"p\":@P_1@}", "{\"p\":null }", "1:6 a placeholder that was never filled in: ignored"),
            ("\u{feff}{}", "   {}", "1:1 a byte order mark"),
        ] {
            assert_eq!(repaired(text), (expected.to_owned(), vec![warning.to_owned()]), "{text}");
        }
    }

    #[test]
    fn strict_reading_refuses_what_is_repaired() {
        let mut report = Report::new("[1,]", true);
        assert!(repair("[1,]", &mut report).is_some());
        assert_eq!(report.finish().unwrap_err().errors().len(), 1);
    }

    #[test]
    fn depth_has_a_bound() {
        let mut report = Report::new("", false);
        assert!(repair(&"[".repeat(MAX_DEPTH), &mut report).is_some());
        assert!(repair(&"[".repeat(MAX_DEPTH + 1), &mut report).is_none());
        assert!(report.finish().is_err());
    }
}
