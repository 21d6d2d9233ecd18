//! Several names on one port: which of them a client meets, and what it has to show.

#![cfg(all(feature = "h1", feature = "tls"))]

use base64::Engine;
use millstream::sim::Network;
use millstream::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

const HOST: &str = "10.0.0.1";
const NAMES: [&str; 3] = ["first.org", "abc.com", "cats.abc.com"];

type Lines = Rc<RefCell<Vec<String>>>;

/// Answers with the name of its stream type, and tells which client certificate it was shown.
#[derive(Clone)]
struct Server(Lines);

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(cx.streamtype(me).unwrap().as_bytes());
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            let shown = cx.peer_certificate(me).is_some();
            self.0.borrow_mut().push(format!("{} certificate: {shown}", cx.streamtype(me).unwrap()));
            cx.server_ack(me, 0).unwrap();
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

/// Asks once, and tells what it got, from whom.
struct Client(Lines);

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        if !payload.is_empty() {
            let by = cx.peer_certificate(me).map(subject).unwrap_or_default();
            self.0.borrow_mut().push(format!("{} by {by}", String::from_utf8_lossy(payload)));
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::Creating => cx.request_tx(me).unwrap(),
            StreamState::Unreachable | StreamState::Disconnected => {
                if let Some(cause) = cx.cause(me) {
                    self.0.borrow_mut().push(format!("{state:?}: {cause}"));
                }
            }
            _ => {}
        }
        Flow::Ok
    }
}

/// Which of the names a certificate is for; they stand in it as they are.
fn subject(certificate: &[u8]) -> String {
    let holds = |name: &&&str| certificate.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    NAMES.iter().rev().find(holds).map_or("?", |name| name).to_owned()
}

struct World {
    network: Network,
    context: Context,
    lines: Lines,
    identities: Vec<(Vec<u8>, Vec<u8>)>,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl World {
    fn new() -> Self {
        let identities: Vec<_> = NAMES
            .map(|name| {
                let alt = if name == "abc.com" {
                    vec![name.into(), "*.abc.com".into()]
                } else {
                    vec![name.to_owned()]
                };
                let made = rcgen::generate_simple_self_signed(alt).unwrap();
                (made.cert.der().to_vec(), made.signing_key.serialize_der())
            })
            .into();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let network = Network::new(1);
        for name in NAMES.into_iter().chain(["dogs.abc.com", "elsewhere.net"]) {
            network.name(name, &[HOST]);
        }
        let context =
            Context::builder().policy(&policy(&identities)).unwrap().sim(network.host(HOST)).build().unwrap();
        Self { network, context, lines: Lines::default(), identities, authority }
    }

    /// Three names on the port, and a server stream for each.
    fn serve(&mut self, tls: bool) -> Vec<StreamId> {
        let (identities, lines) = (self.identities.clone(), Rc::clone(&self.lines));
        self.context.with(|cx| {
            let mut servers = Vec::new();
            for (name, (cert, key)) in NAMES.iter().zip(&identities) {
                let mut info = info(name, if tls { 443 } else { 80 });
                info.tls = tls.then(|| Identity::from_der(&[cert], key).unwrap());
                cx.vhost_create(info).unwrap();
                servers.push(cx.create(&format!("serves_{name}"), Server(Rc::clone(&lines))).unwrap());
            }
            servers
        })
    }

    fn ask(&mut self, streamtype: &str) -> Vec<String> {
        let lines = Rc::clone(&self.lines);
        let client = self.context.with(|cx| cx.create(streamtype, Client(lines)).unwrap());
        self.run();
        self.context.with(|cx| cx.destroy(client)).unwrap();
        self.run();
        std::mem::take(&mut self.lines.borrow_mut())
    }

    fn run(&mut self) {
        let until = self.network.now().as_us() + 1_000_000;
        self.network.run(&mut [&mut self.context], Us::from_us(until)).unwrap();
    }

    /// What a peer hears that says these bytes, plain.
    fn say(&mut self, bytes: &str) -> String {
        let mut peer = self.network.connect(&self.network.host("10.0.0.9"), &format!("{HOST}:80")).unwrap();
        self.run();
        peer.write(bytes.as_bytes()).unwrap();
        self.run();
        String::from_utf8(peer.read()).unwrap()
    }
}

fn info(name: &str, port: u16) -> ListenInfo {
    let address = Address::Ip(format!("{HOST}:{port}").parse().unwrap());
    let mut info = ListenInfo::new(address, ServerRole::H1);
    info.name = Some(name.to_owned());
    info
}

fn policy(identities: &[(Vec<u8>, Vec<u8>)]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD;
    let (mut certs, mut types) = (String::new(), String::new());
    for (index, (cert, _)) in identities.iter().enumerate() {
        write!(certs, r#"{{"c{index}": "{}"}},"#, base64.encode(cert)).unwrap();
    }
    for name in NAMES {
        for (kind, protocol) in [("serves", "h1"), ("serves_h2", "h2")] {
            write!(
                types,
                r#"{{"{kind}_{name}": {{"server": true, "endpoint": "!{name}", "protocol": "{protocol}"}}}},"#
            )
            .unwrap();
        }
    }
    for name in NAMES.into_iter().chain(["dogs.abc.com", "elsewhere.net"]) {
        for (kind, cert) in [("asks", ""), ("shows", r#""client_cert": 0,"#)] {
            write!(
                types,
                r#"{{"{kind}_{name}": {{"endpoint": "{name}", "port": 443, "protocol": "h1", "http_method": "GET", "retry": "no",
                "http_url": "", "tls": true, {cert} "opportunistic": true, "tls_trust_store": "all"}}}},"#
            )
            .unwrap();
        }
    }
    format!(
        r#"{{"retry": [{{"no": {{"backoff": [100], "conceal": 0}}}}],
        "certs": [{}], "trust_stores": [{{"name": "all", "stack": ["c0", "c1", "c2"]}}],
        "s": [{types} {{"nowhere": {{"server": true, "endpoint": "!nobody", "protocol": "h1"}}}},
            {{"raw": {{"server": true, "endpoint": "!first.org", "protocol": "raw"}}}}]}}"#,
        certs.trim_end_matches(',')
    )
}

