//! What is wrong with a policy, and where.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy is accepted, and probably does not mean what its author thinks.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing found in a policy. Its `Display` is one line, without control characters:
/// `4:17: error: s[3].mintest.retry: unknown retry scheme "defalt"; did you mean "default"?`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Line of the text, from 1.
    pub line: usize,
    /// Column in that line, in characters, from 1.
    pub column: usize,
    /// The way to the key or value, as `s[3].mintest.retry`. Empty for the document itself.
    pub path: String,
    /// What was found.
    pub message: String,
    /// What would have been right, where that can be said.
    pub expected: Option<String>,
    /// The nearest name that would have been known.
    pub suggestion: Option<String>,
}

impl Diagnostic {
    /// True for what makes a policy refused.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: ", self.line, self.column, self.severity)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean {}?", quoted(suggestion))?;
        }
        Ok(())
    }
}

/// Why a policy was refused. Its `Display` has one line per error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl PolicyError {
    /// The errors, at least one, in the order of the text; no more than
    /// [`PolicyError::MAX_ERRORS`] are collected.
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    /// What else was noticed on the way.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// As many errors are collected before the parser gives up.
    pub const MAX_ERRORS: usize = 20;
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}

/// The way from the document to a value, as a list on the stack.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Root,
    Key(&'p Self, &'p str),
    Index(&'p Self, usize),
}

impl<'p> Path<'p> {
    pub(super) const fn key(&'p self, key: &'p str) -> Self {
        Self::Key(self, key)
    }

    pub(super) const fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Path::Root, key) => write!(f, "{}", shortened(key)),
            Self::Key(parent, key) => write!(f, "{parent}.{}", shortened(key)),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Text of the policy as it may be shown in a message: on one line, without what a terminal would
/// act on, and not endless.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

/// [`shortened`], in double quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text))
}

/// What a value or key was meant to be, beside the message.
#[derive(Default)]
pub(super) struct Hint {
    expected: Option<String>,
    suggestion: Option<String>,
}

impl Hint {
    pub(super) fn expected(what: impl Into<String>) -> Self {
        Self { expected: Some(what.into()), suggestion: None }
    }

    pub(crate) fn nearest(suggestion: Option<String>) -> Self {
        Self { expected: None, suggestion }
    }

    pub(super) const fn none() -> Self {
        Self { expected: None, suggestion: None }
    }
}

/// Collects diagnostics while a document is read.
pub(super) struct Report<'t> {
    text: &'t str,
    strict: bool,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'t> Report<'t> {
    /// Warnings beyond these are dropped: nobody reads them, and a hostile text has a million.
    const MAX_WARNINGS: usize = 200;

    pub(super) const fn new(text: &'t str, strict: bool) -> Self {
        Self { text, strict, errors: Vec::new(), warnings: Vec::new() }
    }

    /// The document cannot be accepted. `at` is a byte offset.
    pub(super) fn error(
        &mut self,
        at: usize,
        path: &impl fmt::Display,
        message: impl Into<String>,
        hint: Hint,
    ) {
        if self.is_full() {
            return;
        }
        let diagnostic = self.diagnostic(Severity::Error, at, path, message.into(), hint);
        self.errors.push(diagnostic);
    }

    /// The document is accepted, and its author ought to know.
    pub(super) fn warn(
        &mut self,
        at: usize,
        path: &impl fmt::Display,
        message: impl Into<String>,
        hint: Hint,
    ) {
        if !self.wants_warnings() {
            return;
        }
        let diagnostic = self.diagnostic(Severity::Warning, at, path, message.into(), hint);
        self.warnings.push(diagnostic);
    }

    /// What is let pass because published policies need it, and refused by strict parsing.
    pub(super) fn lax(
        &mut self,
        at: usize,
        path: &impl fmt::Display,
        message: impl Into<String>,
        hint: Hint,
    ) {
        if self.strict {
            self.error(at, path, message, hint);
        } else {
            self.warn(at, path, message, hint);
        }
    }

    /// True when the text at this offset was no JSON value, and `null` was put there.
    pub(super) fn is_placeholder(&self, at: usize) -> bool {
        self.text.as_bytes().get(at) == Some(&b'@')
    }

    /// True when no more errors are collected, so that there is no use in reading on.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= PolicyError::MAX_ERRORS
    }

    /// True while a warning would be kept. What is costly to find out is not, otherwise.
    pub(super) fn wants_warnings(&self) -> bool {
        !self.is_full() && self.warnings.len() < Self::MAX_WARNINGS
    }

    /// True while what [`Report::lax`] is told would be kept.
    pub(super) fn wants_lax(&self) -> bool {
        if self.strict { !self.is_full() } else { self.wants_warnings() }
    }

    /// Ends the reading of what is refused.
    pub(super) fn into_error(mut self) -> PolicyError {
        self.sort();
        PolicyError { errors: self.errors, warnings: self.warnings }
    }

    /// Ends the reading: the warnings, or the errors if there is one.
    pub(super) fn finish(mut self) -> Result<Vec<Diagnostic>, PolicyError> {
        if !self.errors.is_empty() {
            return Err(self.into_error());
        }
        self.sort();
        Ok(self.warnings)
    }

    /// Into the order of the text: some are noticed only when what follows is known.
    fn sort(&mut self) {
        for list in [&mut self.errors, &mut self.warnings] {
            list.sort_by_key(|found| (found.line, found.column));
        }
    }

    fn diagnostic(
        &self,
        severity: Severity,
        at: usize,
        path: &impl fmt::Display,
        message: String,
        hint: Hint,
    ) -> Diagnostic {
        let (line, column) = position(self.text, at);
        Diagnostic {
            severity,
            line,
            column,
            path: path.to_string(),
            message,
            expected: hint.expected,
            suggestion: hint.suggestion,
        }
    }
}

/// Line and column, both from 1 and the column in characters, of a byte offset.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let mut line = 1usize;
    let mut column = 1usize;
    for (offset, c) in text.char_indices() {
        if offset >= at {
            break;
        }
        if c == '\n' {
            line = line.saturating_add(1);
            column = 1;
        } else {
            column = column.saturating_add(1);
        }
    }
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "ab\né\u{1F980}x\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 2), (1, 3));
        assert_eq!(position(text, 3), (2, 1));
        assert_eq!(position(text, 9), (2, 3));
        assert_eq!(position(text, 99), (3, 1));
    }

    #[test]
    fn hostile_text_is_shown_tamely() {
        assert_eq!(quoted("a\u{1b}[31m\"\n"), "\"a\\u{1b}[31m\\\"\\n\"");
        assert_eq!(shortened(&"x".repeat(41)), format!("{}...", "x".repeat(40)));
        let list = Path::Root.key("s");
        assert_eq!(list.index(3).key("a\tb").to_string(), "s[3].a\\tb");
    }
}
