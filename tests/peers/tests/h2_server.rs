//! Server streams against the client of the `h2` crate, which does what other clients do not.

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use millstream_peers::certificates::Certificates;
use millstream_peers::server_stream::StreamServer;
use millstream_peers::{Digest, WATCHDOG, pattern};
use std::future::{Future, poll_fn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Around the sizes of frames and windows, and beyond all of them.
const SIZES: [u64; 8] = [0, 1, 16_383, 16_384, 16_385, 65_535, 1 << 20, 20 << 20];

/// A connection of theirs.
#[derive(Clone)]
struct Client {
    sender: SendRequest<Bytes>,
    /// The window that streams have, changed while the connection is in use.
    windows: UnboundedSender<u32>,
}

impl Client {
    async fn new(builder: &Builder, server: &StreamServer) -> Self {
        Self::over(builder, TcpStream::connect(("127.0.0.1", server.port)).await.unwrap()).await
    }

    async fn over(builder: &Builder, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, mut connection) = builder.handshake(io).await.unwrap();
        let (windows, mut changes) = unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    ended = &mut connection => return ended.unwrap(),
                    Some(size) = changes.recv() => connection.set_initial_window_size(size).unwrap(),
                }
            }
        });
        Self { sender, windows }
    }

    async fn send(&self, request: Request<()>, ends: bool) -> (Response<RecvStream>, SendStream<Bytes>) {
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (response, stream) = sender.send_request(request, ends).unwrap();
        (response.await.unwrap(), stream)
    }

    async fn get(&self, path: &str) -> Response<RecvStream> {
        self.send(request("GET", path), true).await.0
    }

    /// What the server makes of so much payload.
    async fn post(&self, path: &str, len: u64) -> Response<RecvStream> {
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (response, stream) = sender.send_request(request("POST", path), false).unwrap();
        tokio::spawn(upload(stream, len));
        response.await.unwrap()
    }
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://localhost{path}")).body(()).unwrap()
}

async fn upload(mut stream: SendStream<Bytes>, len: u64) {
    let mut at = 0;
    if len == 0 {
        stream.send_data(Bytes::new(), true).unwrap();
    }
    while at < len {
        stream.reserve_capacity(usize::try_from(len - at).unwrap());
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap() as u64;
        let piece: Vec<u8> = (at..at + room).map(pattern).collect();
        at += room;
        stream.send_data(piece.into(), at == len).unwrap();
    }
}

async fn digest(response: Response<RecvStream>) -> Digest {
    let (mut body, mut digest) = (response.into_body(), Digest::default());
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        digest.add(&piece);
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(body.trailers().await.unwrap(), None);
    digest
}

async fn text(response: Response<RecvStream>) -> String {
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        text.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    String::from_utf8(text).unwrap()
}

fn within_reason(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(WATCHDOG, test).await.expect("an end") });
}

fn told(len: u64) -> String {
    let digest = Digest::of_pattern(len);
    format!("{:x} {}", digest.0, digest.1)
}

#[test]
fn bodies_of_sizes_around_those_of_frames_and_windows() {
    let certificates = Certificates::default();
    let (plain, tls) = (StreamServer::start(None), StreamServer::start(Some(&certificates)));
    within_reason(async {
        for is_tls in [false, true] {
            let client = if is_tls {
                let socket = TcpStream::connect(("127.0.0.1", tls.port)).await.unwrap();
                let connector = certificates.connector(&["h2"]);
                let secured = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
                Client::over(&Builder::new(), secured).await
            } else {
                Client::new(&Builder::new(), &plain).await
            };
            for &len in if is_tls { &SIZES[..7] } else { &SIZES[..] } {
                let path = if is_tls { "chunked" } else { "bytes" };
                let response = client.get(&format!("/{path}/{len}")).await;
                assert_eq!(digest(response).await, Digest::of_pattern(len));
                assert_eq!(text(client.post("/digest", len).await).await, told(len));
            }
            assert_eq!(digest(client.post("/echo", 1 << 20).await).await, Digest::of_pattern(1 << 20));
        }
    });
}

#[test]
fn windows_of_any_size_and_tables_of_none() {
    let server = StreamServer::start(None);
    within_reason(async {
        for (window, table, len) in
            [(1, 0, 300), (100, 0, 20_000), (16_383, 64, 200_000), (1 << 20, 100_000, 5 << 20)]
        {
            let mut builder = Builder::new();
            builder.initial_window_size(window).header_table_size(table).max_frame_size(1 << 20);
            let client = Client::new(&builder, &server).await;
            for _ in 0..2 {
                assert_eq!(digest(client.get(&format!("/bytes/{len}")).await).await, Digest::of_pattern(len));
            }
            assert_eq!(text(client.post("/digest", len).await).await, told(len));
        }
    });
}