#[test]
fn tls_clients_meet_whom_they_ask_for_exactly_then_by_domain() {
    let mut world = World::new();
    world.serve(true);
    for (asked, served) in [
        ("first.org", "first.org"),
        ("cats.abc.com", "cats.abc.com"),
        ("abc.com", "abc.com"),
        ("dogs.abc.com", "abc.com"),
    ] {
        let lines = world.ask(&format!("asks_{asked}"));
        assert_eq!(
            lines,
            [format!("serves_{served} certificate: false"), format!("serves_{served} by {served}")]
        );
    }
}

#[test]
fn a_tls_client_that_means_nobody_meets_the_first_whose_certificate_it_refuses() {
    let mut world = World::new();
    world.serve(true);
    let lines = world.ask("asks_elsewhere.net");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("is for another name"), "{lines:?}");
}

#[test]
fn plain_clients_meet_whom_their_host_header_names() {
    let mut world = World::new();
    world.serve(false);
    let get = |host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (host, served) in [
        ("cats.abc.com", "cats.abc.com"),
        ("CATS.abc.com:80", "cats.abc.com"),
        ("dogs.abc.com", "abc.com"),
        ("elsewhere.net", "first.org"),
        ("", "first.org"),
    ] {
        let heard = world.say(&get(host));
        assert!(heard.ends_with(&format!("\r\n\r\nserves_{served}")), "{host}: {heard}");
    }
    let heard = world.say("GET / HTTP/1.0\r\n\r\n");
    assert!(heard.ends_with("\r\n\r\nserves_first.org"), "{heard}");
    let heard = world.say("GET http://abc.com/ HTTP/1.1\r\nHost: first.org\r\n\r\n");
    assert!(
        heard.contains("serves_abc.com"),
        "a whole URL comes before the header (RFC 9112 3.2.2): {heard}"
    );
}

#[test]
fn a_connection_does_not_change_hands() {
    let mut world = World::new();
    world.serve(false);
    let (ours, theirs) =
        ("GET / HTTP/1.1\r\nHost: abc.com\r\n\r\n", "GET / HTTP/1.1\r\nHost: first.org\r\n\r\n");
    let heard = world.say(&format!("{ours}{ours}{theirs}{ours}"));
    assert_eq!(heard.matches("serves_abc.com").count(), 2);
    assert_eq!(heard.matches("HTTP/1.1 421 ").count(), 1);
    assert!(!heard.contains("serves_first.org"));
    let unknown = "GET / HTTP/1.1\r\nHost: elsewhere.net\r\n\r\n";
    let heard = world.say(&format!("{ours}{unknown}"));
    assert_eq!(heard.matches("serves_abc.com").count(), 2, "{heard}");
}

