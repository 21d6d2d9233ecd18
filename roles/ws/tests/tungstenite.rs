//! Both roles against tungstenite's, in memory.

mod common;

use common::*;
use http::{BodyLength, Head, Method};
use millstream_ws::handshake::{Answer, Offer, Terms};
use millstream_ws::{CloseCode, Engine, Piece, Scratch};
use std::io::{self, Read, Write};
use tungstenite::handshake::{HandshakeError, server::NoCallback};
use tungstenite::protocol::frame::coding::{CloseCode as TheirCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Error, Message};

/// Their end of a connection: what is there to be read, and what was written.
#[derive(Debug, Default)]
struct Pipe {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.inbox.len().min(into.len());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        into[..len].copy_from_slice(&self.inbox[..len]);
        self.inbox.drain(..len);
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outbox.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Pair {
    ours: Engine,
    theirs: WebSocket<Pipe>,
}

impl Pair {
    fn both() -> [Self; 2] {
        let theirs = |role| WebSocket::from_raw_socket(Pipe::default(), role, None);
        [
            Self { ours: server(), theirs: theirs(Role::Client) },
            Self { ours: client(), theirs: theirs(Role::Server) },
        ]
    }

    /// We send; what do they read?
    fn send(&mut self, bytes: &[u8]) -> Result<Message, Error> {
        self.theirs.get_mut().inbox.extend_from_slice(bytes);
        self.theirs.read()
    }

    /// What have they written, and what do we make of it? In pieces of `cut` bytes.
    fn receive(&mut self, cut: usize) -> Vec<Told> {
        self.theirs.flush().ok();
        let wire = std::mem::take(&mut self.theirs.get_mut().outbox);
        let pieces: Vec<&[u8]> = wire.chunks(cut).collect();
        feed(&mut self.ours, &pieces, 1)
    }

    fn message(&mut self, payload: &[u8], piece: Piece) -> Vec<u8> {
        let mut payload = payload.to_vec();
        let prefix = self.ours.frame(&mut payload, piece, KEY).unwrap();
        [prefix.as_bytes(), &payload].concat()
    }
}

#[test]
fn messages_of_all_lengths_are_echoed_both_ways() {
    for mut pair in Pair::both() {
        for len in [0, 1, 2, 124, 125, 126, 127, 128, 1000, 65_535, 65_536, 200_000] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let wire = pair.message(&payload, Piece::BINARY);
            let echo = pair.send(&wire).unwrap();
            assert_eq!(echo, Message::binary(payload.clone()));
            pair.theirs.send(echo).unwrap();
            assert_eq!(pair.receive(1000), [whole(&payload, true)]);

            let text = "\u{3ba}".repeat(len / 2);
            let wire = pair.message(text.as_bytes(), Piece::TEXT);
            let echo = pair.send(&wire).unwrap();
            assert_eq!(echo, Message::text(text.clone()));
            pair.theirs.send(echo).unwrap();
            assert_eq!(pair.receive(777), [whole(text.as_bytes(), false)]);
        }
    }
}

#[test]
fn our_pieces_are_their_message_and_their_fragments_our_pieces() {
    for mut pair in Pair::both() {
        let first = Piece { is_last: false, ..Piece::TEXT };
        let middle = Piece { is_first: false, ..first };
        let last = Piece { is_first: false, ..Piece::TEXT };
        for (text, piece) in [("a\u{3ba}", first), ("", middle), ("b", middle)] {
            let wire = pair.message(text.as_bytes(), piece);
            assert!(
                matches!(pair.send(&wire), Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock)
            );
        }
        let wire = pair.message(b"c", last);
        assert_eq!(pair.send(&wire).unwrap(), Message::text("a\u{3ba}bc"));

        for (bytes, kind, fin) in
            [(&b"1"[..], Data::Binary, false), (b"22", Data::Continue, false), (b"", Data::Continue, true)]
        {
            let frame = Frame::message(bytes.to_vec(), OpCode::Data(kind), fin);
            pair.theirs.send(Message::Frame(frame)).unwrap();
        }
        let expected =
            [part(b"1", true, true, false), part(b"22", true, false, false), part(b"", true, false, true)];
        assert_eq!(pair.receive(1), expected);
    }
}

#[test]
fn pings_are_answered_both_ways() {
    for mut pair in Pair::both() {
        let mut wire = Vec::new();
        pair.ours.encode_ping(b"are you there", KEY, &mut wire).unwrap();
        assert_eq!(pair.send(&wire).unwrap(), Message::Ping(b"are you there".to_vec().into()));
        assert_eq!(pair.receive(3), [Told::Pong(b"are you there".to_vec())]);
        pair.theirs.send(Message::Ping(b"and you".to_vec().into())).unwrap();
        let told = pair.receive(3);
        let [Told::Ping(_), Told::Sent(pong)] = &told[..] else { panic!("{told:?}") };
        assert_eq!(pair.send(pong).unwrap(), Message::Pong(b"and you".to_vec().into()));
    }
}

#[test]
fn either_side_says_goodbye_and_the_other_answers() {
    for mut pair in Pair::both() {
        let mut wire = Vec::new();
        pair.ours.encode_close(CloseCode::AWAY, "lunch", KEY, &mut wire).unwrap();
        let Ok(Message::Close(Some(close))) = pair.send(&wire) else { panic!("no goodbye") };
        assert_eq!((close.code, close.reason.as_str()), (TheirCode::Away, "lunch"));
        assert!(matches!(pair.receive(1)[..], [Told::Close(1001, _)]));
        assert!(pair.ours.is_closed());
    }
    for mut pair in Pair::both() {
        let close = CloseFrame { code: TheirCode::Policy, reason: "no".into() };
        pair.theirs.close(Some(close)).unwrap();
        let told = pair.receive(1);
        let [Told::Close(1008, reason), Told::Sent(answer)] = &told[..] else { panic!("{told:?}") };
        assert_eq!(reason, "no");
        assert!(pair.ours.is_closed());
        assert!(matches!(pair.send(answer), Ok(Message::Close(_)) | Err(Error::ConnectionClosed)));
    }
}

