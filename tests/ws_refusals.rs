//! Servers that do not grant the upgrade that a stream asks for, each in its way; in virtual time.
#![cfg(feature = "ws")]

use millstream::sim::Network;
use millstream::{Blob, Context, Cx, Flow, StreamHandler, StreamId, StreamState, Us};

const POLICY: &str = r#"{
  "retry": [ { "few": { "backoff": [1000], "conceal": 1, "jitterpc": 0 } } ],
  "s": [
    { "plain": { "endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "http_url": "/a", "http_method": "POST",
        "opportunistic": true, "retry": "few", "http_resp_map": [ { "418": 1418 } ] } },
    { "follow": { "endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "http_url": "/a", "opportunistic": true,
        "allow_redirects": true, "retry": "few" } },
    { "auth": { "endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "http_auth_header": "authorization:",
        "opportunistic": true, "retry": "few" } } ] }"#;

struct Client;

impl StreamHandler for Client {
    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let seconds = cx.now().as_us() / 1_000_000;
        let text = match cx.cause(me) {
            Some(cause) if state == StreamState::Unreachable => format!("{seconds} {state}: {cause}"),
            _ => format!("{seconds} {state}"),
        };
        cx.app::<Vec<String>>().unwrap().push(text);
        if state == StreamState::Creating {
            cx.client_connect(me).unwrap();
        }
        Flow::Ok
    }
}

/// What a stream is told when its requests are answered with these, the last again and again; and the requests.
fn told(streamtype: &str, answers: &[&str]) -> (Vec<String>, Vec<String>) {
    let network = Network::new(1);
    let listener = network.listen(&network.host("10.0.0.1"), 80).unwrap();
    let builder = Context::builder().policy(POLICY).unwrap().app(Vec::<String>::new());
    let mut context = builder.sim(network.host("10.0.0.2")).build().unwrap();
    context.with(|cx| {
        cx.set_blob(Blob::Auth(0), "wrong");
        cx.create(streamtype, Client).unwrap();
    });
    let (mut sockets, mut requests) = (Vec::new(), Vec::new());
    // A minute and more, and close looks at the beginning.
    let close = (1..100_u64).map(|hundredth| hundredth * 10);
    for ms in close.chain((1000..70_000).step_by(100)) {
        network.run(&mut [&mut context], Us::from_us(ms * 1000)).unwrap();
        sockets.extend(listener.accept());
        for socket in &mut sockets {
            let heard: Vec<u8> = socket.read();
            if heard.starts_with(b"GET ") {
                let answer = answers.get(requests.len()).or_else(|| answers.last()).unwrap();
                requests.push(String::from_utf8(heard).unwrap());
                socket.write(answer.as_bytes()).unwrap();
            }
        }
    }
    (context.with(|cx| std::mem::take(cx.app::<Vec<String>>().unwrap())), requests)
}

#[test]
fn whatever_is_no_upgrade_is_a_failed_try_a_good_status_too() {
    for (status, answer) in [
        (200, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere"),
        (404, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        (302, "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let (told, requests) = told("plain", &[answer]);
        let failed = format!("UNREACHABLE: http status {status}");
        let expected = [
            "0 CREATING".to_owned(),
            "0 CONNECTING".to_owned(),
            format!("0 {failed}"),
            "1 POLL".to_owned(),
            "1 CONNECTING".to_owned(),
            format!("1 {failed}"),
            "1 ALL_RETRIES_FAILED".to_owned(),
        ];
        assert_eq!(told, expected);
        assert!(requests[0].starts_with("GET /a HTTP/1.1\r\n"), "{}", requests[0]);
        assert!(requests[0].contains("Connection: Upgrade\r\n"), "{}", requests[0]);
    }
}

#[test]
fn a_status_that_the_policy_maps_is_told_by_its_number() {
    let (told, _) = told("plain", &["HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n"]);
    assert_eq!(told[2..4], ["0 USER_1418", "0 UNREACHABLE: http status 418"]);
}

#[test]
fn a_server_that_is_busy_says_when_to_come_again() {
    let (told, _) = told("plain", &["HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"]);
    assert_eq!(told[2..4], ["0 UNREACHABLE: http status 503", "7 POLL"]);
}

#[test]
fn credentials_that_are_refused_are_not_tried_again() {
    let (told, requests) = told("auth", &["HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"]);
    assert_eq!(told[2..], ["0 AUTH_FAILED"]);
    assert!(requests[0].contains("authorization: wrong\r\n"), "{}", requests[0]);
}

#[test]
fn a_redirect_is_followed_where_the_policy_allows_it() {
    let moved = "HTTP/1.1 307 Moved\r\nLocation: /b?c\r\nContent-Length: 4\r\n\r\ngone";
    let gone = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n";
    let (told, requests) = told("follow", &[moved, gone]);
    assert!(requests[1].starts_with("GET /b?c HTTP/1.1\r\n"), "{}", requests[1]);
    assert!(requests[1].contains("Upgrade: websocket\r\n"), "{}", requests[1]);
    assert_eq!(told[2], "0 UNREACHABLE: http status 410");
}

#[test]
fn a_server_that_has_not_understood_the_key_has_not_granted_anything() {
    let (told, _) = told(
        "plain",
        &["HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"],
    );
    assert_eq!(told[2], "0 UNREACHABLE: websocket handshake: the key is not accepted");
}

#[test]
fn a_server_that_says_nothing_is_waited_for_so_long_and_no_longer() {
    let (told, _) = told("plain", &[""]);
    assert!(told[2].ends_with("UNREACHABLE: took too long"), "{told:?}");
}
