//! `millstream run`: one client stream of a policy; payload from standard input, to standard output; states on
//! standard error.

use crate::{Outcome, complain};
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Waker};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

/// How the command is used.
pub(crate) const USAGE: &str = "\
  millstream run [--set NAME=VALUE]... POLICY STREAMTYPE
      Runs one client stream: payload from standard input, to standard output; states on standard error.
      Exit status 0 when the peer has acknowledged the transaction, 1 when not, 2 when there was none.
";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    policy: PathBuf,
    streamtype: String,
    metadata: Vec<(String, String)>,
}

fn options(args: Vec<OsString>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut names = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--set" {
            let pair = args.next().and_then(|pair| pair.into_string().ok());
            let Some((name, value)) = pair.as_deref().and_then(|pair| pair.split_once('=')) else {
                return Err("--set needs NAME=VALUE".into());
            };
            options.metadata.push((name.to_owned(), value.to_owned()));
        } else if arg.to_str().is_some_and(|arg| arg.starts_with("--")) {
            return Err(format!("unknown option {}", arg.display()));
        } else {
            names.push(arg);
        }
    }
    let Ok([policy, streamtype]) = <[OsString; 2]>::try_from(names) else {
        return Err("run needs a policy file and the name of a stream type".into());
    };
    options.policy = policy.into();
    options.streamtype =
        streamtype.into_string().map_err(|name| format!("no stream type is {}", name.display()))?;
    Ok(options)
}

/// Pieces of standard input that may wait for the peer to take them.
const PIECES: usize = 4;

/// What came of the stream, for the exit status.
#[derive(Default)]
struct Verdict {
    acknowledged: bool,
    failed: bool,
}

struct Pipe {
    metadata: Vec<(String, String)>,
    /// Closed at the end of standard input. The loop is woken for each piece.
    input: Receiver<Vec<u8>>,
    piece: Vec<u8>,
}

impl StreamHandler for Pipe {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(payload).and_then(|()| out.flush());
        // Nobody reads on: the work is done.
        if written.is_err() { Flow::DestroyMe } else { Flow::Ok }
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        while tx.room() > 0 {
            if self.piece.is_empty() {
                match self.input.try_recv() {
                    Ok(piece) => self.piece = piece,
                    // Asked again when there is more: see EVENT_WAIT_CANCELLED.
                    Err(TryRecvError::Empty) => return TxFlow::Send,
                    Err(TryRecvError::Disconnected) => {
                        tx.end_message();
                        return TxFlow::Send;
                    }
                }
            }
            let sent = tx.write(&self.piece);
            self.piece.drain(..sent);
        }
        cx.request_tx(me).ok();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::EventWaitCancelled {
            cx.request_tx(me).ok();
            return Flow::Ok;
        }
        match cx.cause(me) {
            Some(cause) => eprintln!("{state}: {cause}"),
            None => eprintln!("{state}"),
        }
        match state {
            StreamState::Creating => {
                for (name, value) in std::mem::take(&mut self.metadata) {
                    if let Err(error) = cx.set_metadata(me, &name, value) {
                        eprintln!("millstream: --set {name}: {error}");
                        fail(cx);
                        return Flow::DestroyMe;
                    }
                }
                cx.request_tx(me).ok();
            }
            StreamState::QosAckRemote => {
                if let Some(outcome) = cx.app::<Verdict>() {
                    outcome.acknowledged = true;
                }
            }
            StreamState::QosNackRemote => fail(cx),
            StreamState::AllRetriesFailed | StreamState::AuthFailed => {
                fail(cx);
                return Flow::DestroyMe;
            }
            StreamState::Disconnected => return Flow::DestroyMe,
            StreamState::Destroying => cx.stop(),
            _ => {}
        }
        Flow::Ok
    }
}

fn fail(cx: &mut Cx<'_>) {
    if let Some(outcome) = cx.app::<Verdict>() {
        outcome.failed = true;
    }
}

/// Reads standard input beside the loop, which must not block on it.
fn read_input(waker: Waker) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(PIECES);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(len @ 1..) = input.read(&mut buffer) {
            if sender.send(buffer.get(..len).unwrap_or_default().to_vec()).is_err() {
                return;
            }
            waker.wake();
        }
        drop(sender);
        waker.wake();
    });
    receiver
}

/// Runs one stream to its end.
pub(crate) fn run(args: Vec<OsString>) -> Outcome {
    let options = match options(args) {
        Ok(options) => options,
        Err(error) => {
            complain(&format!("millstream: {error}\n\n{USAGE}"));
            return Outcome::Unusable;
        }
    };
    match try_run(options) {
        Ok(outcome) => outcome,
        Err(error) => {
            complain(&format!("millstream: {error}\n"));
            Outcome::Unusable
        }
    }
}

fn try_run(options: Options) -> Result<Outcome, Box<dyn std::error::Error>> {
    let path = options.policy.display().to_string();
    let text = std::fs::read_to_string(&options.policy).map_err(|error| format!("{path}: {error}"))?;
    let builder = Context::builder().policy(&text).map_err(|error| format!("{path}: {error}"))?;
    let mut context = builder.app(Verdict::default()).build()?;
    let input = read_input(context.waker());
    let pipe = Pipe { metadata: options.metadata, input, piece: Vec::new() };
    context.with(|cx| cx.create(&options.streamtype, pipe))?;
    context.run()?;
    let good =
        context.with(|cx| cx.app::<Verdict>().is_some_and(|verdict| verdict.acknowledged && !verdict.failed));
    Ok(if good { Outcome::Good } else { Outcome::Refused })
}