/// Both refuse, or neither: all first bytes, with payloads that matter to some opcode.
#[test]
fn what_tungstenite_refuses_is_refused_and_nothing_else() {
    let reason = [&b"\x03\xe8"[..], &[b'a'; 124]].concat();
    let payloads: [&[u8]; 9] =
        [b"", b"a", b"\x03\xe8", b"\x03\xed", b"\x03\xe8\xff", b"ab\xff", b"\xe2\x82", &[b'a'; 125], &reason];
    for first in 0..=255u8 {
        for payload in payloads {
            for key in [Some(KEY), None] {
                let wire = frame(first, payload, key);
                let [mut server, mut client] = Pair::both();
                for (pair, role) in [(&mut server, Role::Server), (&mut client, Role::Client)] {
                    let mut theirs = WebSocket::from_raw_socket(Pipe::default(), role, None);
                    theirs.get_mut().inbox.extend_from_slice(&wire);
                    let told = feed(&mut pair.ours, &[&wire], 1);
                    let refused = told.iter().any(|told| matches!(told, Told::Error(_)));
                    let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
                    let they_refuse = match theirs.read() {
                        Ok(_) => false,
                        Err(Error::Io(error)) if would_block(&error) => false,
                        Err(_) => true,
                    };
                    // They judge a close code without failing: what they answer is 1002.
                    let is_bad_code = told.contains(&Told::Error(millstream_ws::Error::CloseCode));
                    // They look at the text of a first fragment when it is complete; we look at once.
                    let is_early = first == TEXT && payload == b"ab\xff" && refused;
                    assert!(
                        refused == they_refuse || is_bad_code || is_early,
                        "{first:x} {payload:x?} {key:?} {role:?}: {told:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn their_client_is_let_in_by_our_server() {
    let request = "ws://localhost/chat";
    let Err(HandshakeError::Interrupted(mut waiting)) = tungstenite::client(request, Pipe::default()) else {
        panic!("a handshake without an answer")
    };
    let (mut engine, mut head, mut wire) =
        (h1::Engine::server(h1::Limits::default()), Head::new(), Vec::new());
    let asked = std::mem::take(&mut waiting.get_mut().get_mut().outbox);
    engine.input(&asked, &mut head).unwrap();
    engine.input(&[], &mut Head::new()).unwrap();
    let answer = Answer::new(Method::Get, head.iter(), &Terms::default()).unwrap();
    engine.encode_upgrade(answer.fields(), &mut wire).unwrap();
    waiting.get_mut().get_mut().inbox = wire;
    let (mut theirs, response) = waiting.handshake().unwrap();
    assert_eq!(response.status(), 101);
    theirs.send(Message::text("hi")).unwrap();
    let told = feed(&mut server(), &[&theirs.get_mut().outbox], 1);
    assert_eq!(told, [whole(b"hi", false)]);
}

#[test]
fn our_client_is_let_in_by_their_server() {
    let Err(HandshakeError::Interrupted(mut waiting)) =
        tungstenite::ServerHandshake::start(Pipe::default(), NoCallback, None).handshake()
    else {
        panic!("a handshake without a request")
    };
    let (mut engine, mut head, mut wire) =
        (h1::Engine::client(h1::Limits::default()), Head::new(), Vec::new());
    let offer = Offer::new(b"0123456789abcdef", Terms::default());
    engine.ask_upgrade();
    engine.encode_request(Method::Get, b"/", b"a", offer.fields(), BodyLength::None, &mut wire).unwrap();
    waiting.get_mut().get_mut().inbox = wire;
    let mut theirs = waiting.handshake().unwrap();
    let answered = std::mem::take(&mut theirs.get_mut().outbox);
    let (used, event) = engine.input(&answered, &mut head).unwrap();
    assert_eq!((used, event), (answered.len(), Some(h1::Event::Upgraded)));
    offer.check(head.status().unwrap(), head.iter()).unwrap();
    let mut payload = *b"hi";
    let prefix = client().frame(&mut payload, Piece::TEXT, KEY).unwrap();
    theirs.get_mut().inbox = [prefix.as_bytes(), &payload].concat();
    assert_eq!(theirs.read().unwrap(), Message::text("hi"));
}

#[test]
fn a_flood_of_their_messages_is_told_one_by_one_from_one_buffer() {
    let [mut pair, _] = Pair::both();
    for n in 0..1000u32 {
        pair.theirs.send(Message::binary(n.to_be_bytes().to_vec())).unwrap();
    }
    let mut wire = std::mem::take(&mut pair.theirs.get_mut().outbox);
    let (mut rest, mut scratch, mut count) = (wire.as_mut_slice(), Scratch::default(), 0u32);
    while !rest.is_empty() {
        let (used, event) = pair.ours.input(rest, &mut scratch).unwrap();
        let Some(millstream_ws::Event::Payload(piece)) = event else { panic!("{event:?}") };
        assert_eq!(piece.bytes(rest, &scratch), count.to_be_bytes());
        (rest, count) = (&mut rest[used..], count + 1);
    }
    assert_eq!(count, 1000);
}
