//! One process, one policy: servers and clients over HTTP/1.1, plain and TLS, on loopback. Prints what each is told.
//!
//! `cargo run --example hello_world`

use base64::Engine;
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::time::Duration;

/// What the streams share.
#[derive(Default)]
struct App {
    unfinished: usize,
}

/// The server streams: they only make handlers for the connections that they accept.
struct Server(&'static str);

impl StreamHandler for Server {
    fn state(&mut self, _: &mut Cx<'_>, _: StreamId, state: StreamState, _: u32) -> Flow {
        println!("{:>14}: {state}", self.0);
        Flow::Ok
    }

    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Accepted { name: self.0, heard: Vec::new() }))
    }
}

/// One accepted connection, request after request.
struct Accepted {
    name: &'static str,
    heard: Vec<u8>,
}

impl StreamHandler for Accepted {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.heard.extend_from_slice(payload);
        if flags.is_eom() {
            cx.request_tx(me).ok();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let path = String::from_utf8_lossy(cx.metadata(me, "path").unwrap_or_default()).into_owned();
        if self.heard.is_empty() {
            tx.write(format!("hello from {} at {path}", self.name).as_bytes());
        } else {
            tx.write(&self.heard.to_ascii_uppercase());
            self.heard.clear();
        }
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        println!("{:>14}: {state} (accepted)", self.name);
        if state == StreamState::ServerTxn {
            cx.server_ack(me, 0).ok();
            cx.set_metadata(me, "mime", "text/plain").ok();
            if cx.metadata(me, "method") == Some(b"GET") {
                cx.request_tx(me).ok();
            }
        }
        Flow::Ok
    }
}

/// A client: sends what it has to say, prints what comes back.
struct Client {
    name: &'static str,
    says: &'static str,
    port: u16,
}

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let text = String::from_utf8_lossy(payload);
        let mime = String::from_utf8_lossy(cx.metadata(me, "mime").unwrap_or_default()).into_owned();
        println!("{:>14}: rx {flags:?} {text:?} ({mime})", self.name);
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        println!("{:>14}: tx {:?}", self.name, self.says);
        tx.write(self.says.as_bytes());
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        println!("{:>14}: {state}", self.name);
        match state {
            StreamState::Creating => {
                cx.set_metadata(me, "port", self.port.to_string()).ok();
                cx.request_tx_len(me, self.says.len() as u64).ok();
            }
            StreamState::AllRetriesFailed => {
                if let Some(cause) = cx.cause(me) {
                    println!("{:>14}: {cause}", self.name);
                }
                return Flow::DestroyMe;
            }
            StreamState::Disconnected => return Flow::DestroyMe,
            StreamState::Destroying => {
                let Some(app) = cx.app::<App>() else { return Flow::Ok };
                app.unfinished -= 1;
                if app.unfinished == 0 {
                    cx.stop();
                }
            }
            _ => {}
        }
        Flow::Ok
    }
}

/// The policy, with a certificate that was made for this run.
fn policy() -> Result<String, Box<dyn std::error::Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let base64 = base64::engine::general_purpose::STANDARD;
    let cert = base64.encode(made.cert.der());
    let key = base64.encode(made.signing_key.serialize_der());
    Ok(format!(
        r#"{{
  "release": "1", "product": "hello", "schema-version": 1,
  "retry": [ {{ "default": {{ "backoff": [100, 200], "conceal": 2, "jitterpc": 20 }} }} ],
  "certs": [ {{ "cert": "{cert}" }}, {{ "key": "{key}" }} ],
  "trust_stores": [ {{ "name": "ours", "stack": ["cert"] }} ],
  "s": [
    {{ "server": {{
        "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h1",
        "metadata": [ {{ "mime": "content-type:" }}, {{ "method": "" }}, {{ "path": "" }} ] }} }},
    {{ "tls_server": {{
        "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h1",
        "tls": true, "server_cert": "cert", "server_key": "key",
        "metadata": [ {{ "mime": "content-type:" }}, {{ "method": "" }}, {{ "path": "" }} ] }} }},
    {{ "get": {{
        "endpoint": "http://localhost:${{port}}", "protocol": "h1",
        "http_method": "GET", "http_url": "greeting", "opportunistic": true, "retry": "default",
        "metadata": [ {{ "port": "" }}, {{ "mime": "content-type:" }} ] }} }},
    {{ "post": {{
        "endpoint": "https://localhost:${{port}}", "protocol": "h1", "tls": true, "tls_trust_store": "ours",
        "http_method": "POST", "http_url": "/shout", "opportunistic": true, "retry": "default",
        "metadata": [ {{ "port": "" }}, {{ "mime": "content-type:" }} ] }} }}
  ]
}}"#
    ))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut context = Context::builder().policy(&policy()?)?.app(App::default()).build()?;
    context.with(|cx| -> Result<(), millstream::Error> {
        let plain = cx.create("server", Server("server"))?;
        let tls = cx.create("tls_server", Server("tls_server"))?;
        for (streamtype, server, says) in [("get", plain, ""), ("post", tls, "hello over tls")] {
            let port = cx.server_address(server).and_then(millstream::Address::port).unwrap_or(0);
            println!("{streamtype} connects to port {port}");
            cx.create(streamtype, Client { name: streamtype, says, port })?;
            if let Some(app) = cx.app::<App>() {
                app.unfinished += 1;
            }
        }
        // A demonstration that hangs is none.
        cx.sul_schedule(Duration::from_secs(10), |cx| cx.stop());
        Ok(())
    })?;
    context.run()?;
    Ok(())
}
