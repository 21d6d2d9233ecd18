//! `millstream schema`: what a policy may have, for editors.

use crate::{Outcome, complain, print};
use std::ffi::OsString;

/// How the command is used.
pub(crate) const USAGE: &str = "\
  millstream schema
      Prints a JSON Schema of policies, for editors that complete and check them.
";

pub(crate) fn run(args: Vec<OsString>) -> Outcome {
    if let Some(arg) = args.into_iter().next() {
        complain(&format!("millstream: schema takes no arguments: {}\n", arg.display()));
        return Outcome::Unusable;
    }
    print(&format!("{}\n", millstream::policy::schema()));
    Outcome::Good
}
