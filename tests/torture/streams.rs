//! Secure streams: clients, servers and what these accept, each of their callbacks, plain and TLS.

use crate::policy::{self, HOST, NAME, Shape};
use crate::recorder::{Heard, Member, Recorder, Shared};
use crate::runner::{self, Runner};
use millstream::sim::Network;
use millstream::{
    Blob, Census, Context, Cx, Error, Flow, RxFlags, StreamHandler, StreamId, StreamInfo, StreamState, Tx,
    TxFlow,
};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Whose callback it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Client,
    Server,
    Accepted,
    /// Another client, which the scenario does things to.
    Sibling,
    /// What a callback creates.
    Extra,
}

/// Which of its callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    State(StreamState),
    RxFirst,
    RxMiddle,
    RxLast,
    TxFirst,
    TxLater,
    Accept,
}

/// What the callback returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Ok,
    DontSend,
    DisconnectMe,
    DestroyMe,
}

/// What is asked for inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Nothing,
    DestroySelf,
    DestroySibling,
    DestroyServer,
    DestroyAll,
    DestroyFromSul,
    ClientConnect,
    CreateAnother,
    ChangeHandlers,
    RequestTx,
    StopRx,
    PauseRx,
    ShutdownServer,
    AddCredit,
}

const ACTS: [Act; 14] = [
    Act::Nothing,
    Act::DestroySelf,
    Act::DestroySibling,
    Act::DestroyServer,
    Act::DestroyAll,
    Act::DestroyFromSul,
    Act::ClientConnect,
    Act::CreateAnother,
    Act::ChangeHandlers,
    Act::RequestTx,
    Act::StopRx,
    Act::PauseRx,
    Act::ShutdownServer,
    Act::AddCredit,
];

impl Act {
    /// HTTP/2 without TLS, and to its end, is where streams share their connection and have credit: there each act is
    /// played. What is above the version of HTTP has been played over HTTP/1.1; when the same streams are refused, or
    /// meet over TLS, those acts are left that begin or end something.
    fn is_for(self, shape: Shape, tls: bool) -> bool {
        let begins_or_ends = !matches!(
            self,
            Self::DestroyFromSul | Self::CreateAnother | Self::ChangeHandlers | Self::StopRx | Self::PauseRx
        );
        match shape {
            Shape::H2Get | Shape::H2Post | Shape::H2Ws if !tls => true,
            _ if self == Self::AddCredit => false,
            _ => begins_or_ends || !shape.is_h2(),
        }
    }
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
struct Plan {
    shape: Shape,
    tls: bool,
    part: Part,
    at: Moment,
    answer: Answer,
    act: Act,
    /// Each time that the callback comes, not only the first.
    always: bool,
}

impl Plan {
    fn name(&self) -> String {
        let Self { shape, tls, part, at, answer, act, always } = self;
        let (tls, always) = (if *tls { "tls" } else { "plain" }, if *always { "always" } else { "once" });
        let at = match at {
            Moment::State(state) => state.to_string(),
            other => format!("{other:?}"),
        };
        format!("{shape:?}/{tls}/{part:?}/{at}/{answer:?}/{act:?}/{always}")
    }
}

/// What the handlers of a scenario share.
struct Stage {
    plan: Plan,
    hits: Cell<u32>,
    server: Cell<Option<StreamId>>,
    sibling: Cell<Option<StreamId>>,
}

struct Actor {
    part: Part,
    member: Member,
    stage: Rc<Stage>,
    sent: u32,
}

impl Actor {
    fn new(part: Part, shared: &Shared, stage: &Rc<Stage>) -> Self {
        let (member, stage) = (Member::new(shared), Rc::clone(stage));
        Self { part, member, stage, sent: 0 }
    }

    fn another(&self, part: Part) -> Self {
        Self::new(part, self.member.shared(), &self.stage)
    }

    fn note(&self, me: StreamId, what: Heard) {
        self.member.shared().borrow_mut().heard(me, what);
    }

    /// Does what the scenario is about, if this is where it is about.
    fn meet(&self, cx: &mut Cx<'_>, me: StreamId, at: Moment) -> Option<Answer> {
        let plan = self.stage.plan;
        if plan.part != self.part || plan.at != at || (!plan.always && self.stage.hits.get() > 0) {
            return None;
        }
        self.stage.hits.set(self.stage.hits.get() + 1);
        self.act(cx, me, plan.act);
        Some(plan.answer)
    }

