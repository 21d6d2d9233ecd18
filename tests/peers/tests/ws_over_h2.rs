//! Websockets on streams of HTTP/2 against the `h2` crate, with tungstenite's frames on its streams; both ways, plain and TLS.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode};
use millstream::{Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use millstream_peers::certificates::Certificates;
use millstream_peers::client_stream::{Task, run};
use millstream_peers::server_stream::StreamServer;
use millstream_peers::{Digest, WATCHDOG, pattern};
use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context as Waiter, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::Response as HandshakeResponse;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A stream of HTTP/2 as a socket.
struct Tunnel {
    send: SendStream<Bytes>,
    recv: RecvStream,
    rest: Bytes,
}

impl Tunnel {
    fn new(send: SendStream<Bytes>, recv: RecvStream) -> Self {
        Self { send, recv, rest: Bytes::new() }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Waiter<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.recv.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(piece) => self.rest = piece.map_err(io::Error::other)?,
            }
        }
        let len = self.rest.len().min(out.remaining());
        out.put_slice(&self.rest.split_to(len));
        self.recv.flow_control().release_capacity(len).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Waiter<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.send.reserve_capacity(bytes.len());
        while self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(cx)) {
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Some(room) => drop(room.map_err(io::Error::other)?),
            }
        }
        let len = bytes.len().min(self.send.capacity());
        self.send.send_data(Bytes::copy_from_slice(&bytes[..len]), false).map_err(io::Error::other)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Waiter<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Waiter<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.send.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}

/// Gives each message back, piece by piece, and answers plain requests.
#[derive(Clone, Default)]
struct Echo {
    kept: VecDeque<(Vec<u8>, bool)>,
    bytes: usize,
    is_plain: bool,
}

const KEPT: usize = 100_000;

