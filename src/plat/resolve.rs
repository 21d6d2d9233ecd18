//! Names, without blocking the loop: the system's own resolver in a thread of its own, started with the first name.

use super::Resolution;
use super::waker::{Bell, ring};
use crate::cause::DnsFailure;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};

/// Names that may wait for their turn; more are refused.
const WAITING: usize = 256;

struct Question {
    name: String,
    port: u16,
    token: u64,
}

/// Asks in a thread, answers on the loop.
#[derive(Debug)]
pub(super) struct Resolver {
    bell: Arc<Bell>,
    questions: Option<SyncSender<Question>>,
    answers: (Sender<Resolution>, Receiver<Resolution>),
}

impl Resolver {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self { bell, questions: None, answers: channel() }
    }

    pub(super) fn ask(&mut self, name: &str, port: u16, token: u64) {
        let question = Question { name: name.to_owned(), port, token };
        let questions = match &self.questions {
            Some(questions) => questions,
            None => match self.start() {
                Ok(questions) => self.questions.insert(questions),
                Err(_) => return self.refuse(token),
            },
        };
        match questions.try_send(question) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.refuse(token),
        }
    }

    pub(super) fn answer(&self) -> Option<Resolution> {
        self.answers.1.try_recv().ok()
    }

    /// The answer is that there will be none.
    fn refuse(&self, token: u64) {
        let _ = self.answers.0.send(Resolution { token, result: Err(DnsFailure::ServerFailure) });
        self.bell.ring(ring::RESOLVED);
    }

    fn start(&self) -> std::io::Result<SyncSender<Question>> {
        let (questions, asked) = sync_channel::<Question>(WAITING);
        let (answers, bell) = (self.answers.0.clone(), Arc::clone(&self.bell));
        std::thread::Builder::new().name("millstream-names".into()).spawn(move || {
            // Ends when the context drops its side.
            for Question { name, port, token } in asked {
                let result = look_up(&name, port);
                if answers.send(Resolution { token, result }).is_err() {
                    return;
                }
                bell.ring(ring::RESOLVED);
            }
        })?;
        Ok(questions)
    }
}

/// The standard library says only in words why there is no answer.
fn look_up(name: &str, port: u16) -> Result<super::unix::Found, DnsFailure> {
    match (name, port).to_socket_addrs() {
        Ok(addresses) => {
            let found: Vec<_> = addresses.collect();
            if found.is_empty() { Err(DnsFailure::NoAddress) } else { Ok(found) }
        }
        Err(error) => {
            let words = error.to_string();
            Err(if words.contains("Temporary failure") {
                DnsFailure::ServerUnreachable
            } else if words.contains("No address") {
                DnsFailure::NoAddress
            } else if words.contains("not known") {
                DnsFailure::NoSuchName
            } else {
                DnsFailure::ServerFailure
            })
        }
    }
}
