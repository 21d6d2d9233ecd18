//! A web page whose visitors see what each of them says: one port for the page and for its websockets.
//!
//! `cargo run --example ws_broadcast -- [PORT]` (7681 unless given), then open `http://localhost:PORT` in a browser, twice.

use millstream::{
    Address, Context, Cx, Error, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow,
};
use std::collections::VecDeque;
use std::rc::Rc;

const POLICY: &str = r#"{ "s": [ { "chat": { "server": true, "endpoint": "localhost", "port": ${port}, "protocol": "h1", "ws_subprotocol": "chat",
    "metadata": [ { "mime": "content-type:" }, { "path": "" } ] } } ] }"#;

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>chat</title>
<style>
  :root { color-scheme: light dark; --ink: #1d2a33; --faint: #6b7a85; --paper: #f4f6f7; --card: #fff; --own: #d8ecf3; --mark: #17788f; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e4ebef; --faint: #94a3ad; --paper: #12191e; --card: #1d272e; --own: #17414e; --mark: #5cc0d6; }
  }
  * { box-sizing: border-box; }
  body { margin: 0 auto; max-width: 40rem; height: 100dvh; padding: 1rem; display: flex; flex-direction: column; gap: .75rem;
    font: 1rem/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
  header { display: flex; align-items: baseline; justify-content: space-between; }
  h1 { margin: 0; font-size: 1.25rem; }
  #fare { color: var(--faint); font-size: .875rem; }
  #fare::before { content: "\25cf  "; color: #c0392b; }
  #fare.up::before { color: #2e9e5b; }
  #log { flex: 1; margin: 0; padding: 0; overflow-y: auto; list-style: none; display: flex; flex-direction: column; gap: .5rem; }
  #log li { align-self: start; max-width: 85%; padding: .45rem .8rem; border-radius: .8rem; background: var(--card);
    white-space: pre-wrap; overflow-wrap: anywhere; }
  #log li.own { align-self: end; background: var(--own); }
  form { display: flex; gap: .5rem; }
  input, button { font: inherit; padding: .55rem .8rem; border-radius: .6rem; border: 1px solid var(--faint); }
  input { flex: 1; min-width: 0; color: inherit; background: var(--card); }
  button { color: var(--paper); background: var(--mark); border-color: var(--mark); }
  button:disabled { opacity: .5; }
</style>
<header><h1>chat</h1><span id="fare" role="status">connecting</span></header>
<ol id="log" role="log" aria-label="what was said"></ol>
<form id="form">
  <input id="line" aria-label="say something" placeholder="Say something to everybody here" maxlength="1000" autocomplete="off" autofocus>
  <button id="send" disabled>Send</button>
</form>
<script>
"use strict";
const [fare, log, form, line, send] = ["fare", "log", "form", "line", "send"].map(id => document.getElementById(id));
const own = [];
let socket;

function show(text) {
  const item = document.createElement("li");
  item.textContent = text;
  // What comes back first of what we said is the first that we said.
  if (own[0] === text) {
    own.shift();
    item.className = "own";
  }
  log.append(item);
  item.scrollIntoView();
}

function fares(isUp, words) {
  fare.textContent = words;
  fare.className = isUp ? "up" : "";
  send.disabled = !isUp;
}

function connect() {
  socket = new WebSocket(location.origin.replace(/^http/, "ws"), "chat");
  socket.onopen = () => fares(true, "connected");
  socket.onmessage = event => show(event.data);
  socket.onclose = event => {
    own.length = 0;
    fares(false, `closed (${event.code}), trying again`);
    setTimeout(connect, 2000);
  };
}

form.onsubmit = event => {
  event.preventDefault();
  if (send.disabled || !line.value) return;
  own.push(line.value);
  socket.send(line.value);
  line.value = "";
};
connect();
</script>
"#;

/// The longest thing to say, and what is kept for a visitor who does not read: whoever is further behind misses some.
const LONGEST: usize = 4096;
const KEPT: usize = 100;

/// What there is to say to each visitor.
#[derive(Default)]
struct Visitors(Vec<(StreamId, VecDeque<Rc<[u8]>>)>);

/// The server, which finds a handler for each connection.
struct Chat;

impl StreamHandler for Chat {
    fn accept(&mut self, _: &mut Cx<'_>, server: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Browser { server }))
    }
}

/// A connection that asks for the page, until it asks for more.
struct Browser {
    server: StreamId,
}

impl Browser {
    fn answer(cx: &mut Cx<'_>, me: StreamId) -> Result<(), Error> {
        if cx.metadata(me, "path") == Some(b"/") {
            cx.set_metadata(me, "mime", "text/html")?;
            cx.server_ack(me, 0)?;
            cx.request_tx_len(me, PAGE.len() as u64)
        } else {
            cx.server_ack(me, 404)?;
            cx.request_tx_len(me, 0)
        }
    }
}

impl StreamHandler for Browser {
    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(PAGE.as_bytes());
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let done = match state {
            StreamState::ServerTxn => Self::answer(cx, me),
            StreamState::ServerUpgrade => {
                if let Some(visitors) = cx.app::<Visitors>() {
                    visitors.0.push((me, VecDeque::new()));
                }
                cx.change_handlers(me, Visitor { server: self.server, line: Vec::new() })
            }
            _ => Ok(()),
        };
        if done.is_ok() { Flow::Ok } else { Flow::DestroyMe }
    }
}

/// A connection that has become a websocket.
struct Visitor {
    server: StreamId,
    line: Vec<u8>,
}

impl StreamHandler for Visitor {
    fn rx(&mut self, cx: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.line.extend_from_slice(payload);
        if self.line.len() > LONGEST {
            return Flow::DisconnectMe;
        }
        if flags.is_eom() {
            let line: Rc<[u8]> = std::mem::take(&mut self.line).into();
            for (_, kept) in cx.app::<Visitors>().into_iter().flat_map(|visitors| &mut visitors.0) {
                if kept.len() < KEPT {
                    kept.push_back(Rc::clone(&line));
                }
            }
            let _ = cx.server_foreach_client(self.server, |cx, client| drop(cx.request_tx(client)));
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(visitors) = cx.app::<Visitors>() else { return TxFlow::DontSend };
        let Some((_, kept)) = visitors.0.iter_mut().find(|(id, _)| *id == me) else {
            return TxFlow::DontSend;
        };
        let Some(line) = kept.pop_front() else { return TxFlow::DontSend };
        let has_more = !kept.is_empty();
        tx.write(&line);
        tx.end_message();
        if has_more {
            let _ = cx.request_tx(me);
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if let (StreamState::Destroying, Some(visitors)) = (state, cx.app::<Visitors>()) {
            visitors.0.retain(|(id, _)| *id != me);
        }
        Flow::Ok
    }
}

/// A context that serves, and where.
///
/// # Errors
/// The port is in use.
pub(crate) fn serve(port: u16) -> Result<(Context, u16), Error> {
    let policy = POLICY.replace("${port}", &port.to_string());
    let mut context = Context::builder().policy(&policy)?.app(Visitors::default()).build()?;
    let port = context.with(|cx| {
        let server = cx.create("chat", Chat)?;
        Ok::<_, Error>(cx.server_address(server).and_then(Address::port).unwrap_or(0))
    })?;
    Ok((context, port))
}

#[allow(dead_code, reason = "a test brings this file in as a module")]
fn main() -> Result<(), Error> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(7681);
    let (mut context, port) = serve(port)?;
    println!("http://localhost:{port}");
    context.run()
}