impl StreamHandler for Echo {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self::default()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.bytes += payload.len();
        self.kept.push_back((payload.to_vec(), flags.is_eom()));
        cx.rx_flow(me, self.bytes < KEPT).unwrap();
        cx.request_tx(me).unwrap();
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        if self.is_plain {
            tx.write(b"a page");
            tx.end_message();
            return TxFlow::Send;
        }
        let Some((mut piece, is_last)) = self.kept.pop_front() else { return TxFlow::DontSend };
        let sent = tx.write(&piece);
        self.bytes -= sent;
        if sent < piece.len() {
            piece.drain(..sent);
            self.kept.push_front((piece, is_last));
        } else if is_last {
            tx.end_message();
        }
        cx.rx_flow(me, self.bytes < KEPT).unwrap();
        if !self.kept.is_empty() {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            self.is_plain = true;
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

fn server(certificates: Option<&Certificates>) -> StreamServer {
    let common = r#""server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h2", "ws_subprotocol": "echo",
        "ws_binary": true"#;
    let policy = match certificates {
        None => format!(r#"{{"s": [{{"server": {{{common}}}}}]}}"#),
        Some(certificates) => format!(
            r#"{{{}, "s": [{{"server": {{{common}, "tls": true, "server_cert": "cert", "server_key": "key"}}}}]}}"#,
            certificates.policy()
        ),
    };
    StreamServer::serve(policy, Echo::default())
}

async fn within<T>(story: impl Future<Output = T>) -> T {
    tokio::time::timeout(WATCHDOG, story).await.expect("an end")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn open(
    client: &h2::client::SendRequest<Bytes>,
    uri: &str,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    let mut client = client.clone().ready().await.unwrap();
    assert!(client.is_extended_connect_protocol_enabled());
    let request = Request::builder().method(Method::CONNECT).uri(uri).version(http::Version::HTTP_2);
    let request =
        request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "other, echo");
    let mut request = request.body(()).unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (response, send) = client.send_request(request, false).unwrap();
    (response.await.unwrap(), send)
}

/// Messages of all lengths come back, and a goodbye is answered.
async fn converse(tunnel: Tunnel) {
    let mut socket = WebSocketStream::from_raw_socket(tunnel, Role::Client, None).await;
    for len in [0, 1, 125, 126, 65_535, 65_536, 3_000_000] {
        let message = Message::binary((0..len).map(pattern).collect::<Vec<u8>>());
        let (mut tx, mut rx) = (&mut socket).split();
        let (sent, heard) = tokio::join!(tx.send(message.clone()), rx.next());
        sent.unwrap();
        assert!(heard.unwrap().unwrap() == message, "{len} bytes");
    }
    socket.send(Message::Ping("are you there?".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("are you there?".into()));
    let goodbye = CloseFrame { code: CloseCode::from(4000), reason: "enough".into() };
    socket.close(Some(goodbye)).await.unwrap();
    let Some(Ok(Message::Close(Some(answer)))) = socket.next().await else { panic!("no goodbye") };
    assert_eq!(answer.code, CloseCode::from(4000));
    assert!(socket.next().await.is_none(), "a clean end");
}

#[test]
fn the_h2_crates_client_has_websockets_beside_requests_on_one_connection() {
    for certificates in [None, Some(Certificates::default())] {
        let server = server(certificates.as_ref());
        runtime().block_on(within(async {
            let socket = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
            let (io, uri): (Box<dyn Io>, _) = match &certificates {
                None => (Box::new(socket), "http://localhost/chat"),
                Some(certificates) => {
                    let name = "localhost".try_into().unwrap();
                    let socket = certificates.connector(&["h2"]).connect(name, socket).await.unwrap();
                    (Box::new(socket), "https://localhost/chat")
                }
            };
            let (client, connection) = h2::client::handshake(io).await.unwrap();
            let driver = async { connection.await.unwrap() };
            let story = async {
                let mut client = client.ready().await.unwrap();
                // The settings have come with the first answer.
                let plain = Request::builder().uri(uri).body(()).unwrap();
                let (response, _) = client.send_request(plain, true).unwrap();
                assert_eq!(response.await.unwrap().status(), StatusCode::OK);
                let sockets = (0..5).map(|_| async {
                    let (response, send) = open(&client, uri).await;
                    assert_eq!(response.status(), StatusCode::OK);
                    assert_eq!(response.headers()["sec-websocket-protocol"], "echo");
                    converse(Tunnel::new(send, response.into_body())).await;
                });
                futures_util::future::join_all(sockets).await;
            };
            tokio::select! {
                () = driver => panic!("the connection ends"),
                () = story => {}
            }
        }));
    }
}

/// What the `h2` crate's server does with a connection: takes websockets if it says so, and answers requests.
async fn serve(io: Box<dyn Io>, takes_websockets: bool) {
    let mut builder = h2::server::Builder::new();
    if takes_websockets {
        builder.enable_connect_protocol();
    }
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    let mut talks = futures_util::stream::FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = talks.next() => {}
            accepted = connection.accept() => {
                let Some(Ok((request, mut respond))) = accepted else { return };
                assert!(takes_websockets, "nothing is asked for that was not allowed");
                assert_eq!(request.method(), Method::CONNECT);
                assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
                assert_eq!(request.uri().path(), "/room/7");
                assert_eq!(request.headers()["x-up"], "there");
                assert_eq!(request.headers()["sec-websocket-version"], "13");
                assert!(!request.headers().contains_key("sec-websocket-key"));
                let response = Response::builder().header("sec-websocket-protocol", "echo").header("x-down", "back");
                let send = respond.send_response(response.body(()).unwrap(), false).unwrap();
                let tunnel = Tunnel::new(send, request.into_body());
                talks.push(talk(tunnel));
            }
        }
    }
}

/// Echoes one message, and says goodbye.
async fn talk(tunnel: Tunnel) {
    let mut socket = WebSocketStream::from_raw_socket(tunnel, Role::Server, None).await;
    echo(&mut socket).await;
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    socket.send(Message::Ping("one".into())).await.unwrap();
    let message = loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Pong(payload) => assert_eq!(&payload[..], b"one"),
            message => break message,
        }
    };
    socket.send(message).await.unwrap();
    let goodbye = CloseFrame { code: CloseCode::from(4001), reason: "enough".into() };
    socket.close(Some(goodbye)).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        assert!(matches!(&message, Message::Close(Some(answer)) if answer.code == CloseCode::from(4001)));
    }
}

