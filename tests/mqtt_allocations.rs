//! In the steady state a MQTT message costs no heap allocation, out or in: counted, not estimated.
#![cfg(feature = "mqtt")]

#[path = "common/heap.rs"]
mod heap;

use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

const WARM: u32 = 300;
const COUNTED: u32 = 1000;
const BURST: u32 = 5000;

#[derive(Default)]
struct Counts {
    connected: Cell<u32>,
    acknowledged: Cell<u32>,
    received: Cell<u32>,
    /// Messages that are to go out one right behind the other.
    burst: Cell<u32>,
}

fn count(cell: &Cell<u32>) {
    cell.set(cell.get() + 1);
}

struct Both(Rc<Counts>);

impl StreamHandler for Both {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        assert_eq!((payload, flags.is_eom()), (&b"20"[..], true));
        count(&self.0.received);
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"19");
        let left = self.0.burst.get().saturating_sub(1);
        self.0.burst.set(left);
        if left > 0 {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::Creating => cx.set_metadata(me, "who", "left").unwrap(),
            StreamState::Connected => count(&self.0.connected),
            StreamState::QosAckRemote => count(&self.0.acknowledged),
            _ => {}
        }
        Flow::Ok
    }
}

/// Serves the context until the broker has `into` full.
fn read(context: &mut Context, socket: &mut TcpStream, into: &mut [u8]) {
    let mut got = 0;
    while got < into.len() {
        context.service(Some(Duration::ZERO)).unwrap();
        match socket.read(&mut into[got..]) {
            Ok(0) => panic!("closed after {got} bytes"),
            Ok(len) => got += len,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
}

fn until(context: &mut Context, is_there: impl Fn() -> bool) {
    while !is_there() {
        context.service(Some(Duration::from_secs(10))).unwrap();
    }
}

/// Broker and stream exchange a message each way, both of QoS 1 and acknowledged, with two streams to hear the second.
#[test]
fn a_message_costs_no_allocation() {
    count_messages(4);
    // With a property that is metadata, both ways.
    count_messages(5);
}

fn count_messages(version: u8) {
    let is_5 = version == 5;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let policy = format!(
        r#"{{"s": [{{"both": {{"endpoint": "127.0.0.1", "port": {port}, "protocol": "mqtt", "nailed_up": true, "mqtt_qos": 1,
            "mqtt_topic": "attic/${{who}}", "mqtt_subscribe": "down/#", "mqtt_version": {version},
            "metadata": [{{"who": "content-type"}}, {{"from": "topic"}}]}}}}, {{"many": {{"endpoint": "127.0.0.1", "port": {port}, "protocol": "mqtt",
            "nailed_up": true, "mqtt_topic": "cellar/${{who}}", "mqtt_version": {version}, "metadata": [{{"who": ""}}]}}}}]}}"#
    );
    let mut context = Context::builder().policy(&policy).unwrap().build().unwrap();
    let counts = Rc::<Counts>::default();
    let streams = ["both", "both", "many"]
        .map(|name| context.with(|cx| cx.create(name, Both(Rc::clone(&counts)))).unwrap());
    context.service(Some(Duration::from_secs(1))).unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_nodelay(true).unwrap();
    // CONNECT with a client id of 23 bytes, SUBSCRIBE.
    let (connect, subscribe) = if is_5 { (12, 1) } else { (0, 0) };
    read(&mut context, &mut socket, &mut vec![0; 2 + 10 + connect + 2 + 23]);
    socket.write_all(if is_5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] }).unwrap();
    read(&mut context, &mut socket, &mut vec![0; 2 + 2 + subscribe + 2 + 6 + 1]);
    socket.write_all(if is_5 { &[0x90, 4, 0, 1, 0, 1] } else { &[0x90, 3, 0, 1, 1] }).unwrap();
    until(&mut context, || counts.connected.get() == 3);

    let exchange = |context: &mut Context, socket: &mut TcpStream| {
        let acknowledged = counts.acknowledged.get();
        context.with(|cx| cx.request_tx(streams[0])).unwrap();
        let mut publish = [0; 2 + 2 + 10 + 2 + 8 + 2];
        let publish = if is_5 { &mut publish[..] } else { &mut publish[8..] };
        read(context, socket, publish);
        let (head, rest): (&[u8], &[u8]) = if is_5 {
            (b"\x32\x18\0\x0aattic/left", b"\x07\x03\0\x04left19")
        } else {
            (b"\x32\x10\0\x0aattic/left", b"19")
        };
        assert_eq!((&publish[..14], &publish[16..]), (head, rest));
        socket.write_all(&[0x40, 2, publish[14], publish[15]]).unwrap();
        until(context, || counts.acknowledged.get() > acknowledged);

        let down: &[u8] = if is_5 {
            b"\x32\x11\0\x06down/a\0\x07\x04\x03\0\x01x20"
        } else {
            b"\x32\x0c\0\x06down/a\0\x0720"
        };
        socket.write_all(down).unwrap();
        let mut puback = [0; 4];
        read(context, socket, &mut puback);
        assert_eq!(puback, [0x40, 2, 0, 7]);
    };
    (0..WARM).for_each(|_| exchange(&mut context, &mut socket));
    let mut buffer = vec![0; BURST as usize * (2 + 2 + 11 + usize::from(is_5) + 2)];
    // What waits for its turn does not grow with what has had it.
    let mut burst = |context: &mut Context, socket: &mut TcpStream, count: u32| {
        counts.burst.set(count);
        context.with(|cx| cx.request_tx(streams[2])).unwrap();
        let len = buffer.len() / BURST as usize * count as usize;
        read(context, socket, &mut buffer[..len]);
        assert_eq!(counts.burst.get(), 0);
    };
    burst(&mut context, &mut socket, WARM);
    let allocations = heap::allocations(|| {
        (0..COUNTED).for_each(|_| exchange(&mut context, &mut socket));
        burst(&mut context, &mut socket, BURST);
    });
    assert_eq!(counts.received.get(), 2 * (WARM + COUNTED));
    assert_eq!(allocations, 0);
}
