//! A connection's user for the torture of `Protocol`: what it does of its own, what the scenario has it do, and what it notes.

use crate::policy::{HOST, NAME};
use millstream::http::{BodyLength, Head, Method, Status};
use millstream::{
    Acceptor, Address, Cause, ClientInfo, ClientRole, Cx, Error, Flow, Protocol, RxFlags, ServerRole, Target,
    Tx, TxFlow, VhostId, WsInfo, WsiId,
};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok,
    DontSend,
    DisconnectMe,
    DestroyMe,
}

pub(crate) const ANSWERS: [Answer; 4] =
    [Answer::Ok, Answer::DontSend, Answer::DisconnectMe, Answer::DestroyMe];

/// What the connections speak. Clients of one kind have a connection each, those over HTTP/2 share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Raw,
    H1,
    H2,
    Ws,
    WsOverH2,
}

impl Shape {
    pub(crate) const ALL: [Self; 5] = [Self::Raw, Self::H1, Self::H2, Self::Ws, Self::WsOverH2];

    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::H2 | Self::WsOverH2)
    }

    pub(crate) fn is_ws(self) -> bool {
        matches!(self, Self::Ws | Self::WsOverH2)
    }

    fn is_http(self) -> bool {
        matches!(self, Self::H1 | Self::H2)
    }

    fn client(self) -> ClientRole {
        match self {
            Self::Raw => ClientRole::Raw,
            Self::H1 => ClientRole::H1,
            Self::H2 | Self::WsOverH2 => ClientRole::H2,
            Self::Ws => ClientRole::Ws,
        }
    }

    pub(crate) fn server(self) -> ServerRole {
        match self {
            Self::Raw => ServerRole::Raw,
            Self::H1 | Self::Ws => ServerRole::H1,
            Self::H2 | Self::WsOverH2 => ServerRole::Http,
        }
    }

    /// What a user of it hears, other than what all hear.
    pub(crate) fn moments(self, side: Side) -> &'static [Moment] {
        match (self, side) {
            (Self::Raw, Side::Server) => {
                &[Moment::Accept, Moment::Established, Moment::Rx, Moment::HalfClosed]
            }
            (Self::Raw, _) => &[Moment::Established, Moment::Rx],
            (Self::H1 | Self::H2, Side::Server) => {
                &[Moment::Accept, Moment::Established, Moment::Request, Moment::Rx, Moment::End]
            }
            (Self::H1 | Self::H2, _) => &[Moment::Established, Moment::Response, Moment::Rx, Moment::End],
            (Self::Ws | Self::WsOverH2, Side::Server) => {
                &[Moment::Accept, Moment::Established, Moment::Request, Moment::Message]
            }
            (Self::Ws | Self::WsOverH2, _) => &[Moment::Established, Moment::Response, Moment::Message],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
    /// Another client, which the scenario does things to, and what callbacks create.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Accept,
    Established,
    Request,
    Response,
    Rx,
    Message,
    End,
    HalfClosed,
    Writeable,
    /// The one in which the last piece is due.
    LastWriteable,
    Closed,
}

impl Moment {
    /// What can be answered to it.
    pub(crate) fn answers(self) -> &'static [Answer] {
        match self {
            Self::Accept => &[Answer::Ok, Answer::DisconnectMe],
            Self::Writeable => &ANSWERS,
            Self::Closed => &[Answer::Ok],
            _ => &[Answer::Ok, Answer::DisconnectMe, Answer::DestroyMe],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    CloseSelf,
    CloseOther,
    DestroyVhost,
    CloseFromSul,
    ConnectAnother,
    RequestTx,
    /// Sends whether it is its turn or not, and more than it has.
    SendAnyway,
    Release,
    StopRx,
    PauseRx,
    AskAndAnswer,
    /// Says no before the user says yes.
    Refuse,
    /// Asks for a websocket and grants one.
    Upgrade,
    /// What the user would answer now, it answers when others have had their turn.
    AnswerLater,
}

impl Act {
    pub(crate) const ALL: [Self; 15] = [
        Self::Nothing,
        Self::CloseSelf,
        Self::CloseOther,
        Self::DestroyVhost,
        Self::CloseFromSul,
        Self::ConnectAnother,
        Self::RequestTx,
        Self::SendAnyway,
        Self::Release,
        Self::StopRx,
        Self::PauseRx,
        Self::AskAndAnswer,
        Self::Refuse,
        Self::Upgrade,
        Self::AnswerLater,
    ];

