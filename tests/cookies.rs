//! Cookies of streams with `http_cookies`, in virtual time: kept from responses, and sent to whom they are for.

#![cfg(all(feature = "h2", feature = "tls", feature = "ws"))]

use base64::Engine;
use millstream::http::Method;
use millstream::sim::{Network, RawListener, RawSocket};
use millstream::{Context, Cx, Flow, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

const NAMES: [&str; 4] = ["a.example.com", "b.example.com", "example.com", "other.net"];

fn policy() -> String {
    let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned)).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD;
    let (cert, key) = (base64.encode(made.cert.der()), base64.encode(made.signing_key.serialize_der()));
    let server =
        r#""server": true, "metadata": [{"path": ""}, {"cookie": "cookie"}, {"sets": "set-cookie"}]"#;
    let tls = r#""tls": true, "server_cert": "cert", "server_key": "key""#;
    let to = r#""endpoint": "${host}", "http_url": "${path}", "opportunistic": true, "retry": "once",
        "metadata": [{"host": ""}, {"path": ""}, {"own": "cookie"}]"#;
    let get = format!(r#"{to}, "http_method": "GET", "http_cookies": true"#);
    let over_tls = r#""port": 443, "tls": true, "tls_trust_store": "ours""#;
    format!(
        r#"{{"retry": [{{"once": {{"backoff": [1000], "conceal": 0, "jitterpc": 0}}}}],
        "certs": [{{"cert": "{cert}"}}, {{"key": "{key}"}}], "trust_stores": [{{"name": "ours", "stack": ["cert"]}}],
        "s": [
            {{"serve_h2": {{{server}, "port": 82, "protocol": "h2", "ws_subprotocol": "chat"}}}},
            {{"serve_tls": {{{server}, "port": 443, "protocol": "h2", {tls}}}}},
            {{"get": {{{get}, "protocol": "h1", "allow_redirects": true}}}},
            {{"get_h2": {{{get}, "protocol": "h2", "port": 82}}}},
            {{"get_tls": {{{get}, "protocol": "h1", {over_tls}}}}},
            {{"get_h2_tls": {{{get}, "protocol": "h2", {over_tls}}}}},
            {{"socket": {{{to}, "protocol": "ws", "ws_subprotocol": "chat", "http_cookies": true}}}},
            {{"socket_h2": {{{to}, "port": 82, "protocol": "ws", "ws_subprotocol": "chat", "ws_over_h2": true, "http_cookies": true}}}},
            {{"plain": {{{to}, "protocol": "h1", "http_method": "GET"}}}}]}}"#
    )
}

/// What the servers were asked, as path and cookies, and what they are to set next.
#[derive(Default)]
struct Served {
    asked: Vec<(String, String)>,
    sets: Vec<String>,
}

/// Sets what it is to set, over HTTP/2 and TLS.
struct Server(Rc<RefCell<Served>>);

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(Rc::clone(&self.0))))
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if matches!(state, StreamState::ServerTxn | StreamState::ServerUpgrade) {
            let text = |name| String::from_utf8(cx.metadata(me, name).unwrap_or_default().to_vec()).unwrap();
            let mut served = self.0.borrow_mut();
            served.asked.push((text("path"), text("cookie")));
            if let Some(set) = served.sets.pop() {
                cx.set_metadata(me, "sets", set).unwrap();
            }
            if state == StreamState::ServerTxn {
                cx.request_tx_len(me, 0).unwrap();
            }
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.end_message();
        TxFlow::Send
    }
}

/// Keeps what it is told.
struct Client(Rc<RefCell<Vec<StreamState>>>);

impl StreamHandler for Client {
    fn state(&mut self, _: &mut Cx<'_>, _: StreamId, state: StreamState, _: u32) -> Flow {
        self.0.borrow_mut().push(state);
        Flow::Ok
    }
}

