//! Bytes to a sequence of requests, made from outside and from inside callbacks, on a context that lives on a
//! simulated network with servers and clients in it: streams of HTTP/1.1, HTTP/2, websockets, MQTT and of bytes, sinks,
//! datagrams, vhosts. Whatever the sequence, lives are told in order and nothing is left when all is over.

#[path = "ops_connections.rs"]
mod connections;
#[path = "ops_peers.rs"]
mod peers;

use connections::Told;
use millstream::policy::Policy;
use millstream::sim::{Link, Network, RawUdp};
use millstream::{
    Census, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, VhostId, WsiId,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{ "release": "1", "product": "ops", "schema-version": 1,
  "retry": [ { "few": { "backoff": [5, 50], "conceal": 2, "jitterpc": 20 } },
             { "slow": { "backoff": [500], "conceal": 2, "jitterpc": 20 } },
             { "valid": { "backoff": [500], "conceal": 2, "jitterpc": 20, "svalidping": 2, "svalidhup": 4 } } ],
  "s": [
    { "server": { "server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h1",
                  "metadata": [ { "path": "" }, { "method": "" }, { "word": "x-word:" } ] } },
    { "get": { "endpoint": "server.test", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/${word}",
               "opportunistic": true, "retry": "few", "metadata": [ { "word": "" } ] } },
    { "post": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "POST", "http_url": "/",
                "retry": "few", "timeout_ms": 3, "metadata": [ { "word": "x-word:" } ] } },
    { "nailed": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/",
                  "nailed_up": true, "retry": "slow", "metadata": [ { "word": "" } ] } },
    { "nowhere": { "endpoint": "10.0.0.9", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/",
                   "retry": "few", "metadata": [ { "word": "" } ] } },
    { "far": { "endpoint": "10.0.0.2", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/",
               "retry": "few", "metadata": [ { "word": "" } ] } },
    { "raw_server": { "server": true, "endpoint": "10.0.0.1", "port": 7, "protocol": "raw", "retry": "valid" } },
    { "raw": { "endpoint": "server.test", "port": 7, "protocol": "raw", "opportunistic": true, "retry": "valid" } },
    { "raw_nailed": { "endpoint": "10.0.0.1", "port": 7, "protocol": "raw", "nailed_up": true, "retry": "valid" } },
    { "sink": { "local_sink": true, "opportunistic": true, "retry": "few" } },
    { "held": { "local_sink": true, "nailed_up": true, "retry": "slow", "metadata": [ { "word": "" } ] } },
    { "v0": { "server": true, "endpoint": "!v0.test", "protocol": "h1" } },
    { "v1": { "server": true, "endpoint": "!v1.test", "protocol": "raw" } },
    { "get_v0": { "endpoint": "v0.test", "port": 8080, "protocol": "h1", "http_method": "GET", "http_url": "/",
                  "opportunistic": true, "retry": "few" } },
    { "h2_server": { "server": true, "endpoint": "10.0.0.1", "port": 82, "protocol": "h2",
                     "metadata": [ { "path": "" }, { "method": "" }, { "word": "x-word:" } ] } },
    { "h2_get": { "endpoint": "server.test", "port": 82, "protocol": "h2", "http_method": "GET", "http_url": "/${word}",
                  "opportunistic": true, "retry": "few", "metadata": [ { "word": "" } ] } },
    { "h2_post": { "endpoint": "server.test", "port": 82, "protocol": "h2", "http_method": "POST", "http_url": "/",
                   "retry": "few", "timeout_ms": 3, "metadata": [ { "word": "x-word:" } ] } },
    { "h2_nailed": { "endpoint": "10.0.0.1", "port": 82, "protocol": "h2", "http_method": "GET", "http_url": "/",
                     "nailed_up": true, "retry": "valid" } },
    { "h2_far": { "endpoint": "10.0.0.2", "port": 82, "protocol": "h2", "http_method": "GET", "http_url": "/",
                  "opportunistic": true, "retry": "valid" } },
    { "h2_far_post": { "endpoint": "10.0.0.2", "port": 82, "protocol": "h2", "http_method": "POST", "http_url": "/",
                       "opportunistic": true, "retry": "valid" } },
    { "ws_server": { "server": true, "endpoint": "10.0.0.1", "port": 83, "protocol": "h1", "ws_subprotocol": "ops",
                     "retry": "valid", "metadata": [ { "path": "" }, { "method": "" } ] } },
    { "ws": { "endpoint": "server.test", "port": 83, "protocol": "ws", "http_url": "/${word}", "ws_subprotocol": "ops",
              "opportunistic": true, "retry": "few", "metadata": [ { "word": "" } ] } },
    { "ws_nailed": { "endpoint": "10.0.0.1", "port": 83, "protocol": "ws", "http_url": "/", "ws_subprotocol": "ops",
                     "ws_binary": true, "nailed_up": true, "retry": "valid" } },
    { "ws_far": { "endpoint": "10.0.0.2", "port": 83, "protocol": "ws", "http_url": "/", "retry": "few" } },
    { "mqtt": { "endpoint": "10.0.0.2", "port": 1883, "protocol": "mqtt", "mqtt_topic": "x", "mqtt_subscribe": "x",
                "mqtt_qos": 1, "nailed_up": true, "retry": "valid", "metadata": [ { "word": "topic" } ] } },
    { "mqtt_once": { "endpoint": "10.0.0.2", "port": 1883, "protocol": "mqtt", "mqtt_topic": "x/${word}", "mqtt_qos": 2,
                     "opportunistic": true, "retry": "few", "metadata": [ { "word": "" } ] } },
    { "mqtt_born": { "endpoint": "10.0.0.2", "port": 1883, "protocol": "mqtt", "mqtt_subscribe": "+", "mqtt_keep_alive": 3,
                     "mqtt_birth_topic": "b", "mqtt_birth_message": "here", "mqtt_will_topic": "b", "mqtt_will_message": "gone",
                     "opportunistic": true, "retry": "few" } } ] }"#;