    /// Under TLS those acts are left that begin or end something: what is above it has been played without.
    pub(crate) fn is_for(self, shape: Shape, tls: bool, at: Moment) -> bool {
        let begins_or_ends = matches!(
            self,
            Self::Nothing
                | Self::CloseSelf
                | Self::CloseOther
                | Self::DestroyVhost
                | Self::ConnectAnother
                | Self::Release
        );
        match self {
            Self::AnswerLater => match at {
                Moment::Request => shape.is_ws(),
                Moment::End => shape.is_http(),
                _ => false,
            },
            _ => begins_or_ends || !tls,
        }
    }

    /// The exchange goes on as if nothing had been asked.
    fn is_harmless(self) -> bool {
        match self {
            Self::Nothing
            | Self::CloseOther
            | Self::DestroyVhost
            | Self::ConnectAnother
            | Self::RequestTx
            | Self::PauseRx
            | Self::AnswerLater => true,
            Self::CloseSelf
            | Self::CloseFromSul
            | Self::SendAnyway
            | Self::Release
            | Self::StopRx
            | Self::AskAndAnswer
            | Self::Refuse
            | Self::Upgrade => false,
        }
    }

    fn comes_first(self) -> bool {
        matches!(self, Self::Refuse | Self::AnswerLater)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    pub(crate) tls: bool,
    pub(crate) side: Side,
    pub(crate) at: Moment,
    pub(crate) answer: Answer,
    pub(crate) act: Act,
}

impl Plan {
    /// If anybody leaves, then by saying so: what was sent before is still to arrive.
    pub(crate) fn ends_in_peace(self) -> bool {
        self.act.is_harmless() || matches!(self.act, Act::CloseSelf | Act::CloseFromSul)
    }

    /// Whoever meets this goes on as if it had not.
    pub(crate) fn is_harmless(self) -> bool {
        self.act.is_harmless() && matches!(self.answer, Answer::Ok | Answer::DontSend)
    }
}

/// What became of a connection's user.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) side: Side,
    pub(crate) moments: Vec<Moment>,
    pub(crate) sent: Vec<u8>,
    /// So much of it was sent by a user whose connection was still its own.
    pub(crate) surely_sent: usize,
    pub(crate) got: Vec<u8>,
    /// The peer has said that this is all.
    pub(crate) has_all: bool,
    pub(crate) cause: Option<Cause>,
}

pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) hits: Cell<u32>,
    pub(crate) vhost: Cell<Option<VhostId>>,
    pub(crate) other: Cell<Option<WsiId>>,
    pub(crate) lives: RefCell<BTreeMap<WsiId, Life>>,
    /// Whose exchange the scenario has meddled with.
    pub(crate) touched: RefCell<BTreeSet<WsiId>>,
    pub(crate) handlers: Cell<usize>,
    inside: Cell<bool>,
    clients: Cell<u32>,
}

impl Stage {
    pub(crate) fn new(plan: Plan) -> Rc<Self> {
        Rc::new(Self {
            plan,
            hits: Cell::new(0),
            vhost: Cell::new(None),
            other: Cell::new(None),
            lives: RefCell::default(),
            touched: RefCell::default(),
            handlers: Cell::new(0),
            inside: Cell::new(false),
            clients: Cell::new(0),
        })
    }

    fn note(&self, me: WsiId, side: Side, note: impl FnOnce(&mut Life)) {
        let mut lives = self.lives.borrow_mut();
        note(lives.entry(me).or_insert_with(|| Life {
            side,
            moments: Vec::new(),
            sent: Vec::new(),
            surely_sent: 0,
            got: Vec::new(),
            has_all: false,
            cause: None,
        }));
    }

    /// Whether this is what the scenario is about, for the first time.
    fn is_hit(&self, side: Side, at: Moment) -> bool {
        (self.plan.side, self.plan.at) == (side, at) && self.hits.replace(self.hits.get() + 1) == 0
    }
}

const PIECES: u32 = 2;

/// A connection's user. A client sends two pieces, and a server that has had them gives back two.
pub(crate) struct User {
    side: Side,
    stage: Rc<Stage>,
    /// A client's, which its pieces begin with: so it is known whom they come from.
    number: u32,
    sent: u32,
    /// Its peer waits for pieces.
    may_send: bool,
    answers_later: bool,
}

impl User {
    pub(crate) fn new(side: Side, stage: &Rc<Stage>) -> Self {
        stage.handlers.set(stage.handlers.get() + 1);
        let number = stage.clients.get() + 1;
        if side != Side::Server {
            stage.clients.set(number);
        }
        Self { side, stage: Rc::clone(stage), number, sent: 0, may_send: false, answers_later: false }
    }

