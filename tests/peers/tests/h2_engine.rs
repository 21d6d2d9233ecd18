//! The HTTP/2 engine against the `h2` crate, both ways, over a pipe in memory: no loop, no sockets.

use bytes::Bytes;
use h2::{Reason, client, server};
use http::{HeaderMap, Request, Response, StatusCode};
use millstream_h2::{Code, EncodeError, Engine, Event, Limits, StreamId};
use millstream_http::{BodyLength, Head, Method, Status};
use millstream_peers::{Digest, WATCHDOG};
use std::collections::BTreeMap;
use std::future::Future;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Room in the pipe: whoever writes never waits for a reader, so one task can play a side.
const PIPE: usize = 64 << 20;
const LARGE: usize = 5_000_000;

fn within_reason<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(WATCHDOG, story).await.expect("stuck") })
}

fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn digest(bytes: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.add(bytes);
    digest
}

/// One side of a connection that the engine speaks.
struct Side {
    engine: Engine,
    pipe: DuplexStream,
    head: Head,
    rest: Vec<u8>,
    out: Vec<u8>,
}

impl Side {
    fn new(engine: Engine, pipe: DuplexStream) -> Self {
        Self { engine, pipe, head: Head::new(), rest: Vec::new(), out: Vec::new() }
    }

    /// The next event, with its payload; `None` at the end of the connection.
    async fn next(&mut self) -> Option<(Event, Vec<u8>)> {
        loop {
            let (used, event) =
                self.engine.input(0, &self.rest, &mut self.head).expect("our peer is a good one");
            let payload = match &event {
                Some(Event::Body { range, .. }) => self.rest[range.clone()].to_vec(),
                _ => Vec::new(),
            };
            self.rest.drain(..used);
            if let Some(event) = event {
                return Some((event, payload));
            }
            if used > 0 {
                continue;
            }
            self.engine.poll_output(&mut self.out);
            if !self.out.is_empty() {
                self.pipe.write_all(&self.out).await.ok()?;
                self.out.clear();
            }
            // Pieces of an odd size, so that frames are cut everywhere.
            let mut buffer = [0; 4093];
            match self.pipe.read(&mut buffer).await.ok()? {
                0 => return None,
                read => self.rest.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// Sends of `payload` what there is room for, and whether it is the last.
    fn send(&mut self, stream: StreamId, payload: &mut Bytes, ends: bool) {
        while !payload.is_empty() {
            let piece = payload.split_to(self.engine.tx_room(stream).min(payload.len()));
            if piece.is_empty() {
                return;
            }
            let last = ends && payload.is_empty();
            let frame = self.engine.frame(stream, piece.len(), last).unwrap();
            self.out.extend_from_slice(frame.prefix());
            self.out.extend_from_slice(&piece);
        }
    }
}

/// A server that gives back what it gets, and its trailers.
async fn echo(mut side: Side) {
    let mut waiting: BTreeMap<StreamId, (Bytes, bool)> = BTreeMap::new();
    while let Some((event, payload)) = side.next().await {
        match event {
            Event::Request { stream } => {
                let target = side.head.target().to_vec();
                let fields = [(&b"x-target"[..], &target[..])];
                if side.engine.expects_continue(stream) {
                    side.engine.encode_informational(stream, Status::CONTINUE, &mut side.out).unwrap();
                }
                let body = BodyLength::Unknown;
                side.engine
                    .encode_response(stream, Status::OK, fields.into_iter(), body, &mut side.out)
                    .unwrap();
                waiting.insert(stream, (Bytes::new(), false));
            }
            Event::Body { stream, .. } => {
                let (bytes, _) = waiting.get_mut(&stream).unwrap();
                *bytes = [&bytes[..], &payload].concat().into();
            }
            Event::End { stream } => {
                let (bytes, ended) = waiting.get_mut(&stream).unwrap();
                *ended = true;
                if let Some(sum) = side.head.get("x-sum").map(<[u8]>::to_vec) {
                    let mut bytes = std::mem::take(bytes);
                    side.send(stream, &mut bytes, false);
                    assert!(bytes.is_empty(), "small bodies have trailers here");
                    let fields = [(&b"x-sum"[..], &sum[..])];
                    side.engine.encode_trailers(stream, fields.into_iter(), &mut side.out).unwrap();
                    waiting.remove(&stream);
                }
            }
            Event::Reset { stream, .. } => {
                waiting.remove(&stream);
            }
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
        for (stream, (bytes, ended)) in &mut waiting {
            side.send(*stream, bytes, *ended);
            if *ended && bytes.is_empty() && !side.engine.tx_done(*stream) {
                let frame = side.engine.frame(*stream, 0, true).unwrap();
                side.out.extend_from_slice(frame.prefix());
            }
        }
        waiting.retain(|stream, _| !side.engine.tx_done(*stream));
    }
}

async fn body(mut stream: h2::RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.unwrap();
        stream.flow_control().release_capacity(piece.len()).unwrap();
        bytes.extend_from_slice(&piece);
    }
    (bytes, stream.trailers().await.unwrap())
}

async fn upload(mut stream: h2::SendStream<Bytes>, mut bytes: Bytes) {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        let piece = bytes.split_to(room.min(bytes.len()));
        stream.send_data(piece, bytes.is_empty()).unwrap();
    }
}

/// A client of the other crate, and our server behind it.
async fn their_client() -> client::SendRequest<Bytes> {
    their_client_of(Limits::default()).await
}

async fn their_client_of(limits: Limits) -> client::SendRequest<Bytes> {
    let (near, far) = tokio::io::duplex(PIPE);
    tokio::spawn(echo(Side::new(Engine::server(limits), far)));
    let (sender, connection) = client::handshake(near).await.unwrap();
    tokio::spawn(async move { connection.await.unwrap() });
    sender.ready().await.unwrap()
}

#[test]
fn our_server_answers_their_client_with_bodies_of_any_size() {
    within_reason(async {
        let mut sender = their_client().await;
        for len in [0, 1, 16_384, 70_000, LARGE] {
            let request = Request::post(format!("http://a.example/{len}")).body(()).unwrap();
            let (response, stream) = sender.send_request(request, len == 0).unwrap();
            let sent = pattern(len);
            tokio::spawn(upload(stream, sent.clone()));
            let response = response.await.unwrap();
            assert_eq!(response.headers()["x-target"], format!("/{len}"));
            let (got, trailers) = body(response.into_body()).await;
            assert_eq!((digest(&got), trailers), (digest(&sent), None));
            sender = sender.ready().await.unwrap();
        }
    });
}

#[test]
fn our_server_may_have_small_tables_and_windows() {
    let sizes = [(0, 0), (64, 1), (300, 1000), (16_384, 200_000)];
    for (table, window) in sizes {
        let limits = Limits {
            header_table: table,
            encoder_table: table,
            initial_window: window,
            window: window.max(500),
            frame: 16_384 + window,
            ..Limits::default()
        };
        within_reason(async {
            let mut sender = their_client_of(limits).await;
            for len in [10, 3000, 70_000] {
                let request = Request::post(format!("http://a.example/{len}"))
                    .header("x-it", format!("{len}"))
                    .body(())
                    .unwrap();
                let (response, stream) = sender.send_request(request, false).unwrap();
                tokio::spawn(upload(stream, pattern(len)));
                assert_eq!(body(response.await.unwrap().into_body()).await.0, pattern(len));
                sender = sender.ready().await.unwrap();
            }
        });
    }
}

#[test]
fn our_server_answers_many_streams_at_once() {
    within_reason(async {
        let mut sender = their_client().await;
        let mut answers = Vec::new();
        for number in 0..90 {
            let request = Request::post(format!("http://a.example/{number}")).body(()).unwrap();
            let (response, stream) = sender.send_request(request, false).unwrap();
            tokio::spawn(upload(stream, pattern(1000 * (number + 1))));
            // All at once: they share the window of the connection.
            let answer = async { body(response.await.unwrap().into_body()).await.0 };
            answers.push((number, tokio::spawn(answer)));
            sender = sender.ready().await.unwrap();
        }
        for (number, answer) in answers {
            assert_eq!(answer.await.unwrap(), pattern(1000 * (number + 1)));
        }
    });
}

#[test]
fn trailers_go_both_ways_and_a_long_head_comes_in_pieces() {
    within_reason(async {
        let mut sender = their_client().await;
        let long = "v".repeat(9000);
        let request = Request::post("http://a.example/t").header("x-long", &long[..]).body(()).unwrap();
        let (response, mut stream) = sender.send_request(request, false).unwrap();
        stream.send_data(Bytes::from_static(b"small"), false).unwrap();
        let sum = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "9".parse().unwrap())]);
        stream.send_trailers(sum.clone()).unwrap();
        assert_eq!(body(response.await.unwrap().into_body()).await, (b"small".to_vec(), Some(sum)));
    });
}

