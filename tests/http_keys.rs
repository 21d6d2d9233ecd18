//! What the policy's keys for http make of a request, and of its answer: one table for HTTP/1.1 and HTTP/2.

#![cfg(feature = "h2")]

#[path = "common/h2_peer.rs"]
mod h2_peer;

use h2::{Engine, Limits};
use h2_peer::Peer;
use millstream::http::{BodyLength, Status};
use millstream::sim::{Network, RawSocket};
use millstream::{Blob, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;

const VERSIONS: [&str; 2] = ["h1", "h2"];

/// A stream's metadata, the fields of a head: names and values.
type Pairs = [(&'static str, &'static str)];

/// Sets metadata, says "hello" where its request has a body, and keeps what it is told.
struct Client {
    sets: &'static Pairs,
    has_body: bool,
    told: Rc<RefCell<Vec<String>>>,
}

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        let reply = cx.metadata(me, "x-reply:").map(String::from_utf8_lossy).unwrap_or_default();
        if !payload.is_empty() {
            self.told.borrow_mut().push(format!("{} reply={reply}", String::from_utf8_lossy(payload)));
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::Creating => {
                for (name, value) in self.sets {
                    let outcome = cx.set_metadata(me, name, value);
                    let refused = outcome.err().map(|error| format!("{name} {error}"));
                    self.told.borrow_mut().extend(refused);
                }
                if self.has_body { cx.request_tx_len(me, 5) } else { cx.client_connect(me) }.unwrap();
            }
            StreamState::Connecting | StreamState::Poll => {}
            state => self.told.borrow_mut().push(state.to_string()),
        }
        Flow::Ok
    }
}

/// What a server was asked, whatever its version: names in small letters, a body without its framing.
struct Asked {
    fields: Vec<(String, String)>,
    body: String,
}

impl Asked {
    fn of_h1(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let body =
            body.strip_prefix("5\r\n").and_then(|body| body.strip_suffix("\r\n0\r\n\r\n")).unwrap_or(body);
        Self { fields: head.lines().skip(1).map(field).collect(), body: body.to_owned() }
    }

    fn of_h2(peer: &Peer) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let fields = peer.heads[0].1.iter().map(|(name, value)| (text(name), text(value))).collect();
        Self { fields, body: text(&peer.body) }
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut values =
            self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes twice");
        value
    }
}

/// The answer "here", with this status.
fn answer_of_h1(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} x\r\nx-reply: yes\r\ncontent-length: 4\r\n\r\nhere").into_bytes()
}

fn answer_h2(peer: &mut Peer, status: u16) {
    let (stream, _) = peer.requests[0];
    peer.say(|engine, out| {
        let fields = [(&b"x-reply"[..], &b"yes"[..])].into_iter();
        engine
            .encode_response(stream, Status::new(status).unwrap(), fields, BodyLength::Known(4), out)
            .unwrap();
    });
    peer.send(stream, b"here", true);
}

/// A stream of a type with these keys asks a server of this version, which answers with `status`.
fn exchange(
    version: &str,
    method: &str,
    keys: &str,
    sets: &'static Pairs,
    status: u16,
) -> (Asked, Vec<String>) {
    let policy = format!(
        r#"{{"retry": [{{"once": {{"backoff": [100], "conceal": 0}}}}],
        "auth": [{{"name": "second", "blob": 1}}],
        "s": [{{"client": {{"endpoint": "10.0.0.1", "port": 80, "protocol": "{version}", "http_method": "{method}",
            "http_url": "a", "opportunistic": true, "retry": "once", {keys}}}}}]}}"#
    );
    let network = Network::new(1);
    let listener = network.listen(&network.host("10.0.0.1"), 80).unwrap();
    let mut context =
        Context::builder().policy(&policy).unwrap().sim(network.host("10.0.0.2")).build().unwrap();
    let told = Rc::default();
    context.with(|cx| {
        for (blob, value) in [
            (Blob::Auth(0), &b"first"[..]),
            (Blob::Auth(1), b"A\xff\x00"),
            (Blob::DeviceSerial, b"serial"),
            (Blob::DeviceFirmwareVersion, b"1.2.3"),
            (Blob::DeviceType, b"lamp"),
        ] {
            cx.set_blob(blob, value);
        }
        let client = Client { sets, has_body: method != "GET", told: Rc::clone(&told) };
        cx.create("client", client).unwrap();
    });
    let run = |context: &mut Context, millis: u64| {
        network.run(&mut [context], Us::from_us(millis * 1000)).unwrap();
    };
    run(&mut context, 50);
    let mut socket: RawSocket = listener.accept().unwrap();
    let asked = if version == "h1" {
        let asked = Asked::of_h1(&socket.read());
        socket.write(&answer_of_h1(status)).unwrap();
        run(&mut context, 100);
        asked
    } else {
        let mut peer = Peer::new(socket, Engine::server(Limits::default()));
        peer.serve();
        run(&mut context, 75);
        peer.serve();
        answer_h2(&mut peer, status);
        run(&mut context, 100);
        Asked::of_h2(&peer)
    };
    let told = told.borrow().clone();
    (asked, told)
}

