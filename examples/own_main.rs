//! A program with a `main` of its own, which does its own work between the turns of the loop.
//!
//! `cargo run --example own_main`: counts to ten, while a server and a client of the policy talk to each other.

use millstream::{Context, Cx, Error, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::time::Duration;

const POLICY: &str = r#"{ "s": [
    { "echo": { "server": true, "endpoint": "+@millstream-own-main-${pid}", "protocol": "raw" } },
    { "ask": { "endpoint": "+@millstream-own-main-${pid}", "protocol": "raw", "opportunistic": true } } ] }"#;

/// Sends back what it gets, on each connection.
#[derive(Default)]
struct Echo(Vec<u8>);

impl StreamHandler for Echo {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::<Self>::default())
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.0.extend_from_slice(payload);
        let _ = cx.request_tx(me);
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.0);
        self.0.drain(..sent);
        if !self.0.is_empty() {
            let _ = cx.request_tx(me);
        }
        TxFlow::Send
    }
}

/// What the program and its streams share.
#[derive(Default)]
struct App {
    /// What was sent back.
    heard: String,
}

struct Client;

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        if let Some(app) = cx.app::<App>() {
            app.heard += &String::from_utf8_lossy(payload);
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::Creating {
            let _ = cx.request_tx(me);
        }
        Flow::Ok
    }
}

/// Counts to `limit`, serving the loop for up to a millisecond in between; says what the client heard meanwhile.
///
/// # Errors
/// The loop cannot be made, or served.
pub(crate) fn run(limit: u32) -> Result<String, Error> {
    let policy = POLICY.replace("${pid}", &std::process::id().to_string());
    let mut context = Context::builder().policy(&policy)?.app(App::default()).build()?;
    context.with(|cx| {
        cx.create("echo", Echo::default())?;
        cx.create("ask", Client)
    })?;
    let mut count = 0;
    loop {
        context.service(Some(Duration::from_millis(1)))?;
        count += 1;
        let heard = context.with(|cx| cx.app::<App>().map(|app| app.heard.clone()).unwrap_or_default());
        if count >= limit && heard == "hello" {
            return Ok(heard);
        }
    }
}

#[allow(dead_code, reason = "a test brings this file in as a module")]
fn main() -> Result<(), Error> {
    println!("counted to ten and heard \"{}\"", run(10)?);
    Ok(())
}