    fn act(&self, cx: &mut Cx<'_>, me: StreamId, act: Act) {
        match act {
            Act::Nothing => {}
            Act::DestroySelf => destroy(cx, Some(me)),
            Act::DestroySibling => destroy(cx, self.stage.sibling.get()),
            Act::DestroyServer => destroy(cx, self.stage.server.get()),
            Act::DestroyAll => {
                for id in [self.stage.server.get(), Some(me), self.stage.sibling.get()] {
                    destroy(cx, id);
                }
            }
            Act::DestroyFromSul => {
                cx.sul_schedule(Duration::ZERO, move |cx| destroy(cx, Some(me)));
            }
            Act::ClientConnect => drop(cx.client_connect(me)),
            Act::CreateAnother => self.create_another(cx),
            Act::ChangeHandlers => {
                let mut replacement = self.another(self.part);
                replacement.sent = self.sent + 1;
                drop(cx.change_handlers(me, replacement));
            }
            Act::RequestTx => drop(cx.request_tx(me)),
            Act::StopRx => drop(cx.rx_flow(me, false)),
            Act::ShutdownServer => {
                if let Some(server) = self.stage.server.get() {
                    drop(cx.server_shutdown(server));
                }
            }
            Act::AddCredit => drop(cx.add_peer_tx_credit(me, 1000)),
            Act::PauseRx => {
                if cx.rx_flow(me, false).is_ok() {
                    cx.sul_schedule(Duration::from_micros(100), move |cx| drop(cx.rx_flow(me, true)));
                }
            }
        }
    }

    /// What the part does by itself. It may have been destroyed before it hears that it was created.
    fn play_part(&self, cx: &mut Cx<'_>, me: StreamId, state: StreamState) {
        match (self.part, state) {
            (Part::Client, StreamState::Creating) => {
                // The timer runs out in the midst of the first exchange.
                drop(cx.start_timeout(me, Some(Duration::from_micros(1055))));
                drop(match self.stage.plan.shape.exchange() {
                    Shape::Post | Shape::Raw | Shape::Ws | Shape::Sink => cx.request_tx(me),
                    _ => cx.client_connect(me),
                });
            }
            (Part::Sibling, StreamState::Creating) => drop(cx.client_connect(me)),
            (Part::Server | Part::Accepted, StreamState::Creating) => {
                let is_brief = matches!(self.stage.plan.shape, Shape::Raw | Shape::H2Ws);
                let after = if is_brief { 5 } else { 25 };
                drop(cx.start_timeout(me, Some(Duration::from_micros(after))));
            }
            (Part::Accepted, StreamState::ServerTxn) => {
                let nack = match cx.metadata(me, "path") {
                    Some(b"/refuse") => 404,
                    Some(b"/auth") => 401,
                    Some(b"/busy") => 503,
                    _ => 0,
                };
                cx.server_ack(me, nack).unwrap();
                if cx.metadata(me, "method") == Some(b"GET") {
                    cx.request_tx(me).unwrap();
                }
            }
            _ => {}
        }
    }

    fn create_another(&self, cx: &mut Cx<'_>) {
        let plan = self.stage.plan;
        let streamtype = match self.part {
            Part::Server if plan.shape != Shape::Sink => {
                format!("other_{}", plan.shape.server_type(plan.tls))
            }
            _ => plan.shape.streamtype(plan.tls),
        };
        let extra = cx.create(&streamtype, self.another(Part::Extra)).unwrap();
        if self.part == Part::Accepted {
            cx.client_connect(extra).unwrap();
        }
    }
}

/// Destroys, and finds that the id is stale at once for whatever is asked.
fn destroy(cx: &mut Cx<'_>, id: Option<StreamId>) {
    let Some(id) = id else { return };
    drop(cx.destroy(id));
    assert!(matches!(cx.destroy(id), Err(Error::Stale)));
    assert!(matches!(cx.request_tx(id), Err(Error::Stale)));
    assert!(matches!(cx.client_connect(id), Err(Error::Stale)));
    assert!(matches!(cx.start_timeout(id, Some(Duration::ZERO)), Err(Error::Stale)));
    assert!(matches!(cx.rx_flow(id, false), Err(Error::Stale)));
    assert_eq!((cx.metadata(id, "path"), cx.state(id), cx.streamtype(id)), (None, None, None));
}

impl From<Answer> for Flow {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Ok | Answer::DontSend => Self::Ok,
            Answer::DisconnectMe => Self::DisconnectMe,
            Answer::DestroyMe => Self::DestroyMe,
        }
    }
}

