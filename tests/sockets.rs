//! Descriptors of all kinds as connections, how sockets are marked and bound, and how many one peer may have.

#![cfg(feature = "raw")]

use millstream::*;
#[cfg(feature = "raw")]
use rustix::fd::{BorrowedFd, OwnedFd};
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

#[derive(Default)]
struct Told {
    received: Vec<u8>,
    sent: usize,
    closed: bool,
}

/// Keeps what it gets, and sends what it has.
#[derive(Default)]
struct Keeper {
    told: Rc<RefCell<Told>>,
    to_send: Vec<u8>,
}

impl Protocol for Keeper {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        if !self.to_send.is_empty() {
            cx.wsi_request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8]) -> Flow {
        self.told.borrow_mut().received.extend_from_slice(payload);
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.to_send);
        self.to_send.drain(..sent);
        self.told.borrow_mut().sent += sent;
        if self.to_send.is_empty() {
            cx.wsi_close(me).unwrap();
        } else {
            cx.wsi_request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn closed(&mut self, _: &mut Cx<'_>, _: WsiId, _: Option<&Cause>) {
        self.told.borrow_mut().closed = true;
    }
}

fn context() -> Context {
    Context::builder().build().unwrap()
}

fn serve_until(context: &mut Context, mut done: impl FnMut() -> bool) {
    while !done() {
        context.service(Some(Duration::from_secs(5))).unwrap();
    }
}

fn adopt(context: &mut Context, file: impl Into<Adopted>, to_send: &[u8]) -> Rc<RefCell<Told>> {
    let told = Rc::default();
    let keeper = Keeper { told: Rc::clone(&told), to_send: to_send.to_vec() };
    context.with(|cx| cx.adopt_socket(file, keeper)).unwrap();
    told
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let mut context = context();
    let (read, write) = rustix::pipe::pipe().unwrap();
    let told = adopt(&mut context, read, b"");
    let mut write = File::from(write);
    write.write_all(b"one ").unwrap();
    serve_until(&mut context, || told.borrow().received == b"one ");
    write.write_all(b"two").unwrap();
    drop(write);
    serve_until(&mut context, || told.borrow().closed);
    assert_eq!(told.borrow().received, b"one two");
    while context.census().wsis > 0 {
        context.service(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn a_full_pipe_holds_up_its_writer_until_somebody_reads() {
    let mut context = context();
    let (read, write) = rustix::pipe::pipe().unwrap();
    let payload: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    let told = adopt(&mut context, write, &payload);
    let mut turns = 0;
    while turns < 100 {
        context.service(Some(Duration::ZERO)).unwrap();
        turns += 1;
    }
    assert!(told.borrow().sent < payload.len());
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        File::from(read).read_to_end(&mut all).unwrap();
        all
    });
    serve_until(&mut context, || told.borrow().closed);
    while context.census().wsis > 0 {
        context.service(Some(Duration::ZERO)).unwrap();
    }
    assert!(reader.join().unwrap() == payload);
}

#[test]
fn a_fifo_is_a_pipe_with_a_name() {
    let mut context = context();
    let path = std::env::temp_dir().join(format!("millstream-fifo-{}", std::process::id()));
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let both = File::options().read(true).write(true).open(&path).unwrap();
    let told = adopt(&mut context, both, b"");
    File::options().write(true).open(&path).unwrap().write_all(b"through a fifo").unwrap();
    std::fs::remove_file(&path).unwrap();
    serve_until(&mut context, || told.borrow().received == b"through a fifo");
}

#[test]
fn a_terminal_is_read_and_written() {
    let mut context = context();
    let controller =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&controller).unwrap();
    rustix::pty::unlockpt(&controller).unwrap();
    let name = rustix::pty::ptsname(&controller, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let told = adopt(&mut context, terminal, b"");
    let mut controller = File::from(controller);
    controller.write_all(b"a line\n").unwrap();
    serve_until(&mut context, || told.borrow().received == b"a line\n");
    // Its echo, as a terminal does it.
    let mut echo = [0; 8];
    controller.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"a line\r\n");
}