/// What a table's line says of a request: the value of a header, or that it is not there.
type Header = (&'static str, Option<&'static str>);

fn check_request(version: &str, method: &str, keys: &str, sets: &'static Pairs, expected: &[Header]) {
    let (asked, _) = exchange(version, method, keys, sets, 200);
    for (name, value) in expected {
        assert_eq!(asked.value(name), *value, "{name} over {version} with {keys}");
    }
    assert_eq!(asked.body, if method == "GET" { "" } else { "hello" }, "over {version} with {keys}");
}

#[test]
fn a_token_is_sent_as_it_is_or_in_hex_behind_its_preamble() {
    let table: [(&str, Option<&str>); 4] = [
        (r#""http_auth_header": "x-token:""#, Some("first")),
        (r#""http_auth_header": "x-token:", "auth_hexify": true"#, Some("6669727374")),
        (
            r#""http_auth_header": "x-token:", "auth_hexify": true, "use_auth": "second", "http_auth_preamble": "id ""#,
            Some("id 41FF00"),
        ),
        (r#""auth_hexify": true, "http_auth_preamble": "id ""#, None),
    ];
    for version in VERSIONS {
        for (keys, token) in table {
            check_request(version, "GET", keys, &[], &[("x-token", token)]);
        }
    }
}

#[test]
fn a_device_tells_its_serial_number_firmware_and_type_in_the_headers_that_the_policy_names() {
    let table: [(&str, [Option<&str>; 3]); 5] = [
        (r#""http_dsn_header": "x-dsn:""#, [Some("serial"), None, None]),
        (r#""http_fwv_header": "x-fw-version:""#, [None, Some("1.2.3"), None]),
        (r#""http_devtype_header": "x-device-type:""#, [None, None, Some("lamp")]),
        (
            r#""http_dsn_header": "x-dsn:", "http_fwv_header": "x-fw-version:", "http_devtype_header": "x-device-type:""#,
            [Some("serial"), Some("1.2.3"), Some("lamp")],
        ),
        (r#""perf": false"#, [None; 3]),
    ];
    for version in VERSIONS {
        for (keys, [serial, firmware, kind]) in table {
            let expected = [("x-dsn", serial), ("x-fw-version", firmware), ("x-device-type", kind)];
            check_request(version, "GET", keys, &[], &expected);
        }
    }
}

#[test]
fn a_body_has_the_type_that_metadata_name_else_the_policy_else_that_of_a_web_form() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let form = r#""http_www_form_urlencoded": true"#;
    let mime = r#""http_www_form_urlencoded": true, "http_mime_content_type": "text/csv""#;
    let mapped = r#""http_www_form_urlencoded": true, "metadata": [{"type": "content-type:"}]"#;
    let table: [(&str, &str, &'static Pairs, Option<&str>); 6] = [
        ("POST", form, &[], Some(FORM)),
        ("POST", mime, &[], Some("text/csv")),
        ("POST", mapped, &[("type", "text/plain")], Some("text/plain")),
        ("POST", mapped, &[], Some(FORM)),
        ("POST", r#""perf": false"#, &[], None),
        ("GET", form, &[], None),
    ];
    for version in VERSIONS {
        for (method, keys, sets, kind) in table {
            check_request(version, method, keys, sets, &[("content-type", kind)]);
        }
    }
}

#[test]
fn a_length_that_is_known_is_told_unless_the_policy_forbids_it() {
    let silent = r#""http_no_content_length": true"#;
    for version in VERSIONS {
        check_request(version, "POST", r#""perf": false"#, &[], &[("content-length", Some("5"))]);
        // RFC 9113 8.2.2: HTTP/2 has no chunks, and needs none.
        let coding = if version == "h1" { Some("chunked") } else { None };
        let expected = [("content-length", None), ("transfer-encoding", coding)];
        check_request(version, "PUT", silent, &[], &expected);
        check_request(version, "GET", silent, &[], &[("content-length", None), ("transfer-encoding", None)]);
    }
}

#[test]
fn metadata_that_end_in_a_colon_are_headers_both_ways_where_the_policy_says_so() {
    for version in VERSIONS {
        let sets: &Pairs = &[("x-tag:", "7"), ("X-Other:", "8")];
        let (asked, told) = exchange(version, "GET", r#""direct_proto_str": true"#, sets, 200);
        assert_eq!((asked.value("x-tag"), asked.value("x-other")), (Some("7"), Some("8")), "{version}");
        assert_eq!(told[..2], ["CONNECTED", "here reply=yes"], "{version}");
        let (asked, told) = exchange(version, "GET", r#""direct_proto_str": false"#, sets, 200);
        assert_eq!(asked.value("x-tag"), None, "{version}");
        assert!(told.iter().any(|line| line.contains(r#""x-tag:" is not declared"#)), "{told:?}");
        assert!(told.contains(&"here reply=".to_owned()), "{told:?}");
    }
}

/// What a stream is told of an answer.
fn outcome(version: &str, keys: &str, status: u16) -> Vec<String> {
    let (_, told) = exchange(version, "GET", keys, &[], status);
    assert_eq!(told.last().map(String::as_str), Some("DISCONNECTED"), "{told:?}");
    told
}

#[test]
fn the_status_that_the_policy_expects_is_the_only_good_one() {
    let table = [
        (r#""perf": false"#, 200, true),
        (r#""perf": false"#, 299, true),
        (r#""perf": false"#, 300, false),
        (r#""perf": false"#, 404, false),
        (r#""http_expect": 201"#, 201, true),
        (r#""http_expect": 201"#, 200, false),
        (r#""http_expect": 201"#, 404, false),
        (r#""http_expect": 404"#, 404, true),
        // What would be another try otherwise.
        (r#""http_expect": 503"#, 503, true),
        (r#""http_expect": 302, "http_fail_redirect": true"#, 302, true),
        (r#""http_expect": 401, "http_auth_header": "authorization:""#, 401, true),
    ];
    for version in VERSIONS {
        for (keys, status, is_good) in table {
            let told = outcome(version, keys, status);
            let ack = if is_good { "QOS_ACK_REMOTE" } else { "QOS_NACK_REMOTE" };
            assert_eq!(told, ["CONNECTED", "here reply=", ack, "DISCONNECTED"], "{version}, {keys}");
        }
    }
}

#[test]
fn a_status_that_the_policy_maps_is_told_as_a_state_of_the_user_before_connected() {
    let keys = r#""http_resp_map": [{"530": 1530}, {"531": 1531}, {"200": 1200}]"#;
    for version in VERSIONS {
        for (status, state, ack) in [
            (530, "USER_1530", "QOS_NACK_REMOTE"),
            (531, "USER_1531", "QOS_NACK_REMOTE"),
            (200, "USER_1200", "QOS_ACK_REMOTE"),
        ] {
            let told = outcome(version, keys, status);
            assert_eq!(told, [state, "CONNECTED", "here reply=", ack, "DISCONNECTED"], "{version}, {status}");
        }
        let told = outcome(version, keys, 529);
        assert_eq!(told, ["CONNECTED", "here reply=", "QOS_NACK_REMOTE", "DISCONNECTED"]);
        // It is told whatever else the status means: http_expect makes it a good one.
        let told = outcome(version, r#""http_expect": 530, "http_resp_map": [{"530": 1530}]"#, 530);
        let expected = ["USER_1530", "CONNECTED", "here reply=", "QOS_ACK_REMOTE", "DISCONNECTED"];
        assert_eq!(told, expected, "{version}");
    }
}
