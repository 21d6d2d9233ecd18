//! Lifecycle torture: each callback of a stream that shares its connection, times every answer, times whatever may be asked
//! for inside. Nothing panics, nothing is left over, each life is heard in its order, and siblings hear all they should.

use super::broker::{Break, PUBLISH, publish, publish5};
use super::world::{World, stream_type};
use millstream::{Census, Cx, Error, Flow, RxFlags, StreamHandler, StreamId, StreamState as S, Tx, TxFlow};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    State(S),
    RxFirst,
    RxMiddle,
    RxLast,
    TxFirst,
    TxLater,
    ResendFirst,
    ResendLater,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Ok,
    DontSend,
    DisconnectMe,
    DestroyMe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Nothing,
    DestroySelf,
    DestroySiblings,
    DestroyAll,
    DestroyFromSul,
    ClientConnect,
    CreateAnother,
    ChangeHandlers,
    RequestTx,
    RequestTxLen,
    StopRx,
    PauseRx,
}

const ACTS: [Act; 12] = [
    Act::Nothing,
    Act::DestroySelf,
    Act::DestroySiblings,
    Act::DestroyAll,
    Act::DestroyFromSul,
    Act::ClientConnect,
    Act::CreateAnother,
    Act::ChangeHandlers,
    Act::RequestTx,
    Act::RequestTxLen,
    Act::StopRx,
    Act::PauseRx,
];

#[derive(Clone, Copy, Debug)]
struct Plan {
    qos: u8,
    /// MQTT 5, over websockets.
    is_web: bool,
    at: Moment,
    answer: Answer,
    act: Act,
    always: bool,
}

/// What the handlers of a scenario share.
struct Stage {
    plan: Plan,
    hits: Cell<u32>,
    streams: RefCell<Vec<StreamId>>,
    lives: RefCell<Vec<(StreamId, S)>>,
    inside: Cell<bool>,
    handlers: Cell<usize>,
}

struct Actor {
    stage: Rc<Stage>,
    is_victim: bool,
    sent: usize,
    messages: usize,
}

const PIECES: usize = 3;
const MESSAGES: usize = 3;
const PIECE: &[u8] = b"a piece";

impl Actor {
    fn new(stage: &Rc<Stage>, is_victim: bool) -> Self {
        stage.handlers.set(stage.handlers.get() + 1);
        Self { stage: Rc::clone(stage), is_victim, sent: 0, messages: 0 }
    }

    fn meet(&self, cx: &mut Cx<'_>, me: StreamId, at: Moment) -> Answer {
        let plan = self.stage.plan;
        if !self.is_victim || plan.at != at || (!plan.always && self.stage.hits.get() > 0) {
            return Answer::Ok;
        }
        self.stage.hits.set(self.stage.hits.get() + 1);
        self.act(cx, me, plan.act);
        plan.answer
    }

    fn act(&self, cx: &mut Cx<'_>, me: StreamId, act: Act) {
        let streams = self.stage.streams.borrow().clone();
        match act {
            Act::Nothing => {}
            Act::DestroySelf => destroy(cx, me),
            Act::DestroySiblings => streams.into_iter().filter(|id| *id != me).for_each(|id| destroy(cx, id)),
            Act::DestroyAll => streams.into_iter().for_each(|id| destroy(cx, id)),
            Act::DestroyFromSul => {
                cx.sul_schedule(Duration::ZERO, move |cx| destroy(cx, me));
            }
            Act::ClientConnect => drop(cx.client_connect(me)),
            Act::CreateAnother => drop(cx.create("both", Self::new(&self.stage, false)).unwrap()),
            Act::ChangeHandlers => drop(cx.change_handlers(me, Self::new(&self.stage, self.is_victim))),
            Act::RequestTx => drop(cx.request_tx(me)),
            Act::RequestTxLen => drop(cx.request_tx_len(me, 5)),
            Act::StopRx => drop(cx.rx_flow(me, false)),
            Act::PauseRx => {
                if cx.rx_flow(me, false).is_ok() {
                    cx.sul_schedule(Duration::from_millis(2), move |cx| drop(cx.rx_flow(me, true)));
                }
            }
        }
    }

