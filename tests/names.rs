//! Names and their addresses on a broken network: whatever is wrong, a connection is there at most a quarter of a second later
//! than the best that could be. In virtual time.

#[path = "common/name_server.rs"]
mod name_server;

use millstream::sim::{Link, Network, RawListener};
use millstream::*;
use name_server::{A, AAAA, Says, Zone};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

#[derive(Default)]
struct Outcome {
    connected: Option<(u64, Address)>,
    failed: Option<(u64, String)>,
}

struct Client(Rc<RefCell<Outcome>>);

impl Protocol for Client {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let peer = cx.wsi_peer(me).unwrap().clone();
        self.0.borrow_mut().connected = Some((cx.now().as_us() / 1000, peer));
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn closed(&mut self, cx: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        let cause = cause.map(ToString::to_string).unwrap_or_default();
        self.0.borrow_mut().failed = Some((cx.now().as_us() / 1000, cause));
    }
}

const V4: &str = "10.0.0.2";
const V6: &str = "2001:db8::2";
/// Addresses that nobody has: what is sent there is never answered.
const NOBODY: [&str; 4] = ["10.9.9.1", "10.9.9.2", "10.9.9.3", "2001:db8:9::1"];
/// A host that is there, and refuses.
const REFUSES: &str = "10.0.0.4";

struct World {
    network: Network,
    client: Context,
    servers: Vec<Context>,
    asked: Vec<Rc<Cell<usize>>>,
    _listeners: Vec<RawListener>,
}

impl World {
    /// Name servers that know these zones, in this order; `None` is one that is not there.
    fn new(zones: Vec<Option<Zone>>) -> Self {
        let network = Network::new(5);
        let host = network.host("10.0.0.1");
        network.alias(&host, "2001:db8::1");
        let listeners = [V4, V6].map(|ip| network.listen(&network.host(ip), 80).unwrap());
        network.host(REFUSES);
        let (mut servers, mut asked) = (Vec::new(), Vec::new());
        let mut names = Names { hosts: Some(String::new()), ..Names::default() };
        for (nth, zone) in zones.into_iter().enumerate() {
            let ip = format!("10.0.53.{nth}");
            names.servers.push(SocketAddr::new(ip.parse().unwrap(), 53));
            let Some(zone) = zone else { continue };
            let mut server = Context::builder().sim(network.host(&ip)).build().unwrap();
            asked.push(name_server::serve(&mut server, format!("{ip}:53").parse().unwrap(), zone));
            servers.push(server);
        }
        let client = Context::builder().names(names).sim(host).build().unwrap();
        Self { network, client, servers, asked, _listeners: listeners.into() }
    }

    fn connect(&mut self, name: &str) -> Rc<RefCell<Outcome>> {
        let outcome = Rc::<RefCell<Outcome>>::default();
        let info = ClientInfo::new(Target::Host(name.to_owned(), 80), ClientRole::Raw);
        self.client.with(|cx| cx.connect(&info, Client(Rc::clone(&outcome))));
        outcome
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        let mut contexts: Vec<_> = self.servers.iter_mut().chain([&mut self.client]).collect();
        self.network.run(&mut contexts, until).unwrap();
    }

    /// How many milliseconds it took to be connected, and to whom.
    fn time(&mut self, name: &str) -> (u64, String) {
        let begun = self.network.now().as_us() / 1000;
        let outcome = self.connect(name);
        self.run(60_000);
        let outcome = outcome.borrow();
        let (at, peer) = outcome.connected.as_ref().unwrap_or_else(|| panic!("{name}: {:?}", outcome.failed));
        (at - begun, peer.to_string())
    }

    fn asked(&self) -> usize {
        self.asked.iter().map(|asked| asked.get()).sum()
    }
}

/// A zone of one name.
fn zone(v4: (u64, Says), v6: (u64, Says)) -> Zone {
    Zone::from([(("a.test", A), v4), (("a.test", AAAA), v6)])
}

/// Asking takes 2 ms, connecting 2 ms.
const BEST: u64 = 4;
const BOUND: u64 = 250;

