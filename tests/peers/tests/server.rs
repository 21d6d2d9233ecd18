//! Server streams against hyper's client, HTTP/1.1 and HTTP/2, plain and TLS.

use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use millstream_peers::certificates::Certificates;
use millstream_peers::server_stream::StreamServer;
use millstream_peers::{Digest, WATCHDOG, pattern};
use std::convert::Infallible;
use std::future::Future;
use tokio::net::TcpStream;

type Body = BoxBody<Bytes, Infallible>;

const LARGE: u64 = 10_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

struct World {
    certificates: Option<Certificates>,
    server: StreamServer,
    version: Version,
}

impl World {
    async fn client(&self) -> Client {
        let socket = TcpStream::connect(("127.0.0.1", self.server.port)).await.unwrap();
        match &self.certificates {
            None => Client::new(self.version, socket).await,
            Some(certificates) => {
                let protocols = if self.version == Version::Http1 { &["http/1.1"][..] } else { &["h2"] };
                let connector = certificates.connector(protocols);
                let name = "localhost".try_into().unwrap();
                Client::new(self.version, connector.connect(name, socket).await.unwrap()).await
            }
        }
    }
}

/// hyper's client of one connection.
enum Client {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Client {
    async fn new(
        version: Version,
        io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let io = TokioIo::new(io);
        match version {
            Version::Http1 => {
                let (client, connection) = http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                Self::Http1(client)
            }
            Version::Http2 => {
                let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                Self::Http2(client)
            }
        }
    }

    async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(client) => client.ready().await,
            Self::Http2(client) => client.ready().await,
        }
    }

    async fn send_request(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(client) => client.send_request(request).await,
            Self::Http2(client) => {
                let uri = format!("http://localhost{}", request.uri());
                *request.uri_mut() = uri.parse().unwrap();
                client.send_request(request).await
            }
        }
    }
}

/// Runs `test` against a plain server and one with TLS, in either version.
fn all<F: Future<Output = ()>>(test: impl Fn(World) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for version in [Version::Http1, Version::Http2] {
        for certificates in [None, Some(Certificates::default())] {
            let server = StreamServer::start(certificates.as_ref());
            let test = test(World { certificates, server, version });
            runtime.block_on(async { tokio::time::timeout(WATCHDOG, test).await.expect("an end") });
        }
    }
}

fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder().method(method).uri(path).header("host", "localhost").body(body).unwrap()
}

fn empty() -> Body {
    Empty::new().boxed()
}

fn upload(len: u64, tail: Option<HeaderMap>) -> Body {
    let pieces = (0..len)
        .step_by(7000)
        .map(move |from| (from..len.min(from + 7000)).map(pattern).collect::<Vec<u8>>());
    let frames = pieces.map(|piece| Frame::data(Bytes::from(piece))).chain(tail.map(Frame::trailers));
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames.map(Ok))))
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    all(|world| async move {
        let mut client = world.client().await;
        for nth in 0..100 {
            client.ready().await.unwrap();
            let response =
                client.send_request(request(Method::GET, &format!("/known/{nth}"), empty())).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "text/plain");
            assert!(response.headers().contains_key("date"));
            assert_eq!(text(response).await, format!("hello {nth}"));
        }
    });
}

#[test]
fn the_answer_to_head_has_the_length_and_not_the_body() {
    all(|world| async move {
        let mut client = world.client().await;
        for _ in 0..2 {
            let response = client.send_request(request(Method::HEAD, "/bytes/1234", empty())).await.unwrap();
            assert_eq!(response.headers()["content-length"], "1234");
            assert_eq!(text(response).await, "");
        }
    });
}

#[test]
fn ten_megabytes_leave_and_arrive_unchanged_with_a_length_and_in_chunks() {
    let wanted = Digest::of_pattern(LARGE);
    all(|world| async move {
        let mut client = world.client().await;
        for path in ["bytes", "chunked"] {
            let response = client
                .send_request(request(Method::GET, &format!("/{path}/{LARGE}"), empty()))
                .await
                .unwrap();
            assert_eq!(response.headers().contains_key("content-length"), path == "bytes");
            let mut digest = Digest::default();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                digest.add(frame.unwrap().data_ref().unwrap());
            }
            assert_eq!(digest, wanted);
        }
        let tail = HeaderMap::from_iter([("x-sum".parse().unwrap(), "17".parse().unwrap())]);
        let known: Vec<u8> = (0..LARGE).map(pattern).collect();
        for body in [upload(LARGE, None), upload(LARGE, Some(tail)), Full::from(known).boxed()] {
            let response = client.send_request(request(Method::POST, "/digest", body)).await.unwrap();
            assert_eq!(text(response).await, format!("{:x} {}", wanted.0, wanted.1));
        }
    });
}