#[test]
fn streams_that_their_client_resets_leave_the_others_alone() {
    within_reason(async {
        let mut sender = their_client().await;
        for number in 0..50 {
            let request = Request::post("http://a.example/").body(()).unwrap();
            let (response, mut stream) = sender.send_request(request, false).unwrap();
            if number % 2 == 0 {
                stream.send_reset(Reason::CANCEL);
                assert!(response.await.is_err());
            } else {
                stream.send_data(pattern(100), true).unwrap();
                assert_eq!(body(response.await.unwrap().into_body()).await.0, pattern(100));
            }
            sender = sender.ready().await.unwrap();
        }
    });
}

#[test]
fn their_client_hears_of_our_end_and_is_served_to_it() {
    within_reason(async {
        let (near, far) = tokio::io::duplex(PIPE);
        let ours = tokio::spawn(async move {
            let mut side = Side::new(Engine::server(Limits::default()), far);
            while let Some((event, _)) = side.next().await {
                if let Event::End { stream } = event {
                    side.engine.shutdown();
                    side.engine
                        .encode_response(stream, Status::OK, [].into_iter(), BodyLength::None, &mut side.out)
                        .unwrap();
                }
                if side.engine.is_drained() {
                    side.engine.poll_output(&mut side.out);
                    // The client may have left already, as it was asked to.
                    let _ = side.pipe.write_all(&side.out).await;
                    return;
                }
            }
            assert!(side.engine.is_idle());
        });
        let (sender, connection) = client::handshake(near).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut sender = sender.ready().await.unwrap();
        let request = Request::get("http://a.example/").body(()).unwrap();
        let (response, _) = sender.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().status(), StatusCode::OK);
        drop(sender);
        connection.await.unwrap().unwrap();
        ours.await.unwrap();
    });
}

