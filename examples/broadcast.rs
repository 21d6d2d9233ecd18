//! A thread that has something to say, and a server that says it to all of its clients.
//!
//! `cargo run --example broadcast`: ten lines to three clients.

use millstream::{
    Address, Context, Cx, Error, Flow, Remote, RxFlags, StreamHandler, StreamId, StreamState, SystemState,
    Tx, TxFlow,
};

const POLICY: &str = r#"{ "s": [
    { "news": { "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "raw" } },
    { "reader": { "endpoint": "127.0.0.1:${port}", "protocol": "raw", "nailed_up": true, "metadata": [ { "port": "" } ] } } ] }"#;

/// What was said so far, what each reader got of it, and how much there will be.
#[derive(Default)]
struct App {
    said: Vec<u8>,
    heard: Vec<Vec<u8>>,
    lines: usize,
}

/// The server, and each of its connections with how far it has come.
struct News(usize);

impl StreamHandler for News {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(0)))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(app) = cx.app::<App>() else { return TxFlow::DontSend };
        self.0 += tx.write(app.said.get(self.0..).unwrap_or_default());
        if self.0 < app.said.len() {
            let _ = cx.request_tx(me);
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        // Whoever comes late hears what was said before.
        if state == StreamState::Connected {
            let _ = cx.request_tx(me);
        }
        Flow::Ok
    }
}

struct Reader {
    number: usize,
    port: u16,
}

impl StreamHandler for Reader {
    fn rx(&mut self, cx: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        let Some(app) = cx.app::<App>() else { return Flow::Ok };
        if let Some(heard) = app.heard.get_mut(self.number) {
            heard.extend_from_slice(payload);
        }
        let has_all = |heard: &Vec<u8>| String::from_utf8_lossy(heard).lines().count() == app.lines;
        if app.heard.iter().all(has_all) && payload.ends_with(b"\n") {
            cx.stop();
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::Creating {
            let _ = cx.set_metadata(me, "port", self.port.to_string());
        }
        Flow::Ok
    }
}

/// The thread: it knows the loop by its [`Remote`] alone.
fn speak(remote: &Remote, server: StreamId, lines: usize) -> Result<(), Error> {
    for line in 0..lines {
        remote.attach_at(SystemState::Operational, move |cx| {
            if let Some(app) = cx.app::<App>() {
                app.said.extend_from_slice(format!("line {line}\n").as_bytes());
            }
        })?;
        remote.request_tx_of_clients(server)?;
    }
    Ok(())
}

/// Lets a thread say `lines` lines to `readers` readers, and returns what each has heard.
///
/// # Errors
/// The loop cannot be made, or served.
pub(crate) fn run(lines: usize, readers: usize) -> Result<Vec<String>, Error> {
    let app = App { heard: vec![Vec::new(); readers], lines, ..App::default() };
    let mut context = Context::builder().policy(POLICY)?.app(app).build()?;
    let server = context.with(|cx| {
        let server = cx.create("news", News(0))?;
        let port = cx.server_address(server).and_then(Address::port).unwrap_or(0);
        for number in 0..readers {
            cx.create("reader", Reader { number, port })?;
        }
        Ok::<_, Error>(server)
    })?;
    let remote = context.remote();
    let speaker = std::thread::spawn(move || speak(&remote, server, lines));
    context.run()?;
    let _ = speaker.join();
    let heard =
        context.with(|cx| cx.app::<App>().map(|app| std::mem::take(&mut app.heard)).unwrap_or_default());
    Ok(heard.iter().map(|heard| String::from_utf8_lossy(heard).into_owned()).collect())
}

#[allow(dead_code, reason = "a test brings this file in as a module")]
fn main() -> Result<(), Error> {
    for (reader, heard) in run(10, 3)?.iter().enumerate() {
        println!(
            "reader {reader} heard {} lines, the last: {}",
            heard.lines().count(),
            heard.lines().last().unwrap_or_default()
        );
    }
    Ok(())
}
