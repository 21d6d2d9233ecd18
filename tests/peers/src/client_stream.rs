//! A client stream that says what it is told to, and remembers what it hears.

use crate::{Digest, WATCHDOG, pattern};
use millstream::{Cause, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

/// What a stream is to do.
#[derive(Clone, Default)]
pub struct Task {
    pub metadata: Vec<(&'static str, String)>,
    /// Payload of [`pattern`] to send, and whether its length is declared.
    pub upload: Option<(u64, bool)>,
    /// Transactions, one after the other.
    pub times: usize,
}

/// What a stream has heard.
#[derive(Default, Debug)]
pub struct Heard {
    pub states: Vec<StreamState>,
    pub payload: Vec<u8>,
    pub digest: Digest,
    pub messages: usize,
    pub metadata: HashMap<&'static str, String>,
    pub cause: Option<String>,
    over: bool,
}

impl Heard {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    pub fn count(&self, state: StreamState) -> usize {
        self.states.iter().filter(|told| **told == state).count()
    }
}

/// The metadata that is looked at when there is some.
const NAMES: [&str; 7] = ["mime", "down", "agent", "sum", "framing", "method", "nth"];

struct Client {
    task: Task,
    heard: Rc<RefCell<Heard>>,
    sent: u64,
}

impl Client {
    fn ask(&mut self, cx: &mut Cx<'_>, me: StreamId) {
        self.sent = 0;
        match self.task.upload {
            None => cx.client_connect(me).unwrap(),
            Some((len, true)) => cx.request_tx_len(me, len).unwrap(),
            Some((_, false)) => cx.request_tx(me).unwrap(),
        }
    }
}

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut heard = self.heard.borrow_mut();
        assert_eq!(
            flags.is_som(),
            heard.payload.is_empty() && heard.digest.1 == 0,
            "one beginning for each message"
        );
        heard.digest.add(payload);
        if heard.payload.len() < 10_000 {
            heard.payload.extend_from_slice(payload);
        }
        if flags.is_eom() {
            heard.messages += 1;
        }
        for name in NAMES {
            if let Some(value) = cx.metadata(me, name) {
                heard.metadata.insert(name, String::from_utf8(value.to_vec()).unwrap());
            }
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some((len, _)) = self.task.upload else { return TxFlow::DontSend };
        let left = len - self.sent;
        self.sent += tx.fill(|room| {
            let len = room.len().min(usize::try_from(left).unwrap());
            room[..len].iter_mut().zip(self.sent..).for_each(|(byte, at)| *byte = pattern(at));
            len
        }) as u64;
        if self.sent == len {
            tx.end_message();
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.heard.borrow_mut().states.push(state);
        match state {
            StreamState::Creating => {
                for (name, value) in &self.task.metadata {
                    cx.set_metadata(me, name, value).unwrap();
                }
                self.ask(cx, me);
            }
            StreamState::AllRetriesFailed | StreamState::Disconnected => {
                self.heard.borrow_mut().cause = cx.cause(me).map(Cause::to_string);
                if state == StreamState::Disconnected && self.task.times > 1 {
                    self.task.times -= 1;
                    let mut heard = self.heard.borrow_mut();
                    (heard.payload, heard.digest) = Default::default();
                    drop(heard);
                    self.ask(cx, me);
                    return Flow::Ok;
                }
                return Flow::DestroyMe;
            }
            StreamState::Destroying => self.heard.borrow_mut().over = true,
            _ => {}
        }
        Flow::Ok
    }
}

/// Runs one stream to its end.
pub fn run(policy: &str, streamtype: &str, task: Task) -> Heard {
    run_all(policy, streamtype, vec![task]).remove(0)
}

/// Runs streams beside each other, all of them to their ends.
#[allow(clippy::disallowed_methods, reason = "a watchdog needs real time")]
pub fn run_all(policy: &str, streamtype: &str, tasks: Vec<Task>) -> Vec<Heard> {
    let mut context = Context::builder().policy(policy).unwrap().build().unwrap();
    let mut all = Vec::new();
    for task in tasks {
        let heard = Rc::new(RefCell::new(Heard::default()));
        let client = Client { task, heard: Rc::clone(&heard), sent: 0 };
        context.with(|cx| cx.create(streamtype, client)).unwrap();
        all.push(heard);
    }
    let begin = Instant::now();
    while let Some(waiting) = all.iter().find(|heard| !heard.borrow().over) {
        context.service(Some(WATCHDOG)).unwrap();
        assert!(begin.elapsed() < WATCHDOG, "stuck after {:?}", waiting.borrow());
    }
    drop(context);
    all.into_iter().map(|heard| Rc::into_inner(heard).expect("nobody else has it").into_inner()).collect()
}
