//! Datagrams: whole, with an address each, and asked for again when they are lost.

use millstream::policy::RetryPolicy;
use millstream::sim::{Link, Network};
use millstream::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

/// Sends each datagram back to where it came from.
#[derive(Default)]
struct Echo(VecDeque<(SocketAddr, Vec<u8>)>);

impl Protocol for Echo {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        unreachable!("datagrams have a callback of their own")
    }

    fn datagram(&mut self, cx: &mut Cx<'_>, me: WsiId, from: SocketAddr, payload: &[u8]) -> Flow {
        if payload == b"bye" {
            return Flow::DisconnectMe;
        }
        self.0.push_back((from, payload.to_vec()));
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Some((to, payload)) = self.0.pop_front() else { return TxFlow::DontSend };
        tx.to(to);
        assert_eq!(tx.write(&payload), payload.len());
        cx.wsi_request_tx(me).unwrap();
        TxFlow::Send
    }
}

#[derive(Default)]
struct Heard {
    payloads: Vec<Vec<u8>>,
    established: usize,
    /// Questions that were given up.
    failed: Vec<u8>,
    asked: usize,
    closed: Option<String>,
}

type Open = Rc<RefCell<Vec<(u8, u16, Option<SulId>)>>>;

/// Asks numbered questions, each again by the scheme until it is answered.
struct Asker {
    heard: Rc<RefCell<Heard>>,
    retry: RetryPolicy,
    to_ask: VecDeque<u8>,
    /// How often each unanswered question was asked, and the timer of the next time.
    open: Open,
}

impl Asker {
    fn new(heard: &Rc<RefCell<Heard>>, questions: u8, retry: RetryPolicy) -> Self {
        let open = (0..questions).map(|question| (question, 0, None)).collect();
        let to_ask = (0..questions).collect();
        Self { heard: Rc::clone(heard), retry, to_ask, open: Rc::new(RefCell::new(open)) }
    }
}

impl Protocol for Asker {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        self.heard.borrow_mut().established += 1;
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn rx(&mut self, cx: &mut Cx<'_>, _: WsiId, payload: &[u8]) -> Flow {
        self.heard.borrow_mut().payloads.push(payload.to_vec());
        self.open.borrow_mut().retain(|(question, _, timer)| {
            if payload == [*question]
                && let Some(timer) = timer
            {
                let _ = cx.sul_cancel(*timer);
            }
            payload != [*question]
        });
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(question) = self.to_ask.pop_front() else {
            // Those whose timers have run out.
            self.to_ask
                .extend(self.open.borrow().iter().filter(|(.., timer)| timer.is_none()).map(|(q, ..)| *q));
            if !self.to_ask.is_empty() {
                cx.wsi_request_tx(me).unwrap();
            }
            return TxFlow::DontSend;
        };
        cx.wsi_request_tx(me).unwrap();
        let mut open = self.open.borrow_mut();
        let Some((_, tries, timer)) = open.iter_mut().find(|(open, ..)| *open == question) else {
            return TxFlow::DontSend;
        };
        let shared = Rc::clone(&self.open);
        let again = cx.retry_schedule(&self.retry, tries, move |cx| {
            if let Some((.., timer)) = shared.borrow_mut().iter_mut().find(|(open, ..)| *open == question) {
                *timer = None;
            }
            let _ = cx.wsi_request_tx(me);
        });
        if again.is_none() {
            self.heard.borrow_mut().failed.push(question);
            open.retain(|(open, ..)| *open != question);
            return TxFlow::DontSend;
        }
        *timer = again;
        self.heard.borrow_mut().asked += 1;
        tx.write(&[question]);
        TxFlow::Send
    }

    fn closed(&mut self, _: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        self.heard.borrow_mut().closed = Some(cause.map(ToString::to_string).unwrap_or_default());
    }
}

fn retry(conceal: u16) -> RetryPolicy {
    RetryPolicy { backoff: vec![100, 200, 400], conceal, jitterpc: 20, ..RetryPolicy::default() }
}

struct World {
    network: Network,
    server: Context,
    client: Context,
    heard: Rc<RefCell<Heard>>,
}

