//! User code straight on connections: each callback of `Protocol`, plain and TLS, raw and h1, both sides.

use crate::policy::{self, HOST, NAME};
use crate::runner::{self, Runner};
use millstream::http::{BodyLength, Head, Method, Status};
use millstream::sim::Network;
use millstream::{
    Acceptor, Address, Cause, Census, ClientInfo, ClientRole, Context, Cx, Error, Flow, Identity, ListenInfo,
    Protocol, ServerRole, Target, Tx, TxFlow, VhostId, WsiId,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
    /// Another client, which the scenario does things to, and what callbacks create.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Accept,
    Established,
    Request,
    Response,
    Rx,
    End,
    Writeable,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok,
    DontSend,
    DisconnectMe,
    DestroyMe,
}

pub(crate) const ANSWERS: [Answer; 4] =
    [Answer::Ok, Answer::DontSend, Answer::DisconnectMe, Answer::DestroyMe];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Nothing,
    CloseSelf,
    CloseOther,
    DestroyVhost,
    CloseFromSul,
    ConnectAnother,
    RequestTx,
    Release,
    StopRx,
    PauseRx,
    AskAndAnswer,
}

const ACTS: [Act; 11] = [
    Act::Nothing,
    Act::CloseSelf,
    Act::CloseOther,
    Act::DestroyVhost,
    Act::CloseFromSul,
    Act::ConnectAnother,
    Act::RequestTx,
    Act::Release,
    Act::StopRx,
    Act::PauseRx,
    Act::AskAndAnswer,
];

#[derive(Clone, Copy, Debug)]
struct Plan {
    h1: bool,
    tls: bool,
    side: Side,
    at: Moment,
    answer: Answer,
    act: Act,
}

struct Stage {
    plan: Plan,
    hits: Cell<u32>,
    vhost: Cell<Option<VhostId>>,
    other: Cell<Option<WsiId>>,
    lives: RefCell<BTreeMap<WsiId, Vec<Moment>>>,
    handlers: Cell<usize>,
    inside: Cell<bool>,
}

/// A connection's user. A client asks for a body with a body; a server gives back two pieces.
struct User {
    side: Side,
    stage: Rc<Stage>,
    to_send: u32,
}

impl User {
    fn new(side: Side, stage: &Rc<Stage>) -> Self {
        stage.handlers.set(stage.handlers.get() + 1);
        Self { side, stage: Rc::clone(stage), to_send: 2 }
    }

    /// Notes the callback, lets the part do its own, and then what the scenario is about.
    fn meet(
        &mut self,
        cx: &mut Cx<'_>,
        me: WsiId,
        at: Moment,
        own: impl FnOnce(&mut Self, &mut Cx<'_>),
    ) -> Answer {
        let stage = Rc::clone(&self.stage);
        assert!(!stage.inside.replace(true), "a handler was entered while another ran");
        stage.lives.borrow_mut().entry(me).or_default().push(at);
        own(self, cx);
        let plan = stage.plan;
        let mut answer = Answer::Ok;
        if (plan.side, plan.at) == (self.side, at) && stage.hits.replace(stage.hits.get() + 1) == 0 {
            self.act(cx, me);
            answer = plan.answer;
        }
        stage.inside.set(false);
        answer
    }

    fn act(&self, cx: &mut Cx<'_>, me: WsiId) {
        match self.stage.plan.act {
            Act::Nothing => {}
            Act::CloseSelf => {
                drop(cx.wsi_close(me));
                assert!(matches!(cx.wsi_request_tx(me), Err(Error::Stale)));
                assert!(matches!(cx.wsi_close(me), Err(Error::Stale)));
            }
            Act::CloseOther => drop(self.stage.other.get().map(|other| cx.wsi_close(other))),
            Act::DestroyVhost => drop(self.stage.vhost.get().map(|vhost| cx.vhost_destroy(vhost))),
            Act::CloseFromSul => {
                cx.sul_schedule(Duration::ZERO, move |cx| drop(cx.wsi_close(me)));
            }
            Act::ConnectAnother => {
                let info = client_info(cx, self.stage.plan);
                cx.connect(&info, Self::new(Side::Other, &self.stage));
            }
            Act::RequestTx => drop(cx.wsi_request_tx(me)),
            Act::Release => drop(cx.wsi_release(me)),
            Act::StopRx => drop(cx.wsi_rx_flow(me, false)),
            Act::PauseRx => {
                drop(cx.wsi_rx_flow(me, false));
                cx.sul_schedule(Duration::from_micros(100), move |cx| drop(cx.wsi_rx_flow(me, true)));
            }
            Act::AskAndAnswer => {
                drop(cx.http_request(me, Method::Get, "/", NAME, &[], BodyLength::None));
                drop(cx.http_respond(me, Status::OK, &[], BodyLength::Known(0)));
            }
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.stage.handlers.set(self.stage.handlers.get() - 1);
    }
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

impl Protocol for User {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            if this.side != Side::Server {
                if this.stage.plan.h1 {
                    cx.http_request(me, Method::Post, "/", NAME, &[], BodyLength::Unknown).unwrap();
                }
                cx.wsi_request_tx(me).unwrap();
            }
        };
        self.meet(cx, me, Moment::Established, own).into()
    }

    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        self.meet(cx, me, Moment::Request, |_, _| {}).into()
    }