#[test]
fn an_echo_streams_both_ways_at_once() {
    all(|world| async move {
        let mut client = world.client().await;
        let response =
            client.send_request(request(Method::POST, "/echo", upload(3_000_000, None))).await.unwrap();
        let mut digest = Digest::default();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            digest.add(frame.unwrap().data_ref().unwrap());
        }
        assert_eq!(digest, Digest::of_pattern(3_000_000));
    });
}

#[test]
fn headers_come_and_go_as_metadata() {
    all(|world| async move {
        let mut client = world.client().await;
        let mut asks = request(Method::GET, "/fields", empty());
        asks.headers_mut().insert("x-up", "some thing".parse().unwrap());
        let response = client.send_request(asks).await.unwrap();
        assert_eq!(response.headers()["x-down"], "some thing");
        assert_eq!(text(response).await, "see the head");
        // Nothing of one transaction is left for the next.
        let response = client.send_request(request(Method::GET, "/fields", empty())).await.unwrap();
        assert!(response.headers().get("x-down").is_none_or(|value| value.is_empty()));
        text(response).await;
        let response = client.send_request(request(Method::GET, "/nothing/here", empty())).await.unwrap();
        assert_eq!(response.status(), 404);
    });
}

#[test]
fn a_client_that_expects_leave_to_send_gets_it() {
    all(|world| async move {
        let mut client = world.client().await;
        let mut asks = request(Method::POST, "/digest", Full::from("hello").boxed());
        asks.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let response = client.send_request(asks).await.unwrap();
        assert!(text(response).await.ends_with(" 5"));
    });
}

/// What the plain server says to `said` on one connection, up to its end.
fn raw(server: &StreamServer, said: &[&str], until: &[&str]) -> String {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    socket.set_read_timeout(Some(WATCHDOG)).unwrap();
    let mut heard = String::new();
    for (say, until) in said.iter().zip(until) {
        socket.write_all(say.as_bytes()).unwrap();
        while !heard.contains(until) {
            let mut bytes = [0; 1000];
            let len = socket.read(&mut bytes).unwrap();
            assert!(len > 0, "the end, after {heard:?}");
            heard += std::str::from_utf8(&bytes[..len]).unwrap();
        }
    }
    heard
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let server = StreamServer::start(None);
    let requests: String =
        (0..50).map(|nth| format!("GET /known/{nth}. HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let heard = raw(&server, &[&requests], &["hello 49."]);
    let order: Vec<usize> =
        heard.split("hello ").skip(1).map(|text| text.split('.').next().unwrap().parse().unwrap()).collect();
    assert_eq!(order, (0..50).collect::<Vec<_>>());
}

#[test]
fn leave_to_send_a_body_comes_before_the_body() {
    let server = StreamServer::start(None);
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let heard = raw(&server, &[head, "hello"], &["HTTP/1.1 100 Continue\r\n\r\n", "hello"]);
    assert!(heard.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{heard}");
}

#[test]
fn fifty_connections_are_served_at_once() {
    all(|world| async move {
        let mut clients = Vec::new();
        for _ in 0..50 {
            clients.push(world.client().await);
        }
        let asks = clients.iter_mut().enumerate().map(|(nth, client)| async move {
            let wanted = Digest::of_pattern(10_000 + nth as u64);
            for _ in 0..5 {
                client.ready().await.unwrap();
                let asks = request(Method::POST, "/digest", upload(10_000 + nth as u64, None));
                let response = client.send_request(asks).await.unwrap();
                assert_eq!(text(response).await, format!("{:x} {}", wanted.0, wanted.1));
            }
        });
        futures_util::future::join_all(asks).await;
    });
}

#[test]
fn a_client_that_goes_away_in_the_middle_leaves_the_others_alone() {
    all(|world| async move {
        for _ in 0..20 {
            let mut gone = world.client().await;
            let begun = futures_util::stream::once(async { Ok(Frame::data(Bytes::from("a beginning"))) });
            let never = StreamBody::new(begun.chain(futures_util::stream::pending()));
            let asks = request(Method::POST, "/echo", BodyExt::boxed(never));
            let mut echo = gone.send_request(asks).await.unwrap().into_body();
            assert_eq!(echo.frame().await.unwrap().unwrap().data_ref().unwrap(), "a beginning");
            drop((echo, gone));
            let mut gone = world.client().await;
            let response =
                gone.send_request(request(Method::GET, "/bytes/100000000", empty())).await.unwrap();
            let mut body = response.into_body();
            assert!(body.frame().await.unwrap().is_ok());
        }
        let mut client = world.client().await;
        let response = client.send_request(request(Method::GET, "/known/still", empty())).await.unwrap();
        assert_eq!(text(response).await, "hello still");
    });
}
