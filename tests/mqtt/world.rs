//! A context, a broker, and handlers that remember.

use super::broker::Broker;
use millstream::sim::{Host, Network};
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// What a stream was told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) states: Vec<(StreamState, u32)>,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) flags: Vec<RxFlags>,
    pub(crate) topics: Vec<String>,
    pub(crate) retained: Vec<String>,
    pub(crate) pieces: usize,
    /// What `App::reads` names, at the beginning of each message.
    pub(crate) read: Vec<String>,
    pub(crate) cause: Option<String>,
    pub(crate) resends: usize,
}

impl Told {
    pub(crate) fn states(&self) -> Vec<StreamState> {
        self.states.iter().map(|(state, _)| *state).collect()
    }

    pub(crate) fn count(&self, wanted: StreamState) -> usize {
        self.states.iter().filter(|(state, _)| *state == wanted).count()
    }

    pub(crate) fn acks(&self) -> Vec<(bool, u32)> {
        let ack = |(state, ordinal): &(StreamState, u32)| match state {
            StreamState::QosAckRemote => Some((true, *ordinal)),
            StreamState::QosNackRemote => Some((false, *ordinal)),
            _ => None,
        };
        self.states.iter().filter_map(ack).collect()
    }
}

pub(crate) type Log = Rc<RefCell<Told>>;
type OnRx = Box<dyn FnMut(&mut Cx<'_>, StreamId) -> Flow>;

/// Sends what it is given, one message after the other, and keeps each until it is acknowledged.
#[derive(Default)]
pub(crate) struct App {
    pub(crate) told: Log,
    pub(crate) to_send: Rc<RefCell<VecDeque<Vec<u8>>>>,
    unacknowledged: BTreeMap<u32, Vec<u8>>,
    sent_of: usize,
    pub(crate) metadata: Vec<(&'static str, &'static str)>,
    pub(crate) reads: Vec<&'static str>,
    pub(crate) on_rx: Option<OnRx>,
    /// Declares lengths beforehand, so that messages go out in pieces.
    pub(crate) declares: bool,
    pub(crate) forgets: bool,
    pub(crate) connects: bool,
}

impl App {
    pub(crate) fn new(told: &Log) -> Self {
        Self { told: Rc::clone(told), ..Self::default() }
    }

    pub(crate) fn sending(told: &Log, messages: &[&[u8]]) -> Self {
        let app = Self::new(told);
        app.to_send.borrow_mut().extend(messages.iter().map(|message| message.to_vec()));
        app
    }

    fn ask(&self, cx: &mut Cx<'_>, me: StreamId) {
        if let Some(next) = self.to_send.borrow().front() {
            if self.declares {
                cx.request_tx_len(me, next.len() as u64).unwrap();
            } else {
                cx.request_tx(me).unwrap();
            }
        }
    }
}

impl StreamHandler for App {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        {
            let mut told = self.told.borrow_mut();
            told.pieces += 1;
            told.flags.push(flags);
            if flags.is_som() {
                told.messages.push(Vec::new());
                let text =
                    |name| cx.metadata(me, name).map(|value| String::from_utf8_lossy(value).into_owned());
                told.topics.extend(text("from"));
                told.retained.extend(text("kept"));
                told.read.extend(self.reads.iter().filter_map(|name| text(name)));
            }
            if let Some(message) = told.messages.last_mut() {
                message.extend_from_slice(payload);
            }
        }
        match &mut self.on_rx {
            Some(on_rx) => on_rx(cx, me),
            None => Flow::Ok,
        }
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let message = self.to_send.borrow().front().cloned();
        let Some(message) = message else { return TxFlow::DontSend };
        if tx.is_som() {
            self.sent_of = 0;
        }
        self.sent_of += tx.write(&message[self.sent_of..]);
        self.unacknowledged.insert(tx.ordinal(), message.clone());
        if self.sent_of < message.len() {
            cx.request_tx(me).unwrap();
            return TxFlow::Send;
        }
        tx.end_message();
        self.to_send.borrow_mut().pop_front();
        self.sent_of = 0;
        self.ask(cx, me);
        TxFlow::Send
    }

    fn resend(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.told.borrow_mut().resends += 1;
        let Some(message) = self.unacknowledged.get(&tx.ordinal()) else { return TxFlow::DontSend };
        if self.forgets {
            return TxFlow::DontSend;
        }
        if tx.is_som() {
            self.sent_of = 0;
        }
        self.sent_of += tx.write(&message[self.sent_of..]);
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, ack: u32) -> Flow {
        let mut told = self.told.borrow_mut();
        told.states.push((state, ack));
        if let Some(cause) = cx.cause(me) {
            told.cause = Some(cause.to_string());
        }
        match state {
            StreamState::Creating => {
                for (name, value) in &self.metadata {
                    cx.set_metadata(me, name, value).unwrap();
                }
                if self.connects {
                    cx.client_connect(me).unwrap();
                }
            }
            StreamState::Connected => self.ask(cx, me),
            StreamState::QosAckRemote | StreamState::QosNackRemote => {
                self.unacknowledged.remove(&ack);
            }
            _ => {}
        }
        Flow::Ok
    }
}

/// One context and one broker.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) context: Context,
    pub(crate) broker: Broker,
    pub(crate) near: Host,
    pub(crate) far: Host,
}

impl World {
    pub(crate) fn new(types: &str) -> Self {
        let network = Network::new(7);
        let (near, far) = (network.host("10.0.0.2"), network.host("10.0.0.1"));
        let broker = Broker::new(&network, &far);
        let policy = format!(
            r#"{{"retry": [{{"often": {{"backoff": [100, 1000], "conceal": 65535, "jitterpc": 20}}}},
                           {{"valid": {{"backoff": [100], "conceal": 9, "jitterpc": 0, "svalidping": 20, "svalidhup": 30}}}}],
                "s": [{types}]}}"#
        );
        let context = Context::builder().policy(&policy).unwrap().sim(near.clone()).build().unwrap();
        Self { network, context, broker, near, far }
    }

    pub(crate) fn create(&mut self, name: &str, app: App) -> StreamId {
        self.context.with(|cx| cx.create(name, app)).unwrap()
    }

    /// A stream of the type, and what it is told.
    pub(crate) fn stream(&mut self, name: &str) -> (StreamId, Log) {
        let told = Log::default();
        (self.create(name, App::new(&told)), told)
    }

    /// So many milliseconds, of which the broker has each.
    pub(crate) fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            let until = self.network.now().saturating_add(std::time::Duration::from_millis(1));
            self.network.run(&mut [&mut self.context], until).unwrap();
            self.broker.step();
        }
    }

    /// Seconds in which nothing happens but timers.
    pub(crate) fn run_secs(&mut self, secs: u64) {
        for _ in 0..secs * 10 {
            let until: Us = self.network.now().saturating_add(std::time::Duration::from_millis(100));
            self.network.run(&mut [&mut self.context], until).unwrap();
            self.broker.step();
        }
    }

    pub(crate) fn legal(&self) {
        assert_eq!(self.context.census().illegal_states, 0);
    }
}

/// A stream type: name, and what stands beside endpoint and protocol.
pub(crate) fn stream_type(name: &str, more: &str) -> String {
    format!(
        r#"{{"{name}": {{"endpoint": "10.0.0.1", "port": 1883, "protocol": "mqtt", "nailed_up": true, "retry": "often",
            "metadata": [{{"from": "topic"}}, {{"kept": "retained"}}, {{"who": ""}}] {more}}}}}"#
    )
}
