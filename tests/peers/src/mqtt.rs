//! Streams over MQTT for tests against brokers: what they have heard, and a context for those of one type.

use crate::WATCHDOG;
use crate::certificates::Certificates;
use millstream::{Blob, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a stream was told.
#[derive(Default, Debug)]
pub struct Heard {
    pub states: Vec<StreamState>,
    pub messages: Vec<String>,
    pub topics: Vec<String>,
    pub retained: Vec<String>,
    /// Content type, response topic, correlation data and the user property `x-origin`, each empty where there is none.
    pub properties: Vec<[String; 4]>,
    pub cause: Option<String>,
}

impl Heard {
    pub fn count(&self, state: StreamState) -> usize {
        self.states.iter().filter(|told| **told == state).count()
    }
}

/// Sends what it is given, one message after the other, and has each until it is acknowledged.
struct App {
    heard: Rc<RefCell<Heard>>,
    to_send: Rc<RefCell<VecDeque<String>>>,
    unacknowledged: BTreeMap<u32, String>,
    sent: usize,
    metadata: Vec<(&'static str, &'static str)>,
}

impl App {
    fn ask(&self, cx: &mut Cx<'_>, me: StreamId) {
        if let Some(next) = self.to_send.borrow().front() {
            cx.request_tx_len(me, next.len() as u64).unwrap();
        }
    }
}

impl StreamHandler for App {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut heard = self.heard.borrow_mut();
        if flags.is_som() {
            heard.messages.push(String::new());
            let text = |name| String::from_utf8(cx.metadata(me, name).unwrap().to_vec()).unwrap();
            heard.topics.push(text("from"));
            heard.retained.push(text("kept"));
            let maybe = |name| String::from_utf8(cx.metadata(me, name).unwrap_or_default().to_vec()).unwrap();
            heard.properties.push(["type", "reply", "ask", "origin"].map(maybe));
        }
        heard.messages.last_mut().unwrap().push_str(std::str::from_utf8(payload).unwrap());
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let message = self.to_send.borrow().front().cloned();
        let Some(message) = message else { return TxFlow::DontSend };
        if tx.is_som() {
            self.sent = 0;
        }
        self.sent += tx.write(&message.as_bytes()[self.sent..]);
        if self.sent < message.len() {
            cx.request_tx(me).unwrap();
            return TxFlow::Send;
        }
        self.to_send.borrow_mut().pop_front();
        self.unacknowledged.insert(tx.ordinal(), message);
        self.ask(cx, me);
        TxFlow::Send
    }

    fn resend(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(message) = self.unacknowledged.get(&tx.ordinal()) else { return TxFlow::DontSend };
        if tx.is_som() {
            self.sent = 0;
        }
        self.sent += tx.write(&message.as_bytes()[self.sent..]);
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, ordinal: u32) -> Flow {
        let mut heard = self.heard.borrow_mut();
        heard.states.push(state);
        heard.cause = cx.cause(me).map(|cause| cause.to_string()).or(heard.cause.take());
        match state {
            StreamState::Creating => {
                for (name, value) in &self.metadata {
                    cx.set_metadata(me, name, value).unwrap();
                }
            }
            StreamState::Connected => self.ask(cx, me),
            StreamState::QosAckRemote | StreamState::QosNackRemote => {
                self.unacknowledged.remove(&ordinal);
            }
            _ => {}
        }
        Flow::Ok
    }
}

/// One stream, and what it still has to send.
pub struct Handle {
    pub id: StreamId,
    pub heard: Rc<RefCell<Heard>>,
    to_send: Rc<RefCell<VecDeque<String>>>,
}

/// A context with streams of one type.
pub struct Side {
    pub context: Context,
}

impl Side {
    /// Plain, to this port.
    pub fn new(port: u16, keys: &str) -> Self {
        Self::with(&Certificates::default(), port, "", keys)
    }

    /// With these keys for what is below MQTT.
    pub fn with(certificates: &Certificates, port: u16, below: &str, keys: &str) -> Self {
        let policy = format!(
            r#"{{{}, "retry": [{{"soon": {{"backoff": [20], "conceal": 65535, "jitterpc": 0}}}}], "s": [{{"it": {{
                "endpoint": "localhost", "port": {port}, "protocol": "mqtt", "nailed_up": true, "retry": "soon", {below}
                "metadata": [{{"from": "topic"}}, {{"kept": "retained"}}, {{"type": "content-type"}},
                    {{"reply": "response-topic"}}, {{"ask": "correlation-data"}}, {{"origin": "x-origin"}}], {keys} }}}}]}}"#,
            certificates.policy()
        );
        let mut context = Context::builder().policy(&policy).unwrap().build().unwrap();
        context.with(|cx| cx.set_blob(Blob::MqttClientId, "peer"));
        Self { context }
    }

    /// The client's certificate and key, for a policy that says `client_cert`.
    pub fn certify(&mut self, certificates: &Certificates) {
        self.context.with(|cx| {
            cx.set_blob(Blob::ClientCert(0), certificates.client.clone());
            cx.set_blob(Blob::ClientKey(0), certificates.client_key.clone());
        });
    }

    /// A stream that sends these messages.
    pub fn stream(&mut self, messages: &[&str]) -> Handle {
        self.stream_with(messages, &[])
    }

    /// A stream that sends these messages with this metadata.
    pub fn stream_with(&mut self, messages: &[&str], metadata: &[(&'static str, &'static str)]) -> Handle {
        let heard = Rc::default();
        let to_send: VecDeque<_> = messages.iter().map(|message| (*message).to_owned()).collect();
        let to_send = Rc::new(RefCell::new(to_send));
        let (told, sending) = (Rc::clone(&heard), Rc::clone(&to_send));
        let unacknowledged = BTreeMap::new();
        let app = App { heard: told, to_send: sending, unacknowledged, sent: 0, metadata: metadata.to_vec() };
        let id = self.context.with(|cx| cx.create("it", app)).unwrap();
        Handle { id, heard, to_send }
    }

    /// One more message.
    pub fn send(&mut self, stream: &Handle, message: &str) {
        stream.to_send.borrow_mut().push_back(message.to_owned());
        self.context.with(|cx| cx.request_tx_len(stream.id, message.len() as u64)).unwrap();
    }

    #[allow(clippy::disallowed_methods, reason = "a watchdog needs real time")]
    pub fn until(&mut self, stream: &Handle, is_there: impl Fn(&Heard) -> bool) {
        let begin = Instant::now();
        while !is_there(&stream.heard.borrow()) {
            self.context.service(Some(Duration::from_secs(1))).unwrap();
            assert!(begin.elapsed() < WATCHDOG, "stuck after {:?}", stream.heard.borrow());
        }
    }

    pub fn connected(&mut self, stream: &Handle) {
        self.until(stream, |heard| heard.count(StreamState::Connected) > 0);
    }

    /// Until the stream has had one connection for this long. A machine that stalls may cost it one; who never keeps
    /// one alive is stuck.
    #[allow(clippy::disallowed_methods, reason = "a broker's clock is real")]
    pub fn lives_for(&mut self, stream: &Handle, time: Duration) {
        let begin = Instant::now();
        let (mut lost, mut since) = (0, begin);
        while let Some(left) = time.checked_sub(since.elapsed()) {
            self.context.service(Some(left)).unwrap();
            let heard = stream.heard.borrow();
            if heard.count(StreamState::Disconnected) > lost {
                (lost, since) = (heard.count(StreamState::Disconnected), Instant::now());
            }
            assert!(begin.elapsed() < WATCHDOG, "never kept a connection: {heard:?}");
        }
    }
}