/// Asks each of these names in turn, on one stream after another of one connection, and tells what it hears.
#[cfg(feature = "h2")]
struct Asker(Vec<&'static str>, Lines);

#[cfg(feature = "h2")]
impl Protocol for Asker {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let body = http::BodyLength::None;
        match self.0.pop() {
            Some(host) => cx.http_request(me, http::Method::Get, "/", host, &[], body).unwrap(),
            None => cx.wsi_release(me).unwrap(),
        }
        Flow::Ok
    }

    fn response(&mut self, _: &mut Cx<'_>, _: WsiId, head: &http::Head) -> Flow {
        self.1.borrow_mut().push(head.status().unwrap().code().to_string());
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8]) -> Flow {
        self.1.borrow_mut().push(String::from_utf8_lossy(payload).into_owned());
        Flow::Ok
    }

    fn end(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &http::Head) -> Flow {
        self.established(cx, me)
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }
}

#[cfg(feature = "h2")]
#[test]
fn over_http_2_a_request_for_another_name_than_tls_has_shown_is_misdirected_and_its_connection_goes_on() {
    let mut world = World::new();
    let (identities, served, heard) = (world.identities.clone(), Lines::default(), Lines::default());
    world.context.with(|cx| {
        for (name, (cert, key)) in NAMES.iter().zip(&identities) {
            let mut info = info(name, 443);
            info.role = ServerRole::Http;
            info.tls = Some(Identity::from_der(&[cert], key).unwrap());
            cx.vhost_create(info).unwrap();
            cx.create(&format!("serves_h2_{name}"), Server(Rc::clone(&served))).unwrap();
        }
        let mut info = ClientInfo::new(Target::Host("abc.com".to_owned(), 443), ClientRole::H2);
        info.tls = Some(cx.client_tls("abc.com", Some("all")).unwrap());
        let hosts = vec!["dogs.abc.com", "elsewhere.net", "cats.abc.com", "first.org", "abc.com"];
        cx.connect(&info, Asker(hosts, Rc::clone(&heard)));
    });
    world.run();
    // A name that nobody has is meant for whoever is there, as over HTTP/1.1.
    let ours = ["200", "serves_h2_abc.com"];
    assert_eq!(*heard.borrow(), [&ours[..], &["421", "421"], &ours, &ours].concat());
    assert!(served.borrow().iter().all(|line| line.starts_with("serves_h2_abc.com")), "{served:?}");
    assert_eq!(world.context.counters().connected, 1);
}

#[test]
fn a_client_that_never_says_whom_it_means_meets_nobody() {
    let mut world = World::new();
    world.serve(false);
    let mut peer = world.network.connect(&world.network.host("10.0.0.9"), &format!("{HOST}:80")).unwrap();
    world.run();
    let wsis = world.context.census().wsis;
    let streams = world.context.census().streams;
    peer.write(b"GET / HTTP/1.1\r\nHost: abc.c").unwrap();
    let until = Us::from_us(world.network.now().as_us() + 30_000_000);
    world.network.run(&mut [&mut world.context], until).unwrap();
    assert!(String::from_utf8(peer.read()).unwrap().starts_with("HTTP/1.1 408 "));
    assert_eq!((world.context.census().wsis, world.context.census().streams), (wsis - 1, streams));
}

#[test]
fn a_vhost_outlives_the_stream_that_serves_it_and_waits_for_the_next() {
    let mut world = World::new();
    let servers = world.serve(false);
    let get = "GET / HTTP/1.1\r\nHost: abc.com\r\n\r\n";
    world.context.with(|cx| {
        let refused = cx.create("serves_abc.com", Server(Lines::default())).unwrap_err().to_string();
        assert!(refused.contains("serves somebody else"), "{refused}");
        cx.destroy(servers[1]).unwrap();
    });
    assert_eq!(world.say(get), "");
    let lines = Rc::clone(&world.lines);
    world.context.with(|cx| cx.create("serves_abc.com", Server(lines)).unwrap());
    assert!(world.say(get).contains("serves_abc.com"));
}

