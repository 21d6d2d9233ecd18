//! Multipart bodies: what goes out within a form (`http_multipart_name`), and what arrives in parts (`http_multipart_ss_in`).

#![cfg(feature = "h1")]

#[cfg(feature = "h2")]
#[path = "common/h2_peer.rs"]
mod h2_peer;

use millstream::sim::{Link, Network, RawListener, RawSocket};
use millstream::{Cause, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;

const POLICY: &str = r#"{"retry": [{"once": {"backoff": [100000], "conceal": 0}}], "s": [
    {"server": {"server": true, "port": 80, "protocol": "PROTOCOL", "http_multipart_ss_in": true,
        "metadata": [{"disposition": "content-disposition:"}, {"type": "content-type:"}, {"path": ""}]}},
    {"form": {"endpoint": "10.0.0.1", "port": 80, "protocol": "PROTOCOL", "http_method": "POST", "http_url": "up",
        "http_multipart_name": "log", "http_multipart_filename": "a \"b\".txt", "http_multipart_content_type": "text/plain",
        "metadata": [{"type": "content-type:"}], "opportunistic": true, "retry": "once"}},
    {"raw": {"endpoint": "10.0.0.1", "port": 80, "protocol": "PROTOCOL", "http_method": "POST", "http_url": "up",
        "http_mime_content_type": "multipart/mixed; boundary=b", "opportunistic": true, "retry": "once"}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "PROTOCOL", "http_method": "GET", "http_url": "x",
        "http_multipart_ss_in": true, "metadata": [{"disposition": "content-disposition:"}, {"type": "content-type:"}],
        "opportunistic": true, "retry": "once"}},
    {"head": {"endpoint": "10.0.0.1", "port": 80, "protocol": "PROTOCOL", "http_method": "HEAD", "http_url": "x",
        "http_multipart_ss_in": true, "opportunistic": true, "retry": "once"}}
]}"#;

/// A message as it was received: the metadata with which it began, its payload, whether it is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    disposition: Option<String>,
    kind: Option<String>,
    payload: Vec<u8>,
    is_whole: bool,
}

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    messages: Vec<Message>,
    groups: Vec<RxFlags>,
    cause: Option<String>,
}

type Log = Rc<RefCell<Told>>;

/// Sends what it has, with its length if it is to say so, and keeps what it hears. A server's answers when all has come.
struct User {
    log: Log,
    says: Vec<u8>,
    declares: bool,
}