impl StreamHandler for Actor {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let member = self.member.clone();
        member.inside(|| {
            self.note(me, Heard::Rx(flags));
            if self.part == Part::Client && self.stage.plan.shape == Shape::H2Get && !payload.is_empty() {
                cx.add_peer_tx_credit(me, 7).unwrap();
            }
            let is_raw = self.stage.plan.shape == Shape::Raw;
            if self.part == Part::Accepted && (is_raw || flags.is_eom()) {
                cx.request_tx(me).unwrap();
            }
            let at = match (flags.is_som(), flags.is_eom()) {
                (true, _) => Moment::RxFirst,
                (_, true) => Moment::RxLast,
                _ => Moment::RxMiddle,
            };
            self.meet(cx, me, at).map_or(Flow::Ok, Flow::from)
        })
    }

    /// A message of three pieces, each in a callback of its own.
    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let member = self.member.clone();
        member.inside(|| {
            self.note(me, Heard::Tx);
            let ends_once = matches!(self.stage.plan.shape.exchange(), Shape::Raw | Shape::Ws);
            if tx.is_som() && !ends_once {
                self.sent = 0;
            }
            let at = if tx.is_som() { Moment::TxFirst } else { Moment::TxLater };
            match self.meet(cx, me, at) {
                None | Some(Answer::Ok) => {}
                Some(Answer::DontSend) => return TxFlow::DontSend,
                Some(Answer::DisconnectMe) => return TxFlow::DisconnectMe,
                Some(Answer::DestroyMe) => return TxFlow::DestroyMe,
            }
            // Where there are no transactions, it ends with the connection.
            if self.sent == 3 {
                return if self.part == Part::Accepted { TxFlow::DisconnectMe } else { TxFlow::DontSend };
            }
            tx.write(b"a piece");
            self.sent += 1;
            if self.sent == 3 {
                tx.end_message();
            }
            if self.sent < 3 || ends_once {
                drop(cx.request_tx(me));
            }
            TxFlow::Send
        })
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let member = self.member.clone();
        member.inside(|| {
            self.note(me, Heard::State(state));
            self.play_part(cx, me, state);
            self.meet(cx, me, Moment::State(state)).map_or(Flow::Ok, Flow::from)
        })
    }

    fn accept(&mut self, cx: &mut Cx<'_>, me: StreamId) -> Option<Box<dyn StreamHandler>> {
        let member = self.member.clone();
        member.inside(|| {
            self.note(me, Heard::Accept);
            match self.meet(cx, me, Moment::Accept) {
                None | Some(Answer::Ok) => Some(Box::new(self.another(Part::Accepted)) as _),
                Some(_) => None,
            }
        })
    }
}

/// Plays a scenario to its end; `failing` is the operation of the network that fails once all is set up. Returns how
/// often its moment came, and how many operations there were.
fn play(plan: Plan, failing: Option<u64>) -> (u32, u64) {
    let network = Network::new(11);
    network.name(NAME, &[HOST]);
    let host = network.host(HOST);
    let mut context = Context::builder().policy(policy::text()).unwrap().sim(host).build().unwrap();
    let shared = Shared::new(Recorder::default().into());
    let stage =
        Rc::new(Stage { plan, hits: Cell::new(0), server: Cell::new(None), sibling: Cell::new(None) });
    let actor = |part| Actor::new(part, &shared, &stage);
    context.with(|cx| {
        cx.set_blob(Blob::Auth(0), *b"token");
        let server_type = plan.shape.server_type(plan.tls);
        if server_type != "server" {
            cx.create("server", actor(Part::Extra)).unwrap();
        }
        let server = match plan.shape {
            Shape::Sink => cx.register_sink("sink", actor(Part::Server)),
            _ => cx.create(server_type, actor(Part::Server)),
        };
        stage.server.set(Some(server.unwrap()));
        let sibling = if plan.shape.is_h2() { Shape::H2Get.streamtype(plan.tls) } else { "get".to_owned() };
        stage.sibling.set(Some(cx.create(&sibling, actor(Part::Sibling)).unwrap()));
        let streamtype = plan.shape.streamtype(plan.tls);
        // Half a piece: what comes after that is granted piece by piece.
        let credit = if plan.shape == Shape::H2Get { 3 } else { 0 };
        let client = StreamInfo { manual_initial_tx_credit: credit, ..StreamInfo::from(&streamtype) };
        cx.create(client, actor(Part::Client)).unwrap();
    });
    context.waker().wake();
    let begun = network.fallible_ops();
    if let Some(nth) = failing {
        network.fail_nth(nth);
    }
    let run = |context: &mut Context, millis| runner::run(&network, &mut [context], millis);
    // On a loopback of 10 us this is long: hundreds of exchanges, and every retry.
    run(&mut context, 20);
    // What a goodbye creates has one of its own.
    for _ in 0..3 {
        let ids = shared.borrow().ids();
        context.with(|cx| ids.into_iter().for_each(|id| drop(cx.destroy(id))));
    }
    // Nobody forces the rest: lingering and idle connections go by their own timers.
    run(&mut context, 400_000);
    assert_eq!(context.census(), Census::default());
    drop(context);
    shared.borrow().check();
    (stage.hits.get(), network.fallible_ops() - begun)
}

