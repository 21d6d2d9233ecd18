//! What secure streams cost above a bare `Protocol`: the same requests, answered by both in turn, in processor time of the
//! server's thread.
//!
//! `cargo bench --bench layers`

mod common;

use common::{Peer, median, port_of, thread_time};
use millstream::http::{BodyLength, Head, Status};
use millstream::{
    Acceptor, Address, Context, Cx, Flow, ListenInfo, Protocol, ServerRole, StreamHandler, StreamId,
    StreamState, Tx, TxFlow, Waker, WsiId,
};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

const ROUNDS: usize = 15;
const SMALL: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = concat!(
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n",
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: "
);
const LARGE_LEN: u64 = 1 << 20;

/// What is left to send of the answer at hand.
#[derive(Default)]
struct Answer(u64);

impl Answer {
    fn length(path: &[u8]) -> u64 {
        if path == b"/large" { LARGE_LEN } else { 5 }
    }

    /// Gives the next piece; says whether there are more.
    fn give(&mut self, tx: &mut Tx<'_>) -> bool {
        self.0 -= tx.fill(|room| usize::try_from(self.0).unwrap_or(usize::MAX).min(room.len())) as u64;
        self.0 > 0
    }
}

impl StreamHandler for Answer {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::<Self>::default())
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        if self.give(tx) {
            let _ = cx.request_tx(me);
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            self.0 = Self::length(cx.metadata(me, "path").unwrap_or_default());
            let _ = cx.set_metadata(me, "mime", "text/plain");
            let _ = cx.request_tx_len(me, self.0);
        }
        Flow::Ok
    }
}

impl Acceptor for Answer {
    fn accept(&mut self, _: &mut Cx<'_>, _: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        Some(Box::<Self>::default())
    }
}

impl Protocol for Answer {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        self.0 = Self::length(head.path());
        let fields = [("Content-Type", "text/plain")];
        let _ = cx.http_respond(me, Status::OK, &fields, BodyLength::Known(self.0));
        let _ = cx.wsi_request_tx(me);
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        if self.give(tx) {
            let _ = cx.wsi_request_tx(me);
        }
        TxFlow::Send
    }
}

const POLICY: &str = r#"{ "s": [ { "server": { "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h1",
    "metadata": [ { "mime": "content-type:" }, { "path": "" } ] } } ] }"#;

/// A server in a thread of its own, which tells its processor time when it is woken.
struct Server {
    port: u16,
    waker: Waker,
    times: mpsc::Receiver<Duration>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(is_stream: bool) -> Self {
        let (tell, times) = mpsc::channel();
        let (tell_port, ports) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut context =
                Context::builder().policy(POLICY).expect("a policy").build().expect("a context");
            let port = context.with(|cx| {
                if is_stream {
                    let server = cx.create("server", Answer::default()).expect("a server");
                    return port_of(cx.server_address(server));
                }
                let any = Address::Ip("127.0.0.1:0".parse().expect("an address"));
                let vhost =
                    cx.listen(ListenInfo::new(any, ServerRole::H1), Answer::default()).expect("a vhost");
                port_of(cx.vhost_address(vhost))
            });
            tell_port.send((port, context.waker())).expect("somebody who asks");
            // The first turn without a connection is one that was asked for.
            loop {
                context.service(None).expect("a poller");
                if context.census().wsis == 1 && tell.send(thread_time()).is_err() {
                    return;
                }
            }
        });
        let (port, waker) = ports.recv().expect("a server");
        Self { port, waker, times, thread: Some(thread) }
    }

    /// The thread's processor time now that nobody is connected.
    fn time(&self) -> Duration {
        while self.times.try_recv().is_ok() {}
        self.waker.wake();
        self.times.recv().expect("a server")
    }

    /// Processor time of one round, in seconds. All connections ask, then all are answered: a server that is woken for
    /// each request would show the price of being woken.
    fn round(&self, request: &[u8], len: u64, count: u32, connections: usize) -> f64 {
        let before = self.time();
        let answer = HEAD.len() + len.to_string().len() + 4 + len as usize;
        let mut peers: Vec<Peer> = (0..connections).map(|_| Peer::new(self.port, answer)).collect();
        for _ in 0..count {
            for peer in &mut peers {
                peer.ask(request);
            }
            peers.iter_mut().for_each(Peer::take);
        }
        drop(peers);
        self.time().saturating_sub(before).as_secs_f64()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let (_, nobody) = mpsc::channel();
        self.times = nobody;
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn main() {
    let (streams, protocols) = (Server::start(true), Server::start(false));
    println!("| server's processor time per request | secure stream | `Protocol` | ratio |");
    println!("|---|---|---|---|");
    for (what, request, len, count, connections) in
        [("5 bytes", SMALL, 5, 1000, 64), ("1 MiB", LARGE, LARGE_LEN, 200, 1)]
    {
        let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let round = |server: &Server| server.round(request, len, count, connections);
            let pair = (round(&streams), round(&protocols));
            ours.push(pair.0);
            bare.push(pair.1);
            ratios.push(pair.0 / pair.1);
        }
        let each = 1e6 / f64::from(count) / connections as f64;
        let (ours, bare, ratio) = (median(ours) * each, median(bare) * each, median(ratios));
        println!("| GET of {what} | {ours:.2} us | {bare:.2} us | {ratio:.3} |");
    }
}
