//! A server stream in a thread of its own. Echoes, digests, sends what its path asks for.

use crate::certificates::Certificates;
use crate::ws_echo::Echo;
use crate::{Digest, pattern};
use millstream::{
    Address, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Waker,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct StreamServer {
    pub port: u16,
    waker: Waker,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StreamServer {
    pub fn start(tls: Option<&Certificates>) -> Self {
        let common = r#""server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h2",
            "metadata": [{"mime": "content-type:"}, {"method": ""}, {"path": ""}, {"up": "x-up:"}, {"down": "x-down:"}]"#;
        let policy = match tls {
            None => format!(r#"{{"s": [{{"server": {{{common}}}}}]}}"#),
            Some(certificates) => format!(
                r#"{{{}, "s": [{{"server": {{{common}, "tls": true, "server_cert": "cert", "server_key": "key"}}}}]}}"#,
                certificates.policy()
            ),
        };
        Self::serve(policy, Server)
    }

    /// Serves by the stream type `server` of a policy.
    pub fn serve(policy: String, handler: impl StreamHandler + Send + 'static) -> Self {
        Self::run(move || {
            let mut context = Context::builder().policy(&policy).unwrap().build().unwrap();
            let port = context.with(|cx| {
                let server = cx.create("server", handler).unwrap();
                cx.server_address(server).and_then(Address::port).unwrap()
            });
            (context, port)
        })
    }

    /// A context that serves a port, made in its thread.
    pub fn run(make: impl FnOnce() -> (Context, u16) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let (mut context, port) = make();
                tell.send((port, context.waker())).unwrap();
                while !stop.load(Ordering::Acquire) {
                    context.service(None).unwrap();
                }
            }
        });
        let (port, waker) = told.recv().unwrap();
        Self { port, waker, stop, thread: Some(thread) }
    }
}

impl Drop for StreamServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// What each path of a server answers; who upgrades is echoed.
pub struct Server;

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::<Accepted>::default())
    }
}

#[derive(Default)]
enum Answer {
    #[default]
    Nothing,
    Text(String),
    Pattern {
        at: u64,
        len: u64,
    },
    Echo(VecDeque<u8>, bool),
    Digest(Digest),
}

#[derive(Default)]
struct Accepted(Answer);

impl Accepted {
    fn begin(&mut self, cx: &mut Cx<'_>, me: StreamId) {
        let text = |cx: &Cx<'_>, name| {
            String::from_utf8(cx.metadata(me, name).unwrap_or_default().to_vec()).unwrap()
        };
        let path = text(cx, "path");
        let (kind, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let mime = if kind == "page" { "text/html" } else { "text/plain" };
        cx.set_metadata(me, "mime", mime).unwrap();
        self.0 = match kind {
            "page" => Answer::Text(include_str!("page.html").to_owned()),
            "known" => Answer::Text(format!("hello {argument}")),
            "bytes" | "chunked" => Answer::Pattern { at: 0, len: argument.parse().unwrap() },
            "fields" => {
                let up = text(cx, "up");
                cx.set_metadata(me, "down", up).unwrap();
                Answer::Text("see the head".to_owned())
            }
            "echo" => Answer::Echo(VecDeque::new(), false),
            "digest" => Answer::Digest(Digest::default()),
            _ => Answer::Nothing,
        };
        cx.server_ack(me, if matches!(self.0, Answer::Nothing) { 404 } else { 0 }).unwrap();
        match &self.0 {
            Answer::Nothing => cx.request_tx_len(me, 0).unwrap(),
            Answer::Text(text) => cx.request_tx_len(me, text.len() as u64).unwrap(),
            Answer::Pattern { len, .. } if kind == "bytes" => cx.request_tx_len(me, *len).unwrap(),
            Answer::Pattern { .. } => cx.request_tx(me).unwrap(),
            Answer::Echo(..) | Answer::Digest(_) => {}
        }
    }
}

impl StreamHandler for Accepted {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        match &mut self.0 {
            Answer::Echo(kept, ended) => {
                kept.extend(payload);
                *ended = flags.is_eom();
                cx.rx_flow(me, kept.len() < 100_000 || *ended).unwrap();
                cx.request_tx(me).unwrap();
            }
            Answer::Digest(digest) => {
                digest.add(payload);
                if flags.is_eom() {
                    self.0 = Answer::Text(format!("{:x} {}", digest.0, digest.1));
                    cx.request_tx(me).unwrap();
                }
            }
            _ => {}
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        match &mut self.0 {
            Answer::Nothing | Answer::Digest(_) => return TxFlow::DontSend,
            Answer::Text(text) => {
                let sent = tx.write(text.as_bytes());
                text.drain(..sent);
                if text.is_empty() {
                    tx.end_message();
                } else {
                    cx.request_tx(me).unwrap();
                }
            }
            Answer::Pattern { at, len } => {
                let left = usize::try_from(*len - *at).unwrap();
                *at += tx.fill(|room| {
                    let len = room.len().min(left);
                    room[..len].iter_mut().zip(*at..).for_each(|(byte, at)| *byte = pattern(at));
                    len
                }) as u64;
                if at == len {
                    tx.end_message();
                } else {
                    cx.request_tx(me).unwrap();
                }
            }
            Answer::Echo(kept, ended) => {
                let sent = tx.write(kept.make_contiguous());
                kept.drain(..sent);
                match (kept.is_empty(), *ended) {
                    (true, true) => tx.end_message(),
                    (true, false) => cx.rx_flow(me, true).unwrap(),
                    _ => cx.request_tx(me).unwrap(),
                }
            }
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::ServerTxn => self.begin(cx, me),
            StreamState::ServerUpgrade => cx.change_handlers(me, Echo::default()).unwrap(),
            _ => {}
        }
        Flow::Ok
    }
}
