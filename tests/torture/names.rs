//! Clients that look for a name: its servers are asked on the same network, its addresses raced, and only the last of them
//! is any good. Each callback, each moment on the way, each operation that can fail.

use crate::name_server::{self, A, AAAA, Says, Zone};
use crate::policy::NAME;
use crate::protocol_user::{ANSWERS, Answer};
use crate::runner::{self, Runner};
use crate::user::{ACTS, Act, Moment, Plan, Side, Stage};
use millstream::sim::Network;
use millstream::{
    Address, Census, ClientInfo, ClientRole, Context, Cx, Flow, ListenInfo, Names, Protocol, ServerRole,
    Target, Tx, TxFlow, UdpInfo, Validity, WsiId,
};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

const CLIENT: [&str; 2] = ["10.0.0.1", "2001:db8::1"];
const SERVER: &str = "10.0.0.2";
/// A host that is there, and refuses.
const REFUSES: &str = "10.0.0.4";
/// Addresses that nobody has.
const NOBODY: [&str; 2] = ["10.9.9.1", "2001:db8:9::1"];
const PORT: u16 = 7;

/// What is asked for, and how the name server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    /// The answers are too long for datagrams.
    TcpAsked,
    Udp,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Tcp, Self::TcpAsked, Self::Udp];

    fn zone(self) -> Zone {
        let says = if self == Self::TcpAsked { Says::TooLong } else { Says::Addresses };
        match self {
            // There is no racing to where nobody answers.
            Self::Udp => Zone::from([((NAME, A), (1, says(&[SERVER]))), ((NAME, AAAA), (0, says(&[])))]),
            _ => Zone::from([
                ((NAME, A), (1, says(&[NOBODY[0], REFUSES, SERVER]))),
                ((NAME, AAAA), (0, says(&[NOBODY[1]]))),
            ]),
        }
    }

    fn role(self) -> ClientRole {
        if self == Self::Udp { ClientRole::Udp } else { ClientRole::Raw }
    }
}

/// Gives back as many pieces as it gets.
#[derive(Default)]
struct Echo(Vec<Option<SocketAddr>>);

impl Protocol for Echo {
    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &[u8]) -> Flow {
        self.0.push(None);
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn datagram(&mut self, cx: &mut Cx<'_>, me: WsiId, from: SocketAddr, _: &[u8]) -> Flow {
        self.0.push(Some(from));
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(to) = self.0.pop() else { return TxFlow::DontSend };
        if let Some(to) = to {
            tx.to(to);
        }
        tx.write(b"a piece");
        cx.wsi_request_tx(me).unwrap();
        TxFlow::Send
    }
}

struct World {
    network: Network,
    server: Context,
    /// What the server is when nobody is connected.
    at_rest: Census,
    client: Context,
    stage: Rc<Stage>,
}

impl World {
    fn new(kind: Kind, plan: Plan) -> Self {
        let network = Network::new(11);
        let host = network.host(CLIENT[0]);
        network.alias(&host, CLIENT[1]);
        network.host(REFUSES);
        let mut server = Context::builder().sim(network.host(SERVER)).build().unwrap();
        let dns = SocketAddr::new(SERVER.parse().unwrap(), 53);
        let at = SocketAddr::new(dns.ip(), PORT);
        name_server::serve(&mut server, dns, kind.zone());
        server.with(|cx| {
            let accept = |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| {
                Some(Box::new(Echo::default()) as Box<dyn Protocol>)
            };
            cx.listen(ListenInfo::new(Address::Ip(at), ServerRole::Raw), accept).unwrap();
            cx.udp_bind(UdpInfo::new(at), Echo::default()).unwrap();
        });
        let names = Names { hosts: Some(String::new()), servers: vec![dns], ..Names::default() };
        let client = Context::builder().names(names).sim(host).build().unwrap();
        let mut info = ClientInfo::new(Target::Host(NAME.to_owned(), PORT), kind.role());
        let secs = |secs| Some(Duration::from_secs(secs));
        info.validity = Some(Validity { ping: secs(2), hangup: secs(5) });
        let bind = SocketAddr::new(CLIENT[0].parse().unwrap(), PORT);
        let stage = Stage::new(plan, info, bind);
        let mut world = Self { network, at_rest: server.census(), server, client, stage };
        world.run(1);
        world.at_rest = world.server.census();
        world
    }

    fn run(&mut self, millis: u64) {
        runner::run(&self.network, &mut [&mut self.server, &mut self.client], millis);
    }

    fn connect(&mut self) {
        let stage = &self.stage;
        self.client.with(|cx| {
            stage.connect(cx, Side::Client);
            stage.other.set(Some(stage.connect(cx, Side::Other)));
        });
    }

    fn close_all(&mut self) {
        let stage = &self.stage;
        self.client.with(|cx| stage.close_all(cx));
    }

