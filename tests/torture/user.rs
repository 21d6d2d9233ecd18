//! User code on connections whose addresses are the matter: datagrams, and names with several addresses.

use crate::protocol_user::Answer;
use millstream::http::{BodyLength, Method, Status};
use millstream::{Cause, ClientInfo, Cx, Error, Flow, Protocol, Tx, TxFlow, UdpInfo, WsiId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Anybody may send to it, and gets back what was sent.
    Bound,
    Client,
    /// Another client, which the scenario does things to, and what callbacks create.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Established,
    Rx,
    Datagram,
    Writeable,
    Ping,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    CloseSelf,
    CloseOther,
    CloseAll,
    CloseFromSul,
    ConnectAnother,
    BindAnother,
    RequestTx,
    Release,
    StopRx,
    PauseRx,
    Confirm,
    SpeakHttp,
}

pub(crate) const ACTS: [Act; 13] = [
    Act::Nothing,
    Act::CloseSelf,
    Act::CloseOther,
    Act::CloseAll,
    Act::CloseFromSul,
    Act::ConnectAnother,
    Act::BindAnother,
    Act::RequestTx,
    Act::Release,
    Act::StopRx,
    Act::PauseRx,
    Act::Confirm,
    Act::SpeakHttp,
];

impl Act {
    /// What has no end of its own when it is done each time.
    pub(crate) fn is_endless(self) -> bool {
        matches!(self, Self::ConnectAnother | Self::BindAnother | Self::RequestTx)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) side: Side,
    pub(crate) at: Moment,
    pub(crate) answer: Answer,
    pub(crate) act: Act,
    /// Each time that the callback comes, not only the first.
    pub(crate) always: bool,
}

impl Plan {
    /// Nothing happens but what the parts do by themselves.
    pub(crate) const QUIET: Self =
        Self { side: Side::Client, at: Moment::Closed, answer: Answer::Ok, act: Act::Nothing, always: false };

    pub(crate) fn name(self) -> String {
        let Self { side, at, answer, act, always } = self;
        let always = if always { "always" } else { "once" };
        format!("{side:?}/{at:?}/{answer:?}/{act:?}/{always}")
    }
}

/// What the users of a scenario share.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    /// How clients connect.
    pub(crate) info: ClientInfo,
    pub(crate) bind: SocketAddr,
    pub(crate) hits: Cell<u32>,
    /// In the order of their making.
    pub(crate) ids: RefCell<Vec<WsiId>>,
    pub(crate) other: Cell<Option<WsiId>>,
    lives: RefCell<BTreeMap<WsiId, Vec<Moment>>>,
    handlers: Cell<usize>,
    inside: Cell<bool>,
}

impl Stage {
    pub(crate) fn new(plan: Plan, info: ClientInfo, bind: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            plan,
            info,
            bind,
            hits: Cell::new(0),
            ids: RefCell::default(),
            other: Cell::new(None),
            lives: RefCell::default(),
            handlers: Cell::new(0),
            inside: Cell::new(false),
        })
    }

    pub(crate) fn connect(self: &Rc<Self>, cx: &mut Cx<'_>, side: Side) -> WsiId {
        let id = cx.connect(&self.info, User::new(side, self));
        self.ids.borrow_mut().push(id);
        id
    }

    pub(crate) fn bind(self: &Rc<Self>, cx: &mut Cx<'_>, at: SocketAddr, side: Side) -> Result<WsiId, Error> {
        let id = cx.udp_bind(UdpInfo::new(at), User::new(side, self))?;
        self.ids.borrow_mut().push(id);
        Ok(id)
    }

    pub(crate) fn close_all(&self, cx: &mut Cx<'_>) {
        let ids = self.ids.borrow().clone();
        for id in ids {
            drop(cx.wsi_close(id));
        }
    }

    pub(crate) fn check_nobody_is_left(&self) {
        assert_eq!(self.handlers.get(), 0, "handlers that were never dropped");
    }

    /// Checks each life, once all are over.
    pub(crate) fn check(&self) {
        self.check_nobody_is_left();
        let lives = self.lives.borrow();
        for id in self.ids.borrow().iter() {
            let life = lives.get(id).map(Vec::as_slice).unwrap_or_default();
            let closed = life.iter().filter(|at| **at == Moment::Closed).count();
            // Who gives a connection back hears nothing more of it.
            let may_be_released = self.plan.act == Act::Release;
            assert!(closed == 1 || (closed == 0 && may_be_released), "{id}: closed {closed} times: {life:?}");
            assert!(closed == 0 || life.last() == Some(&Moment::Closed), "{id}: {life:?}");
            let is_begun = matches!(life.first(), Some(Moment::Established | Moment::Closed));
            assert!(is_begun || (life.is_empty() && may_be_released), "{id}: no beginning: {life:?}");
            let established = life.iter().filter(|at| **at == Moment::Established).count();
            assert!(established <= 1, "{id}: {life:?}");
        }
    }
}

/// A connection's user. A client asks three times; what is bound gives back what it gets.
pub(crate) struct User {
    side: Side,
    stage: Rc<Stage>,
    to_send: u32,
    to_answer: VecDeque<SocketAddr>,
}