#[test]
fn whatever_is_wrong_costs_at_most_a_quarter_of_a_second_more_than_the_best_way() {
    use Says::*;
    let v4 = || (0, Addresses(&[V4]));
    let v6 = || (0, Addresses(&[V6]));
    let none = || (0, Addresses(&[]));
    let good = || Some(zone(v4(), v6()));
    let only = |v4| vec![Some(zone(v4, (0, Addresses(&[]))))];
    let cases: Vec<(&str, Vec<Option<Zone>>, u64, &str)> = vec![
        ("all is well", vec![good()], BEST, V6),
        ("only IPv4", only(v4()), BEST, V4),
        ("only IPv6", vec![Some(zone(none(), v6()))], BEST, V6),
        ("IPv6 leads nowhere", vec![Some(zone(v4(), (0, Addresses(&[NOBODY[3]]))))], BEST, V4),
        ("A before AAAA", vec![Some(zone(v4(), (20, Addresses(&[V6]))))], BEST + 20, V6),
        ("A long before AAAA", vec![Some(zone(v4(), (5000, Addresses(&[V6]))))], BEST, V4),
        ("AAAA before A", vec![Some(zone((5000, Addresses(&[V4])), v6()))], BEST, V6),
        ("AAAA is never answered", vec![Some(zone(v4(), (0, Nothing)))], BEST, V4),
        ("A is never answered", vec![Some(zone((0, Nothing), v6()))], BEST, V6),
        ("the first address refuses", only((0, Addresses(&[REFUSES, V4]))), BEST, V4),
        ("the first address is silent", only((0, Addresses(&[NOBODY[0], V4]))), BEST, V4),
        ("the first server is not there", vec![None, good()], BEST, V6),
        ("the first server is silent", vec![Some(zone((0, Nothing), (0, Nothing))), good()], BEST, V6),
        (
            "the first server is slow",
            vec![Some(zone((900, Addresses(&[V4])), (900, Addresses(&[V6])))), good()],
            BEST,
            V6,
        ),
        (
            "the only server is slow",
            vec![Some(zone((900, Addresses(&[V4])), (900, Addresses(&[V6]))))],
            BEST + 900,
            V6,
        ),
        ("the first server refuses", vec![Some(zone((0, Refuses), (0, Refuses))), good()], BEST, V6),
        ("the first server talks nonsense", vec![Some(zone((0, Garbage), (0, Garbage))), good()], BEST, V6),
        (
            "the first server answers others",
            vec![Some(zone((0, SomebodyElses), (0, SomebodyElses))), good()],
            BEST,
            V6,
        ),
        (
            "answers that are too long",
            vec![Some(zone((0, TooLong(&[V4])), (0, TooLong(&[V6]))))],
            BEST + 4,
            V6,
        ),
    ];
    for (story, zones, best, peer) in cases {
        let mut world = World::new(zones);
        let (took, found) = world.time("a.test");
        assert!((best..=best + BOUND).contains(&took), "{story}: {took} ms, to {found}");
        assert_eq!(found.rsplit_once(':').unwrap().0.trim_matches(['[', ']']), peer, "{story}");
    }
}

#[test]
fn each_silent_address_costs_a_quarter_of_a_second_and_no_more() {
    const ALL: &[&str] = &[NOBODY[0], NOBODY[1], NOBODY[2], V4];
    let mut world = World::new(vec![Some(zone((0, Says::Addresses(ALL)), (0, Says::Addresses(&[]))))]);
    assert_eq!(world.time("a.test"), (BEST + 750, format!("{V4}:80")));
    // The losers are gone: the connection, and nothing else.
    assert_eq!((world.client.census().wsis, world.client.census().suls), (1, 0));
}

#[test]
fn a_lossy_network_loses_questions_and_not_connections() {
    let mut world = World::new(
        (0..2).map(|_| Some(zone((0, Says::Addresses(&[V4])), (0, Says::Addresses(&[V6]))))).collect(),
    );
    world.network.set_default_link(Link { loss: 20, ..Link::default() });
    // Each name is another question.
    for _ in 0..20 {
        let (took, _) = world.time("a.test");
        assert!(took < 10_000, "{took}");
    }
}

#[test]
fn aliases_are_followed_across_answers() {
    let zone = Zone::from([
        (("www.test", A), (0, Says::Alias("cdn.test"))),
        (("www.test", AAAA), (0, Says::Alias("cdn.test"))),
        (("cdn.test", A), (0, Says::Addresses(&[V4]))),
        (("cdn.test", AAAA), (0, Says::Addresses(&[]))),
        (("loop.test", A), (0, Says::Alias("loop.test"))),
        (("loop.test", AAAA), (0, Says::Alias("loop.test"))),
    ]);
    let mut world = World::new(vec![Some(zone)]);
    assert_eq!(world.time("www.test"), (BEST + 2, format!("{V4}:80")));
    let outcome = world.connect("loop.test");
    world.run(60_000);
    assert!(outcome.borrow().failed.is_some());
}

#[test]
fn one_question_serves_all_who_ask_at_once_and_the_answer_those_who_come_later() {
    let mut world = World::new(vec![Some(zone((0, Says::Addresses(&[V4])), (0, Says::Addresses(&[V6]))))]);
    let outcomes: Vec<_> = (0..100).map(|_| world.connect("a.test")).collect();
    world.run(1000);
    assert!(outcomes.iter().all(|outcome| outcome.borrow().connected.is_some()));
    assert_eq!(world.asked(), 2);
    assert_eq!(
        world.time("A.Test."),
        (2, format!("[{V6}]:80")),
        "nobody is asked, and nothing is waited for"
    );
    assert_eq!(world.asked(), 2);
    world.run(60_000);
    world.time("a.test");
    assert!(world.asked() > 2, "the answer has held for its minute");
}