    /// Ends all and looks whether something is left; how often the moment came, and how many operations there were.
    fn finish(mut self) -> (u32, u64) {
        let whole = self.at_rest;
        let (server, hits, operations) = self.end();
        assert_eq!(server, whole);
        (hits, operations)
    }

    /// The same; what is left of the server may be less than it was.
    fn end(&mut self) -> (Census, u32, u64) {
        for _ in 0..3 {
            self.close_all();
            self.run(20);
        }
        self.run(400_000);
        assert_eq!(self.client.census(), Census::default());
        self.stage.check();
        (self.server.census(), self.stage.hits.get(), self.network.fallible_ops())
    }
}

fn play(kind: Kind, plan: Plan) -> u32 {
    let mut world = World::new(kind, plan);
    world.connect();
    // Each address that does not answer has a quarter of a second, and then validity has its time.
    world.run(20_000);
    world.finish().0
}

#[test]
fn callbacks_of_clients_by_name() {
    let mut runner = Runner::new();
    for kind in Kind::ALL {
        let rx = if kind == Kind::Udp { Moment::Datagram } else { Moment::Rx };
        for at in [Moment::Established, rx, Moment::Writeable, Moment::Ping, Moment::Closed] {
            for answer in ANSWERS {
                for act in ACTS {
                    for always in [false, true] {
                        if always && act.is_endless() {
                            continue;
                        }
                        let plan = Plan { side: Side::Client, at, answer, act, always };
                        runner.run(&format!("{kind:?}/{}", plan.name()), || {
                            assert!(play(kind, plan) > 0, "the moment never came");
                        });
                    }
                }
            }
        }
    }
    runner.finish();
}

/// Milliseconds at which something happens on the way of a client, and those between.
fn times() -> impl Iterator<Item = u64> {
    (0..20).chain((20..800).step_by(10)).chain(245..265).chain(495..515)
}

#[test]
fn clients_that_leave_at_any_time_on_their_way() {
    let mut runner = Runner::new();
    for kind in Kind::ALL {
        for millis in times() {
            for both in [false, true] {
                runner.run(&format!("leaves/{kind:?}/{millis}/{both}"), || {
                    let mut world = World::new(kind, Plan::QUIET);
                    world.connect();
                    world.run(millis);
                    let stage = Rc::clone(&world.stage);
                    let client = *stage.ids.borrow().first().unwrap();
                    if both {
                        world.close_all();
                    } else {
                        drop(world.client.with(|cx| cx.wsi_close(client)));
                    }
                    world.run(4_000);
                    if !both {
                        let other = stage.other.get().unwrap();
                        let peer = world.client.with(|cx| cx.wsi_peer(other).cloned());
                        assert_eq!(peer.unwrap().to_string(), format!("{SERVER}:{PORT}"));
                    }
                    world.finish();
                });
            }
        }
    }
    runner.finish();
}

#[test]
fn a_context_that_is_dropped_at_any_time_drops_its_users() {
    let mut runner = Runner::new();
    for kind in Kind::ALL {
        for millis in times() {
            runner.run(&format!("dropped/{kind:?}/{millis}"), || {
                let mut world = World::new(kind, Plan::QUIET);
                world.connect();
                world.run(millis);
                let World { network, mut server, at_rest, client, stage } = world;
                drop(client);
                stage.check_nobody_is_left();
                runner::run(&network, &mut [&mut server], 400_000);
                assert_eq!(server.census(), at_rest);
            });
        }
    }
    runner.finish();
}

#[test]
fn names_on_a_failing_network() {
    let mut runner = Runner::new();
    for kind in Kind::ALL {
        for act in [Act::Nothing, Act::ConnectAnother] {
            let plan = Plan { act, at: Moment::Established, answer: Answer::Ok, ..Plan::QUIET };
            let faulty = |nth: Option<u64>| {
                let mut world = World::new(kind, plan);
                if let Some(nth) = nth {
                    world.network.fail_nth(nth);
                }
                let before = world.network.fallible_ops();
                world.connect();
                world.run(40_000);
                let whole = world.at_rest;
                let (server, established, after) = world.end();
                // What fails may be a socket of the server's, for datagrams, which is then gone.
                let gone = (whole.wsis - server.wsis, whole.handlers - server.handlers);
                assert!(matches!(gone, (0, 0) | (1, 1)), "{server:?}");
                (established, gone.0 > 0, after - before)
            };
            let (established, _, operations) = faulty(None);
            assert!(established == 1 && operations > 20, "{established} {operations}");
            let mut unconnected = 0;
            for nth in 0..operations {
                runner.run(&format!("fails/{kind:?}/{act:?}/{nth}"), || {
                    let (established, is_server_broken, _) = faulty(Some(nth));
                    unconnected += u32::from(established == 0 && !is_server_broken);
                });
            }
            // The socket to the only good address; whatever else fails, the name is found and the connection made.
            assert!(unconnected <= 1, "{unconnected}");
        }
    }
    runner.finish();
}