#[test]
fn a_window_that_opens_after_the_head_has_come() {
    let server = StreamServer::start(None);
    within_reason(async {
        for path in ["bytes", "chunked"] {
            let client = Client::new(Builder::new().initial_window_size(0), &server).await;
            let response = client.get(&format!("/{path}/200000")).await;
            client.windows.send(70_000).unwrap();
            assert_eq!(digest(response).await, Digest::of_pattern(200_000));
        }
    });
}

#[test]
fn a_window_made_smaller_than_what_is_on_its_way() {
    let server = StreamServer::start(None);
    within_reason(async {
        let client = Client::new(Builder::new().initial_window_size(60_000), &server).await;
        let mut body = client.get("/bytes/300000").await.into_body();
        let (mut heard, mut kept) = (Digest::default(), 0);
        while kept < 60_000 {
            let piece = body.data().await.unwrap().unwrap();
            heard.add(&piece);
            kept += piece.len();
        }
        client.windows.send(10).unwrap();
        // Another stream has the smaller window from the first.
        assert_eq!(digest(client.get("/bytes/1000").await).await, Digest::of_pattern(1000));
        body.flow_control().release_capacity(kept).unwrap();
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            heard.add(&piece);
            body.flow_control().release_capacity(piece.len()).unwrap();
        }
        assert_eq!(heard, Digest::of_pattern(300_000));
    });
}

#[test]
fn five_hundred_streams_a_hundred_at_a_time() {
    let server = StreamServer::start(None);
    within_reason(async {
        // No more than the server has said, before it has.
        let client = Client::new(Builder::new().initial_max_send_streams(100), &server).await;
        let asks = (0..500).map(|nth| {
            let client = client.clone();
            async move { assert_eq!(text(client.post("/digest", 5000 + nth).await).await, told(5000 + nth)) }
        });
        futures_util::future::join_all(asks).await;
    });
}

#[test]
fn a_stream_that_is_not_read_holds_up_no_other() {
    let server = StreamServer::start(None);
    within_reason(async {
        let client = Client::new(Builder::new().initial_connection_window_size(1 << 20), &server).await;
        let idle = client.get("/bytes/1000000").await;
        assert_eq!(digest(client.get("/bytes/1000000").await).await, Digest::of_pattern(1_000_000));
        assert_eq!(text(client.post("/digest", 1_000_000).await).await, told(1_000_000));
        assert_eq!(digest(idle).await, Digest::of_pattern(1_000_000));
    });
}

#[test]
fn heads_up_to_the_limit_are_served_and_longer_ones_told_so() {
    let server = StreamServer::start(None);
    within_reason(async {
        let client = Client::new(&Builder::new(), &server).await;
        for (len, status) in [(12_000, 200), (15_500, 200), (17_000, 431), (30_000, 431), (10, 200)] {
            let mut asks = request("GET", "/known/it");
            asks.headers_mut().insert("x-long", "v".repeat(len).parse().unwrap());
            let (response, _) = client.send(asks, true).await;
            assert_eq!(response.status(), status, "{len}");
        }
    });
}

#[test]
fn trailers_leave_to_send_and_answers_without_a_body() {
    let server = StreamServer::start(None);
    within_reason(async {
        let client = Client::new(&Builder::new(), &server).await;
        let mut sender = client.sender.clone().ready().await.unwrap();
        let mut asks = request("POST", "/digest");
        asks.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let (mut response, mut stream) = sender.send_request(asks, false).unwrap();
        let leave = poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!(leave.status(), 100);
        stream.send_data(vec![pattern(0)].into(), false).unwrap();
        let sum = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "9".parse().unwrap())]);
        stream.send_trailers(sum).unwrap();
        assert_eq!(text(response.await.unwrap()).await, told(1));

        let (response, _) = client.send(request("HEAD", "/bytes/1234"), true).await;
        assert_eq!(response.headers()["content-length"], "1234");
        assert_eq!(text(response).await, "");
        let response = client.get("/nowhere").await;
        assert_eq!((response.status().as_u16(), response.body().is_end_stream()), (404, true));
    });
}

#[test]
fn streams_that_are_reset_at_any_time_leave_the_connection_as_it_was() {
    let server = StreamServer::start(None);
    within_reason(async {
        let client = Client::new(&Builder::new(), &server).await;
        for nth in 0..60 {
            let mut body = client.get("/bytes/100000000").await.into_body();
            assert!(body.data().await.unwrap().is_ok());
            drop(body);
            let mut sender = client.sender.clone().ready().await.unwrap();
            let (response, mut stream) = sender.send_request(request("POST", "/echo"), nth % 2 == 0).unwrap();
            if nth % 4 == 1 {
                stream.send_data(vec![0; 100].into(), false).unwrap();
            }
            stream.send_reset(if nth % 3 == 0 { Reason::INTERNAL_ERROR } else { Reason::CANCEL });
            drop(response);
            assert_eq!(text(client.get(&format!("/known/{nth}")).await).await, format!("hello {nth}"));
        }
    });
}
