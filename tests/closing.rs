//! How user code's connections end: what was sent before arrives, and an end is heard that comes with the last payload.

#![cfg(feature = "h1")]

use millstream::http::{BodyLength, Head, Status};
use millstream::sim::Network;
use millstream::{Address, Context, Cx, Flow, ListenInfo, Protocol, ServerRole, Tx, TxFlow, Us, WsiId};

/// Answers, and says in every way that it is done.
struct Curt;

impl Protocol for Curt {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn end(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        cx.http_respond(me, Status::NO_CONTENT, &[], BodyLength::None).unwrap();
        cx.wsi_close(me).unwrap();
        Flow::DisconnectMe
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }
}

#[test]
fn who_closes_twice_in_one_callback_has_its_answer_sent_all_the_same() {
    let network = Network::new(1);
    let mut server = Context::builder().sim(network.host("10.0.0.1")).build().unwrap();
    server.with(|cx| {
        let accept =
            |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| Some(Box::new(Curt) as Box<dyn Protocol>);
        let address = Address::Ip("10.0.0.1:80".parse().unwrap());
        cx.listen(ListenInfo::new(address, ServerRole::H1), accept).unwrap();
    });
    let mut peer = network.connect(&network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
    network.run(&mut [&mut server], Us::from_us(10_000)).unwrap();
    peer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    network.run(&mut [&mut server], Us::from_us(20_000)).unwrap();
    let answer = peer.read();
    assert!(answer.starts_with(b"HTTP/1.1 204 "), "{}", String::from_utf8_lossy(&answer));
    assert!(peer.is_eof());
    drop(peer);
    network.run(&mut [&mut server], Us::from_us(30_000)).unwrap();
    assert_eq!(server.census().wsis, 1, "the listener");
}

#[cfg(all(feature = "raw", feature = "tls"))]
mod over_tls {
    use super::*;
    use base64::Engine;
    use millstream::{ClientInfo, ClientRole, Identity, Target};
    use std::cell::RefCell;
    use std::rc::Rc;

    /// A client that says all at once, and a server that answers when it has heard that this is all.
    struct User {
        is_server: bool,
        heard: Rc<RefCell<Vec<u8>>>,
    }

    impl Protocol for User {
        fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
            if !self.is_server {
                cx.wsi_request_tx(me).unwrap();
            }
            Flow::Ok
        }

        fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8]) -> Flow {
            self.heard.borrow_mut().extend_from_slice(payload);
            Flow::Ok
        }

        fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
            tx.write(if self.is_server { b" answer" } else { b"question" });
            tx.end_message();
            TxFlow::Send
        }

        fn half_closed(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
            cx.wsi_request_tx(me).unwrap();
            Flow::Ok
        }
    }

    #[test]
    fn the_end_of_one_side_is_heard_though_it_comes_with_the_last_payload() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD.encode(made.cert.der());
        let policy = format!(
            r#"{{ "certs": [ {{ "c": "{base64}" }} ], "trust_stores": [ {{ "name": "t", "stack": ["c"] }} ], "s": [] }}"#
        );
        let network = Network::new(1);
        let host = network.host("10.0.0.1");
        let mut context = Context::builder().policy(&policy).unwrap().sim(host).build().unwrap();
        let heard = Rc::new(RefCell::new(Vec::new()));
        context.with(|cx| {
            let address = Address::Ip("10.0.0.1:7".parse().unwrap());
            let mut info = ListenInfo::new(address.clone(), ServerRole::Raw);
            let key = made.signing_key.serialize_der();
            info.tls = Some(Identity::from_der(&[made.cert.der()], &key).unwrap());
            let shared = Rc::clone(&heard);
            let accept = move |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| {
                let user = User { is_server: true, heard: Rc::clone(&shared) };
                Some(Box::new(user) as Box<dyn Protocol>)
            };
            cx.listen(info, accept).unwrap();
            let mut info = ClientInfo::new(Target::Address(address), ClientRole::Raw);
            info.tls = Some(cx.client_tls("localhost", Some("t")).unwrap());
            cx.connect(&info, User { is_server: false, heard: Rc::clone(&heard) });
        });
        network.run(&mut [&mut context], Us::from_us(100_000)).unwrap();
        assert_eq!(*heard.borrow(), b"question answer");
        assert_eq!(context.census().wsis, 1, "the listener");
    }
}
