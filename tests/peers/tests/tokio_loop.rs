//! A context inside tokio's loop: one descriptor and a timeout there, on the same thread as the tasks that talk to it.

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use millstream::{Address, Context, Cx, Flow, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use millstream_peers::WATCHDOG;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

struct Server;

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"a guest of tokio's");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

/// Serves the context until it is told to stop.
async fn serve(mut context: Context) {
    #[allow(
        deprecated,
        reason = "its successor is unsafe; this descriptor is owned and outlives its registration"
    )]
    let fd = AsyncFd::new(context.poll_fd().unwrap().try_clone_to_owned().unwrap()).unwrap();
    while !context.is_stopping() {
        let timeout = context.next_timeout();
        let wait = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What comes after this is told anew.
            ready = fd.readable() => ready.unwrap().clear_ready(),
            () = wait => {}
        }
        context.service(Some(Duration::ZERO)).unwrap();
    }
}

async fn ask(port: u16, requests: usize) {
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::task::spawn_local(connection);
    for _ in 0..requests {
        let request = Request::get("/").header("host", "a").body(Empty::<Bytes>::new()).unwrap();
        client.ready().await.unwrap();
        let body = client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "a guest of tokio's");
    }
}

#[test]
fn a_context_is_served_by_tokio_s_loop_beside_its_own_tasks() {
    let policy =
        r#"{"s": [{"server": {"server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h1"}}]}"#;
    let mut context = Context::builder().policy(policy).unwrap().build().unwrap();
    let server = context.with(|cx| cx.create("server", Server)).unwrap();
    let port = context.with(|cx| cx.server_address(server).and_then(Address::port)).unwrap();
    let remote = context.remote();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let all = local.run_until(async {
        let serving = tokio::task::spawn_local(serve(context));
        let clients: Vec<_> = (0..100).map(|_| tokio::task::spawn_local(ask(port, 20))).collect();
        for client in clients {
            client.await.unwrap();
        }
        remote.attach(|cx| cx.stop()).unwrap();
        serving.await.unwrap();
    });
    runtime.block_on(async { tokio::time::timeout(WATCHDOG, all).await.expect("an end") });
}