impl World {
    fn new(link: Link) -> Self {
        let network = Network::new(7);
        network.set_default_link(link);
        network.name("server.test", &["10.0.0.1"]);
        let mut server = Context::builder().sim(network.host("10.0.0.1")).build().unwrap();
        let client = Context::builder().sim(network.host("10.0.0.2")).build().unwrap();
        server.with(|cx| cx.udp_bind(UdpInfo::new("10.0.0.1:53".parse().unwrap()), Echo::default())).unwrap();
        Self { network, server, client, heard: Rc::default() }
    }

    fn ask(&mut self, name: &str, port: u16, asker: Asker) -> WsiId {
        let info = ClientInfo::new(Target::Host(name.into(), port), ClientRole::Udp);
        self.client.with(|cx| cx.connect(&info, asker))
    }

    fn run(&mut self, secs: u64) {
        let until = self.network.now().saturating_add(Duration::from_secs(secs));
        self.network.run(&mut [&mut self.server, &mut self.client], until).unwrap();
    }
}

#[test]
fn a_peer_by_name_answers_and_nobody_else_is_heard() {
    let mut world = World::new(Link::default());
    let id = world.ask("server.test", 53, Asker::new(&world.heard, 3, retry(3)));
    world.run(1);
    let local = world.client.with(|cx| cx.wsi_local(id)).unwrap();
    let stranger = world.network.udp(&world.network.host("10.0.0.9"), 99).unwrap();
    stranger.send_to(local.to_string().parse().unwrap(), b"\x02").unwrap();
    world.run(10);
    let heard = world.heard.borrow();
    assert_eq!(heard.payloads, [[0], [1], [2]]);
    assert_eq!((heard.established, heard.asked, heard.closed.as_deref()), (1, 3, None));
}

#[test]
fn each_of_several_peers_gets_its_own_datagrams_back_as_they_were() {
    let mut world = World::new(Link::default());
    let peers: Vec<_> =
        (0..5).map(|peer| world.network.udp(&world.network.host("10.0.0.9"), 1000 + peer).unwrap()).collect();
    let to = "10.0.0.1:53".parse().unwrap();
    for (nth, peer) in peers.iter().enumerate() {
        for len in [1, 1400, 65_507] {
            peer.send_to(to, &vec![nth as u8; len]).unwrap();
        }
    }
    world.run(1);
    for (nth, peer) in peers.iter().enumerate() {
        for len in [1, 1400, 65_507] {
            assert_eq!(peer.receive(), Some((to, vec![nth as u8; len])));
        }
        assert_eq!(peer.receive(), None);
    }
}

#[test]
fn what_a_bad_link_loses_is_asked_for_again_until_it_is_answered() {
    let jitter = Duration::from_millis(50);
    let mut world = World::new(Link { loss: 40, jitter, ..Link::default() });
    world.ask("server.test", 53, Asker::new(&world.heard, 200, retry(RetryPolicy::CONCEAL_ALWAYS)));
    world.run(100);
    let heard = world.heard.borrow();
    let mut answers = heard.payloads.concat();
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers, (0..200).collect::<Vec<u8>>());
    // 36 of 100 rounds come through: some 555 for 200 answers.
    assert!((450..700).contains(&heard.asked), "{}", heard.asked);
    assert!(heard.failed.is_empty());
}

#[test]
fn a_question_is_given_up_when_the_scheme_says_so() {
    let mut world = World::new(Link { loss: 100, ..Link::default() });
    world.ask("server.test", 53, Asker::new(&world.heard, 2, retry(3)));
    world.run(100);
    let heard = world.heard.borrow();
    assert_eq!((heard.asked, &heard.failed[..]), (6, &[0, 1][..]));
    drop(heard);
    assert_eq!(world.client.census().suls, 0);
}