thread_local! {
    /// Parsed once: that takes longer than most inputs.
    static PARSED: Policy = Policy::parse(POLICY).unwrap().policy;
}

const TYPES: [&str; 14] = [
    "server",
    "get",
    "post",
    "nailed",
    "nowhere",
    "far",
    "raw_server",
    "raw",
    "raw_nailed",
    "sink",
    "held",
    "v0",
    "v1",
    "get_v0",
];

/// Those that share connections, or begin as one thing and go on as another.
const SHARED_TYPES: [&str; 13] = [
    "h2_server",
    "h2_get",
    "h2_post",
    "h2_nailed",
    "h2_far",
    "h2_far_post",
    "ws_server",
    "ws",
    "ws_nailed",
    "ws_far",
    "mqtt",
    "mqtt_once",
    "mqtt_born",
];

const OVERLAYS: [&str; 3] = [
    r#"{ "s": [ { "get": { "http_url": "/other" } } ] }"#,
    r#"{ "s": [ { "post": { "nailed_up": true, "retry": "slow" } } ] }"#,
    r#"{ "s": [ { "get": { "port": "none" } } ] }"#,
];

/// Streams beyond this are not made: a short input has no long run.
const MOST_STREAMS: usize = 24;

/// Requests that callbacks make in one run.
const MOST_REQUESTS: u32 = 400;

/// What the handlers share: the rest of the input, and what was heard.
#[derive(Default)]
struct Notes {
    input: Vec<u8>,
    at: usize,
    requests: u32,
    lives: BTreeMap<StreamId, Vec<StreamState>>,
    wsis: BTreeMap<WsiId, Vec<Told>>,
    released: BTreeSet<WsiId>,
    vhosts: Vec<VhostId>,
    handlers: usize,
    is_inside: bool,
}

impl Notes {
    /// The next byte; zeros behind the end, so that callbacks come to rest.
    fn byte(&mut self) -> u8 {
        let byte = self.input.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    /// The next request of a callback; nothing once there were many.
    fn reaction(&mut self) -> u8 {
        self.requests += 1;
        if self.requests > MOST_REQUESTS { 0 } else { self.byte() }
    }

    fn pick(&mut self) -> Option<StreamId> {
        let count = self.lives.len().max(1);
        let nth = usize::from(self.byte()) % count;
        self.lives.keys().nth(nth).copied()
    }
}

type Shared = Rc<RefCell<Notes>>;

struct Actor(Shared);

impl Actor {
    fn new(shared: &Shared) -> Self {
        shared.borrow_mut().handlers += 1;
        Self(Rc::clone(shared))
    }

    fn inside(&self, body: impl FnOnce() -> u8) -> u8 {
        assert!(!std::mem::replace(&mut self.0.borrow_mut().is_inside, true), "a handler was re-entered");
        let answer = body();
        self.0.borrow_mut().is_inside = false;
        answer
    }