impl StreamHandler for User {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self { log: Rc::clone(&self.log), says: Vec::new(), declares: false }))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut log = self.log.borrow_mut();
        let is_server = cx.metadata(me, "path").is_some();
        if flags.is_related_start() || flags.is_related_end() {
            assert!(payload.is_empty() && !flags.is_som() && !flags.is_eom());
            log.groups.push(flags);
            if flags.is_related_end() && is_server {
                cx.request_tx_len(me, 0).unwrap();
            }
            return Flow::Ok;
        }
        if flags.is_som() {
            let text = |name| cx.metadata(me, name).map(|value| String::from_utf8_lossy(value).into_owned());
            let (disposition, kind) = (text("disposition"), text("type"));
            log.messages.push(Message { disposition, kind, payload: Vec::new(), is_whole: false });
        }
        let last = log.messages.last_mut().unwrap();
        assert!(!last.is_whole);
        last.payload.extend_from_slice(payload);
        last.is_whole = flags.is_eom();
        if flags.is_eom() && is_server && log.groups.is_empty() {
            cx.request_tx_len(me, 0).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.says);
        self.says.drain(..sent);
        if !self.says.is_empty() {
            cx.request_tx(me).unwrap();
        } else if !self.declares {
            tx.end_message();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut log = self.log.borrow_mut();
        log.states.push(state);
        if let Some(cause) = cx.cause(me) {
            log.cause = Some(Cause::to_string(cause));
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    near: Context,
    far: Option<Context>,
    log: Log,
    heard: Log,
}

impl World {
    /// A client and, if wanted, a server.
    fn new(protocol: &str, has_server: bool, link: Link) -> Self {
        let network = Network::new(7);
        network.set_default_link(link);
        let policy = POLICY.replace("PROTOCOL", protocol);
        let context =
            |address| Context::builder().policy(&policy).unwrap().sim(network.host(address)).build().unwrap();
        let near = context("10.0.0.2");
        let (log, heard) = (Log::default(), Log::default());
        let far = has_server.then(|| {
            let mut far = context("10.0.0.1");
            let user = User { log: Rc::clone(&heard), says: Vec::new(), declares: false };
            far.with(|cx| cx.create("server", user)).unwrap();
            far
        });
        Self { network, near, far, log, heard }
    }

    /// A client of a server in the hands of the test.
    fn with_raw_server() -> (Self, RawListener) {
        let world = Self::new("h1", false, Link::default());
        let far = world.network.host("10.0.0.1");
        let listener = world.network.listen(&far, 80).unwrap();
        (world, listener)
    }

    /// A server of a client in the hands of the test, which sends a multipart request.
    fn with_raw_client(boundary: &str, body: &[u8]) -> (Self, RawSocket) {
        let mut world = Self::new("h1", true, Link::default());
        let host = world.network.host("10.0.0.3");
        let mut socket = world.network.connect(&host, "10.0.0.1:80").unwrap();
        world.run(10);
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data{boundary}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write(&[head.as_bytes(), body].concat()).unwrap();
        world.run(1000);
        (world, socket)
    }

    fn create(&mut self, streamtype: &str, says: &[u8], declares: bool) -> StreamId {
        let user = User { log: Rc::clone(&self.log), says: says.to_vec(), declares };
        self.near.with(|cx| {
            let id = cx.create(streamtype, user).unwrap();
            let asked = if declares { cx.request_tx_len(id, says.len() as u64) } else { cx.request_tx(id) };
            asked.unwrap();
            id
        })
    }

    fn run(&mut self, millis: u64) {
        let until = Us::from_us(self.network.now().as_us() + millis * 1000);
        let mut contexts: Vec<&mut Context> = self.far.iter_mut().collect();
        contexts.push(&mut self.near);
        self.network.run(&mut contexts, until).unwrap();
    }
}

fn message(disposition: Option<&str>, kind: Option<&str>, payload: &[u8]) -> Message {
    let (disposition, kind) = (disposition.map(str::to_owned), kind.map(str::to_owned));
    Message { disposition, kind, payload: payload.to_vec(), is_whole: true }
}

/// What a client sends to a server that only listens.
fn sent(says: &[u8], declares: bool) -> String {
    let (mut world, listener) = World::with_raw_server();
    world.create("form", says, declares);
    world.run(10);
    let mut peer = listener.accept().unwrap();
    let mut bytes = Vec::new();
    for _ in 0..100 {
        bytes.extend(peer.read());
        world.run(10);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_message_goes_out_as_a_form_with_its_length_or_in_chunks() {
    let whole = sent(b"hello", true);
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    let boundary = head.split("multipart/form-data; boundary=").nth(1).unwrap().lines().next().unwrap();
    assert!(boundary.len() == 32 && head.starts_with("POST /up HTTP/1.1\r\n"), "{head}");
    let wanted = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"log\"; filename=\"a %22b%22.txt\"\r\n\
         Content-Type: text/plain\r\n\r\nhello\r\n--{boundary}--\r\n"
    );
    assert_eq!(body, wanted);
    assert!(head.to_ascii_lowercase().contains(&format!("content-length: {}", wanted.len())), "{head}");
    // A simulated run is the same again.
    assert_eq!(sent(b"hello", true), whole);
    let chunked = sent(b"hello", false);
    let (head, body) = chunked.split_once("\r\n\r\n").unwrap();
    assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(body, format!("{:x}\r\n{wanted}\r\n0\r\n\r\n", wanted.len()));
    // Nothing can be in a form, too.
    let empty = sent(b"", true);
    assert!(empty.ends_with(&format!("text/plain\r\n\r\n\r\n--{boundary}--\r\n")), "{empty}");
}

#[test]
fn what_goes_out_in_a_form_arrives_in_one_part_in_either_version_however_long_it_is() {
    let big: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let protocols: &[&str] = if cfg!(feature = "h2") { &["h1", "h2"] } else { &["h1"] };
    for (protocol, declares) in protocols.iter().flat_map(|protocol| [(protocol, true), (protocol, false)]) {
        for (says, segment) in [(&b""[..], 1), (b"some\r\n--thing\r", 1), (&big, 1000)] {
            let mut world = World::new(protocol, true, Link { segment, ..Link::default() });
            let id = world.create("form", says, declares);
            // The type of the whole is not the application's to say.
            world.near.with(|cx| cx.set_metadata(id, "type", "text/html")).unwrap();
            world.run(30_000);
            let (log, heard) = (world.log.borrow(), world.heard.borrow());
            let disposition = "form-data; name=\"log\"; filename=\"a %22b%22.txt\"";
            let part = message(Some(disposition), Some("text/plain"), says);
            assert!(heard.messages == [part], "{protocol} {declares} {}: {:?}", says.len(), log.cause);
            assert_eq!(format!("{:?}", heard.groups), "[RELATED_START, RELATED_END]");
            assert!(log.states.contains(&StreamState::QosAckRemote), "{:?}", log.states);
        }
    }
}

#[test]
fn a_form_without_a_name_or_without_a_body_to_be_in_is_refused_at_once() {
    for (keys, why) in [
        (r#""http_method": "POST", "http_multipart_filename": "f""#, "need http_multipart_name"),
        (r#""http_method": "GET", "http_multipart_name": "n""#, "whose request has a body"),
    ] {
        let policy = format!(r#"{{"s": [{{"x": {{"endpoint": "10.0.0.1", "protocol": "h1", {keys}}}}}]}}"#);
        let network = Network::new(1);
        let mut context =
            Context::builder().policy(&policy).unwrap().sim(network.host("10.0.0.2")).build().unwrap();
        let user = User { log: Log::default(), says: Vec::new(), declares: false };
        let refused = context.with(|cx| cx.create("x", user)).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

const PARTS: &str = "not for us\r\n--b\r\nContent-Disposition: attachment\r\nContent-Type: text/a\r\nX-A: b\r\n\r\n\
    first\r\n--bb\r\n--b\r\ncontent-type: text/b\r\n\r\n\r\n--b--\r\nnor this";

fn two_parts() -> [Message; 2] {
    [message(Some("attachment"), Some("text/a"), b"first\r\n--bb"), message(None, Some("text/b"), b"")]
}

/// What a client is told by a response in these two pieces.
fn told_of(kind: &str, body: &str, cut: usize) -> World {
    let (mut world, listener) = World::with_raw_server();
    let id = world.create("get", b"", false);
    world.near.with(|cx| cx.client_connect(id)).unwrap();
    world.run(10);
    let mut peer = listener.accept().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    let (first, second) = body.split_at(cut);
    peer.write(&[head.as_bytes(), first.as_bytes()].concat()).unwrap();
    world.run(10);
    let _ = peer.write(second.as_bytes());
    world.run(10);
    world
}

#[test]
fn each_part_of_a_response_is_a_message_with_its_own_metadata_wherever_it_is_cut() {
    for cut in 0..=PARTS.len() {
        let world = told_of("multipart/mixed; boundary=\"b\"", PARTS, cut);
        let log = world.log.borrow();
        assert_eq!(log.messages, two_parts(), "cut at {cut}: {:?}", log.cause);
        assert_eq!(format!("{:?}", log.groups), "[RELATED_START, RELATED_END]");
        assert!(log.states.contains(&StreamState::QosAckRemote));
    }
}

#[test]
fn what_is_not_multipart_passes_as_it_is() {
    let world = told_of("text/plain", PARTS, 5);
    let log = world.log.borrow();
    assert_eq!(log.messages, [message(None, Some("text/plain"), PARTS.as_bytes())]);
    assert!(log.groups.is_empty());
}

#[test]
fn a_response_without_a_body_has_no_parts_to_miss() {
    let (mut world, listener) = World::with_raw_server();
    let id = world.create("head", b"", false);
    world.near.with(|cx| cx.client_connect(id)).unwrap();
    world.run(10);
    let mut peer = listener.accept().unwrap();
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Length: 9\r\n\r\n")
        .unwrap();
    world.run(10);
    assert!(world.log.borrow().states.contains(&StreamState::QosAckRemote));
}

#[test]
fn a_response_that_is_no_multipart_though_it_says_so_fails_with_a_cause() {
    let huge = format!("--b\r\nX: {}", "y".repeat(5000));
    for (kind, body, cause) in [
        ("multipart/mixed; boundary=b", "--b\r\n\r\nno end\r\n--b-", "ends before its last delimiter"),
        ("multipart/mixed; boundary=b", "", "ends before its last delimiter"),
        ("multipart/mixed; boundary=b", &huge, "too long"),
        ("multipart/mixed; boundary=b", "--b\r\nnone\r\n\r\n\r\n--b--", "without valid header fields"),
        ("multipart/mixed", PARTS, "without a usable boundary"),
    ] {
        let world = told_of(kind, body, 0);
        let log = world.log.borrow();
        assert!(log.cause.as_ref().is_some_and(|told| told.contains(cause)), "{:?} for {cause}", log.cause);
        assert!(!log.states.contains(&StreamState::QosAckRemote), "{:?}", log.states);
        assert!(!log.messages.iter().any(|message| message.is_whole));
        assert!(log.groups.iter().all(|flags| !flags.is_related_end()));
        assert_eq!(world.near.census().wsis, 0);
    }
}

#[test]
fn a_server_is_told_of_each_part_and_that_it_was_the_last() {
    let (world, mut socket) = World::with_raw_client("; boundary=b", PARTS.as_bytes());
    let heard = world.heard.borrow();
    assert_eq!(heard.messages, two_parts());
    assert_eq!(format!("{:?}", heard.groups), "[RELATED_START, RELATED_END]");
    assert!(socket.read().starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn a_request_that_is_no_multipart_though_it_says_so_is_answered_with_400_and_the_stream_ends() {
    let huge = format!("--b\r\nX: {}", "y".repeat(5000));
    for (boundary, body) in
        [("; boundary=b", "--b\r\n\r\nno end"), ("; boundary=b", &huge), ("; boundary=b", "x"), ("", PARTS)]
    {
        let (world, mut socket) = World::with_raw_client(boundary, body.as_bytes());
        let answer = String::from_utf8(socket.read()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
        let heard = world.heard.borrow();
        assert_eq!(heard.states.last(), Some(&StreamState::Destroying));
        assert!(heard.cause.as_ref().is_some_and(|told| told.contains("multipart")), "{:?}", heard.cause);
        assert!(!heard.messages.iter().any(|message| message.is_whole));
    }
}

#[cfg(feature = "h2")]
#[test]
fn a_bad_request_over_http_2_ends_its_own_stream_alone() {
    let mut world = World::new("h2", true, Link::default());
    world.create("raw", b"--b\r\n\r\nno end", true);
    world.run(1000);
    world.create("raw", b"--b\r\n\r\nan end\r\n--b--", true);
    world.run(1000);
    let (log, heard) = (world.log.borrow(), world.heard.borrow());
    assert_eq!(world.near.counters().connected, 1);
    let cause = heard.cause.as_deref().unwrap_or_default();
    assert!(cause.contains("ends before its last delimiter"), "{cause}");
    assert_eq!(heard.messages.iter().filter(|message| message.is_whole).count(), 1);
    assert!(
        log.states.contains(&StreamState::QosNackRemote) && log.states.contains(&StreamState::QosAckRemote)
    );
}

#[cfg(feature = "h2")]
#[test]
fn a_form_goes_through_a_window_smaller_than_what_stands_before_its_content() {
    for (says, declares) in [(&b""[..], true), (b"", false), (b"hello", true), (b"hello", false)] {
        let mut world = World::new("h2", false, Link::default());
        let far = world.network.host("10.0.0.1");
        let listener = world.network.listen(&far, 80).unwrap();
        world.create("form", b"", true);
        world.run(10);
        let limits = h2::Limits { initial_window: 7, window: 7, ..h2::Limits::default() };
        let mut peer = h2_peer::Peer::new(listener.accept().unwrap(), h2::Engine::server(limits));
        for _ in 0..3 {
            peer.serve();
            world.run(10);
        }
        peer.body.clear();
        // The client knows the window by now.
        world.create("form", says, declares);
        for turn in 0..100 {
            world.run(10);
            peer.serve();
            assert!(peer.body.len() <= 7 * (turn + 1));
        }
        assert_eq!((peer.requests.len(), peer.ended.len()), (2, 2), "{:?}", world.log.borrow().cause);
        let body = String::from_utf8_lossy(&peer.body).into_owned();
        let boundary = body.get(..34).unwrap();
        let wanted = format!("text/plain\r\n\r\n{}\r\n{boundary}--\r\n", String::from_utf8_lossy(says));
        assert!(body.ends_with(&wanted) && body.matches(boundary).count() == 2, "{body}");
    }
}