/// Runs a client stream against what `serve` does with each connection.
fn client_against<F>(certificates: Option<&Certificates>, serve: impl Fn(TcpStream) -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    use StreamState as S;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut served = futures_util::stream::FuturesUnordered::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => served.push(serve(accepted.unwrap().0)),
                    Some(()) = served.next() => {}
                    _ = &mut stopped => return,
                }
            }
        });
    });
    let (given, tls) = match certificates {
        Some(certificates) => (certificates.policy() + ",", r#""tls": true, "tls_trust_store": "ours","#),
        None => (String::new(), ""),
    };
    let policy = format!(
        r#"{{{given} "s": [{{"it": {{"endpoint": "localhost", "port": {port}, "protocol": "ws", "opportunistic": true, {tls}
            "ws_subprotocol": "echo", "ws_binary": true, "ws_over_h2": true, "http_url": "room/${{path}}",
            "metadata": [{{"path": ""}}, {{"up": "x-up:"}}, {{"down": "x-down:"}}]}}}}]}}"#
    );
    let metadata = vec![("path", "7".to_owned()), ("up", "there".to_owned())];
    let heard = run(&policy, "it", Task { metadata, upload: Some((3_000_000, false)), times: 1 });
    assert_eq!(heard.digest, Digest::of_pattern(3_000_000));
    let expected = [S::Creating, S::Poll, S::Connecting, S::Connected, S::Disconnected, S::Destroying];
    assert_eq!(heard.states, expected);
    assert_eq!(heard.cause.as_deref(), Some("closed by the peer with code 4001: enough"));
    stop.send(()).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_client_stream_speaks_websocket_on_a_stream_of_the_h2_crates_server() {
    client_against(None, |socket| serve(Box::new(socket), true));
    let certificates = Certificates::default();
    let acceptor = certificates.acceptor(&["h2"]);
    client_against(Some(&certificates), move |socket| {
        let acceptor = acceptor.clone();
        async move { serve(Box::new(acceptor.accept(socket).await.unwrap()), true).await }
    });
}

#[test]
fn where_the_server_takes_none_or_knows_no_http_2_the_websocket_is_had_over_http_1_1() {
    // A server of both, which speaks HTTP/2 to those that ask for it.
    let certificates = Certificates::default();
    let (of_h2, of_h1) = (certificates.acceptor(&["h2"]), certificates.acceptor(&["http/1.1"]));
    client_against(Some(&certificates), {
        let of_h1 = of_h1.clone();
        move |socket| {
            let (of_h2, of_h1) = (of_h2.clone(), of_h1.clone());
            async move {
                let mut hello = [0; 2048];
                let len = socket.peek(&mut hello).await.unwrap();
                if hello[..len].windows(3).any(|three| three == b"\x02h2") {
                    serve(Box::new(of_h2.accept(socket).await.unwrap()), false).await;
                } else {
                    websocket(of_h1.accept(socket).await.unwrap()).await;
                }
            }
        }
    });
    // One that refuses whoever speaks nothing else, and one that has never heard of ALPN.
    for acceptor in [of_h1, certificates.acceptor(&[])] {
        client_against(Some(&certificates), move |socket| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(socket) = acceptor.accept(socket).await {
                    websocket(socket).await;
                }
            }
        });
    }
}

/// A websocket from HTTP/1.1. A connection that is not used is none.
async fn websocket(socket: impl Io) {
    #[allow(clippy::result_large_err, reason = "the callback's type is not ours")]
    let choose = |_: &_, mut response: HandshakeResponse| {
        response.headers_mut().insert("sec-websocket-protocol", "echo".parse().unwrap());
        Ok(response)
    };
    if let Ok(mut socket) = accept_hdr_async(socket, choose).await {
        echo(&mut socket).await;
    }
}