#[test]
fn a_port_is_listened_on_until_the_last_of_its_names_is_gone() {
    let mut world = World::new();
    let nobody = |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| None;
    let vhosts =
        world.context.with(|cx| ["a.org", "b.org"].map(|name| cx.listen(info(name, 80), nobody).unwrap()));
    assert_eq!(world.context.census().wsis, 1);
    for (vhost, is_refused) in [(vhosts[0], false), (vhosts[1], true)] {
        world.context.with(|cx| cx.vhost_destroy(vhost)).unwrap();
        let peer = world.network.connect(&world.network.host("10.0.0.9"), &format!("{HOST}:80")).unwrap();
        world.run();
        assert_eq!(peer.error().is_some(), is_refused);
    }
    assert_eq!(world.context.census().wsis, 0);
}

#[test]
fn what_cannot_share_a_port_is_refused() {
    let mut world = World::new();
    world.serve(false);
    world.context.with(|cx| {
        let mut refused = |info| cx.vhost_create(info).unwrap_err().to_string();
        assert!(refused(info("ABC.com", 80)).contains("there is a vhost"));
        let mut nameless = info("x", 80);
        nameless.name = None;
        assert!(refused(nameless).contains("needs a name"));
        let mut raw = info("x", 80);
        raw.role = ServerRole::Raw;
        assert!(refused(raw).contains("speaks something else"));
        let mut error = |streamtype| cx.create(streamtype, Server(Lines::default())).unwrap_err().to_string();
        assert!(error("nowhere").contains("there is no vhost \"nobody\""));
        if cfg!(feature = "raw") {
            assert!(error("raw").contains("does not speak the protocol"));
        }
    });
}

impl World {
    /// One name, whose clients are asked for certificates.
    fn serve_to(&mut self, certs: impl Fn(Vec<Vec<u8>>) -> ClientCerts) {
        let (cert, key) = self.identities[0].clone();
        let (certs, lines) = (certs(vec![self.authority.der().to_vec()]), Rc::clone(&self.lines));
        self.context.with(|cx| {
            let mut info = info(NAMES[0], 443);
            info.tls = Some(Identity::from_der(&[&cert], &key).unwrap());
            info.client_certs = certs;
            cx.vhost_create(info).unwrap();
            cx.create("serves_first.org", Server(lines)).unwrap();
        });
    }

    /// The device's certificate, by the authority or by nobody known.
    fn set_client_certificate(&mut self, is_known: bool) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["device".to_owned()]).unwrap();
        let cert = if is_known { params.signed_by(&key, &self.authority) } else { params.self_signed(&key) }
            .unwrap();
        self.context.with(|cx| {
            cx.set_blob(Blob::ClientCert(0), cert.der().to_vec());
            cx.set_blob(Blob::ClientKey(0), key.serialize_der());
        });
    }
}

#[test]
fn a_required_client_certificate_is_shown_from_the_blobs_or_there_is_no_connection() {
    let mut world = World::new();
    world.serve_to(ClientCerts::Required);
    world.set_client_certificate(true);
    let lines = world.ask("shows_first.org");
    assert_eq!(lines, ["serves_first.org certificate: true", "serves_first.org by first.org"]);
    let lines = world.ask("asks_first.org");
    assert!(lines[0].contains("gave up") && !lines.concat().contains("serves"), "{lines:?}");
    world.set_client_certificate(false);
    let lines = world.ask("shows_first.org");
    assert!(lines[0].contains("gave up") && !lines.concat().contains("serves"), "{lines:?}");
}

#[test]
fn an_optional_client_certificate_may_be_missing_but_not_bad() {
    let mut world = World::new();
    world.serve_to(ClientCerts::Optional);
    assert_eq!(world.ask("asks_first.org")[0], "serves_first.org certificate: false");
    world.set_client_certificate(true);
    assert_eq!(world.ask("shows_first.org")[0], "serves_first.org certificate: true");
    world.set_client_certificate(false);
    let lines = world.ask("shows_first.org");
    assert!(lines[0].contains("gave up"), "{lines:?}");
}