impl User {
    fn new(side: Side, stage: &Rc<Stage>) -> Self {
        stage.handlers.set(stage.handlers.get() + 1);
        Self { side, stage: Rc::clone(stage), to_send: 3, to_answer: VecDeque::new() }
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
        if (plan.side, plan.at) == (self.side, at) {
            let nth = stage.hits.replace(stage.hits.get() + 1);
            if nth == 0 || plan.always {
                self.act(cx, me);
                answer = plan.answer;
            }
        }
        stage.inside.set(false);
        answer
    }

    fn act(&self, cx: &mut Cx<'_>, me: WsiId) {
        let stage = &self.stage;
        match stage.plan.act {
            Act::Nothing => {}
            Act::CloseSelf => {
                drop(cx.wsi_close(me));
                check_stale(cx, me);
            }
            Act::CloseOther => {
                if let Some(other) = stage.other.get() {
                    drop(cx.wsi_close(other));
                    check_stale(cx, other);
                }
            }
            Act::CloseAll => stage.close_all(cx),
            Act::CloseFromSul => {
                cx.sul_schedule(Duration::ZERO, move |cx| drop(cx.wsi_close(me)));
            }
            Act::ConnectAnother => drop(stage.connect(cx, Side::Other)),
            Act::BindAnother => {
                // One that is free, and one that may be taken.
                for port in [0, stage.bind.port()] {
                    drop(stage.bind(cx, SocketAddr::new(stage.bind.ip(), port), Side::Other));
                }
            }
            Act::RequestTx => drop(cx.wsi_request_tx(me)),
            Act::Release => drop(cx.wsi_release(me)),
            Act::StopRx => drop(cx.wsi_rx_flow(me, false)),
            Act::PauseRx => {
                drop(cx.wsi_rx_flow(me, false));
                cx.sul_schedule(Duration::from_micros(100), move |cx| drop(cx.wsi_rx_flow(me, true)));
            }
            Act::Confirm => drop(cx.wsi_validity_confirm(me)),
            Act::SpeakHttp => {
                assert!(cx.http_request(me, Method::Get, "/", "a", &[], BodyLength::None).is_err());
                assert!(cx.http_respond(me, Status::OK, &[], BodyLength::Known(0)).is_err());
            }
        }
    }

    /// Whoever has asked a question may ask the next.
    fn heard(&self, cx: &mut Cx<'_>, me: WsiId) {
        if self.to_send > 0 {
            drop(cx.wsi_request_tx(me));
        }
    }
}

fn check_stale(cx: &mut Cx<'_>, id: WsiId) {
    assert!(matches!(cx.wsi_request_tx(id), Err(Error::Stale)));
    assert!(matches!(cx.wsi_rx_flow(id, true), Err(Error::Stale)));
    assert!(matches!(cx.wsi_validity_confirm(id), Err(Error::Stale)));
    assert!(matches!(cx.wsi_release(id), Err(Error::Stale)));
    assert!(matches!(cx.wsi_close(id), Err(Error::Stale)));
    assert_eq!((cx.wsi_peer(id), cx.wsi_local(id)), (None, None));
}

impl Drop for User {
    fn drop(&mut self) {
        self.stage.handlers.set(self.stage.handlers.get() - 1);
    }
}

impl Protocol for User {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            if this.side != Side::Bound {
                cx.wsi_request_tx(me).unwrap();
            }
        };
        self.meet(cx, me, Moment::Established, own).into()
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &[u8]) -> Flow {
        self.meet(cx, me, Moment::Rx, |this, cx| this.heard(cx, me)).into()
    }

    fn datagram(&mut self, cx: &mut Cx<'_>, me: WsiId, from: SocketAddr, _: &[u8]) -> Flow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            if this.side == Side::Bound {
                this.to_answer.push_back(from);
                drop(cx.wsi_request_tx(me));
            } else {
                this.heard(cx, me);
            }
        };
        self.meet(cx, me, Moment::Datagram, own).into()
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        match self.meet(cx, me, Moment::Writeable, |_, _| {}) {
            Answer::Ok => {}
            Answer::DontSend => return TxFlow::DontSend,
            Answer::DisconnectMe => return TxFlow::DisconnectMe,
            Answer::DestroyMe => return TxFlow::DestroyMe,
        }
        if self.side == Side::Bound {
            let Some(to) = self.to_answer.pop_front() else { return TxFlow::DontSend };
            tx.to(to);
            if !self.to_answer.is_empty() {
                drop(cx.wsi_request_tx(me));
            }
        } else {
            self.to_send = self.to_send.saturating_sub(1);
        }
        tx.write(b"a piece");
        TxFlow::Send
    }

    fn ping(&mut self, cx: &mut Cx<'_>, me: WsiId) {
        self.meet(cx, me, Moment::Ping, |_, _| {});
    }

    fn closed(&mut self, cx: &mut Cx<'_>, me: WsiId, _: Option<&Cause>) {
        self.meet(cx, me, Moment::Closed, |_, _| {});
    }
}
