//! Datagrams: a server that sends them back, and a client that asks until it is answered (README.udp.md).
//!
//! `cargo run --example udp_echo` does both in one process and loses every second datagram on purpose;
//! `cargo run --example udp_echo -- serve PORT` serves alone, `-- ask HOST PORT TEXT` asks.

use millstream::policy::RetryPolicy;
use millstream::{
    ClientInfo, ClientRole, Context, Cx, Flow, Protocol, SulId, Target, Tx, TxFlow, UdpInfo, WsiId,
};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

/// Datagrams that wait to be sent back; more are dropped, as networks do.
const KEPT: usize = 64;

#[derive(Default)]
struct Server(VecDeque<(SocketAddr, Vec<u8>)>);

impl Protocol for Server {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn datagram(&mut self, cx: &mut Cx<'_>, me: WsiId, from: SocketAddr, payload: &[u8]) -> Flow {
        if self.0.len() < KEPT {
            self.0.push_back((from, payload.to_vec()));
        }
        let _ = cx.wsi_request_tx(me);
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Some((to, payload)) = self.0.pop_front() else { return TxFlow::DontSend };
        tx.to(to);
        tx.write(&payload);
        let _ = cx.wsi_request_tx(me);
        TxFlow::Send
    }
}

/// Asks one question, again by the scheme until there is an answer.
struct Client {
    text: String,
    retry: RetryPolicy,
    tries: u16,
    timer: Option<SulId>,
}

impl Protocol for Client {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let _ = cx.wsi_request_tx(me);
        Flow::Ok
    }

    fn rx(&mut self, cx: &mut Cx<'_>, _: WsiId, payload: &[u8]) -> Flow {
        if payload != self.text.as_bytes() {
            return Flow::Ok;
        }
        println!("answered after {} tries: {}", self.tries, self.text);
        if let Some(timer) = self.timer.take() {
            let _ = cx.sul_cancel(timer);
        }
        cx.stop();
        Flow::DisconnectMe
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let again = move |cx: &mut Cx<'_>| drop(cx.wsi_request_tx(me));
        self.timer = cx.retry_schedule(&self.retry, &mut self.tries, again);
        if self.timer.is_none() {
            println!("not answered");
            cx.stop();
            return TxFlow::DisconnectMe;
        }
        tx.write(self.text.as_bytes());
        TxFlow::Send
    }
}

fn serve(cx: &mut Cx<'_>, port: u16) -> Result<u16, millstream::Error> {
    let server = cx.udp_bind(UdpInfo::new((Ipv4Addr::LOCALHOST, port).into()), Server::default())?;
    let port = cx.wsi_local(server).and_then(|address| address.port()).unwrap_or(0);
    println!("serves at 127.0.0.1:{port}");
    Ok(port)
}

fn ask(cx: &mut Cx<'_>, host: &str, port: u16, text: &str) {
    let retry = RetryPolicy { backoff: vec![100], conceal: 50, ..RetryPolicy::default() };
    let client = Client { text: text.to_owned(), retry, tries: 0, timer: None };
    cx.connect(&ClientInfo::new(Target::Host(host.to_owned(), port), ClientRole::Udp), client);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut context = match words[..] {
        [] => Context::builder().udp_loss(50, 0).build()?,
        _ => Context::builder().build()?,
    };
    match words[..] {
        [] => context.with(|cx| {
            let port = serve(cx, 0)?;
            ask(cx, "127.0.0.1", port, "hello");
            Ok::<(), millstream::Error>(())
        })?,
        ["serve", port] => {
            let port = port.parse()?;
            context.with(|cx| serve(cx, port))?;
        }
        ["ask", host, port, text] => {
            let port = port.parse()?;
            context.with(|cx| ask(cx, host, port, text));
        }
        _ => return Err("usage: udp_echo [serve PORT | ask HOST PORT TEXT]".into()),
    }
    context.run()?;
    Ok(())
}
