//! Runs scenarios by name, and goes on after one that fails.

use millstream::Context;
use millstream::sim::Network;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What became of a matrix of scenarios.
#[derive(Default)]
pub(crate) struct Runner {
    only: Option<String>,
    pub(crate) ran: usize,
    failed: Vec<String>,
}

impl Runner {
    pub(crate) fn new() -> Self {
        Self { only: std::env::var("TORTURE").ok(), ..Self::default() }
    }

    pub(crate) fn run(&mut self, name: &str, scenario: impl FnOnce()) {
        if self.only.as_ref().is_some_and(|only| only != name) {
            return;
        }
        self.ran += 1;
        if catch_unwind(AssertUnwindSafe(scenario)).is_err() {
            println!("FAILED: {name}");
            self.failed.push(name.to_owned());
        }
    }

    pub(crate) fn finish(self) {
        println!("{} scenarios", self.ran);
        assert!(self.failed.is_empty(), "{} failed:\n{}", self.failed.len(), self.failed.join("\n"));
    }
}

/// Lets `millis` milliseconds pass.
pub(crate) fn run(network: &Network, contexts: &mut [&mut Context], millis: u64) {
    let until = network.now().saturating_add(Duration::from_millis(millis));
    network.run(contexts, until).unwrap();
}
