//! What idle connections cost the one that is active, and what they cost at all: a round trip among few and among many,
//! wake-ups, heap.
//!
//! `cargo bench --bench idle`

mod common;

use common::{Peer, elapsed, median, port_of};
use millstream::sim::Network;
use millstream::{
    Acceptor, Address, ClientInfo, ClientRole, Context, Cx, Flow, ListenInfo, Protocol, ServerRole, Target,
    Tx, TxFlow, Validity, WsiId,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FEW: usize = 100;
const MANY: usize = 15_000;
const VALIDATED: usize = 10_000;
const ROUNDS: usize = 40;
const TRIPS: usize = 1000;
/// Descriptors beside those of connections.
const SPARE: u64 = 100;
/// The first argument of a process that holds the other ends.
const CLIENT: &str = "hold-connections";

/// Sends each byte back.
#[derive(Default)]
struct Echo(u8);

impl Acceptor for Echo {
    fn accept(&mut self, _: &mut Cx<'_>, _: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Self::default()))
    }
}

impl Protocol for Echo {
    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8]) -> Flow {
        self.0 = payload.first().copied().unwrap_or_default();
        let _ = cx.wsi_request_tx(me);
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(&[self.0]);
        *cx.app::<bool>().expect("a flag") = true;
        TxFlow::Send
    }
}

/// As many descriptors as the system lets this process have.
fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most.saturating_sub(SPARE)).unwrap_or(usize::MAX)
}

/// The other process: connects, and holds all until its input ends.
fn hold(port: u16, count: usize) {
    raise_limit();
    let connect = |_| TcpStream::connect(("127.0.0.1", port)).expect("a server");
    let connections: Vec<_> = (0..count).map(connect).collect();
    let _ = std::io::stdin().read(&mut [0]);
    drop(connections);
}

/// A server with one active client and others that are idle.
struct Server {
    context: Context,
    port: u16,
    active: Peer,
    holder: Option<Child>,
}

fn live_bytes() -> f64 {
    let stats = HEAP.stats();
    stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
}

impl Server {
    fn new() -> Self {
        let mut context = Context::builder().app(false).build().expect("a context");
        let any = Address::Ip(SocketAddr::from(([127, 0, 0, 1], 0)));
        let info = ListenInfo::new(any, ServerRole::Raw);
        let port = context.with(|cx| {
            let vhost = cx.listen(info, Echo::default()).expect("a vhost");
            port_of(cx.vhost_address(vhost))
        });
        let active = Peer::new(port, 1);
        let mut server = Self { context, port, active, holder: None };
        // What one exchange leaves behind is there before anything is counted.
        server.trip();
        server
    }

    /// Another process connects, and then is silent. Returns the heap that each connection has taken.
    fn hold(&mut self, idle: usize) -> f64 {
        let before = live_bytes();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([CLIENT, &self.port.to_string(), &idle.to_string()]).stdin(Stdio::piped());
        self.holder = Some(command.spawn().expect("a second process"));
        // The listener and the active connection are rows too.
        while self.context.census().wsis != idle + 2 {
            self.service();
        }
        (live_bytes() - before) / idle as f64
    }

    fn service(&mut self) {
        self.context.service(Some(Duration::from_secs(1))).expect("a poller");
    }

    /// A byte there and back.
    fn trip(&mut self) {
        self.active.ask(b"x");
        while !self.context.with(|cx| cx.app::<bool>().is_some_and(std::mem::take)) {
            self.service();
        }
        self.active.take();
    }

    fn trips(&mut self, times: &mut Vec<f64>) {
        for _ in 0..TRIPS {
            times.push(elapsed(|| self.trip()).as_nanos() as f64);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

/// Medians of microseconds among few and among many idle connections, in turn, and the heap of an idle one.
fn round_trips(many: usize) -> (f64, f64, f64) {
    let (mut among_few, mut among_many) = (Server::new(), Server::new());
    among_few.hold(FEW);
    let heap = among_many.hold(many);
    let (mut few_times, mut many_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        among_few.trips(&mut few_times);
        among_many.trips(&mut many_times);
    }
    (median(few_times) / 1000.0, median(many_times) / 1000.0, heap)
}

/// A client that has nothing to say.
struct Silent;

impl Protocol for Silent {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }
}

/// How often the loop wakes up while validity is counted for many connections, until just before the first proof is due.
fn wake_ups() -> u64 {
    let network = Network::new(1);
    let mut context = Context::builder().sim(network.host("10.0.0.1")).build().expect("a context");
    let listener = network.listen(&network.host("10.0.0.2"), 7).expect("a free port");
    let mut info = ClientInfo::new(Target::Host("10.0.0.2".into(), 7), ClientRole::Raw);
    let validity = Validity::default();
    info.validity = Some(validity);
    let run = |context: &mut Context, for_secs: u64| {
        let until = network.now().saturating_add(Duration::from_secs(for_secs));
        network.run(&mut [context], until).expect("a loop that comes to rest");
    };
    let mut peers = Vec::new();
    while peers.len() < VALIDATED {
        for _ in 0..VALIDATED / 10 {
            context.with(|cx| cx.connect(&info, Silent));
        }
        run(&mut context, 1);
        peers.extend(std::iter::from_fn(|| listener.accept()));
    }
    assert_eq!(context.census().suls, VALIDATED);
    let before = context.waits();
    run(&mut context, validity.ping.map_or(0, |ping| ping.as_secs()) - 20);
    context.waits() - before
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, what, port, count, ..] = args.as_slice()
        && what == CLIENT
    {
        return hold(port.parse().expect("a port"), count.parse().expect("a number"));
    }
    let many = MANY.min(raise_limit().saturating_sub(FEW));
    let (few_us, many_us, heap) = round_trips(many);
    println!("| one active connection, real sockets | round trip, us |");
    println!("|---|---|");
    println!("| among {FEW} idle ones | {few_us:.2} |");
    println!("| among {many} idle ones | {many_us:.2} |");
    println!("| ratio of the two (at most 1.10 is wanted) | {:.2} |", many_us / few_us);
    println!();
    println!("| idle | |");
    println!("|---|---|");
    println!("| heap per raw server connection | {heap:.0} bytes |");
    println!("| wake-ups of {VALIDATED} validated connections in 280 s, nothing due | {} |", wake_ups());
}