    fn piece(&self) -> String {
        match self.side {
            Side::Server => format!("<{}>", self.sent),
            Side::Client | Side::Other => format!("<{}:{}>", self.number, self.sent),
        }
    }

    /// Notes the callback, lets the part do its own, and does what the scenario is about.
    fn meet(
        &mut self,
        cx: &mut Cx<'_>,
        me: WsiId,
        at: Moment,
        own: impl FnOnce(&mut Self, &mut Cx<'_>),
    ) -> Answer {
        let stage = Rc::clone(&self.stage);
        assert!(!stage.inside.replace(true), "a handler was entered while another ran");
        stage.note(me, self.side, |life| life.moments.push(at));
        let is_hit = stage.is_hit(self.side, at);
        let acts_first = stage.plan.act.comes_first();
        if is_hit && acts_first {
            self.act(cx, me);
        }
        own(self, cx);
        if is_hit && !acts_first {
            self.act(cx, me);
        }
        stage.inside.set(false);
        if is_hit { stage.plan.answer } else { Answer::Ok }
    }

    fn act(&mut self, cx: &mut Cx<'_>, me: WsiId) {
        let plan = self.stage.plan;
        if !plan.is_harmless() {
            self.stage.touched.borrow_mut().insert(me);
        }
        match plan.act {
            Act::Nothing => {}
            Act::CloseSelf => {
                drop(cx.wsi_close(me));
                assert!(matches!(cx.wsi_request_tx(me), Err(Error::Stale)));
                assert!(matches!(cx.wsi_close(me), Err(Error::Stale)));
            }
            Act::CloseOther => {
                let other = self.stage.other.get();
                self.stage.touched.borrow_mut().extend(other);
                drop(other.map(|other| cx.wsi_close(other)));
            }
            Act::DestroyVhost => drop(self.stage.vhost.get().map(|vhost| cx.vhost_destroy(vhost))),
            Act::CloseFromSul => {
                cx.sul_schedule(Duration::ZERO, move |cx| drop(cx.wsi_close(me)));
            }
            Act::ConnectAnother => {
                let info = client_info(cx, plan);
                cx.connect(&info, Self::new(Side::Other, &self.stage));
            }
            Act::RequestTx => drop(cx.wsi_request_tx(me)),
            Act::SendAnyway => {
                (self.may_send, self.sent) = (true, 0);
                drop(cx.wsi_request_tx(me));
            }
            Act::Release => drop(cx.wsi_release(me)),
            Act::StopRx => drop(cx.wsi_rx_flow(me, false)),
            Act::PauseRx => {
                drop(cx.wsi_rx_flow(me, false));
                cx.sul_schedule(Duration::from_micros(100), move |cx| drop(cx.wsi_rx_flow(me, true)));
            }
            Act::AskAndAnswer => {
                drop(cx.http_request(me, Method::Get, "/", NAME, &[], BodyLength::None));
                drop(cx.http_respond(me, Status::OK, &[], BodyLength::Known(0)));
                assert!(cx.http_respond(me, Status::OK, &[], BodyLength::Known(0)).is_err());
            }
            Act::Refuse => drop(cx.http_respond(me, Status::FORBIDDEN, &[], BodyLength::Known(0))),
            Act::Upgrade => {
                drop(cx.ws_request(me, "/", NAME, &[], &WsInfo::default()));
                drop(cx.ws_accept(me, &upgrade(), &WsInfo::default()));
            }
            Act::AnswerLater => self.answers_later = true,
        }
    }

    /// A server has heard its client out.
    fn answer(&mut self, cx: &mut Cx<'_>, me: WsiId) {
        self.may_send = true;
        let is_http = self.stage.plan.shape.is_http();
        let answer = move |cx: &mut Cx<'_>| {
            if is_http {
                drop(cx.http_respond(me, Status::OK, &[], BodyLength::Unknown));
            }
            drop(cx.wsi_request_tx(me));
        };
        if self.answers_later {
            cx.sul_schedule(Duration::from_micros(100), answer);
        } else {
            answer(cx);
        }
    }

    fn take(&self, me: WsiId, payload: &[u8]) {
        self.stage.note(me, self.side, |life| life.got.extend_from_slice(payload));
    }

    fn has_all(&self, me: WsiId) {
        self.stage.note(me, self.side, |life| life.has_all = true);
    }
}

