//! Full external polling: a plain `poll(2)` loop that owns every descriptor, those of a context included
//! (`cargo run --example external_poll`).

use millstream::{
    Context, Cx, Flow, Interest, PollHost, Readiness, RxFlags, StreamHandler, StreamId, StreamState, Tx,
    TxFlow,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{ "s": [
    { "server": { "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h1" } },
    { "get": { "endpoint": "127.0.0.1:${port}", "protocol": "h1", "http_method": "GET", "http_url": "/",
        "opportunistic": true, "metadata": [ { "port": "" } ] } } ] }"#;

/// The loop's table: each descriptor by its number, a duplicate to poll, and what for.
#[derive(Clone, Default)]
struct Table(Rc<RefCell<BTreeMap<RawFd, (OwnedFd, Interest)>>>);

impl PollHost for Table {
    fn add(&mut self, fd: BorrowedFd<'_>, interest: Interest) {
        // Without a duplicate there is nothing to poll; the context's own timeouts then end the connection.
        let Ok(duplicate) = fd.try_clone_to_owned() else { return };
        self.0.borrow_mut().insert(fd.as_raw_fd(), (duplicate, interest));
    }

    fn change(&mut self, fd: BorrowedFd<'_>, interest: Interest) {
        self.0.borrow_mut().entry(fd.as_raw_fd()).and_modify(|row| row.1 = interest);
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) {
        self.0.borrow_mut().remove(&fd.as_raw_fd());
    }
}

impl Table {
    /// One `poll(2)` over all rows: who was found to be what.
    fn poll(&self, timeout: Option<Duration>) -> Result<Vec<(RawFd, Readiness)>, Box<dyn std::error::Error>> {
        let rows = self.0.borrow();
        let wanted: Vec<_> = rows.iter().filter(|(_, (_, interest))| !interest.is_none()).collect();
        let mut fds: Vec<_> =
            wanted.iter().map(|(_, (fd, interest))| PollFd::new(fd, flags(*interest))).collect();
        let timeout = timeout.map(Timespec::try_from).transpose()?;
        poll(&mut fds, timeout.as_ref())?;
        let found = fds.iter().zip(&wanted).map(|(fd, (number, _))| (**number, readiness(fd.revents())));
        Ok(found.filter(|(_, found)| !found.is_none()).collect())
    }
}

fn flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.readable);
    flags.set(PollFlags::OUT, interest.writable);
    flags
}

fn readiness(found: PollFlags) -> Readiness {
    Readiness {
        readable: found.contains(PollFlags::IN),
        writable: found.contains(PollFlags::OUT),
        hangup: found.contains(PollFlags::HUP),
        error: found.intersects(PollFlags::ERR | PollFlags::NVAL),
    }
}

/// Gives each client this much.
const MUCH: usize = 200_000;

struct Server;

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.fill(|room| room.len());
        cx.request_tx(me).ok();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            cx.request_tx_len(me, MUCH as u64).ok();
        }
        Flow::Ok
    }
}

/// What the clients have brought, and how many are still at it.
struct Progress {
    received: usize,
    left: usize,
}

fn progress<'a>(cx: &'a mut Cx<'_>) -> &'a mut Progress {
    cx.app().expect("the context was made with it")
}

struct Client(u16);

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        progress(cx).received += payload.len();
        Flow::Ok
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::Creating => {
                cx.set_metadata(me, "port", self.0.to_string()).ok();
                cx.client_connect(me).ok();
            }
            StreamState::Disconnected | StreamState::AllRetriesFailed => return Flow::DestroyMe,
            StreamState::Destroying => progress(cx).left -= 1,
            _ => {}
        }
        Flow::Ok
    }
}

/// Polls until all clients have ended: what they have received.
pub(crate) fn run(clients: usize) -> Result<usize, Box<dyn std::error::Error>> {
    let table = Table::default();
    let app = Progress { received: 0, left: clients };
    let mut context = Context::builder().policy(POLICY)?.app(app).poll_host(table.clone()).build()?;
    context.with(|cx| -> Result<(), millstream::Error> {
        let server = cx.create("server", Server)?;
        let port = cx.server_address(server).and_then(millstream::Address::port).unwrap_or(0);
        (0..clients).try_for_each(|_| cx.create("get", Client(port)).map(drop))
    })?;
    while context.with(|cx| progress(cx).left > 0) {
        for (fd, mut found) in table.poll(context.next_timeout())? {
            context.service_fd(fd, &mut found)?;
        }
        context.service(Some(Duration::ZERO))?;
    }
    Ok(context.with(|cx| progress(cx).received))
}

#[allow(dead_code, reason = "a test takes the loop alone")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("10 clients have received {} bytes", run(10)?);
    Ok(())
}
