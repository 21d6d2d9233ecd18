//! Streams that speak websocket against tokio-tungstenite, both ways, plain and TLS.

use futures_util::{SinkExt, StreamExt};
use millstream::StreamState;
use millstream_peers::certificates::Certificates;
use millstream_peers::client_stream::{Task, run};
use millstream_peers::server_stream::StreamServer;
use millstream_peers::ws_echo::Echo;
use millstream_peers::{Digest, WATCHDOG, pattern};
use std::net::TcpListener;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn server(certificates: Option<&Certificates>) -> StreamServer {
    let common = r#""server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "ws", "ws_subprotocol": "echo",
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

async fn connect(
    port: u16,
    certificates: Option<&Certificates>,
) -> (WebSocketStream<Box<dyn Io>>, Option<String>) {
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let io: Box<dyn Io> = match certificates {
        None => Box::new(socket),
        Some(certificates) => Box::new(
            certificates.connector(&[]).connect("localhost".try_into().unwrap(), socket).await.unwrap(),
        ),
    };
    let mut request = "ws://localhost/".into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "other, echo".parse().unwrap());
    let (socket, response) = client_async(request, io).await.unwrap();
    let protocol = response.headers().get("sec-websocket-protocol");
    (socket, protocol.map(|name| name.to_str().unwrap().to_owned()))
}

#[test]
fn tungstenites_client_is_echoed_is_answered_its_pings_and_hears_its_code_again() {
    for certificates in [None, Some(Certificates::default())] {
        let server = server(certificates.as_ref());
        let test = async {
            let (mut socket, protocol) = connect(server.port, certificates.as_ref()).await;
            assert_eq!(protocol.as_deref(), Some("echo"));
            for len in [0, 1, 125, 126, 65_535, 65_536, 3_000_000] {
                let payload: Vec<u8> = (0..len).map(pattern).collect();
                let message = Message::binary(payload);
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
        };
        runtime().block_on(async { tokio::time::timeout(WATCHDOG, test).await.expect("an end") });
    }
}

#[test]
fn many_of_tungstenites_clients_are_served_at_once() {
    let server = server(None);
    let test = async {
        let clients = (0..50).map(|nth: u64| async move {
            let (mut socket, _) = connect(server.port, None).await;
            for round in 0..20 {
                let message = Message::binary(vec![nth as u8; (nth * 100 + round) as usize]);
                socket.send(message.clone()).await.unwrap();
                assert!(socket.next().await.unwrap().unwrap() == message);
            }
        });
        futures_util::future::join_all(clients).await;
    };
    runtime().block_on(async { tokio::time::timeout(WATCHDOG, test).await.expect("an end") });
}

/// What tungstenite's server does with a connection: echoes one message between pings, and says goodbye.
async fn serve(socket: Box<dyn Io>) {
    #[allow(clippy::result_large_err, reason = "the callback's type is not ours")]
    let choose = |request: &Request, mut response: Response| {
        assert_eq!(request.uri(), "/room/7");
        assert_eq!(request.headers()["x-up"], "there");
        assert_eq!(request.headers()["sec-websocket-protocol"], "echo");
        response.headers_mut().insert("sec-websocket-protocol", "echo".parse().unwrap());
        response.headers_mut().insert("x-down", "back".parse().unwrap());
        Ok(response)
    };
    let mut socket = accept_hdr_async(socket, choose).await.unwrap();
    socket.send(Message::Ping("one".into())).await.unwrap();
    let message = loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Pong(payload) => assert_eq!(&payload[..], b"one"),
            message => break message,
        }
    };
    assert!(message.is_binary());
    socket.send(message).await.unwrap();
    let goodbye = CloseFrame { code: CloseCode::from(4001), reason: "enough".into() };
    socket.close(Some(goodbye)).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        assert!(matches!(&message, Message::Close(Some(answer)) if answer.code == CloseCode::from(4001)));
    }
}

#[test]
fn a_client_stream_is_echoed_by_tungstenites_server_and_told_why_it_leaves() {
    use StreamState as S;
    for certificates in [None, Some(Certificates::default())] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let acceptor = certificates.as_ref().map(|certificates| certificates.acceptor(&["http/1.1"]));
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let (socket, _) = listener.accept().await.unwrap();
                match acceptor {
                    None => serve(Box::new(socket)).await,
                    Some(acceptor) => serve(Box::new(acceptor.accept(socket).await.unwrap())).await,
                }
            });
        });
        let (given, tls) = match &certificates {
            Some(certificates) => (certificates.policy() + ",", r#""tls": true, "tls_trust_store": "ours","#),
            None => (String::new(), ""),
        };
        let policy = format!(
            r#"{{{given} "s": [{{"it": {{"endpoint": "localhost", "port": {port}, "protocol": "ws", "opportunistic": true, {tls}
                "ws_subprotocol": "echo", "ws_binary": true, "http_url": "room/${{path}}",
                "metadata": [{{"path": ""}}, {{"up": "x-up:"}}, {{"down": "x-down:"}}]}}}}]}}"#
        );
        let metadata = vec![("path", "7".to_owned()), ("up", "there".to_owned())];
        let heard = run(&policy, "it", Task { metadata, upload: Some((3_000_000, false)), times: 1 });
        assert_eq!(heard.digest, Digest::of_pattern(3_000_000));
        assert_eq!((heard.messages, heard.metadata["down"].as_str()), (1, "back"));
        let expected = [S::Creating, S::Poll, S::Connecting, S::Connected, S::Disconnected, S::Destroying];
        assert_eq!(heard.states, expected);
        assert_eq!(heard.cause.as_deref(), Some("closed by the peer with code 4001: enough"));
        thread.join().unwrap();
    }
}
