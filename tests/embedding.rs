//! The loop inside the loops of others, and under the hands of other threads.

#![cfg(feature = "h1")]

use millstream::{
    Acceptor, Address, Context, Cx, Error, Flow, Interest, ListenInfo, PollHost, Protocol, Readiness,
    ServerRole, Tx, TxFlow, WsiId,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

#[cfg(feature = "raw")]
#[path = "../examples/broadcast.rs"]
mod broadcast;
#[path = "../examples/external_poll.rs"]
mod external_poll;
#[path = "../examples/foreign_loop.rs"]
mod foreign_loop;
#[cfg(feature = "raw")]
#[path = "../examples/own_main.rs"]
mod own_main;
#[path = "../examples/threads.rs"]
mod threads;

#[test]
fn a_poll_loop_of_somebody_else_s_serves_a_context_as_one_of_its_descriptors() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let names: Vec<String> = (0..100).map(|nth| format!("name{nth}")).collect();
    let text = names.join("\n") + "\n";
    let thread = std::thread::spawn(move || {
        for piece in text.as_bytes().chunks(5) {
            theirs.write_all(piece).unwrap();
        }
    });
    let mut greetings = foreign_loop::run(ours).unwrap();
    thread.join().unwrap();
    let mut wanted: Vec<String> = names.iter().map(|name| format!("hello {name}")).collect();
    greetings.sort();
    wanted.sort();
    assert_eq!(greetings, wanted);
}

#[cfg(feature = "raw")]
#[test]
fn a_program_with_a_main_of_its_own_serves_the_loop_between_other_things() {
    assert_eq!(own_main::run(10).unwrap(), "hello");
}

#[cfg(feature = "raw")]
#[test]
fn what_a_thread_says_reaches_all_clients_of_a_server() {
    let wanted = (0..100).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(broadcast::run(100, 5).unwrap(), vec![wanted; 5]);
}

#[test]
fn a_poll_loop_that_owns_every_descriptor_serves_a_context_descriptor_by_descriptor() {
    assert_eq!(external_poll::run(50).unwrap(), 50 * 200_000);
}

/// Gives back what it gets.
#[derive(Default)]
struct Echo(Vec<u8>);

impl Protocol for Echo {
    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8]) -> Flow {
        self.0.extend_from_slice(payload);
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.0);
        self.0.drain(..sent);
        if !self.0.is_empty() {
            cx.wsi_request_tx(me).unwrap();
        }
        TxFlow::Send
    }
}

struct Door;

impl Acceptor for Door {
    fn accept(&mut self, _: &mut Cx<'_>, _: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        Some(Box::<Echo>::default())
    }
}

#[test]
fn contexts_in_threads_of_their_own_share_a_port() {
    let served = threads::run(3, 60).unwrap();
    assert_eq!(served.iter().sum::<usize>(), 60);
    // The system deals by a hash of the addresses: that all sixty came to one is as good as impossible.
    assert!(served.iter().filter(|served| **served > 0).count() > 1, "{served:?}");
}

/// What a host was told of each descriptor, by number.
type Told = Rc<RefCell<BTreeMap<RawFd, (OwnedFd, Interest)>>>;

struct Host(Told);

impl PollHost for Host {
    fn add(&mut self, fd: BorrowedFd<'_>, interest: Interest) {
        let duplicate = fd.try_clone_to_owned().unwrap();
        assert!(self.0.borrow_mut().insert(fd.as_raw_fd(), (duplicate, interest)).is_none());
    }

    fn change(&mut self, fd: BorrowedFd<'_>, interest: Interest) {
        let mut told = self.0.borrow_mut();
        let row = told.get_mut(&fd.as_raw_fd()).expect("a descriptor that was added");
        assert_ne!(row.1, interest, "what does not change is not told");
        row.1 = interest;
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) {
        self.0.borrow_mut().remove(&fd.as_raw_fd()).expect("a descriptor that was added");
    }
}

/// One poll by level, without a wait: who was found, and what for.
fn poll_once(told: &Told) -> Vec<(RawFd, Readiness)> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let rows = told.borrow();
    let mut found = Vec::new();
    for (number, (fd, interest)) in rows.iter().filter(|(_, (_, interest))| !interest.is_none()) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, interest.readable);
        flags.set(PollFlags::OUT, interest.writable);
        let mut fds = [PollFd::new(fd, flags)];
        poll(&mut fds, Some(&Timespec::default())).unwrap();
        let is = |flag| fds[0].revents().intersects(flag);
        let ready = Readiness {
            readable: is(PollFlags::IN),
            writable: is(PollFlags::OUT),
            hangup: is(PollFlags::HUP),
            error: is(PollFlags::ERR),
        };
        if !ready.is_none() {
            found.push((*number, ready));
        }
    }
    found
}

/// Listens to nobody.
struct Deaf;

impl Acceptor for Deaf {
    fn accept(&mut self, cx: &mut Cx<'_>, me: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        cx.sul_schedule(Duration::ZERO, move |cx| cx.wsi_rx_flow(me, false).unwrap());
        Some(Box::<Echo>::default())
    }
}