/// The head of a request that nobody has made.
fn upgrade() -> Head {
    let mut head = Head::new();
    head.set_request(Method::Get, b"/");
    let fields = [
        ("host", NAME),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes());
    }
    head
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
            let shape = this.stage.plan.shape;
            if this.side == Side::Server {
                return;
            }
            if shape.is_ws() {
                let asked = cx.ws_request(me, "/", NAME, &[], &WsInfo::default());
                return asked.unwrap();
            }
            if shape.is_http() {
                cx.http_request(me, Method::Post, "/", NAME, &[], BodyLength::Unknown).unwrap();
            }
            this.may_send = true;
            cx.wsi_request_tx(me).unwrap();
        };
        self.meet(cx, me, Moment::Established, own).into()
    }

    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            if !this.stage.plan.shape.is_ws() {
                return;
            }
            if std::mem::take(&mut this.answers_later) {
                let head = head.clone();
                let grant = move |cx: &mut Cx<'_>| cx.ws_accept(me, &head, &WsInfo::default()).unwrap_or(());
                cx.sul_schedule(Duration::from_micros(100), grant);
            } else {
                drop(cx.ws_accept(me, head, &WsInfo::default()));
            }
        };
        self.meet(cx, me, Moment::Request, own).into()
    }

    fn response(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        let is_granted = head.status().is_some_and(|status| matches!(status.code(), 101 | 200));
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            if this.stage.plan.shape.is_ws() && is_granted {
                this.may_send = true;
                drop(cx.wsi_request_tx(me));
            }
        };
        self.meet(cx, me, Moment::Response, own).into()
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8]) -> Flow {
        self.take(me, payload);
        self.meet(cx, me, Moment::Rx, |_, _| {}).into()
    }

    fn message(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8], flags: RxFlags) -> Flow {
        self.take(me, payload);
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            if !flags.is_eom() {
                return;
            }
            this.has_all(me);
            match this.side {
                Side::Server => this.answer(cx, me),
                Side::Client | Side::Other => drop(cx.wsi_close(me)),
            }
        };
        self.meet(cx, me, Moment::Message, own).into()
    }

    fn end(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            // Of a request for a websocket there is more to come.
            if !this.stage.plan.shape.is_http() {
                return;
            }
            this.has_all(me);
            match this.side {
                Side::Server => this.answer(cx, me),
                Side::Client | Side::Other => drop(cx.wsi_close(me)),
            }
        };
        self.meet(cx, me, Moment::End, own).into()
    }

    fn half_closed(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            this.has_all(me);
            if this.side == Side::Server {
                this.answer(cx, me);
            }
        };
        self.meet(cx, me, Moment::HalfClosed, own).into()
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let own = |this: &mut Self, cx: &mut Cx<'_>| {
            if this.may_send && this.sent + 1 < PIECES {
                drop(cx.wsi_request_tx(me));
            }
        };
        let at = if self.sent + 1 == PIECES { Moment::LastWriteable } else { Moment::Writeable };
        match self.meet(cx, me, at, own) {
            Answer::Ok if self.may_send && self.sent < PIECES => {}
            Answer::Ok | Answer::DontSend => return TxFlow::DontSend,
            Answer::DisconnectMe => return TxFlow::DisconnectMe,
            Answer::DestroyMe => return TxFlow::DestroyMe,
        }
        let piece = self.piece();
        let is_whole = tx.write(piece.as_bytes()) == piece.len();
        self.sent += 1;
        if self.sent == PIECES {
            tx.end_message();
        }
        let is_mine = cx.wsi_peer(me).is_some();
        self.stage.note(me, self.side, |life| {
            life.sent.extend_from_slice(piece.as_bytes());
            if is_mine && is_whole {
                life.surely_sent = life.sent.len();
            }
        });
        TxFlow::Send
    }

    fn closed(&mut self, cx: &mut Cx<'_>, me: WsiId, cause: Option<&Cause>) {
        self.stage.note(me, self.side, |life| life.cause = cause.cloned());
        self.meet(cx, me, Moment::Closed, |_, _| {});
    }
}

pub(crate) struct Door(pub(crate) Rc<Stage>);

impl Acceptor for Door {
    fn accept(&mut self, cx: &mut Cx<'_>, wsi: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        let mut user = User::new(Side::Server, &self.0);
        if self.0.is_hit(Side::Server, Moment::Accept) {
            user.act(cx, wsi);
            if self.0.plan.answer != Answer::Ok {
                return None;
            }
        }
        Some(Box::new(user))
    }
}

pub(crate) fn address() -> Address {
    Address::Ip(format!("{HOST}:80").parse().unwrap())
}

pub(crate) fn client_info(cx: &mut Cx<'_>, plan: Plan) -> ClientInfo {
    let mut info = ClientInfo::new(Target::Address(address()), plan.shape.client());
    if plan.tls {
        info.tls = Some(cx.client_tls(NAME, Some("ours")).unwrap());
    }
    info
}