struct World {
    network: Network,
    server: Context,
    client: Context,
    listener: RawListener,
    sockets: Vec<RawSocket>,
    served: Rc<RefCell<Served>>,
    states: Rc<RefCell<Vec<StreamState>>>,
}

impl World {
    fn new() -> Self {
        let network = Network::new(1);
        let far = network.host("10.0.0.1");
        for name in NAMES {
            network.name(name, &["10.0.0.1"]);
        }
        let listener = network.listen(&far, 80).unwrap();
        let policy = policy();
        let context = |host| Context::builder().policy(&policy).unwrap().sim(host).build().unwrap();
        let (mut server, client) = (context(far), context(network.host("10.0.0.2")));
        let served = Rc::<RefCell<Served>>::default();
        server.with(|cx| {
            for streamtype in ["serve_h2", "serve_tls"] {
                cx.create(streamtype, Server(Rc::clone(&served))).unwrap();
            }
        });
        Self { network, server, client, listener, sockets: Vec::new(), served, states: Rc::default() }
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            let until = self.network.now().saturating_add(Duration::from_millis(1));
            self.network.run(&mut [&mut self.server, &mut self.client], until).unwrap();
            self.sockets.extend(self.listener.accept());
            for socket in &mut self.sockets {
                let bytes = socket.read();
                let request = String::from_utf8_lossy(&bytes);
                // Frames are of no interest.
                if request.starts_with("GET ") {
                    let _ = socket.write(answer(&request, &mut self.served.borrow_mut()).as_bytes());
                }
            }
        }
    }

    /// A stream of its own asks for `url`; what it brought along, request by request.
    fn fetch(&mut self, streamtype: &str, url: &str, sets: &[&str]) -> Vec<(String, String)> {
        self.fetch_with(streamtype, url, sets, "")
    }

    fn fetch_with(&mut self, streamtype: &str, url: &str, sets: &[&str], own: &str) -> Vec<(String, String)> {
        let (host, path) = url.split_once('/').unwrap();
        self.served.borrow_mut().sets = sets.iter().rev().map(|set| (*set).to_owned()).collect();
        self.states.borrow_mut().clear();
        let states = Rc::clone(&self.states);
        let id = self.client.with(|cx| {
            let id = cx.create(streamtype, Client(states)).unwrap();
            for (name, value) in [("host", host), ("path", path), ("own", own)] {
                cx.set_metadata(id, name, value).unwrap();
            }
            cx.client_connect(id).unwrap();
            id
        });
        self.run(50);
        self.client.with(|cx| cx.destroy(id)).unwrap();
        self.run(10);
        std::mem::take(&mut self.served.borrow_mut().asked)
    }

    /// The cookies that one request to `url` brings along.
    fn sent(&mut self, streamtype: &str, url: &str) -> String {
        let [(_, cookies)] = self.fetch(streamtype, url, &[]).try_into().unwrap();
        cookies
    }
}