/// Their server: gives back what it gets, behind an answer that says of what method.
async fn their_echo(pipe: DuplexStream) {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(3).enable_connect_protocol().initial_window_size(5000);
    let mut connection = builder.handshake::<_, Bytes>(pipe).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let protocol =
                request.extensions().get::<h2::ext::Protocol>().map(|name| name.as_str().to_owned());
            let answer = Response::builder()
                .header("x-method", request.method().as_str())
                .header("x-authority", request.uri().authority().unwrap().as_str())
                .header("x-protocol", protocol.unwrap_or_default())
                .body(())
                .unwrap();
            if request.uri().path() == "/refuse" {
                return respond.send_reset(Reason::REFUSED_STREAM);
            }
            let mut stream = respond.send_response(answer, false).unwrap();
            let (bytes, trailers) = body(request.into_body()).await;
            stream.send_data(Bytes::new(), false).unwrap();
            match trailers {
                None => upload(stream, [&bytes[..], b"."].concat().into()).await,
                Some(trailers) => {
                    stream.send_data(bytes.into(), false).unwrap();
                    stream.send_trailers(trailers).unwrap();
                }
            }
        });
    }
}

/// Our client, whose server has introduced itself.
async fn our_client() -> Side {
    let (near, far) = tokio::io::duplex(PIPE);
    tokio::spawn(their_echo(far));
    let mut side = Side::new(Engine::client(Limits::default()), near);
    assert_eq!(side.next().await.unwrap().0, Event::Settings);
    side
}

fn ask(side: &mut Side, request: millstream_h2::Request<'_>, body: BodyLength) -> StreamId {
    let fields = [(&b"X-Field"[..], &b"value"[..])];
    side.engine.encode_request(&request, fields.into_iter(), body, &mut side.out).unwrap()
}