/// The moments that a part has when nothing disturbs it.
fn moments(shape: Shape, part: Part) -> Vec<Moment> {
    use StreamState as S;
    let rx = [Moment::RxFirst, Moment::RxMiddle, Moment::RxLast];
    let tx = [Moment::TxFirst, Moment::TxLater];
    let mut states = vec![S::Creating, S::Destroying, S::Timeout];
    let mut moments = vec![];
    match part {
        Part::Server => {
            moments.push(Moment::Accept);
            if shape == Shape::Sink {
                states.push(S::SinkJoin);
            }
        }
        Part::Accepted if shape == Shape::Sink => {
            states.extend([S::Connecting, S::Connected, S::Disconnected]);
            moments.extend(rx);
            moments.extend(tx);
        }
        Part::Client if shape == Shape::Sink => {
            states.extend([S::Connecting, S::EventWaitCancelled, S::Connected, S::Disconnected]);
            moments.extend(rx);
            moments.extend(tx);
        }
        Part::Accepted if shape == Shape::Raw => {
            states.extend([S::Connecting, S::Connected, S::Disconnected]);
            moments.extend([Moment::RxMiddle, Moment::TxLater]);
        }
        Part::Client if shape == Shape::Raw => {
            states.extend([S::Connecting, S::EventWaitCancelled, S::Poll, S::Connected, S::Disconnected]);
            moments.extend([Moment::RxMiddle, Moment::TxLater]);
        }
        Part::Accepted if shape.exchange() == Shape::Ws => {
            states.extend([S::Connecting, S::Connected, S::ServerUpgrade, S::Disconnected]);
            moments.extend(rx);
            moments.extend(tx);
        }
        Part::Client if shape.exchange() == Shape::Ws => {
            states.extend([S::Connecting, S::EventWaitCancelled, S::Poll, S::Connected, S::Disconnected]);
            moments.extend(rx);
            moments.extend(tx);
        }
        Part::Accepted => {
            states.extend([S::Connecting, S::Connected, S::ServerTxn, S::Disconnected]);
            moments.extend(tx);
            if shape.exchange() == Shape::Post {
                moments.extend(rx);
            }
        }
        _ => {
            states.extend([S::Connecting, S::EventWaitCancelled]);
            states.extend(match shape.exchange() {
                Shape::Get => &[S::Connected, S::QosAckRemote, S::Disconnected][..],
                Shape::Post => &[S::Poll, S::Connected, S::QosAckRemote, S::Disconnected],
                Shape::Refused => &[S::User(1404), S::Connected, S::QosNackRemote, S::Disconnected, S::Poll],
                Shape::Auth => &[S::AuthFailed],
                Shape::Raw | Shape::Ws | Shape::Sink => &[],
                _ => &[S::Unreachable, S::Poll, S::AllRetriesFailed],
            });
            if matches!(shape.exchange(), Shape::Get | Shape::Post | Shape::Refused) {
                moments.extend(rx);
            }
            if shape.exchange() == Shape::Post {
                moments.extend(tx);
            }
        }
    }
    // A stream of HTTP/2 lives no longer than its request, whose answer takes no time here.
    let is_over_at_once = shape.is_h2() && shape != Shape::H2Ws && part == Part::Accepted;
    states.retain(|state| *state != S::Timeout || !is_over_at_once);
    moments.extend(states.into_iter().map(Moment::State));
    moments
}

fn answers(at: Moment) -> &'static [Answer] {
    match at {
        Moment::TxFirst | Moment::TxLater => {
            &[Answer::Ok, Answer::DontSend, Answer::DisconnectMe, Answer::DestroyMe]
        }
        Moment::Accept => &[Answer::Ok, Answer::DontSend],
        _ => &[Answer::Ok, Answer::DisconnectMe, Answer::DestroyMe],
    }
}

