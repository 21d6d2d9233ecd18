//! A server of the policy's, HTTP/1.1 and HTTP/2: plain, and TLS when a certificate and its key (PEM files) are given. Serves `GET /`,
//! `GET /bytes/N`, and gives `POST /echo` back what it sends.
//!
//! `cargo run --example http_server -- [PORT [TLS_PORT CERT KEY]]`; port 0 is any that is free. Prints where it listens.

use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::collections::VecDeque;

/// Echo keeps at most this much; then the client is held up until it has read.
const KEPT: usize = 256 * 1024;

struct Server;

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Connection::default()))
    }
}

/// What the request at hand is answered with.
#[derive(Default)]
enum Answer {
    #[default]
    Nothing,
    Text(&'static str),
    Bytes(u64),
    Echo {
        kept: VecDeque<u8>,
        ended: bool,
    },
}

#[derive(Default)]
struct Connection(Answer);

impl Connection {
    fn answer(&mut self, cx: &mut Cx<'_>, me: StreamId) -> Result<(), millstream::Error> {
        let is = |cx: &Cx<'_>, name: &str, value: &str| cx.metadata(me, name) == Some(value.as_bytes());
        let path = String::from_utf8_lossy(cx.metadata(me, "path").unwrap_or_default()).into_owned();
        let bytes = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok());
        self.0 = if is(cx, "method", "POST") && path == "/echo" {
            Answer::Echo { kept: VecDeque::new(), ended: false }
        } else if is(cx, "method", "POST") {
            Answer::Nothing
        } else if path == "/" {
            Answer::Text("hello from a policy\n")
        } else {
            bytes.map_or(Answer::Nothing, Answer::Bytes)
        };
        cx.set_metadata(me, "mime", "text/plain")?;
        cx.server_ack(me, u16::from(matches!(self.0, Answer::Nothing)))?;
        match &self.0 {
            Answer::Nothing => cx.request_tx_len(me, 0),
            Answer::Text(text) => cx.request_tx_len(me, text.len() as u64),
            Answer::Bytes(len) => cx.request_tx_len(me, *len),
            Answer::Echo { .. } => Ok(()),
        }
    }
}

impl StreamHandler for Connection {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        if let Answer::Echo { kept, ended } = &mut self.0 {
            kept.extend(payload);
            *ended = flags.is_eom();
            if kept.len() > KEPT && !*ended {
                cx.rx_flow(me, false).ok();
            }
            cx.request_tx(me).ok();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let more = match &mut self.0 {
            Answer::Nothing => return TxFlow::DontSend,
            Answer::Text(text) => {
                tx.write(text.as_bytes());
                tx.end_message();
                false
            }
            Answer::Bytes(left) => {
                let sent = tx.fill(|room| {
                    let len = room.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    room[..len].fill(b'x');
                    len
                });
                *left -= sent as u64;
                *left > 0
            }
            Answer::Echo { kept, ended } => {
                let sent = tx.write(kept.make_contiguous());
                kept.drain(..sent);
                if kept.is_empty() && *ended {
                    tx.end_message();
                }
                cx.rx_flow(me, true).ok();
                !kept.is_empty()
            }
        };
        if more {
            cx.request_tx(me).ok();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn && self.answer(cx, me).is_err() {
            return Flow::DisconnectMe;
        }
        Flow::Ok
    }
}

fn pem(path: &str) -> Result<String, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().filter(|line| !line.starts_with("-----")).collect())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let port = args.first().map_or("0", String::as_str);
    let common = r#""server": true, "endpoint": "127.0.0.1", "protocol": "h2",
        "metadata": [ { "mime": "content-type:" }, { "method": "" }, { "path": "" } ]"#;
    let policy = match args.get(1..4) {
        Some([tls_port, cert, key]) => format!(
            r#"{{ "certs": [ {{ "cert": "{}" }}, {{ "key": "{}" }} ], "s": [
                {{ "plain": {{ {common}, "port": {port} }} }},
                {{ "tls": {{ {common}, "port": {tls_port}, "tls": true, "server_cert": "cert", "server_key": "key" }} }} ] }}"#,
            pem(cert)?,
            pem(key)?
        ),
        _ => format!(r#"{{ "s": [ {{ "plain": {{ {common}, "port": {port} }} }} ] }}"#),
    };
    let mut context = Context::builder().policy(&policy)?.build()?;
    context.with(|cx| -> Result<(), millstream::Error> {
        for streamtype in ["plain", "tls"].into_iter().take(if args.len() >= 4 { 2 } else { 1 }) {
            let server = cx.create(streamtype, Server)?;
            if let Some(address) = cx.server_address(server) {
                println!("{streamtype} {address}");
            }
        }
        Ok(())
    })?;
    context.run()?;
    Ok(())
}
