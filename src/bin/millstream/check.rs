//! `millstream check`: is this a policy?

use std::ffi::OsString;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use millstream::policy::{
    Diagnostic, Key, ParseOptions, Parsed, Policy, PolicyError, Protocol, Severity, StreamType, Template,
    keys,
};
use serde_json::{Value, json};

use crate::{Outcome, complain, print};

pub(crate) const USAGE: &str = "  \
  millstream check [--strict] [--json] [--keys] [--overlay FILE]... POLICY
      Reads POLICY (- for standard input) and says what is wrong with it, as
      FILE:LINE:COLUMN: error: PATH: MESSAGE. Status 0: it can be used; 1: it is refused; 2: it cannot be read.
      --strict        refuse what is otherwise accepted because published policies need it
      --json          print one JSON object
      --keys          list the keys it uses and whether they are in force; without POLICY: all there are
      --overlay FILE  lay FILE over it; may be given again
";

/// The command line.
#[derive(Default)]
struct Arguments {
    strict: bool,
    json: bool,
    keys: bool,
    overlays: Vec<PathBuf>,
    policy: Option<PathBuf>,
}

pub(crate) fn run(args: Vec<OsString>) -> Outcome {
    let arguments = match parse(args) {
        Ok(arguments) => arguments,
        Err(message) => {
            complain(&format!("millstream check: {message}\n{USAGE}"));
            return Outcome::Unusable;
        }
    };
    let mut check = Check::default();
    if let Some(file) = &arguments.policy {
        let options = ParseOptions { strict: arguments.strict, ..ParseOptions::default() };
        if let Err((file, error)) = check.read(file, &arguments.overlays, &options) {
            complain(&format!("{}: {error}\n", file.display()));
            return Outcome::Unusable;
        }
    } else {
        check.keys.extend(keys());
    }
    print(&if arguments.json { check.as_json() } else { check.as_text(&arguments) });
    if check.is_refused() { Outcome::Refused } else { Outcome::Good }
}

fn parse(args: Vec<OsString>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--strict") => arguments.strict = true,
            Some("--json") => arguments.json = true,
            Some("--keys") => arguments.keys = true,
            Some("--overlay") => {
                let file = args.next().ok_or("--overlay needs a file")?;
                arguments.overlays.push(file.into());
            }
            Some(option) if option.starts_with('-') && option != "-" => {
                return Err(format!("unknown option {option}"));
            }
            _ if arguments.policy.is_some() => return Err("there can be one policy only".to_owned()),
            _ => arguments.policy = Some(arg.into()),
        }
    }
    match arguments.policy {
        None if !arguments.keys => Err("no policy was named".to_owned()),
        None if !arguments.overlays.is_empty() => Err("an overlay needs a policy".to_owned()),
        _ => Ok(arguments),
    }
}

/// What was found out.
#[derive(Default)]
struct Check {
    /// The policy, with its overlays as far as they were accepted.
    policy: Option<Policy>,
    found: Vec<(PathBuf, Diagnostic)>,
    keys: Vec<&'static Key>,
}