/// All scenarios of some shapes.
fn torture(shapes: &[Shape], parts: &[Part], tls: bool) {
    let mut runner = Runner::new();
    for shape in shapes.iter().copied() {
        for part in parts.iter().copied() {
            for at in moments(shape, part) {
                for answer in answers(at).iter().copied() {
                    for act in ACTS.into_iter().filter(|act| act.is_for(shape, tls)) {
                        // What makes a new stream each time, or asks again whenever it is asked, has no end of
                        // its own.
                        let asks_on = matches!(act, Act::ClientConnect | Act::RequestTx)
                            && (matches!(answer, Answer::DontSend | Answer::DisconnectMe)
                                || matches!(shape, Shape::Raw | Shape::Ws | Shape::Sink)
                                || shape.is_h2());
                        let is_endless = act == Act::CreateAnother || asks_on;
                        for always in [false, true] {
                            if always && (is_endless || tls) {
                                continue;
                            }
                            let plan = Plan { shape, tls, part, at, answer, act, always };
                            runner.run(&plan.name(), || {
                                let (hits, _) = play(plan, None);
                                assert!(hits > 0, "the moment never came");
                            });
                        }
                    }
                }
            }
        }
    }
    runner.finish();
}

#[test]
fn clients_that_get() {
    torture(&[Shape::Get], &[Part::Client], false);
}

#[test]
fn clients_that_post() {
    torture(&[Shape::Post], &[Part::Client], false);
}

#[test]
fn clients_that_are_refused() {
    torture(&[Shape::Refused, Shape::Auth, Shape::Busy, Shape::Nowhere], &[Part::Client], false);
}

#[test]
fn raw_streams() {
    for tls in [false, true] {
        torture(&[Shape::Raw], &[Part::Client, Part::Server, Part::Accepted], tls);
    }
}

#[test]
fn websocket_streams() {
    for tls in [false, true] {
        torture(&[Shape::Ws], &[Part::Client, Part::Server, Part::Accepted], tls);
    }
}

#[test]
fn websocket_streams_over_http_2() {
    for tls in [false, true] {
        torture(&[Shape::H2Ws], &[Part::Client, Part::Server, Part::Accepted], tls);
    }
}

#[test]
fn http_2_clients() {
    torture(&[Shape::H2Get, Shape::H2Post], &[Part::Client], false);
}

#[test]
fn http_2_clients_that_are_refused() {
    torture(&[Shape::H2Refused, Shape::H2Busy], &[Part::Client], false);
}

#[test]
fn http_2_servers() {
    // All that a server of the other shapes comes by.
    torture(&[Shape::H2Post], &[Part::Server, Part::Accepted], false);
}

#[test]
fn tls_http_2_clients_and_servers() {
    torture(&[Shape::H2Post], &[Part::Client, Part::Server, Part::Accepted], true);
}

#[test]
fn sinks_and_their_sources() {
    torture(&[Shape::Sink], &[Part::Client, Part::Server, Part::Accepted], false);
}

#[test]
fn servers() {
    torture(&[Shape::Get, Shape::Post, Shape::Busy], &[Part::Server, Part::Accepted], false);
}

#[test]
fn tls_clients_that_get() {
    torture(&[Shape::Get], &[Part::Client], true);
}

#[test]
fn tls_clients_that_post() {
    torture(&[Shape::Post], &[Part::Client], true);
}

#[test]
fn tls_clients_that_are_refused() {
    torture(&[Shape::Refused, Shape::Auth, Shape::Busy, Shape::Nowhere], &[Part::Client], true);
}

#[test]
fn tls_servers() {
    torture(&[Shape::Get, Shape::Post, Shape::Busy], &[Part::Server, Part::Accepted], true);
}

#[test]
fn streams_on_a_failing_network() {
    let mut runner = Runner::new();
    for shape in Shape::ALL {
        for tls in [false, true] {
            for act in [Act::Nothing, Act::CreateAnother] {
                let (at, answer) = (Moment::State(StreamState::Connecting), Answer::Ok);
                let plan = Plan { shape, tls, part: Part::Client, at, answer, act, always: false };
                let (_, operations) = play(plan, None);
                assert!(operations > 2, "{operations}");
                for nth in 0..operations {
                    runner.run(&format!("fails/{nth}/{}", plan.name()), || {
                        play(plan, Some(nth));
                    });
                }
            }
        }
    }
    runner.finish();
}