    fn inside<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        assert!(!self.stage.inside.replace(true), "a handler was entered while another ran");
        let result = body(self);
        self.stage.inside.set(false);
        result
    }

    fn piece(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>, at: [Moment; 2]) -> TxFlow {
        assert!(cx.state(me).is_some_and(S::is_connected), "tx while {:?}", cx.state(me));
        if tx.is_som() {
            self.sent = 0;
        }
        let answer = self.meet(cx, me, if tx.is_som() { at[0] } else { at[1] });
        match answer {
            Answer::Ok => {}
            Answer::DontSend => return TxFlow::DontSend,
            Answer::DisconnectMe => return TxFlow::DisconnectMe,
            Answer::DestroyMe => return TxFlow::DestroyMe,
        }
        tx.write(PIECE);
        self.sent += 1;
        TxFlow::Send
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.stage.handlers.set(self.stage.handlers.get() - 1);
    }
}

fn destroy(cx: &mut Cx<'_>, id: StreamId) {
    drop(cx.destroy(id));
    assert!(matches!(cx.request_tx(id), Err(Error::Stale)));
    assert!(matches!(cx.rx_flow(id, false), Err(Error::Stale)));
    assert!(matches!(cx.destroy(id), Err(Error::Stale)));
}

fn flow(answer: Answer) -> Flow {
    match answer {
        Answer::Ok | Answer::DontSend => Flow::Ok,
        Answer::DisconnectMe => Flow::DisconnectMe,
        Answer::DestroyMe => Flow::DestroyMe,
    }
}

impl StreamHandler for Actor {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, _: &[u8], flags: RxFlags) -> Flow {
        self.inside(|this| {
            assert!(cx.state(me).is_some_and(S::is_connected), "rx while {:?}", cx.state(me));
            let at = match (flags.is_som(), flags.is_eom()) {
                (true, _) => Moment::RxFirst,
                (_, true) => Moment::RxLast,
                _ => Moment::RxMiddle,
            };
            flow(this.meet(cx, me, at))
        })
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.inside(|this| {
            if this.messages >= MESSAGES {
                return TxFlow::DontSend;
            }
            let flow = this.piece(cx, me, tx, [Moment::TxFirst, Moment::TxLater]);
            if flow == TxFlow::Send {
                if this.sent < PIECES {
                    drop(cx.request_tx(me));
                } else {
                    this.messages += 1;
                    drop(cx.request_tx_len(me, (PIECES * PIECE.len()) as u64));
                }
            }
            flow
        })
    }

    fn resend(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.inside(|this| this.piece(cx, me, tx, [Moment::ResendFirst, Moment::ResendLater]))
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: S, _: u32) -> Flow {
        self.inside(|this| {
            this.stage.lives.borrow_mut().push((me, state));
            match state {
                S::Creating => {
                    this.stage.streams.borrow_mut().push(me);
                    drop(cx.start_timeout(me, Some(Duration::from_millis(3))));
                }
                S::Connected => drop(cx.request_tx_len(me, (PIECES * PIECE.len()) as u64)),
                S::Destroying => this.stage.streams.borrow_mut().retain(|id| *id != me),
                _ => {}
            }
            flow(this.meet(cx, me, Moment::State(state)))
        })
    }
}

