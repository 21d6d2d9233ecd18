//! The `h2` crate as the server, where it does what other servers do not: each path is a way to behave.

use crate::{Digest, pattern};
use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// What the server has seen.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub requests: AtomicUsize,
}

pub struct H2Server {
    pub port: u16,
    pub seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl H2Server {
    pub fn start(builder: Builder) -> Self {
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = oneshot::channel();
        let (tell_port, port) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    tell_port.send(listener.local_addr().unwrap().port()).unwrap();
                    tokio::select! {
                        () = accept(listener, builder, seen) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Self { port: port.recv().unwrap(), seen, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for H2Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// What a request makes its connection do.
enum Act {
    /// GOAWAY that waits for what is open.
    Leave,
    /// GOAWAY with an error, and the end.
    Break,
    /// SETTINGS with another INITIAL_WINDOW_SIZE; says when they are on their way.
    Window(u32, oneshot::Sender<()>),
}

async fn accept(listener: TcpListener, builder: Builder, seen: Arc<Seen>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let nth = seen.connections.fetch_add(1, Ordering::Relaxed);
        let (builder, seen) = (builder.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            if let Ok(connection) = builder.handshake(socket).await {
                serve(connection, seen, nth).await;
            }
        });
    }
}

async fn serve(mut connection: Connection<TcpStream, Bytes>, seen: Arc<Seen>, nth: usize) {
    let (acts, mut acting) = unbounded_channel();
    loop {
        tokio::select! {
            request = connection.accept() => {
                let Some(Ok((request, respond))) = request else { return };
                seen.requests.fetch_add(1, Ordering::Relaxed);
                // What a test resets on purpose ends in an error here.
                let acts = acts.clone();
                tokio::spawn(async move { drop(answer(request, respond, acts, nth).await) });
            }
            Some(act) = acting.recv() => match act {
                Act::Leave => connection.graceful_shutdown(),
                Act::Break => connection.abrupt_shutdown(Reason::INTERNAL_ERROR),
                Act::Window(size, done) => match connection.set_initial_window_size(size) {
                    Ok(()) => drop(done.send(())),
                    // The settings before these are not acknowledged yet.
                    Err(_) => drop(acts.send(Act::Window(size, done))),
                },
            }
        }
    }
}

/// Sends so much of the pattern.
async fn send(stream: &mut SendStream<Bytes>, len: u64, ends: bool) -> Result<(), h2::Error> {
    let mut at = 0;
    if len == 0 && ends {
        return stream.send_data(Bytes::new(), true);
    }
    while at < len {
        stream.reserve_capacity(usize::try_from(len - at).unwrap());
        let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return Ok(()) };
        let room = room? as u64;
        let piece: Vec<u8> = (at..at + room).map(pattern).collect();
        at += room;
        stream.send_data(piece.into(), ends && at == len)?;
    }
    Ok(())
}

/// Takes a whole body, granting again what has come once there are `hoard` bytes of it; then `acts` is told to make
/// windows small.
async fn digest(
    mut body: RecvStream,
    hoard: usize,
    acts: &UnboundedSender<Act>,
) -> Result<String, h2::Error> {
    let (mut digest, mut kept) = (Digest::default(), 0);
    let mut is_hoarding = hoard > 0;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        digest.add(&piece);
        kept += piece.len();
        if is_hoarding && kept >= hoard {
            is_hoarding = false;
            let (done, is_done) = oneshot::channel();
            let _ = acts.send(Act::Window(10, done));
            let _ = is_done.await;
        }
        if !is_hoarding {
            body.flow_control().release_capacity(std::mem::take(&mut kept))?;
        }
    }
    Ok(format!("{:x} {}", digest.0, digest.1))
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    acts: UnboundedSender<Act>,
    nth: usize,
) -> Result<(), h2::Error> {
    let path = request.uri().path().to_owned();
    let (kind, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let head = || Response::builder().header("x-nth", nth).body(()).unwrap();
    let text = |respond: &mut SendResponse<Bytes>, text: String| {
        respond.send_response(head(), false)?.send_data(text.into(), true)
    };
    match kind {
        "digest" => {
            let told = digest(request.into_body(), 0, &acts).await?;
            text(&mut respond, told)
        }
        "hoard" => {
            let told = digest(request.into_body(), 65_535, &acts).await?;
            text(&mut respond, told)
        }
        "bytes" => {
            let mut stream = respond.send_response(head(), false)?;
            send(&mut stream, argument.parse().unwrap(), true).await
        }
        "interim" => {
            for _ in 0..3 {
                respond.send_informational(Response::builder().status(103).body(()).unwrap())?;
            }
            text(&mut respond, "after all".to_owned())
        }
        "head" => {
            let long = "v".repeat(argument.parse().unwrap());
            let head = Response::builder().header("x-long", long).body(()).unwrap();
            respond.send_response(head, false)?.send_data("behind a head".into(), true)
        }
        // Answered before the request has come, whose rest is not wanted.
        "early" => text(&mut respond, "enough".to_owned()),
        "refuse" if nth == 0 => {
            respond.send_reset(Reason::REFUSED_STREAM);
            let _ = acts.send(Act::Leave);
            Ok(())
        }
        "reset" => {
            respond.send_reset(Reason::from(argument.parse::<u32>().unwrap()));
            Ok(())
        }
        "leave" => {
            let _ = acts.send(Act::Leave);
            let mut stream = respond.send_response(head(), false)?;
            send(&mut stream, argument.parse().unwrap(), true).await
        }
        "break" => {
            let mut stream = respond.send_response(head(), false)?;
            send(&mut stream, 1000, false).await?;
            let _ = acts.send(Act::Break);
            std::future::pending().await
        }
        _ => text(&mut respond, "hello".to_owned()),
    }
}
