//! A large MQTT message takes no more memory than a small one, out and in: counted, not estimated.
#![cfg(feature = "mqtt")]

#[path = "common/heap.rs"]
mod heap;

use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

const LEN: usize = 100_000_000;

#[derive(Default)]
struct Counts {
    connected: Cell<bool>,
    acknowledged: Cell<u32>,
    left: Cell<usize>,
    messages: Cell<u32>,
    received: Cell<usize>,
}

/// Makes each message as it goes, and forgets each as it comes.
struct Streaming(Rc<Counts>);

impl StreamHandler for Streaming {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        if flags.is_som() {
            self.0.received.set(0);
        }
        self.0.received.set(self.0.received.get() + payload.len());
        self.0.messages.set(self.0.messages.get() + u32::from(flags.is_eom()));
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let left = self.0.left.get();
        let taken = tx.fill(|room| {
            let len = left.min(room.len());
            room[..len].fill(b'x');
            len
        });
        self.0.left.set(left - taken);
        if left > taken {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, _: &mut Cx<'_>, _: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::Connected => self.0.connected.set(true),
            StreamState::QosAckRemote => self.0.acknowledged.set(self.0.acknowledged.get() + 1),
            _ => {}
        }
        Flow::Ok
    }
}

/// The broker's side, and the context.
struct Pair {
    context: Context,
    socket: TcpStream,
}

impl Pair {
    fn serve(&mut self) {
        self.context.service(Some(Duration::ZERO)).unwrap();
    }

    /// Reads so many bytes, and gives those of the first `into.len()` of them.
    fn read(&mut self, len: usize, into: &mut [u8]) {
        let (mut got, mut buffer) = (0, [0; 16 * 1024]);
        while got < len {
            self.serve();
            let most = buffer.len().min(len - got);
            match self.socket.read(&mut buffer[..most]) {
                Ok(0) => panic!("closed after {got} bytes"),
                Ok(count) => {
                    let rest = into.get_mut(got..).unwrap_or_default();
                    let kept = rest.len().min(count);
                    rest[..kept].copy_from_slice(&buffer[..kept]);
                    got += count;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            self.serve();
        }
    }

    /// A message of `len` bytes out, and one in.
    fn exchange(&mut self, counts: &Counts, stream: StreamId, len: usize) {
        let heads = [head(0x32, len + 5), head(0x30, len + 3)];
        counts.left.set(len);
        self.context.with(|cx| cx.request_tx_len(stream, len as u64)).unwrap();
        let acknowledged = counts.acknowledged.get();
        let mut publish = [0; 10];
        let first = heads[0].len() + 5;
        self.read(first + len, &mut publish[..first]);
        assert_eq!(publish[..heads[0].len()], heads[0]);
        self.write(&[0x40, 2, publish[first - 2], publish[first - 1]]);
        while counts.acknowledged.get() == acknowledged {
            self.serve();
        }

        let messages = counts.messages.get();
        self.write(&heads[1]);
        self.write(b"\0\x01d");
        let piece = [b'y'; 16 * 1024];
        let mut left = len;
        while left > 0 {
            let now = left.min(piece.len());
            self.write(&piece[..now]);
            left -= now;
        }
        while counts.messages.get() == messages {
            self.serve();
        }
        assert_eq!(counts.received.get(), len);
    }
}

/// A PUBLISH's fixed header.
fn head(first: u8, mut rest: usize) -> Vec<u8> {
    let mut head = vec![first];
    while rest > 127 {
        head.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    head.push(rest as u8);
    head
}

#[test]
fn a_message_of_100_megabytes_takes_the_memory_of_a_small_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let policy = format!(
        r#"{{"s": [{{"it": {{"endpoint": "127.0.0.1", "port": {}, "protocol": "mqtt", "nailed_up": true, "mqtt_qos": 1,
            "mqtt_topic": "u", "mqtt_subscribe": "d"}}}}]}}"#,
        listener.local_addr().unwrap().port()
    );
    let mut context = Context::builder().policy(&policy).unwrap().build().unwrap();
    let counts = Rc::<Counts>::default();
    let stream = context.with(|cx| cx.create("it", Streaming(Rc::clone(&counts)))).unwrap();
    context.service(Some(Duration::from_secs(1))).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut pair = Pair { context, socket };
    // CONNECT with a client id of 23 bytes, SUBSCRIBE.
    pair.read(2 + 10 + 2 + 23, &mut []);
    pair.write(&[0x20, 2, 0, 0]);
    pair.read(2 + 2 + 2 + 1 + 1, &mut []);
    pair.write(&[0x90, 3, 0, 1, 1]);
    while !counts.connected.get() {
        pair.serve();
    }
    for _ in 0..20 {
        pair.exchange(&counts, stream, 1000);
    }
    let (small, _) = heap::bytes(|| pair.exchange(&counts, stream, 1000));
    let (large, _) = heap::bytes(|| pair.exchange(&counts, stream, LEN));
    // What a socket does not take waits in one buffer, which a small message has no need of.
    assert!(large < small + 128 * 1024, "{small} bytes of the heap for 1 KB, {large} for 100 MB");
}
