//! Redirects, between streams of one policy in virtual time: followed where the policy says so, and counted.
#![cfg(feature = "h1")]

use millstream::sim::{Host, Network};
use millstream::{Blob, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Us};

const POLICY: &str = r#"{
  "retry": [ { "once": { "backoff": [100], "conceal": 0, "jitterpc": 0 } } ],
  "s": [
    { "follow": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/a",
        "opportunistic": true, "allow_redirects": true, "retry": "once" } },
    { "fail": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/a",
        "opportunistic": true, "http_fail_redirect": true, "retry": "once" } },
    { "stay": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/a",
        "opportunistic": true, "retry": "once" } },
    { "secret": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/a",
        "opportunistic": true, "allow_redirects": true, "http_auth_header": "authorization:",
        "http_auth_preamble": "Bearer ", "http_dsn_header": "dsn:", "retry": "once" } },
    { "mapped": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/a",
        "opportunistic": true, "allow_redirects": true, "direct_proto_str": true, "retry": "once",
        "metadata": [ { "pass": "Authorization:" }, { "proxy": "proxy-authorization:" }, { "tag": "x-tag:" } ] } } ] }"#;

struct Client;

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let text = format!("rx {} {flags:?}", String::from_utf8_lossy(payload));
        cx.app::<Vec<String>>().unwrap().push(text);
        Flow::Ok
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let text = match cx.cause(me) {
            Some(cause) => format!("{state}: {cause}"),
            None => state.to_string(),
        };
        cx.app::<Vec<String>>().unwrap().push(text);
        if state == StreamState::Creating {
            cx.client_connect(me).unwrap();
        }
        Flow::Ok
    }
}

/// What a stream is told when the server answers its requests with these, each on a request of its own.
fn told(streamtype: &str, answers: &[&str]) -> (Vec<String>, Vec<String>) {
    let network = Network::new(1);
    let (near, far): (Host, Host) = (network.host("10.0.0.2"), network.host("10.0.0.1"));
    let listener = network.listen(&far, 80).unwrap();
    let app = Vec::<String>::new();
    let mut context = Context::builder().policy(POLICY).unwrap().app(app).sim(near).build().unwrap();
    context.with(|cx| cx.create(streamtype, Client)).unwrap();
    let (mut sockets, mut requests, mut answers) = (Vec::new(), Vec::new(), answers.iter());
    for ms in 1..400 {
        network.run(&mut [&mut context], Us::from_us(ms * 1000)).unwrap();
        sockets.extend(listener.accept());
        for socket in &mut sockets {
            let heard: Vec<u8> = socket.read();
            if !heard.is_empty() {
                requests.push(String::from_utf8_lossy(&heard).lines().next().unwrap_or_default().to_owned());
                socket.write(answers.next().unwrap().as_bytes()).unwrap();
            }
        }
    }
    (context.with(|cx| std::mem::take(cx.app::<Vec<String>>().unwrap())), requests)
}

const MOVED: &str = "HTTP/1.1 302 Found\r\nLocation: b?c\r\nContent-Length: 4\r\n\r\ngone";
const FOUND: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere";

#[test]
fn a_redirect_is_followed_where_the_policy_allows_it_and_its_own_body_is_nobodys() {
    let (told, requests) = told("follow", &[MOVED, FOUND]);
    assert_eq!(requests, ["GET /a HTTP/1.1", "GET /b?c HTTP/1.1"]);
    assert_eq!(
        told,
        ["CREATING", "CONNECTING", "CONNECTED", "rx here SOM", "rx  EOM", "QOS_ACK_REMOTE", "DISCONNECTED"]
    );
}

#[test]
fn redirects_in_a_circle_are_followed_five_times() {
    let (told, requests) = told("follow", &[MOVED; 6]);
    assert_eq!(requests.len(), 6);
    assert!(told[2].starts_with("UNREACHABLE: ") && told[2].contains("too many redirects"), "{told:?}");
}