/// A server over HTTP/1.1: `/to/X` redirects to X, `/socket` grants a websocket, everything else is there.
fn answer(request: &str, served: &mut Served) -> String {
    let mut lines = request.lines();
    let target = lines.next().unwrap().split(' ').nth(1).unwrap();
    let fields: Vec<(&[u8], &[u8])> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let cookies = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"cookie"));
    let cookies: Vec<_> = cookies.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
    assert!(cookies.len() <= 1, "{request}");
    served.asked.push((target.to_owned(), cookies.concat()));
    let mut out = String::new();
    if let Some(location) = target.strip_prefix("/to/") {
        let _ = write!(out, "HTTP/1.1 302 Found\r\nLocation: http://{location}\r\nContent-Length: 0\r\n");
    } else if target == "/socket" {
        out += "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
        let terms = ws::handshake::Terms { protocols: "chat", deflate: None };
        let answer = ws::handshake::Answer::new(Method::Get, fields, &terms).unwrap();
        for (name, value) in answer.fields() {
            let _ = write!(out, "{}: {}\r\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        }
    } else if target == "/refusal" {
        out += "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n";
    } else {
        out += "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    }
    // What a redirect does not set, its target may.
    let several = served.sets.pop().unwrap_or_default();
    for set in several.split('|').filter(|set| !set.is_empty()) {
        let _ = write!(out, "Set-Cookie: {set}\r\n");
    }
    out + "\r\n"
}

#[test]
fn what_a_server_sets_comes_back_with_the_next_request_of_any_stream_that_keeps_cookies() {
    for streamtype in ["get", "get_h2", "get_tls", "get_h2_tls"] {
        let mut world = World::new();
        let asked = world.fetch(streamtype, "example.com/x/y?z", &["session=42; HttpOnly"]);
        assert_eq!(asked.len(), 1, "{streamtype}: {:?}", world.states.borrow());
        assert_eq!(asked[0].1, "", "{streamtype}");
        assert!(world.states.borrow().contains(&StreamState::QosAckRemote), "{streamtype}");
        for other in ["get", "get_h2", "get_tls", "get_h2_tls"] {
            assert_eq!(world.sent(other, "example.com/x/z"), "session=42", "{streamtype} {other}");
        }
        assert_eq!(world.sent("plain", "example.com/x/z"), "", "{streamtype}");
    }
}

#[test]
fn a_stream_without_the_key_keeps_nothing() {
    let mut world = World::new();
    world.fetch("plain", "example.com/", &["a=1"]);
    assert_eq!(world.sent("get", "example.com/"), "");
}

#[test]
fn several_cookies_are_one_header_and_another_host_or_path_gets_none_of_them() {
    let mut world = World::new();
    world.fetch(
        "get",
        "a.example.com/x/y",
        &["own=1|deep=2; Path=/x/deep|all=3; Domain=example.com; Path=/|bad=4; Domain=com"],
    );
    for (url, cookies) in [
        ("a.example.com/x/deep", "deep=2; own=1; all=3"),
        ("a.example.com/x", "own=1; all=3"),
        ("a.example.com/xy", "all=3"),
        ("b.example.com/x/deep", "all=3"),
        ("example.com/x", "all=3"),
        ("other.net/x", ""),
    ] {
        assert_eq!(world.sent("get", url), cookies, "{url}");
    }
}

#[test]
fn a_secure_cookie_does_not_leave_tls() {
    let mut world = World::new();
    world.fetch("get_tls", "example.com/", &["secret=1; Secure"]);
    for (streamtype, cookies) in
        [("get", ""), ("get_h2", ""), ("get_tls", "secret=1"), ("get_h2_tls", "secret=1")]
    {
        assert_eq!(world.sent(streamtype, "example.com/"), cookies, "{streamtype}");
    }
}

#[test]
fn a_cookie_ends_when_its_time_is_over_by_the_wall_clock() {
    let mut world = World::new();
    // The simulation begins with 2026.
    let expires = "b=2; Expires=Thu, 01 Jan 2026 02:00:00 GMT";
    world.fetch("get", "example.com/", &[&format!("a=1; Max-Age=3600|{expires}|c=3")]);
    assert_eq!(world.sent("get", "example.com/"), "a=1; b=2; c=3");
    for (hours, cookies) in [(1, "b=2; c=3"), (1, "c=3"), (24 * 365, "c=3")] {
        let until = world.network.now().saturating_add(Duration::from_secs(hours * 3600));
        world.network.run(&mut [&mut world.client], until).unwrap();
        assert_eq!(world.sent("get", "example.com/"), cookies);
    }
    world.fetch("get", "example.com/", &["c=; Max-Age=0"]);
    assert_eq!(world.sent("get", "example.com/"), "");
}

#[test]
fn a_redirect_sets_cookies_before_it_is_followed_and_takes_none_to_another_host() {
    let mut world = World::new();
    let asked = world.fetch("get", "example.com/to/example.com/home", &["login=1; Path=/"]);
    let asked: Vec<_> = asked.iter().map(|(target, cookies)| (target.as_str(), cookies.as_str())).collect();
    assert_eq!(asked, [("/to/example.com/home", ""), ("/home", "login=1")]);
    let asked = world.fetch("get", "example.com/to/other.net/", &["more=2; Path=/", "theirs=3"]);
    assert_eq!((asked[0].1.as_str(), asked[1].1.as_str()), ("login=1", ""));
    assert_eq!(world.sent("get", "other.net/"), "theirs=3");
    assert_eq!(world.sent("get", "example.com/"), "login=1; more=2");
}

#[test]
fn a_websocket_is_asked_for_with_cookies_and_its_answer_sets_them_granted_or_not() {
    let mut world = World::new();
    world.fetch("get", "example.com/", &["a=1"]);
    assert_eq!(world.fetch("socket", "example.com/refusal", &["b=2"])[0].1, "a=1");
    assert!(world.states.borrow().contains(&StreamState::Unreachable));
    assert_eq!(world.fetch("socket", "example.com/socket", &["c=3"])[0].1, "a=1; b=2");
    assert!(world.states.borrow().contains(&StreamState::Connected), "{:?}", world.states.borrow());
    assert_eq!(world.sent("get", "example.com/"), "a=1; b=2; c=3");
    assert_eq!(world.sent("socket_h2", "example.com/"), "a=1; b=2; c=3");
    assert!(world.states.borrow().contains(&StreamState::Connected), "{:?}", world.states.borrow());
}

#[test]
fn metadata_that_changes_meanwhile_does_not_change_whose_the_cookie_is() {
    let mut world = World::new();
    world.served.borrow_mut().sets = vec!["a=1".into()];
    let id = world.client.with(|cx| {
        let id = cx.create("get", Client(Rc::default())).unwrap();
        cx.set_metadata(id, "host", "example.com").unwrap();
        cx.set_metadata(id, "path", "x/y").unwrap();
        cx.client_connect(id).unwrap();
        id
    });
    let asked = (0..50).find(|_| {
        world.run(1);
        !world.served.borrow().asked.is_empty()
    });
    assert!(asked.is_some());
    // The answer is on its way.
    world.client.with(|cx| {
        cx.set_metadata(id, "host", "other.net").unwrap();
        cx.set_metadata(id, "path", "").unwrap();
    });
    world.run(50);
    assert_eq!(std::mem::take(&mut world.served.borrow_mut().asked), [("/x/y".into(), String::new())]);
    assert_eq!(world.sent("get", "other.net/"), "");
    assert_eq!(world.sent("get", "example.com/"), "");
    assert_eq!(world.sent("get", "example.com/x"), "a=1");
}

#[test]
fn a_cookie_of_the_applications_own_goes_instead_of_the_jars() {
    let mut world = World::new();
    world.fetch("get", "example.com/", &["a=1"]);
    assert_eq!(world.fetch_with("get", "example.com/", &["b=2"], "own=1")[0].1, "own=1");
    assert_eq!(world.sent("get", "example.com/"), "a=1; b=2");
}

#[test]
fn the_jar_is_taken_to_the_next_context_as_a_cookie_file_and_cleared() {
    let mut world = World::new();
    world.fetch("get", "a.example.com/", &["a=1; Domain=example.com; Max-Age=60|b=2"]);
    let file = world.client.with(|cx| cx.cookies_export());
    world.client.with(|cx| cx.cookies_clear());
    assert_eq!(world.sent("get", "a.example.com/"), "");
    let mut world = World::new();
    assert_eq!(world.client.with(|cx| cx.cookies_import(&file)), 2);
    assert_eq!(world.sent("get", "a.example.com/"), "a=1; b=2");
    assert_eq!(world.sent("get", "b.example.com/"), "a=1");
}
