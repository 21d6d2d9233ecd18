//! Servers that take a connection and close it again without a word: client streams that always want to send come back by
//! their backoff, whatever they speak.

#![cfg(all(feature = "h1", feature = "mqtt", feature = "raw", feature = "ws"))]

use millstream::sim::{Link, Network};
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const PROTOCOLS: [(&str, &str); 5] = [
    ("raw", r#""protocol": "raw""#),
    ("get", r#""protocol": "h1", "http_method": "GET", "http_url": "x""#),
    ("post", r#""protocol": "h1", "http_method": "POST", "http_url": "x""#),
    ("ws", r#""protocol": "ws", "http_url": "x", "ws_subprotocol": "x""#),
    ("mqtt", r#""protocol": "mqtt", "mqtt_topic": "x""#),
];

/// A client of this protocol, and servers: one that closes at once, and others that first say what makes it CONNECTED.
fn policy(client: &str, port: u16, more: &str) -> String {
    format!(
        r#"{{"retry": [{{"r": {{"backoff": [1000, 2000], "conceal": 3, "jitterpc": 0}}}}], "s": [
            {{"client": {{"endpoint": "10.0.0.1", "port": {port}, {client}, {more}}}}},
            {{"shut": {{"server": true, "port": 1, "protocol": "raw"}}}},
            {{"broker": {{"server": true, "port": 2, "protocol": "raw"}}}},
            {{"ws": {{"server": true, "port": 3, "protocol": "h1", "ws_subprotocol": "x"}}}}]}}"#
    )
}

struct Shut;

impl StreamHandler for Shut {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        None
    }
}

/// Grants a websocket, or answers what comes with a CONNACK, and leaves.
struct Brief;

impl Brief {
    fn leaves(cx: &mut Cx<'_>, me: StreamId) {
        cx.start_timeout(me, Some(Duration::from_micros(1))).unwrap();
    }
}

impl StreamHandler for Brief {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, _: &[u8], _: RxFlags) -> Flow {
        cx.request_tx(me).unwrap();
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(&[0x20, 2, 0, 0]);
        Self::leaves(cx, me);
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::ServerUpgrade => Self::leaves(cx, me),
            StreamState::Timeout => return Flow::DisconnectMe,
            _ => {}
        }
        Flow::Ok
    }
}

/// Asks for tx in some states, and when it gets it sends or not.
struct Eager {
    asks: &'static [StreamState],
    sends: bool,
    told: Rc<RefCell<Vec<(Us, StreamState)>>>,
}

impl StreamHandler for Eager {
    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        if !self.sends {
            return TxFlow::DontSend;
        }
        tx.write(b"x");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.told.borrow_mut().push((cx.now(), state));
        if self.asks.contains(&state) {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

/// When a client began its attempts, in ms, in a minute in which it asks for tx again and again; and how often it was CONNECTED.
fn attempts(policy: &str, asks: &'static [StreamState], sends: bool) -> (Vec<u64>, usize) {
    let network = Network::new(5);
    network.set_default_link(Link::with_latency(Duration::from_millis(1)));
    let build = |ip| Context::builder().policy(policy).unwrap().sim(network.host(ip)).build().unwrap();
    let (mut there, mut here) = (build("10.0.0.1"), build("10.0.0.2"));
    there.with(|cx| {
        cx.create("shut", Shut).unwrap();
        cx.create("broker", Brief).unwrap();
        cx.create("ws", Brief).unwrap();
    });
    let told = Rc::default();
    let client = Eager { asks, sends, told: Rc::clone(&told) };
    here.with(|cx| cx.create("client", client).unwrap());
    network.run(&mut [&mut there, &mut here], Us::from_us(60_000_000)).unwrap();
    let told = std::mem::take(&mut *told.borrow_mut());
    let of = |state| told.iter().filter(move |(_, told)| *told == state);
    (
        of(StreamState::Connecting).map(|(at, _)| at.as_us() / 1000).collect(),
        of(StreamState::Connected).count(),
    )
}

#[test]
fn a_stream_that_always_wants_to_send_comes_back_by_its_backoff_when_the_peer_closes_without_a_word() {
    use StreamState::{Connected, Creating, Disconnected};
    for (protocol, client) in PROTOCOLS {
        let polite = match protocol {
            "ws" => 3,
            "mqtt" => 2,
            _ => 1,
        };
        for kind in [
            r#""opportunistic": true, "retry": "r""#,
            r#""nailed_up": true, "retry": "r""#,
            r#""retry": "r""#,
        ] {
            for port in [1, polite] {
                for asks in [
                    &[Creating, Connected][..],
                    &[Creating, Disconnected],
                    &[Creating, Connected, Disconnected],
                ] {
                    for sends in [false, true] {
                        let (attempts, connected) = attempts(&policy(client, port, kind), asks, sends);
                        let what = format!(
                            "{protocol} at {port}, {kind}, asks in {asks:?}, sends {sends}: {attempts:?}"
                        );
                        // What has taken a message is asked again at once, and believed no more.
                        let spaced = attempts.get(usize::from(sends)..).unwrap_or_default();
                        assert!(spaced.windows(2).all(|pair| pair[1] - pair[0] >= 1000), "{what}");
                        // Without CONNECTED, until the concealed retries are used up.
                        let is_kept =
                            connected > 0 && (asks.contains(&Disconnected) || !kind.contains("opp"));
                        let least = if is_kept {
                            50
                        } else if connected > 0 {
                            1
                        } else {
                            4
                        };
                        assert!(attempts.len() >= least, "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn without_a_scheme_the_attempts_are_apart_as_by_its_default() {
    let (_, client) = PROTOCOLS[0];
    let asks = &[StreamState::Creating, StreamState::Disconnected];
    let (attempts, _) = attempts(&policy(client, 1, r#""opportunistic": true"#), asks, false);
    assert!(attempts.len() >= 15, "{attempts:?}");
    assert!(attempts.windows(2).all(|pair| (3000..3901).contains(&(pair[1] - pair[0]))), "{attempts:?}");
}
