//! User code straight on connections, most of it over real sockets.

use millstream::*;
use std::time::Duration;

#[derive(Default)]
struct Echo(Vec<u8>);

impl Protocol for Echo {
    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8]) -> Flow {
        self.0.extend_from_slice(payload);
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.0);
        self.0.drain(..sent);
        if !self.0.is_empty() {
            cx.wsi_request_tx(me).unwrap();
        }
        TxFlow::Send
    }
}

struct Asker {
    to_send: Vec<u8>,
    to_hear: usize,
}

impl Protocol for Asker {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8]) -> Flow {
        self.to_hear -= payload.len();
        if self.to_hear == 0 { Flow::DisconnectMe } else { Flow::Ok }
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.to_send);
        self.to_send.drain(..sent);
        if !self.to_send.is_empty() {
            cx.wsi_request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn closed(&mut self, cx: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        let left = self.to_hear;
        println!("closed, {left} left, {cause:?}");
        let app = cx.app::<Vec<usize>>().unwrap();
        app.push(left);
        if app.len() == 3 {
            cx.stop();
        }
    }
}

#[test]
fn an_echo_of_several_megabytes_comes_back_whole_over_tcp_and_unix_sockets() {
    let mut context = Context::builder().app(Vec::<usize>::new()).build().unwrap();
    context.with(|cx| {
        let name = format!("millstream-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let addresses = [
            Address::Ip("127.0.0.1:0".parse().unwrap()),
            Address::abstract_name(&name),
            Address::unix(path.to_str().unwrap()),
        ];
        for address in addresses {
            let acceptor = |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| {
                Some(Box::new(Echo::default()) as Box<dyn Protocol>)
            };
            let vhost = cx.listen(ListenInfo::new(address, ServerRole::Raw), acceptor).unwrap();
            let address = cx.vhost_address(vhost).unwrap().clone();
            let info = ClientInfo::new(Target::Address(address), ClientRole::Raw);
            cx.connect(&info, Asker { to_send: vec![7; 3_000_000], to_hear: 3_000_000 });
        }
        cx.sul_schedule(Duration::from_secs(20), |cx| cx.stop());
    });
    context.run().unwrap();
    context.with(|cx| assert_eq!(cx.app::<Vec<usize>>().unwrap(), &[0, 0, 0]));
    assert_eq!(context.census(), Census::default());
}

#[cfg(feature = "tls")]
#[test]
fn an_echo_comes_back_whole_over_tls_and_only_from_whom_the_policy_trusts() {
    use base64::Engine;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD.encode(made.cert.der());
    let policy = format!(
        r#"{{ "certs": [ {{ "c": "{base64}" }} ], "trust_stores": [ {{ "name": "t", "stack": ["c"] }} ], "s": [] }}"#
    );
    let mut context = Context::builder().policy(&policy).unwrap().app(Vec::<usize>::new()).build().unwrap();
    context.with(|cx| {
        let mut info = ListenInfo::new(Address::Ip("127.0.0.1:0".parse().unwrap()), ServerRole::Raw);
        let key = made.signing_key.serialize_der();
        info.tls = Some(Identity::from_der(&[made.cert.der()], &key).unwrap());
        let acceptor = |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| {
            Some(Box::new(Echo::default()) as Box<dyn Protocol>)
        };
        let vhost = cx.listen(info, acceptor).unwrap();
        let address = cx.vhost_address(vhost).unwrap().clone();
        for name in ["localhost", "elsewhere", "localhost"] {
            let mut info = ClientInfo::new(Target::Address(address.clone()), ClientRole::Raw);
            info.tls = Some(cx.client_tls(name, Some("t")).unwrap());
            cx.connect(&info, Asker { to_send: vec![7; 300_000], to_hear: 300_000 });
        }
        assert!(cx.client_tls("localhost", Some("nope")).is_err());
        cx.sul_schedule(Duration::from_secs(20), |cx| cx.stop());
    });
    context.run().unwrap();
    context.with(|cx| {
        let left = cx.app::<Vec<usize>>().unwrap();
        left.sort_unstable();
        assert_eq!(left, &[0, 0, 300_000]);
    });
}

/// Keeps its connection when the peer has ended its side.
struct Patient;

impl Protocol for Patient {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"late");
        tx.end_message();
        TxFlow::Send
    }

    fn half_closed(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        cx.sul_schedule(Duration::from_secs(3600), move |cx| cx.wsi_request_tx(me).unwrap());
        Flow::Ok
    }
}

#[test]
fn a_connection_that_is_half_closed_keeps_nobody_awake() {
    let network = sim::Network::new(1);
    let mut context = Context::builder().sim(network.host("10.0.0.1")).build().unwrap();
    context.with(|cx| {
        let accept =
            |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| Some(Box::new(Patient) as Box<dyn Protocol>);
        let address = Address::Ip("10.0.0.1:7".parse().unwrap());
        cx.listen(ListenInfo::new(address, ServerRole::Raw), accept).unwrap();
    });
    let mut peer = network.connect(&network.host("10.0.0.2"), "10.0.0.1:7").unwrap();
    let run_to = |context: &mut Context, secs: u64| {
        network.run(&mut [context], Us::from_us(secs * 1_000_000)).unwrap();
    };
    run_to(&mut context, 1);
    peer.shutdown().unwrap();
    run_to(&mut context, 10);
    let waits = context.waits();
    run_to(&mut context, 3000);
    assert_eq!(context.waits(), waits);
    run_to(&mut context, 4000);
    assert_eq!((peer.read(), peer.is_eof(), context.census().wsis), (b"late".to_vec(), true, 1));
}
