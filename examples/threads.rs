//! One context in each thread, all on one port: the system deals out the connections (`SO_REUSEPORT`). Nothing is shared
//! among the loops, so nothing is locked.
//!
//! `cargo run --example threads`

use millstream::{
    Address, Context, Cx, Error, Flow, Remote, StreamHandler, StreamId, StreamState, Tx, TxFlow,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

/// Says which thread it is in.
struct Server(usize);

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(self.0)))
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(format!("served by {}", self.0).as_bytes());
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            cx.request_tx(me).ok();
        }
        Flow::Ok
    }
}

/// A loop in a thread of its own.
struct Loop {
    port: u16,
    remote: Remote,
    thread: JoinHandle<Result<(), Error>>,
}

/// Starts a loop on `port`; 0 is any.
fn serve(nth: usize, port: u16) -> Result<Loop, Error> {
    let policy = format!(
        r#"{{ "s": [ {{ "server": {{ "server": true, "endpoint": "127.0.0.1", "port": {port}, "protocol": "h1" }} }} ] }}"#
    );
    let (tell, told) = std::sync::mpsc::channel();
    // A context is made where it lives.
    let thread = std::thread::spawn(move || {
        let mut context = Context::builder().policy(&policy)?.reuse_port(true).build()?;
        let server = context.with(|cx| cx.create("server", Server(nth)))?;
        let port = context.with(|cx| cx.server_address(server).and_then(Address::port)).unwrap_or(0);
        if tell.send((port, context.remote())).is_ok() {
            context.run()?;
        }
        Ok(())
    });
    match told.recv() {
        Ok((port, remote)) => Ok(Loop { port, remote, thread }),
        Err(_) => Err(thread.join().ok().and_then(Result::err).unwrap_or(Error::Stale)),
    }
}

/// Starts as many loops as there are to be `threads`, asks them `requests` times, and tells how often each has answered.
pub(crate) fn run(threads: usize, requests: usize) -> Result<Vec<usize>, Box<dyn std::error::Error>> {
    let (mut port, mut loops) = (0, Vec::new());
    for nth in 0..threads {
        let one = serve(nth, port)?;
        port = one.port;
        loops.push(one);
    }
    let mut served = vec![0; threads];
    for _ in 0..requests {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let nth = answer.rsplit("served by ").next().and_then(|nth| nth.trim().parse::<usize>().ok());
        *nth.and_then(|nth| served.get_mut(nth)).ok_or("nobody has answered")? += 1;
    }
    for Loop { remote, thread, .. } in loops {
        remote.attach(|cx| cx.stop())?;
        thread.join().map_err(|_| "a loop has failed")??;
    }
    Ok(served)
}

#[allow(dead_code, reason = "a test takes the loops alone")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (nth, served) in run(4, 100)?.into_iter().enumerate() {
        println!("thread {nth} has answered {served} requests");
    }
    Ok(())
}
