//! Gives back each websocket message that it hears, text as text and binary as binary, piece by piece as they come: as a server
//! of the policy's, or as a client without one; either with all that permessage-deflate has.
//!
//! `cargo run --example ws_echo -- serve [PORT]` (any that is free unless given; prints where it listens), or
//! `cargo run --example ws_echo -- join HOST PORT [TARGET]`, until the server has enough.

use millstream::http::Head;
use millstream::{
    Cause, ClientInfo, ClientRole, Context, Cx, Error, Flow, Protocol, RxFlags, StreamHandler, StreamId,
    StreamInfo, Target, Tx, TxFlow, WsDeflate, WsInfo, WsiId,
};
use std::collections::VecDeque;

const POLICY: &str = r#"{ "s": [ { "echo": { "server": true, "endpoint": "127.0.0.1", "port": ${port}, "protocol": "ws" } } ] }"#;

/// Whoever has this much to read from us is not read from.
const KEPT: usize = 256 * 1024;

/// The same of pieces, which may be empty.
const KEPT_PIECES: usize = 4096;

/// A piece of a message that goes back.
struct Piece {
    len: usize,
    flags: RxFlags,
}

/// What is still to go back: pieces, and their bytes one behind the other.
#[derive(Default)]
struct Kept {
    pieces: VecDeque<Piece>,
    bytes: Vec<u8>,
    /// Those that have gone.
    sent: usize,
}

impl Kept {
    fn take(&mut self, bytes: &[u8], flags: RxFlags) {
        self.bytes.extend_from_slice(bytes);
        self.pieces.push_back(Piece { len: bytes.len(), flags });
    }

    /// Fills `tx` with as much of a message as there is.
    fn give(&mut self, tx: &mut Tx<'_>) -> TxFlow {
        if self.pieces.is_empty() {
            return TxFlow::DontSend;
        }
        while let Some(piece) = self.pieces.front_mut() {
            tx.binary(piece.flags.is_binary());
            let sent = tx.write(&self.bytes[self.sent..self.sent + piece.len]);
            self.sent += sent;
            piece.len -= sent;
            if piece.len > 0 {
                break;
            }
            let is_eom = piece.flags.is_eom();
            self.pieces.pop_front();
            if is_eom {
                tx.end_message();
                break;
            }
        }
        if self.pieces.is_empty() || self.sent >= KEPT / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        TxFlow::Send
    }

    fn has_more(&self) -> bool {
        !self.pieces.is_empty()
    }

    fn may_hear(&self) -> bool {
        self.bytes.len() - self.sent < KEPT && self.pieces.len() < KEPT_PIECES
    }
}

/// The server, and each of its connections.
#[derive(Default)]
struct Server(Kept);

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::<Self>::default())
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.0.take(payload, flags);
        let asked = cx.rx_flow(me, self.0.may_hear()).and_then(|()| cx.request_tx(me));
        asked.map_or(Flow::DisconnectMe, |()| Flow::Ok)
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let flow = self.0.give(tx);
        let asked = cx.rx_flow(me, self.0.may_hear());
        let asked = if self.0.has_more() { asked.and_then(|()| cx.request_tx(me)) } else { asked };
        asked.map_or(TxFlow::DisconnectMe, |()| flow)
    }
}

/// The client's connection.
struct Client {
    target: String,
    host: String,
    kept: Kept,
}

impl Protocol for Client {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let info = WsInfo { deflate: Some(WsDeflate::TAKEOVER), ..WsInfo::default() };
        let asked = cx.ws_request(me, &self.target, &self.host, &[], &info);
        asked.map_or(Flow::DisconnectMe, |()| Flow::Ok)
    }

    fn response(&mut self, _: &mut Cx<'_>, _: WsiId, head: &Head) -> Flow {
        if head.status().is_some_and(|status| status.code() == 101) { Flow::Ok } else { Flow::DisconnectMe }
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn message(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8], flags: RxFlags) -> Flow {
        self.kept.take(payload, flags);
        let asked = cx.wsi_rx_flow(me, self.kept.may_hear()).and_then(|()| cx.wsi_request_tx(me));
        asked.map_or(Flow::DisconnectMe, |()| Flow::Ok)
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let flow = self.kept.give(tx);
        let asked = cx.wsi_rx_flow(me, self.kept.may_hear());
        let asked = if self.kept.has_more() { asked.and_then(|()| cx.wsi_request_tx(me)) } else { asked };
        asked.map_or(TxFlow::DisconnectMe, |()| flow)
    }

    fn closed(&mut self, cx: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        println!("{}: {}", self.target, cause.map_or_else(|| "closed".to_owned(), ToString::to_string));
        cx.stop();
    }
}

fn serve(port: &str) -> Result<(), Error> {
    let mut context = Context::builder().policy(&POLICY.replace("${port}", port))?.build()?;
    context.with(|cx| {
        // Whatever a client wants of compression.
        let info = StreamInfo { ws_deflate: Some(WsDeflate::TAKEOVER), ..StreamInfo::from("echo") };
        let server = cx.create(info, Server::default())?;
        if let Some(address) = cx.server_address(server) {
            println!("plain {address}");
        }
        Ok::<_, Error>(())
    })?;
    context.run()
}

fn join(host: &str, port: u16, target: &str) -> Result<(), Error> {
    let mut context = Context::builder().build()?;
    let info = ClientInfo::new(Target::Host(host.to_owned(), port), ClientRole::Ws);
    let client = Client { target: target.to_owned(), host: format!("{host}:{port}"), kept: Kept::default() };
    context.with(|cx| cx.connect(&info, client));
    context.run()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve("0")?,
        ["serve", port] => serve(port)?,
        ["join", host, port] => join(host, port.parse()?, "/")?,
        ["join", host, port, target] => join(host, port.parse()?, target)?,
        _ => return Err("usage: ws_echo serve [PORT], or ws_echo join HOST PORT [TARGET]".into()),
    }
    Ok(())
}