#[test]
fn loss_can_be_had_on_purpose_and_is_as_much_as_was_asked_for() {
    for (tx, rx, least, most) in
        [(0, 0, 100, 100), (100, 0, 0, 0), (0, 100, 0, 0), (30, 0, 60, 80), (0, 30, 60, 80)]
    {
        let network = Network::new(3);
        let mut context = Context::builder().udp_loss(tx, rx).sim(network.host("10.0.0.1")).build().unwrap();
        context.with(|cx| cx.udp_bind(UdpInfo::new("10.0.0.1:7".parse().unwrap()), Echo::default())).unwrap();
        let peer = network.udp(&network.host("10.0.0.2"), 7).unwrap();
        for _ in 0..100 {
            peer.send_to("10.0.0.1:7".parse().unwrap(), b"x").unwrap();
        }
        network.run(&mut [&mut context], Us::from_us(1_000_000)).unwrap();
        let answers = std::iter::from_fn(|| peer.receive()).count();
        assert!((least..=most).contains(&answers), "{tx} {rx}: {answers}");
    }
}

#[test]
fn nobody_at_the_port_ends_nothing() {
    let mut world = World::new(Link::default());
    let id = world.ask("server.test", 54, Asker::new(&world.heard, 1, retry(3)));
    world.run(10);
    assert_eq!((world.heard.borrow().asked, world.heard.borrow().failed.len()), (3, 1));
    assert_eq!(world.heard.borrow().closed, None);
    world.client.with(|cx| cx.wsi_close(id)).unwrap();
    world.run(1);
    assert_eq!(world.heard.borrow().closed.as_deref(), Some(""));
    assert_eq!(world.client.census().wsis, 0);
}

#[test]
fn a_name_that_does_not_exist_has_a_cause() {
    let mut world = World::new(Link::default());
    world.ask("nowhere.test", 53, Asker::new(&world.heard, 1, retry(0)));
    world.run(10);
    assert!(
        world.heard.borrow().closed.as_deref().unwrap().contains("no such name"),
        "{:?}",
        world.heard.borrow().closed
    );
}

#[test]
fn reading_can_be_stopped_and_what_does_not_fit_meanwhile_is_lost() {
    let mut world = World::new(Link::default());
    let server = world
        .server
        .with(|cx| cx.udp_bind(UdpInfo::new("10.0.0.1:7".parse().unwrap()), Echo::default()))
        .unwrap();
    let to = "10.0.0.1:7".parse().unwrap();
    world.server.with(|cx| cx.wsi_rx_flow(server, false)).unwrap();
    let peer = world.network.udp(&world.network.host("10.0.0.9"), 7).unwrap();
    for _ in 0..1000 {
        peer.send_to(to, b"x").unwrap();
    }
    world.run(1);
    assert_eq!(peer.receive(), None);
    world.server.with(|cx| cx.wsi_rx_flow(server, true)).unwrap();
    world.run(1);
    let answers = std::iter::from_fn(|| peer.receive()).count();
    assert!((1..1000).contains(&answers), "{answers}");
}

#[test]
fn datagrams_of_real_sockets_come_whole_and_go_back() {
    let mut context = Context::builder().build().unwrap();
    let echo =
        context.with(|cx| cx.udp_bind(UdpInfo::new(([127, 0, 0, 1], 0).into()), Echo::default())).unwrap();
    let to: SocketAddr = context.with(|cx| cx.wsi_local(echo)).unwrap().to_string().parse().unwrap();
    let peers = [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap()];
    let mut received = vec![0; 70_000];
    for len in [0, 1, 1500, 9000, 65_507] {
        for (nth, peer) in peers.iter().enumerate() {
            let payload = vec![nth as u8; len];
            peer.send_to(&payload, to).unwrap();
            peer.set_nonblocking(true).unwrap();
            let answer = loop {
                context.service(Some(Duration::from_secs(1))).unwrap();
                if let Ok(answer) = peer.recv_from(&mut received) {
                    break answer;
                }
            };
            assert_eq!(answer, (len, to));
            assert_eq!(&received[..len], payload);
        }
    }
    peers[0].send_to(b"bye", to).unwrap();
    while context.census().wsis > 0 {
        context.service(Some(Duration::from_secs(1))).unwrap();
    }
    assert_eq!(context.census().handlers, 0);
}