    /// Perhaps asks for something, and says what to return.
    fn react(&self, cx: &mut Cx<'_>, me: StreamId) -> u8 {
        let code = self.0.borrow_mut().reaction();
        request(cx, &self.0, Some(me), code);
        code >> 6
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Ok(mut notes) = self.0.try_borrow_mut() {
            notes.handlers -= 1;
        }
    }
}

fn flow(code: u8) -> Flow {
    match code {
        2 => Flow::DisconnectMe,
        3 => Flow::DestroyMe,
        _ => Flow::Ok,
    }
}

impl StreamHandler for Actor {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, _: &[u8], _: RxFlags) -> Flow {
        let connected = cx.state(me).is_some_and(StreamState::is_connected);
        assert!(connected, "rx while {:?}", cx.state(me));
        flow(self.inside(|| self.react(cx, me)))
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let code = self.inside(|| {
            let len = usize::from(self.0.borrow_mut().byte());
            tx.write(&[b'x'; 255][..len]);
            if len < 192 {
                tx.end_message();
            } else {
                let _ = cx.request_tx(me);
            }
            self.react(cx, me)
        });
        match code {
            0 => TxFlow::Send,
            1 => TxFlow::DontSend,
            2 => TxFlow::DisconnectMe,
            _ => TxFlow::DestroyMe,
        }
    }

    fn resend(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.tx(cx, me, tx)
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let code = self.inside(|| {
            self.0.borrow_mut().lives.entry(me).or_default().push(state);
            if matches!(state, StreamState::ServerTxn | StreamState::ServerUpgrade) {
                let _ = cx.server_ack(me, u16::from(self.0.borrow_mut().byte() & 3) * 201);
                let _ = cx.request_tx(me);
            }
            self.react(cx, me)
        });
        flow(code)
    }

    fn accept(&mut self, cx: &mut Cx<'_>, me: StreamId) -> Option<Box<dyn StreamHandler>> {
        let code = self.inside(|| self.react(cx, me));
        (code != 3).then(|| Box::new(Self::new(&self.0)) as _)
    }
}

/// One request. What it is refused for is no matter: it must be safe to make.
fn request(cx: &mut Cx<'_>, shared: &Shared, me: Option<StreamId>, code: u8) {
    let picked = shared.borrow_mut().pick();
    let Some(id) = (if code & 0x20 == 0 { me.or(picked) } else { picked }) else {
        return create(cx, shared, code, &TYPES);
    };
    match code & 0x1f {
        // What callbacks ask for behind the end of the input is nothing.
        0 if code != 0 => create(cx, shared, code, &SHARED_TYPES),
        1 => create(cx, shared, code, &TYPES),
        2 => drop(cx.destroy(id)),
        3 | 4 => drop(cx.client_connect(id)),
        5 | 6 => drop(cx.request_tx(id)),
        7 => drop(cx.request_tx_len(id, u64::from(code))),
        8 => drop(cx.set_metadata(id, "word", b"some value")),
        9 => drop(cx.start_timeout(id, None)),
        10 => drop(cx.start_timeout(id, Some(Duration::from_millis(u64::from(code))))),
        11 => drop(cx.cancel_timeout(id)),
        12 => drop(cx.rx_flow(id, false)),
        13 => drop(cx.rx_flow(id, true)),
        14 => drop(cx.change_handlers(id, Actor::new(shared))),
        15 => drop(cx.server_ack(id, u16::from(code))),
        16 => drop(cx.server_foreach_client(id, |cx, client| drop(cx.destroy(client)))),
        17 => {
            cx.sul_schedule(Duration::from_micros(u64::from(code)), move |cx| drop(cx.destroy(id)));
        }
        18 => {
            let sul = cx.sul_schedule(Duration::ZERO, |_| {});
            let _ = cx.sul_cancel(sul);
        }
        19 => drop(cx.set_metadata(id, "word", vec![b'\n'; usize::from(code) * 64])),
        20 | 21 => {
            let name = if code & 1 == 0 { "sink" } else { "held" };
            if shared.borrow().handlers < MOST_STREAMS {
                drop(cx.register_sink(name, Actor::new(shared)));
            }
        }
        22 => drop(cx.validity_confirm(id)),
        23 => drop(cx.destroy(id).and_then(|()| cx.client_connect(id))),
        below @ 24.. => connections::act(cx, shared, None, below),
        _ => {}
    }
}

fn create(cx: &mut Cx<'_>, shared: &Shared, code: u8, types: &[&str]) {
    let handlers = shared.borrow().handlers;
    let name = types[usize::from(shared.borrow_mut().byte() ^ code) % types.len()];
    if handlers < MOST_STREAMS {
        let _ = cx.create(name, Actor::new(shared));
    }
}

/// The network and what is done to it.
struct World {
    network: Network,
    context: Context,
    notes: Shared,
    peers: peers::Peers,
    udp: RawUdp,
}

impl World {
    fn run(&mut self, after: Duration) {
        let until = self.network.now().saturating_add(after);
        self.network.run(&mut [&mut self.context], until).expect("it comes to rest");
    }