    fn response(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        self.meet(cx, me, Moment::Response, |_, _| {}).into()
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &[u8]) -> Flow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            if this.side == Side::Server && !this.stage.plan.h1 {
                drop(cx.wsi_request_tx(me));
            }
        };
        self.meet(cx, me, Moment::Rx, own).into()
    }

    fn end(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            if this.side == Side::Server {
                drop(cx.http_respond(me, Status::OK, &[], BodyLength::Unknown));
                drop(cx.wsi_request_tx(me));
            } else {
                drop(cx.wsi_close(me));
            }
        };
        self.meet(cx, me, Moment::End, own).into()
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            this.to_send = this.to_send.saturating_sub(1);
            if this.to_send > 0 {
                drop(cx.wsi_request_tx(me));
            }
        };
        match self.meet(cx, me, Moment::Writeable, own) {
            Answer::Ok => {}
            Answer::DontSend => return TxFlow::DontSend,
            Answer::DisconnectMe => return TxFlow::DisconnectMe,
            Answer::DestroyMe => return TxFlow::DestroyMe,
        }
        tx.write(b"a piece");
        if self.to_send == 0 {
            tx.end_message();
        }
        TxFlow::Send
    }

    fn closed(&mut self, cx: &mut Cx<'_>, me: WsiId, _: Option<&Cause>) {
        self.meet(cx, me, Moment::Closed, |_, _| {});
    }
}

struct Door(Rc<Stage>);

impl Acceptor for Door {
    fn accept(&mut self, cx: &mut Cx<'_>, wsi: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        let user = User::new(Side::Server, &self.0);
        let plan = self.0.plan;
        if plan.at == Moment::Accept && self.0.hits.replace(self.0.hits.get() + 1) == 0 {
            user.act(cx, wsi);
            if plan.answer != Answer::Ok {
                return None;
            }
        }
        Some(Box::new(user))
    }
}

fn address() -> Address {
    Address::Ip(format!("{HOST}:80").parse().unwrap())
}

fn client_info(cx: &mut Cx<'_>, plan: Plan) -> ClientInfo {
    let role = if plan.h1 { ClientRole::H1 } else { ClientRole::Raw };
    let mut info = ClientInfo::new(Target::Address(address()), role);
    if plan.tls {
        info.tls = Some(cx.client_tls(NAME, Some("ours")).unwrap());
    }
    info
}