/// Plays a scenario to its end: three streams on one connection, the second of which is the one that does things; messages
/// both ways, and a link that breaks with a message on it. Returns how often the moment came.
fn play(plan: Plan) -> u32 {
    let more = format!(
        r#", "mqtt_topic": "up", "mqtt_subscribe": "down", "mqtt_qos": {}, "timeout_ms": 3 {}"#,
        plan.qos,
        if plan.is_web { r#", "mqtt_version": 5, "ws_subprotocol": "mqtt""# } else { "" }
    );
    let mut world = World::new(&stream_type("both", &more));
    #[cfg(feature = "ws")]
    if plan.is_web {
        let manner = super::web::Manner { size: 5000, ..super::web::Manner::default() };
        world.broker.wires = Some(Box::new(move || Box::new(super::web::Web::new(manner, &Rc::default()))));
    }
    let stage = Rc::new(Stage {
        plan,
        hits: Cell::new(0),
        streams: RefCell::default(),
        lives: RefCell::default(),
        inside: Cell::new(false),
        handlers: Cell::new(0),
    });
    world.broker.break_at = Some((PUBLISH, Break::Before));
    for nth in 0..3 {
        world.context.with(|cx| cx.create("both", Actor::new(&stage, nth == 1))).unwrap();
    }
    for _ in 0..5 {
        world.run(30);
        let payload = vec![7; 200_000];
        world.broker.send(&if plan.is_web {
            publish5(1 << 1, "down", Some(1), &[0x23, 0, 1], &payload)
        } else {
            publish(1 << 1, "down", Some(1), &payload)
        });
    }
    world.run(20);
    for _ in 0..3 {
        let streams = stage.streams.borrow().clone();
        world.context.with(|cx| streams.into_iter().for_each(|id| drop(cx.destroy(id))));
    }
    // The last connection is idle for a while, and goes by itself.
    for _ in 0..20 {
        let until = world.network.now().saturating_add(Duration::from_secs(1));
        world.network.run(&mut [&mut world.context], until).unwrap();
        world.broker.step();
    }
    assert_eq!(world.context.census(), Census::default(), "{plan:?}");
    drop(world);
    assert_eq!(stage.handlers.get(), 0, "{plan:?}: handlers that were never dropped");
    let mut lives = stage.lives.borrow().clone();
    lives.sort_by_key(|(id, _)| *id);
    for life in lives.chunk_by(|a, b| a.0 == b.0) {
        assert_eq!((life[0].1, life[life.len() - 1].1), (S::Creating, S::Destroying), "{plan:?}");
        assert_eq!(life.iter().filter(|(_, state)| *state == S::Destroying).count(), 1, "{plan:?}");
    }
    stage.hits.get()
}

fn torture(qos: u8, moments: &[Moment]) {
    torture_way(qos, moments, false);
}

fn torture_way(qos: u8, moments: &[Moment], is_web: bool) {
    let mut ran = 0;
    for at in moments.iter().copied() {
        let answers: &[Answer] = match at {
            Moment::TxFirst | Moment::TxLater | Moment::ResendFirst | Moment::ResendLater => {
                &[Answer::Ok, Answer::DontSend, Answer::DisconnectMe, Answer::DestroyMe]
            }
            _ => &[Answer::Ok, Answer::DisconnectMe, Answer::DestroyMe],
        };
        for answer in answers.iter().copied() {
            for act in ACTS {
                for always in [false, true] {
                    // What asks again whenever it is asked has no end of its own.
                    let asks_on = matches!(act, Act::RequestTx | Act::RequestTxLen | Act::CreateAnother)
                        || (act == Act::ClientConnect && answer == Answer::DisconnectMe);
                    if always && asks_on {
                        continue;
                    }
                    let plan = Plan { qos, is_web, at, answer, act, always };
                    assert!(play(plan) > 0, "{plan:?}: the moment never came");
                    ran += 1;
                }
            }
        }
    }
    println!("{ran} scenarios");
}

const STATES: [S; 8] = [
    S::Creating,
    S::Connecting,
    S::Connected,
    S::QosAckRemote,
    S::Disconnected,
    S::Poll,
    S::Timeout,
    S::Destroying,
];

#[test]
fn states() {
    torture(1, &STATES.map(Moment::State));
    torture(0, &[S::Connected, S::QosAckRemote].map(Moment::State));
}

#[test]
fn messages_that_arrive() {
    torture(1, &[Moment::RxFirst, Moment::RxMiddle, Moment::RxLast]);
}

#[test]
fn messages_that_go_out() {
    for qos in [0, 2] {
        torture(qos, &[Moment::TxFirst, Moment::TxLater]);
    }
}

#[test]
fn messages_that_go_out_again() {
    for qos in 1..3 {
        torture(qos, &[Moment::ResendFirst, Moment::ResendLater]);
    }
}

#[cfg(feature = "ws")]
#[test]
fn all_of_it_over_websockets() {
    let states = [S::Connected, S::QosAckRemote, S::Disconnected].map(Moment::State);
    torture_way(1, &states, true);
    torture_way(2, &[Moment::RxMiddle, Moment::TxLater, Moment::ResendLater], true);
}