#[test]
fn causes_say_what_is_wrong_with_a_name() {
    let zones = || {
        Zone::from([
            (("refused.test", A), (0, Says::Refuses)),
            (("refused.test", AAAA), (0, Says::Refuses)),
            (("silent.test", A), (0, Says::Nothing)),
            (("silent.test", AAAA), (0, Says::Nothing)),
            (("none.test", A), (0, Says::Addresses(&[]))),
            (("none.test", AAAA), (0, Says::Addresses(&[]))),
            (("closed.test", A), (0, Says::Addresses(&[REFUSES]))),
            (("closed.test", AAAA), (0, Says::Addresses(&[]))),
            (("blackhole.test", A), (0, Says::Addresses(&[NOBODY[0], NOBODY[1]]))),
            (("blackhole.test", AAAA), (0, Says::Addresses(&[]))),
        ])
    };
    for (name, why, least, most) in [
        ("nowhere.test", "no such name", 2, 300),
        ("refused.test", "DNS server failed", 2, 300),
        ("silent.test", "DNS server unreachable", 10_000, 20_000),
        ("none.test", "no usable address", 2, 300),
        ("closed.test", "refused", 2, 300),
        (
            "blackhole.test",
            "10.9.9.1:80: took too long; connecting to 10.9.9.2:80: took too long",
            20_000,
            20_000,
        ),
        ("not a name", "host name", 0, 0),
        ("x.invalid", "no such name", 0, 1),
    ] {
        let mut world = World::new(vec![Some(zones())]);
        let outcome = world.connect(name);
        world.run(100_000);
        let (at, cause) = outcome.borrow().failed.clone().unwrap();
        assert!(cause.contains(why), "{name}: {cause}");
        assert!((least..=most).contains(&at), "{name}: {at}");
        assert_eq!((world.client.census().wsis, world.client.census().suls), (0, 0), "{name}");
    }
}

#[test]
fn who_leaves_while_a_name_is_looked_for_leaves_nothing_behind() {
    for millis in 0..6 {
        let mut world =
            World::new(vec![Some(zone((0, Says::Addresses(&[NOBODY[0], V4])), (3, Says::Addresses(&[V6]))))]);
        let info = ClientInfo::new(Target::Host("a.test".into(), 80), ClientRole::Raw);
        let outcome = Rc::<RefCell<Outcome>>::default();
        let id = world.client.with(|cx| cx.connect(&info, Client(Rc::clone(&outcome))));
        world.run(millis);
        world.client.with(|cx| cx.wsi_close(id)).unwrap();
        world.run(10_000);
        assert!(outcome.borrow().failed.is_some());
        assert_eq!((world.client.census().wsis, world.client.census().suls), (0, 0));
    }
}

#[test]
fn hosts_come_before_servers() {
    let mut world = World::new(vec![Some(Zone::new())]);
    let names = Names {
        hosts: Some(format!("{V4} printer.lan printer\n{V6} printer.lan\n")),
        servers: vec!["10.0.53.0:53".parse().unwrap()],
        ..Names::default()
    };
    world.client = Context::builder().names(names).sim(world.network.host("10.0.0.1")).build().unwrap();
    assert_eq!(world.time("printer"), (2, format!("{V4}:80")));
    assert_eq!(world.time("PRINTER.lan"), (2, format!("[{V6}]:80")));
    assert_eq!(world.asked(), 0);
}

/// Asks for another name when it is told that its own is not there.
struct Insistent(Rc<Cell<usize>>);

impl Protocol for Insistent {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn closed(&mut self, cx: &mut Cx<'_>, _: WsiId, _: Option<&Cause>) {
        self.0.set(self.0.get() + 1);
        let info = ClientInfo::new(Target::Host("other.invalid".into(), 80), ClientRole::Raw);
        cx.connect(&info, Client(Rc::default()));
    }
}

#[test]
fn all_who_waited_for_a_name_hear_that_it_is_not_there_though_the_first_of_them_connects_again() {
    let mut world = World::new(vec![Some(Zone::new())]);
    let told = Rc::<Cell<usize>>::default();
    let info = ClientInfo::new(Target::Host("a.test".into(), 80), ClientRole::Raw);
    for _ in 0..3 {
        world.client.with(|cx| cx.connect(&info, Insistent(Rc::clone(&told))));
    }
    world.run(10_000);
    assert_eq!((told.get(), world.client.census()), (3, Census::default()));
}