/// Plays a scenario to its end; `failing` is the operation of the network that fails once all is set up. Returns how
/// often its moment came, and how many operations there were.
fn play(plan: Plan, failing: Option<u64>) -> (u32, u64) {
    let network = Network::new(11);
    let mut context =
        Context::builder().policy(policy::text()).unwrap().sim(network.host(HOST)).build().unwrap();
    let stage = Rc::new(Stage {
        plan,
        hits: Cell::new(0),
        vhost: Cell::new(None),
        other: Cell::new(None),
        lives: RefCell::default(),
        handlers: Cell::new(0),
        inside: Cell::new(false),
    });
    let mut info = ListenInfo::new(address(), if plan.h1 { ServerRole::H1 } else { ServerRole::Raw });
    let (cert, key) = policy::identity();
    info.tls = plan.tls.then(|| Identity::from_der(&[cert], key).unwrap());
    context.with(|cx| {
        stage.vhost.set(Some(cx.listen(info, Door(Rc::clone(&stage))).unwrap()));
        let info = client_info(cx, plan);
        stage.other.set(Some(cx.connect(&info, User::new(Side::Other, &stage))));
        cx.connect(&info, User::new(Side::Client, &stage));
    });
    let begun = network.fallible_ops();
    if let Some(nth) = failing {
        network.fail_nth(nth);
    }
    let run = |context: &mut Context, millis| runner::run(&network, &mut [context], millis);
    run(&mut context, 20);
    for _ in 0..2 {
        let ids: Vec<_> = stage.lives.borrow().keys().copied().collect();
        context.with(|cx| ids.into_iter().for_each(|id| drop(cx.wsi_close(id))));
        run(&mut context, 20);
    }
    context.with(|cx| drop(cx.vhost_destroy(stage.vhost.get().unwrap())));
    run(&mut context, 400_000);
    assert_eq!(context.census(), Census::default());
    drop(context);
    assert_eq!(stage.handlers.get(), 0, "handlers that were never dropped");
    for (id, life) in stage.lives.borrow().iter() {
        let closed = life.iter().filter(|at| **at == Moment::Closed).count();
        // Who gives a connection back hears nothing more of it.
        let may_be_released = plan.act == Act::Release;
        assert!(closed == 1 || (closed == 0 && may_be_released), "{id}: closed {closed} times: {life:?}");
        assert!(closed == 0 || life.last() == Some(&Moment::Closed), "{id}: {life:?}");
        let comes_up = matches!(life.first(), Some(Moment::Established | Moment::Closed));
        assert!(comes_up, "{id}: does not begin by its beginning: {life:?}");
    }
    (stage.hits.get(), network.fallible_ops() - begun)
}

fn role(h1: bool, tls: bool) -> String {
    format!("{}{}", if h1 { "h1" } else { "raw" }, if tls { "_tls" } else { "" })
}

#[test]
fn protocols() {
    let mut runner = Runner::new();
    for (h1, tls) in [(false, false), (false, true), (true, false), (true, true)] {
        for side in [Side::Client, Side::Server] {
            let mut moments = vec![Moment::Established, Moment::Rx, Moment::Writeable, Moment::Closed];
            moments.extend(match (h1, side) {
                (true, Side::Server) => &[Moment::Accept, Moment::Request, Moment::End][..],
                (true, _) => &[Moment::Response, Moment::End],
                (false, Side::Server) => &[Moment::Accept],
                (false, _) => &[],
            });
            for at in moments {
                for answer in ANSWERS {
                    for act in ACTS {
                        let plan = Plan { h1, tls, side, at, answer, act };
                        let role = role(h1, tls);
                        runner.run(&format!("{role}/{side:?}/{at:?}/{answer:?}/{act:?}"), || {
                            assert!(play(plan, None).0 > 0, "the moment never came");
                        });
                    }
                }
            }
        }
    }
    runner.finish();
}

#[test]
fn protocols_on_a_failing_network() {
    let mut runner = Runner::new();
    for (h1, tls) in [(false, false), (false, true), (true, false), (true, true)] {
        for act in [Act::Nothing, Act::ConnectAnother] {
            let at = Moment::Established;
            let plan = Plan { h1, tls, side: Side::Client, at, answer: Answer::Ok, act };
            let (_, operations) = play(plan, None);
            assert!(operations > 10, "{operations}");
            for nth in 0..operations {
                let name = format!("fails/{}/{act:?}/{nth}", role(h1, tls));
                runner.run(&name, || {
                    play(plan, Some(nth));
                });
            }
        }
    }
    runner.finish();
}
