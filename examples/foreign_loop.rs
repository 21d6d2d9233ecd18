//! Inside a poll loop of somebody else's: millstream is one file descriptor and a timeout there. The loop has work of its
//! own, a socket on which names arrive, one in each line; a stream greets each.
//!
//! `cargo run --example foreign_loop`

use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

const POLICY: &str = r#"{ "s": [
    { "server": { "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h1", "metadata": [ { "path": "" } ] } },
    { "greet": { "endpoint": "127.0.0.1:${port}", "protocol": "h1", "http_method": "GET", "http_url": "${name}",
        "opportunistic": true, "metadata": [ { "port": "" }, { "name": "" } ] } } ] }"#;

/// What the streams have brought, in the order in which it came.
type Greetings = Rc<RefCell<Vec<String>>>;

/// Greets whoever its path names.
struct Server;

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello ");
        tx.write(cx.metadata(me, "path").and_then(|path| path.strip_prefix(b"/")).unwrap_or(b"nobody"));
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            cx.server_ack(me, 0).ok();
            cx.request_tx(me).ok();
        }
        Flow::Ok
    }
}

struct Greeter {
    name: String,
    port: u16,
    greetings: Greetings,
    text: String,
}

impl StreamHandler for Greeter {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.text += &String::from_utf8_lossy(payload);
        if flags.is_eom() {
            self.greetings.borrow_mut().push(std::mem::take(&mut self.text));
        }
        Flow::Ok
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::Creating => {
                cx.set_metadata(me, "port", self.port.to_string()).ok();
                cx.set_metadata(me, "name", &self.name).ok();
                cx.client_connect(me).ok();
                Flow::Ok
            }
            StreamState::Disconnected | StreamState::AllRetriesFailed => Flow::DestroyMe,
            _ => Flow::Ok,
        }
    }
}

/// The loop: `names` is its own work, the context its guest. Ends when as many have been greeted as were named.
pub(crate) fn run(mut names: UnixStream) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut context = Context::builder().policy(POLICY)?.build()?;
    let server = context.with(|cx| cx.create("server", Server))?;
    let port = context.with(|cx| cx.server_address(server).and_then(millstream::Address::port)).unwrap_or(0);
    let greetings = Greetings::default();
    let (mut named, mut is_open, mut line) = (0, true, Vec::new());
    while is_open || greetings.borrow().len() < named {
        // Asked anew each time: a turn that has left something over wants no wait.
        let timeout = context.next_timeout().map(Timespec::try_from).transpose()?;
        let guest = context.poll_fd().ok_or("this context has no descriptor")?;
        // What has ended is always readable, and not looked at any more.
        let own = if is_open { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [PollFd::new(&names, own), PollFd::from_borrowed_fd(guest, PollFlags::IN)];
        poll(&mut fds, timeout.as_ref())?;
        let own = fds[0].revents();
        if is_open && !own.is_empty() {
            let mut bytes = [0; 256];
            let len = names.read(&mut bytes)?;
            is_open = len > 0;
            line.extend_from_slice(&bytes[..len]);
            while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                named += 1;
                let name = String::from_utf8_lossy(&line[..end]).into_owned();
                line.drain(..=end);
                let greeter = Greeter { name, port, greetings: Rc::clone(&greetings), text: String::new() };
                context.with(|cx| cx.create("greet", greeter))?;
            }
        }
        context.service(Some(std::time::Duration::ZERO))?;
    }
    Ok(greetings.take())
}

#[allow(dead_code, reason = "a test takes the loop alone")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let thread = std::thread::spawn(move || theirs.write_all(b"anne\nbob\ncarl\n"));
    for greeting in run(ours)? {
        println!("{greeting}");
    }
    thread.join().map_err(|_| "the thread failed")??;
    Ok(())
}