#[test]
fn inotify_tells_of_a_file() {
    use rustix::fs::inotify;
    let mut context = context();
    let directory = std::env::temp_dir().join(format!("millstream-inotify-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, &directory, inotify::WatchFlags::CREATE).unwrap();
    let told = adopt(&mut context, watch, b"");
    std::fs::write(directory.join("appears"), b"").unwrap();
    serve_until(&mut context, || !told.borrow().received.is_empty());
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(told.borrow().received.windows(7).any(|name| name == b"appears"));
}

#[test]
fn a_file_on_a_disk_cannot_be_polled_and_is_refused() {
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    let mut context = context();
    let error = context.with(|cx| cx.adopt_socket(file, Keeper::default())).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(context.census().wsis, 0);
}

/// Keeps a second descriptor of whatever it is to poll, and polls nothing.
#[cfg(feature = "raw")]
struct Copies(Rc<RefCell<Vec<OwnedFd>>>);

#[cfg(feature = "raw")]
impl PollHost for Copies {
    fn add(&mut self, fd: BorrowedFd<'_>, _: Interest) {
        self.0.borrow_mut().push(fd.try_clone_to_owned().unwrap());
    }

    fn change(&mut self, _: BorrowedFd<'_>, _: Interest) {}

    fn remove(&mut self, _: BorrowedFd<'_>) {}
}

#[cfg(feature = "raw")]
fn host(policy: &str) -> (Context, Rc<RefCell<Vec<OwnedFd>>>) {
    let copies = Rc::default();
    let host = Copies(Rc::clone(&copies));
    (Context::builder().policy(policy).unwrap().poll_host(host).build().unwrap(), copies)
}

#[test]
fn the_policy_marks_sockets_for_the_network_and_the_system() {
    struct Nothing;
    impl StreamHandler for Nothing {
        fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
            Flow::Ok
        }
        fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &mut Tx<'_>) -> TxFlow {
            TxFlow::DontSend
        }
    }
    // The bit of low cost is not here: Linux keeps it for congestion notices of its own (RFC 3168).
    for (address, keys, tos) in [
        ("127.0.0.1", r#""attr_low_latency": true, "attr_priority": 5"#, 0x10),
        ("127.0.0.1", r#""attr_high_throughput": true, "attr_priority": 5"#, 0x08),
        ("::1", r#""attr_high_reliability": true, "attr_priority": 5"#, 0x04),
    ] {
        let Ok(listener) = TcpListener::bind((address, 0)) else { continue };
        let port = listener.local_addr().unwrap().port();
        let (mut context, copies) = host(&format!(
            r#"{{"s": [{{"marked": {{"endpoint": "{address}", "port": {port}, "protocol": "raw", {keys}}}}}]}}"#
        ));
        context.with(|cx| {
            let stream = cx.create("marked", Nothing).unwrap();
            cx.client_connect(stream).unwrap();
        });
        let copies = copies.borrow();
        let socket = copies.last().unwrap();
        let found = if address == "::1" {
            u32::from(rustix::net::sockopt::ipv6_tclass(socket).unwrap() as u8)
        } else {
            u32::from(rustix::net::sockopt::ip_tos(socket).unwrap())
        };
        assert_eq!(found, tos, "{keys}");
        assert_eq!(socket2::SockRef::from(socket).priority().unwrap(), 5);
        assert_eq!(listener.accept().unwrap().1.ip().to_string(), address);
    }
}

#[test]
fn a_connection_comes_from_the_address_and_the_interface_that_it_is_given() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Address(listener.local_addr().unwrap().into());
    let mut context = context();
    let told = Rc::<RefCell<Told>>::default();
    let mut info = ClientInfo::new(target, ClientRole::Raw);
    info.options.local = Some("127.0.0.77:0".parse().unwrap());
    info.options.interface = Some("lo".into());
    let keeper = Keeper { told: Rc::clone(&told), to_send: b"hello".to_vec() };
    context.with(|cx| cx.connect(&info, keeper));
    serve_until(&mut context, || told.borrow().sent == 5);
    let (_, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.77");

    info.options.interface = Some("nowhere0".into());
    let told = Rc::<RefCell<Told>>::default();
    let keeper = Keeper { told: Rc::clone(&told), ..Keeper::default() };
    context.with(|cx| cx.connect(&info, keeper));
    serve_until(&mut context, || told.borrow().closed);
}

#[test]
fn a_server_binds_to_an_interface_by_its_name() {
    struct Nobody;
    impl StreamHandler for Nobody {
        fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
            Flow::Ok
        }
        fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &mut Tx<'_>) -> TxFlow {
            TxFlow::DontSend
        }
    }
    let mut context = Context::builder()
        .policy(r#"{"s": [{"absent": {"server": true, "endpoint": "nowhere0", "protocol": "raw"}}]}"#)
        .unwrap()
        .build()
        .unwrap();
    let error = context.with(|cx| cx.create("absent", Nobody)).unwrap_err();
    assert!(matches!(error, Error::Io { what: "listen on", .. }), "{error}");
    let mut info = ListenInfo::new(Address::Ip("0.0.0.0:0".parse().unwrap()), ServerRole::Raw);
    info.interface = Some("lo".into());
    let nobody = |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| None;
    assert!(context.with(|cx| cx.listen(info, nobody)).is_ok());
}

#[test]
fn one_peer_takes_no_more_than_its_places_and_others_have_theirs() {
    let network = sim::Network::new(1);
    let mut context =
        Context::builder().max_connections_per_peer(3).sim(network.host("10.0.0.1")).build().unwrap();
    let info = ListenInfo::new(Address::Ip("10.0.0.1:7".parse().unwrap()), ServerRole::Raw);
    let accept =
        |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| Some(Box::<Keeper>::default() as Box<dyn Protocol>);
    context.with(|cx| cx.listen(info, accept)).unwrap();
    let run = |context: &mut Context| {
        let until = network.now().saturating_add(Duration::from_secs(1));
        network.run(&mut [context], until).unwrap();
    };
    let connect = |from: &str| network.connect(&network.host(from), "10.0.0.1:7").unwrap();
    let mut greedy: Vec<_> = (0..5).map(|_| connect("10.0.0.2")).collect();
    let modest = connect("10.0.0.3");
    run(&mut context);
    let ended = greedy.iter().filter(|peer| peer.is_eof()).count();
    assert_eq!((ended, modest.is_eof(), context.census().wsis), (2, false, 5));
    greedy.truncate(2);
    run(&mut context);
    let again = connect("10.0.0.2");
    run(&mut context);
    assert!(!again.is_eof());
}

/// Turns away whoever says something.
#[derive(Clone, Default)]
struct Dismissive(Rc<RefCell<Told>>);

impl Acceptor for Dismissive {
    fn accept(&mut self, _: &mut Cx<'_>, _: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        Some(Box::new(self.clone()))
    }
}

impl Protocol for Dismissive {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::DisconnectMe
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn closed(&mut self, _: &mut Cx<'_>, _: WsiId, _: Option<&Cause>) {
        self.0.borrow_mut().closed = true;
    }
}

#[test]
fn a_peer_that_is_turned_away_in_the_middle_may_say_the_rest_and_is_not_reset() {
    let mut context = context();
    let server = Dismissive::default();
    let any = Address::Ip("127.0.0.1:0".parse().unwrap());
    let port = context.with(|cx| {
        let vhost = cx.listen(ListenInfo::new(any, ServerRole::Raw), server.clone()).unwrap();
        cx.vhost_address(vhost).and_then(Address::port).unwrap()
    });
    let mut peer = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    peer.write_all(&vec![b'x'; 100_000]).unwrap();
    serve_until(&mut context, || server.0.borrow().closed);
    for _ in 0..10 {
        context.service(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    peer.write_all(b"and so on").unwrap();
    context.service(Some(Duration::ZERO)).unwrap();
    assert_eq!(context.census().wsis, 2);
    drop(peer);
    while context.census().wsis > 1 {
        context.service(Some(Duration::from_secs(5))).unwrap();
    }
}