#[test]
fn a_host_that_polls_by_level_is_not_kept_awake_by_what_nobody_wants() {
    let told = Told::default();
    let mut context = Context::builder().poll_host(Host(Rc::clone(&told))).build().unwrap();
    assert!(matches!(context.run(), Err(Error::WrongKind(_))), "its host serves it");
    let info = ListenInfo::new(Address::Ip("127.0.0.1:0".parse().unwrap()), ServerRole::Raw);
    let port = context.with(|cx| {
        let vhost = cx.listen(info, Deaf).unwrap();
        cx.vhost_address(vhost).and_then(Address::port).unwrap()
    });
    let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
    peer.write_all(&[7; 1000]).unwrap();
    let mut served = 0;
    while served < 1000 {
        let found = poll_once(&told);
        // Accepted, told to be deaf, and found to be both readable and writable.
        if found.is_empty() && context.next_timeout().is_none() && context.census().wsis == 2 {
            break;
        }
        for (fd, mut ready) in found {
            assert!(context.service_fd(fd, &mut ready).unwrap());
            assert!(ready.is_none(), "what was served is cleared");
            served += 1;
        }
        context.service(Some(Duration::ZERO)).unwrap();
    }
    assert!(served < 20, "served {served} times for one connection");
    assert!(poll_once(&told).is_empty());
    // A descriptor of somebody else's is none of ours, and is left alone.
    let mut ready = Readiness { readable: true, ..Readiness::default() };
    assert!(!context.service_fd(peer.as_raw_fd(), &mut ready).unwrap() && ready.readable);
    drop(context);
    assert!(told.borrow().is_empty());
}

#[test]
fn a_call_from_another_thread_shows_on_one_of_the_host_s_descriptors() {
    let told = Told::default();
    let mut context = Context::builder().poll_host(Host(Rc::clone(&told))).build().unwrap();
    let remote = context.remote();
    std::thread::spawn(move || remote.attach(|cx| cx.stop())).join().unwrap().unwrap();
    let found = poll_once(&told);
    assert_eq!(found.len(), 1);
    for (fd, mut ready) in found {
        assert!(context.service_fd(fd, &mut ready).unwrap());
    }
    context.service(Some(Duration::ZERO)).unwrap();
    assert!(context.is_stopping());
    assert!(poll_once(&told).is_empty(), "what was answered rings no more");
}

/// More than a connection may read in one turn.
const MUCH: usize = 3_000_000;

#[test]
fn readiness_that_one_turn_leaves_over_shows_in_the_timeout() {
    let mut context = Context::builder().build().unwrap();
    let info = ListenInfo::new(Address::Ip("127.0.0.1:0".parse().unwrap()), ServerRole::Raw);
    let port = context.with(|cx| {
        let vhost = cx.listen(info, Door).unwrap();
        cx.vhost_address(vhost).and_then(Address::port).unwrap()
    });
    let thread = std::thread::spawn(move || {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut reader = socket.try_clone().unwrap();
        let writer = std::thread::spawn(move || socket.write_all(&vec![7; MUCH]).unwrap());
        let mut got = vec![0; MUCH];
        reader.read_exact(&mut got).unwrap();
        writer.join().unwrap();
    });
    while !thread.is_finished() {
        let timeout =
            context.next_timeout().unwrap_or(Duration::from_millis(100)).min(Duration::from_millis(100));
        let timeout = rustix::event::Timespec::try_from(timeout).unwrap();
        let fd = context.poll_fd().unwrap();
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&timeout)).unwrap();
        context.service(Some(Duration::ZERO)).unwrap();
    }
    thread.join().unwrap();
}

#[test]
fn calls_of_many_threads_are_all_served_in_the_order_of_each() {
    const THREADS: usize = 8;
    const CALLS: usize = 20_000;
    let mut context = Context::builder().app([0_usize; THREADS]).build().unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let remote = context.remote();
            std::thread::spawn(move || {
                for nth in 0..CALLS {
                    let call = move |cx: &mut Cx<'_>| {
                        let seen = cx.app::<[usize; THREADS]>().unwrap();
                        assert_eq!(seen[thread], nth, "each thread's calls come in its order");
                        seen[thread] += 1;
                        if seen.iter().sum::<usize>() == THREADS * CALLS {
                            cx.stop();
                        }
                    };
                    remote.attach(call).unwrap();
                }
            })
        })
        .collect();
    // A call that is lost, or a ring for it, would leave this waiting for ever.
    context.run().unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_loop_that_sleeps_between_calls_is_woken_for_each() {
    let mut context = Context::builder().build().unwrap();
    let remote = context.remote();
    let (ping, pinged) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        for _ in 0..10_000 {
            let ping = ping.clone();
            remote.attach(move |_| ping.send(()).unwrap()).unwrap();
            pinged.recv().unwrap();
        }
        remote.attach(|cx| cx.stop()).unwrap();
        remote
    });
    context.run().unwrap();
    let remote = thread.join().unwrap();
    drop(context);
    assert!(remote.attach(|_| ()).is_err(), "who calls a context that has ended is told");
}

#[test]
fn a_call_reaches_a_simulated_loop_without_time_passing() {
    let network = millstream::sim::Network::new(1);
    let mut context = Context::builder().sim(network.host("10.0.0.1")).build().unwrap();
    let ran = Rc::new(Cell::new(false));
    let remote = context.remote();
    std::thread::spawn(move || remote.attach(|cx| cx.stop())).join().unwrap().unwrap();
    context.with(|cx| {
        let ran = Rc::clone(&ran);
        cx.sul_schedule(Duration::from_secs(1), move |_| ran.set(true));
    });
    context.service(None).unwrap();
    assert!(context.is_stopping() && !ran.get(), "a simulated loop hears of it without time passing");
}
