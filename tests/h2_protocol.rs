//! User code straight on connections serves HTTP/1.1 and HTTP/2 as it is.

#![cfg(feature = "h2")]

use millstream::http::{BodyLength, Head, Method, Status};
use millstream::sim::Network;
use millstream::{
    Address, Cause, ClientInfo, ClientRole, Context, Cx, Flow, ListenInfo, Protocol, ServerRole, Target, Tx,
    TxFlow, Us, WsiId,
};
use std::cell::RefCell;
use std::rc::Rc;

/// Answers each request with its path.
#[derive(Default)]
struct Server(Vec<u8>);

impl Protocol for Server {
    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        self.0 = head.path().to_vec();
        let body = BodyLength::Known(self.0.len() as u64);
        cx.http_respond(me, Status::OK, &[("x-kind", "echo")], body).unwrap();
        cx.wsi_request_tx(me).unwrap();
        assert!(cx.wsi_peer(me).is_some() && cx.wsi_local(me).is_some());
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(&self.0);
        TxFlow::Send
    }
}

/// Asks once, and once more on the same connection.
struct Client {
    asks: Vec<&'static str>,
    told: Rc<RefCell<Vec<String>>>,
}

impl Client {
    fn ask(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let Some(path) = self.asks.pop() else {
            cx.wsi_release(me).unwrap();
            return Flow::Ok;
        };
        cx.http_request(me, Method::Get, path, "server", &[("x-one", "1")], BodyLength::None).unwrap();
        Flow::Ok
    }
}

impl Protocol for Client {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        self.ask(cx, me)
    }

    fn response(&mut self, _: &mut Cx<'_>, _: WsiId, head: &Head) -> Flow {
        let kind = String::from_utf8_lossy(head.get("x-kind").unwrap()).into_owned();
        self.told.borrow_mut().push(format!("{} {kind}", head.status().unwrap().code()));
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8]) -> Flow {
        self.told.borrow_mut().push(String::from_utf8_lossy(payload).into_owned());
        Flow::Ok
    }

    fn end(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        self.ask(cx, me)
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn closed(&mut self, _: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        self.told.borrow_mut().push(format!("closed: {cause:?}"));
    }
}

#[test]
fn the_same_code_asks_and_answers_over_either_version() {
    for role in [ClientRole::H1, ClientRole::H2] {
        let network = Network::new(1);
        let context = |address| Context::builder().sim(network.host(address)).build().unwrap();
        let (mut server, mut client) = (context("10.0.0.1"), context("10.0.0.2"));
        let address = Address::Ip("10.0.0.1:80".parse().unwrap());
        server.with(|cx| {
            let accept = |_: &mut Cx<'_>, _: WsiId, peer: Option<&Address>| -> Option<Box<dyn Protocol>> {
                assert!(peer.is_some());
                Some(Box::<Server>::default())
            };
            cx.listen(ListenInfo::new(address.clone(), ServerRole::Http), accept).unwrap();
        });
        let told = Rc::default();
        client.with(|cx| {
            let info = ClientInfo::new(Target::Address(address), role);
            cx.connect(&info, Client { asks: vec!["/second", "/first"], told: Rc::clone(&told) });
        });
        network.run(&mut [&mut server, &mut client], Us::from_us(1_000_000)).unwrap();
        assert_eq!(*told.borrow(), ["200 echo", "/first", "200 echo", "/second"], "{role:?}");
        assert_eq!(client.counters().connected, 1);
    }
}

#[test]
fn streams_are_no_connections_where_these_are_limited() {
    let network = Network::new(1);
    // The listener is one of the two.
    let mut server = Context::builder().max_connections(2).sim(network.host("10.0.0.1")).build().unwrap();
    let address = Address::Ip("10.0.0.1:80".parse().unwrap());
    server.with(|cx| {
        let accept = |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| -> Option<Box<dyn Protocol>> {
            Some(Box::<Server>::default())
        };
        cx.listen(ListenInfo::new(address.clone(), ServerRole::Http), accept).unwrap();
    });
    let (first, second) = (Rc::default(), Rc::default());
    let client = |host: &str, told: &Rc<RefCell<Vec<String>>>| {
        let mut context = Context::builder().sim(network.host(host)).build().unwrap();
        context.with(|cx| {
            let info = ClientInfo::new(Target::Address(address.clone()), ClientRole::H2);
            for _ in 0..3 {
                cx.connect(&info, Client { asks: vec!["/"], told: Rc::clone(told) });
            }
        });
        context
    };
    let mut clients = [client("10.0.0.2", &first), client("10.0.0.3", &second)];
    let [near, far] = &mut clients;
    network.run(&mut [&mut server, near, far], Us::from_us(1_000_000)).unwrap();
    assert_eq!((*first.borrow()).len(), 6, "{first:?}");
    assert!(second.borrow().is_empty(), "{second:?}");
    network.run(&mut [&mut server, near, far], Us::from_us(20_000_000)).unwrap();
    assert_eq!((*second.borrow()).len(), 6, "{second:?}");
}

#[cfg(feature = "tls")]
#[test]
fn a_client_over_tls_offers_what_it_is_to_speak() {
    use base64::Engine;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD.encode(made.cert.der());
    let policy = format!(
        r#"{{ "certs": [ {{ "c": "{base64}" }} ], "trust_stores": [ {{ "name": "t", "stack": ["c"] }} ], "s": [] }}"#
    );
    for (role, connections) in [(ClientRole::H1, 2), (ClientRole::H2, 1)] {
        let network = Network::new(1);
        let host = network.host("10.0.0.1");
        let mut context = Context::builder().policy(&policy).unwrap().sim(host).build().unwrap();
        let told = Rc::default();
        context.with(|cx| {
            let address = Address::Ip("10.0.0.1:443".parse().unwrap());
            let mut info = ListenInfo::new(address.clone(), ServerRole::Http);
            let key = made.signing_key.serialize_der();
            info.tls = Some(millstream::Identity::from_der(&[made.cert.der()], &key).unwrap());
            let accept = |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| -> Option<Box<dyn Protocol>> {
                Some(Box::<Server>::default())
            };
            cx.listen(info, accept).unwrap();
            for _ in 0..2 {
                let mut info = ClientInfo::new(Target::Address(address.clone()), role);
                info.tls = Some(cx.client_tls("localhost", Some("t")).unwrap());
                cx.connect(&info, Client { asks: vec!["/"], told: Rc::clone(&told) });
            }
        });
        network.run(&mut [&mut context], Us::from_us(1_000_000)).unwrap();
        assert_eq!(*told.borrow(), ["200 echo", "/", "200 echo", "/"], "{role:?}");
        assert_eq!(context.counters().connected, connections, "{role:?}");
    }
}