const POST: millstream_h2::Request<'_> =
    millstream_h2::Request::new(Method::Post, b"http", b"a.example:81", b"/");

#[test]
fn our_client_asks_their_server_with_bodies_of_any_size() {
    within_reason(async {
        let mut side = our_client().await;
        for len in [0, 1, 5000, 70_000, LARGE] {
            let (mut unsent, mut got) = (pattern(len), Vec::new());
            let stream = ask(&mut side, POST, BodyLength::Known(len as u64));
            side.send(stream, &mut unsent, true);
            loop {
                match side.next().await.unwrap() {
                    (Event::Response { .. }, _) => {
                        assert_eq!(side.head.status(), Some(Status::OK));
                        assert_eq!(side.head.get("x-authority"), Some(&b"a.example:81"[..]));
                    }
                    (Event::Body { .. }, payload) => got.extend(payload),
                    (Event::End { .. }, _) => break,
                    (Event::Window { .. } | Event::Settings, _) => side.send(stream, &mut unsent, true),
                    (other, _) => panic!("{other:?}"),
                }
            }
            assert_eq!(digest(&got), digest(&[&pattern(len)[..], b"."].concat()), "{len}");
            assert!(side.engine.is_idle());
        }
    });
}

#[test]
fn our_client_keeps_to_their_number_of_streams() {
    within_reason(async {
        let mut side = our_client().await;
        let get = millstream_h2::Request { method: Method::Get, ..POST };
        let (mut asked, mut ended) = (0, 0);
        while ended < 20 {
            while asked < 20 && side.engine.can_open().is_ok() {
                ask(&mut side, get, BodyLength::None);
                asked += 1;
            }
            assert!(side.engine.streams() <= 3);
            match side.next().await.unwrap().0 {
                Event::End { .. } => ended += 1,
                Event::Reset { code, .. } => panic!("{code}"),
                _ => {}
            }
        }
        for _ in 0..3 {
            ask(&mut side, get, BodyLength::None);
        }
        assert_eq!(side.engine.can_open(), Err(EncodeError::Full));
    });
}

#[test]
fn our_client_speaks_another_protocol_through_extended_connect() {
    within_reason(async {
        let mut side = our_client().await;
        assert!(side.engine.peer_takes_connect());
        let connect = millstream_h2::Request::connect(b"websocket", b"http", b"a.example", b"/chat");
        let stream = ask(&mut side, connect, BodyLength::Unknown);
        assert_eq!(side.next().await.unwrap().0, Event::Response { stream });
        assert_eq!(side.head.get("x-protocol"), Some(&b"websocket"[..]));
        side.send(stream, &mut Bytes::from_static(b"hello"), true);
        let (event, payload) = side.next().await.unwrap();
        assert!(matches!(event, Event::Body { .. }), "{event:?}");
        assert_eq!(payload, b"hello.");
    });
}

#[test]
fn our_client_hears_of_refusals_trailers_and_pongs() {
    within_reason(async {
        let mut side = our_client().await;
        let refused = ask(&mut side, millstream_h2::Request { target: b"/refuse", ..POST }, BodyLength::None);
        let reset = Event::Reset { stream: refused, code: Code::REFUSED_STREAM };
        assert_eq!(side.next().await.unwrap().0, reset);
        let stream = ask(&mut side, POST, BodyLength::Unknown);
        side.send(stream, &mut Bytes::from_static(b"small"), false);
        let sum = [(&b"x-sum"[..], &b"9"[..])];
        side.engine.encode_trailers(stream, sum.into_iter(), &mut side.out).unwrap();
        side.engine.ping(*b"engines!");
        let mut told = Vec::new();
        while told.len() < 4 {
            let (event, payload) = side.next().await.unwrap();
            if let Event::End { .. } = event {
                assert_eq!(side.head.get("x-sum"), Some(&b"9"[..]));
            }
            told.push((event, payload));
        }
        let has = |event: &Event| told.iter().any(|(known, _)| known == event);
        assert!(has(&Event::Pong { payload: *b"engines!" }) && has(&Event::End { stream }));
    });
}
