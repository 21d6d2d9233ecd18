//! `millstream`: what there is to do with policies on a command line.

mod check;
mod run;
mod schema;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// What a command's run came to; the exit status of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// 0
    Good,
    /// 1: the input is wrong.
    Refused,
    /// 2: the command line is wrong, or a file cannot be read.
    Unusable,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Good => 0,
            Outcome::Refused => 1,
            Outcome::Unusable => 2,
        })
    }
}

/// A command: its name, what it says for itself, and what runs it on the arguments after its name.
struct Command {
    name: &'static str,
    usage: &'static str,
    run: fn(Vec<OsString>) -> Outcome,
}

const COMMANDS: &[Command] = &[
    Command { name: "check", usage: check::USAGE, run: check::run },
    Command { name: "run", usage: run::USAGE, run: run::run },
    Command { name: "schema", usage: schema::USAGE, run: schema::run },
];

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let Some(first) = args.next() else {
        complain(&help());
        return Outcome::Unusable.into();
    };
    let rest: Vec<OsString> = args.collect();
    let outcome = match first.to_str() {
        Some("help" | "--help" | "-h") => {
            print(&help());
            Outcome::Good
        }
        Some("version" | "--version" | "-V") => {
            print(&format!("millstream {}\n", env!("CARGO_PKG_VERSION")));
            Outcome::Good
        }
        name => {
            if let Some(command) = COMMANDS.iter().find(|command| Some(command.name) == name) {
                (command.run)(rest)
            } else {
                complain(&format!("millstream: unknown command {}\n\n{}", first.display(), help()));
                Outcome::Unusable
            }
        }
    };
    outcome.into()
}

fn help() -> String {
    let mut text = "Usage:\n".to_owned();
    for command in COMMANDS {
        text.push_str(command.usage);
        text.push('\n');
    }
    text.push_str("  millstream help\n  millstream --version\n");
    text
}

/// To standard output. When its reader has gone there is nobody left to tell.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// To standard error.
fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