    /// One step from outside.
    fn step(&mut self, code: u8) {
        let (near, far) = (self.network.host("10.0.0.1"), self.network.host("10.0.0.2"));
        let arg = self.notes.borrow_mut().byte();
        match code % 32 {
            0 | 1 => self.run(Duration::from_micros(u64::from(arg) * 10)),
            2 => self.run(Duration::from_millis(u64::from(arg))),
            3 => self.run(Duration::from_secs(u64::from(arg))),
            4 => drop(self.context.overlay(OVERLAYS[usize::from(arg) % OVERLAYS.len()])),
            5 => self.network.link_down(&near, &far),
            6 => self.network.link_up(&near, &far),
            7 => self.network.reset(&near),
            8 => self.network.fail_nth(u64::from(arg)),
            9 => self.context.waker().wake(),
            10 => {
                let link =
                    Link { segment: usize::from(arg), window: 1 + usize::from(arg), ..Link::default() };
                self.network.set_default_link(link);
            }
            11 => {
                let says = self.notes.borrow_mut().byte();
                self.peers.act(&self.network, arg, says);
            }
            12 => drop(self.context.service(Some(Duration::ZERO))),
            13 => {
                let port = if arg & 1 == 0 { 53 } else { 40_000 + u16::from(arg) };
                let to = std::net::SocketAddr::from(([10, 0, 0, 1], port));
                let _ = self.udp.send_to(to, &[b'x'; 64][..usize::from(arg & 63)]);
            }
            14 => while self.udp.receive().is_some() {},
            15 | 16 => {
                let shared = Rc::clone(&self.notes);
                self.context.with(|cx| connections::act(cx, &shared, None, arg));
            }
            _ => {
                let shared = Rc::clone(&self.notes);
                self.context.with(|cx| request(cx, &shared, None, arg));
            }
        }
    }

    /// Ends all and looks whether something is left.
    fn finish(mut self) {
        for _ in 0..8 {
            let mut notes = self.notes.borrow_mut();
            let streams: Vec<_> = notes.lives.keys().copied().collect();
            let wsis: Vec<_> = notes.wsis.keys().copied().collect();
            let vhosts = std::mem::take(&mut notes.vhosts);
            notes.requests = MOST_REQUESTS;
            drop(notes);
            self.context.with(|cx| {
                for id in streams {
                    drop(cx.destroy(id));
                }
                for id in wsis {
                    drop(cx.wsi_close(id));
                }
                for id in vhosts {
                    drop(cx.vhost_destroy(id));
                }
            });
        }
        self.peers.leave();
        self.run(Duration::from_secs(1000));
        assert_eq!(self.context.census(), Census::default());
        drop(self.context);
        let notes = self.notes.borrow();
        assert_eq!(notes.handlers, 0);
        for (id, life) in &notes.lives {
            check(*id, life);
        }
        connections::check(&notes);
    }
}

fn check(id: StreamId, life: &[StreamState]) {
    use StreamState::{Connected, Connecting, Creating, Destroying, Disconnected};
    let count = |state| life.iter().filter(|heard| **heard == state).count();
    assert_eq!((life.first(), life.last()), (Some(&Creating), Some(&Destroying)), "{id}: {life:?}");
    assert_eq!((count(Creating), count(Destroying)), (1, 1), "{id}: {life:?}");
    let mut connected = false;
    let mut attempting = false;
    for state in life {
        match *state {
            Connecting => attempting = true,
            Connected => {
                assert!(attempting && !connected, "{id}: {life:?}");
                (attempting, connected) = (false, true);
            }
            Disconnected => assert!(std::mem::take(&mut connected), "{id}: {life:?}"),
            Destroying => assert!(!connected, "{id}: {life:?}"),
            _ => {}
        }
    }
}

/// The body of the fuzz target `ops`.
pub(crate) fn ops(data: &[u8]) {
    if data.len() > 512 {
        return;
    }
    let network = Network::new(data.len() as u64);
    for name in ["server.test", "v0.test", "v1.test"] {
        network.name(name, &["10.0.0.1"]);
    }
    let host = network.host("10.0.0.1");
    let udp = network.udp(&network.host("10.0.0.2"), 53).expect("a free port");
    let builder = Context::builder().parsed_policy(PARSED.with(Policy::clone));
    let context = builder.max_connections(40).sim(host).build().unwrap();
    let notes: Shared = Rc::default();
    notes.borrow_mut().input = data.to_vec();
    let peers = peers::Peers::new(&network);
    let mut world = World { network, context, notes, peers, udp };
    let shared = Rc::clone(&world.notes);
    world.context.with(|cx| drop(cx.create("server", Actor::new(&shared))));
    while world.notes.borrow().at < data.len() {
        let code = world.notes.borrow_mut().byte();
        world.step(code);
    }
    world.finish();
}