#[test]
fn a_redirect_is_a_failure_where_the_policy_says_so_and_a_refusal_by_default() {
    let (failed, _) = told("fail", &[MOVED]);
    assert!(failed[2].contains("UNREACHABLE: http status 302"), "{failed:?}");
    let (stayed, _) = told("stay", &[MOVED]);
    assert_eq!(stayed[2..5], ["CONNECTED: http status 302", "rx gone SOM", "rx  EOM"]);
    assert!(stayed[5].starts_with("QOS_NACK_REMOTE"), "{stayed:?}");
}

/// Which requests bring all of `secrets` along, and which bring none, when a stream that `start` makes is sent around servers.
fn told_to(start: impl FnOnce(&mut Cx<'_>), secrets: &[&str]) -> Vec<(String, bool)> {
    let network = Network::new(1);
    let (first, other) = (network.host("10.0.0.1"), network.host("10.0.0.3"));
    let listeners =
        [(&first, 80), (&first, 81), (&other, 80)].map(|(host, port)| network.listen(host, port).unwrap());
    let near = network.host("10.0.0.2");
    let app = Vec::<String>::new();
    let mut context = Context::builder().policy(POLICY).unwrap().app(app).sim(near).build().unwrap();
    context.with(start);
    let tos = ["/b", "http://10.0.0.1/c", "http://10.0.0.1:81/d", "http://10.0.0.3/e", "http://10.0.0.1/f"];
    let mut answers = tos.iter();
    let (mut sockets, mut heard) = (Vec::new(), Vec::new());
    for ms in 1..400 {
        network.run(&mut [&mut context], Us::from_us(ms * 1000)).unwrap();
        sockets.extend(listeners.iter().filter_map(|listener| listener.accept()));
        for socket in &mut sockets {
            let request = String::from_utf8_lossy(&socket.read()).into_owned();
            if request.is_empty() {
                continue;
            }
            let told = secrets.iter().filter(|secret| request.contains(**secret)).count();
            assert!(told == 0 || told == secrets.len(), "{request}");
            heard.push((request.split(' ').nth(1).unwrap().to_owned(), told > 0));
            let answer = answers.next().map_or_else(
                || FOUND.to_owned(),
                |to| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"),
            );
            socket.write(answer.as_bytes()).unwrap();
        }
    }
    heard
}

fn expected(kept: [bool; 6]) -> Vec<(String, bool)> {
    ["/a", "/b", "/c", "/d", "/e", "/f"].map(str::to_owned).into_iter().zip(kept).collect()
}

/// What was left behind once does not come again, wherever the next redirect leads.
const BY_ORIGIN: [bool; 6] = [true, true, true, false, false, false];

#[test]
fn credentials_go_along_to_the_same_server_and_to_no_other() {
    let start = |cx: &mut Cx<'_>| {
        cx.set_blob(Blob::Auth(0), "token");
        cx.set_blob(Blob::DeviceSerial, "serial");
        cx.create("secret", Client).unwrap();
    };
    assert_eq!(told_to(start, &["authorization: Bearer token", "dsn: serial"]), expected(BY_ORIGIN));
}

#[test]
fn metadata_that_are_credentials_stay_behind_where_a_redirect_leads_elsewhere_and_others_go_along() {
    let start = |cx: &mut Cx<'_>| {
        let id = cx.create("mapped", Client).unwrap();
        for (name, value) in
            [("pass", "a1"), ("proxy", "b2"), ("Cookie:", "c=3"), ("tag", "7"), ("x-other:", "8")]
        {
            cx.set_metadata(id, name, value).unwrap();
        }
    };
    let secrets = ["Authorization: a1", "proxy-authorization: b2", "Cookie: c=3"];
    assert_eq!(told_to(start, &secrets), expected(BY_ORIGIN));
    assert_eq!(told_to(start, &["x-tag: 7", "x-other: 8"]), expected([true; 6]));
}