impl Check {
    fn read<'a>(
        &mut self,
        file: &'a Path,
        overlays: &'a [PathBuf],
        options: &ParseOptions,
    ) -> Result<(), (&'a Path, io::Error)> {
        for (n, file) in std::iter::once(file).chain(overlays.iter().map(PathBuf::as_path)).enumerate() {
            let text = match text_of(file, options).map_err(|error| (file, error))? {
                Ok(text) => text,
                Err(diagnostic) => {
                    self.note(file, &[diagnostic]);
                    continue;
                }
            };
            if n == 0 {
                self.take(file, Policy::parse_with(&text, options));
            } else if let Some(policy) = &self.policy {
                self.take(file, policy.overlay_with(&text, options));
            }
        }
        Ok(())
    }

    fn take(&mut self, file: &Path, parsed: Result<Parsed, PolicyError>) {
        match parsed {
            Ok(parsed) => {
                self.policy = Some(parsed.policy);
                let known = std::mem::take(&mut self.keys);
                self.keys = keys().filter(|key| known.contains(key) || parsed.keys.contains(key)).collect();
                self.note(file, &parsed.warnings);
            }
            Err(error) => {
                self.note(file, error.errors());
                self.note(file, error.warnings());
            }
        }
    }

    fn note(&mut self, file: &Path, diagnostics: &[Diagnostic]) {
        self.found.extend(diagnostics.iter().map(|diagnostic| (file.to_owned(), diagnostic.clone())));
    }

    fn errors(&self) -> usize {
        self.found.iter().filter(|(_, found)| found.is_error()).count()
    }

    fn is_refused(&self) -> bool {
        self.errors() > 0
    }

    fn as_text(&self, arguments: &Arguments) -> String {
        let mut text = String::new();
        for (file, diagnostic) in &self.found {
            let _ = writeln!(text, "{}:{diagnostic}", file.display());
        }
        if arguments.keys {
            for key in &self.keys {
                let _ = writeln!(text, "{}", described(key));
            }
        }
        if let (Some(file), Some(policy)) = (&arguments.policy, &self.policy) {
            let verdict = if self.is_refused() { "refused" } else { "ok" };
            let types = policy.stream_types().count();
            let warnings = self.found.len().saturating_sub(self.errors());
            let _ =
                writeln!(text, "{}: {verdict}; stream types: {types}, warnings: {warnings}", file.display());
            let later: Vec<&str> = self.without_effect().map(|key| key.name).collect();
            if !later.is_empty() {
                let _ = writeln!(text, "{}: parsed, not yet in force: {}", file.display(), later.join(", "));
            }
        }
        text
    }

    fn without_effect(&self) -> impl Iterator<Item = &&'static Key> {
        self.keys.iter().filter(|key| !key.in_force)
    }

    fn as_json(&self) -> String {
        let found = self.found.iter().map(|(file, diagnostic)| {
            json!({
                "file": file.to_string_lossy(),
                "severity": diagnostic.severity.to_string(),
                "line": diagnostic.line,
                "column": diagnostic.column,
                "path": diagnostic.path,
                "message": diagnostic.message,
                "expected": diagnostic.expected,
                "suggestion": diagnostic.suggestion,
            })
        });
        let keys = self.keys.iter().map(|key| {
            json!({
                "section": key.section.to_string(),
                "name": key.name,
                "in_force": key.in_force,
                "takes": key.kind.to_string(),
                "doc": key.doc,
            })
        });
        let policy = self.policy.as_ref();
        let object = json!({
            "ok": !self.is_refused(),
            "diagnostics": found.collect::<Value>(),
            "keys": keys.collect::<Value>(),
            "release": policy.and_then(Policy::release),
            "product": policy.and_then(Policy::product),
            "stream_types": policy.map(|policy| policy.stream_types().map(|of| summary(of)).collect::<Value>()),
        });
        format!("{object}\n")
    }
}

fn summary(stream_type: &StreamType) -> Value {
    let role = match stream_type {
        StreamType { local_sink: true, .. } => "sink",
        StreamType { server: true, .. } => "server",
        _ => "client",
    };
    json!({
        "name": stream_type.name,
        "role": role,
        "protocol": stream_type.protocol.map(Protocol::name),
        "endpoint": stream_type.endpoint.as_ref().map(Template::source),
        "port": stream_type.port,
        "tls": stream_type.tls,
        "trust_store": stream_type.tls_trust_store.as_ref().map(|store| &store.name),
        "retry": stream_type.retry.as_ref().map(|retry| &retry.name),
        "metadata": stream_type.metadata.iter().map(|def| &def.name).collect::<Vec<_>>(),
    })
}

fn described(key: &Key) -> String {
    let force = if key.in_force { "in force" } else { "parsed  " };
    format!("{:12} {:30} {force} {}: {}", key.section.to_string(), key.name, key.kind, key.doc)
}

/// What a file holds: text, or the place where it stops being text.
fn text_of(file: &Path, options: &ParseOptions) -> io::Result<Result<String, Diagnostic>> {
    // One byte more than is allowed is enough to be refused.
    let limit = u64::try_from(options.max_len).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    if bytes.len() > options.max_len {
        // It may have been cut inside a character.
        return Ok(Ok(String::from_utf8_lossy(&bytes).into_owned()));
    }
    Ok(String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        Diagnostic {
            severity: Severity::Error,
            line: good.matches('\n').count().saturating_add(1),
            column: good.rsplit('\n').next().map_or(0, |line| line.chars().count()).saturating_add(1),
            path: String::new(),
            message: "a byte that is no text".to_owned(),
            expected: Some("UTF-8".to_owned()),
            suggestion: None,
        }
    }))
}
