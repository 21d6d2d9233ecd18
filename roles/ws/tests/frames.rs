//! What arrives, by the rules of RFC 6455 sections 5, 7 and 8, at every cut.

mod common;

use common::*;
use millstream_ws::{CloseCode, Engine, Error, Event, Limits, Piece, Scratch};

fn to_server(frames: &[Vec<u8>]) -> Vec<Told> {
    every_split(server, &frames.concat())
}

fn to_client(frames: &[Vec<u8>]) -> Vec<Told> {
    every_split(client, &frames.concat())
}

#[test]
fn section_5_7_the_examples() {
    let hello = whole(b"Hello", false);
    assert_eq!(every_split(client, b"\x81\x05Hello"), std::slice::from_ref(&hello));
    assert_eq!(every_split(server, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), [hello]);
    assert_eq!(
        every_split(client, b"\x01\x03Hel\x80\x02lo"),
        [part(b"Hel", false, true, false), part(b"lo", false, false, true)]
    );
    let pong = masked(FIN | PONG, b"Hello");
    assert_eq!(every_split(client, b"\x89\x05Hello"), [Told::Ping(b"Hello".to_vec()), Told::Sent(pong)]);
    assert_eq!(
        every_split(server, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        [Told::Pong(b"Hello".to_vec())]
    );
    for len in [256, 65_536] {
        let input = bare(FIN | BINARY, &vec![7; len]);
        assert_eq!(feed(&mut client(), &[&input], 1), [whole(&vec![7; len], true)]);
    }
}

#[test]
fn lengths_around_those_that_change_the_header_arrive_at_every_cut() {
    for len in [0, 1, 125, 126, 127, 128, 300] {
        let payload: Vec<u8> = (0u32..len).map(|byte| byte as u8).collect();
        assert_eq!(to_server(&[masked(FIN | BINARY, &payload)]), [whole(&payload, true)]);
        assert_eq!(to_client(&[bare(FIN | BINARY, &payload)]), [whole(&payload, true)]);
    }
    for len in [65_535, 65_536, 100_000] {
        let payload: Vec<u8> = (0u32..len).map(|byte| byte as u8).collect();
        let input = masked(FIN | BINARY, &payload);
        for cut in [1, 2, 3, 4, 9, 10, 13, 14, 15, 4096, input.len() - 1] {
            let (first, second) = input.split_at(cut);
            assert_eq!(feed(&mut server(), &[first, second], 1), [whole(&payload, true)], "{len} at {cut}");
        }
    }
}

#[test]
fn payload_is_told_as_it_arrives_and_where_it_is() {
    let mut engine = server();
    let mut input = masked(FIN | BINARY, b"abcdef");
    let mut scratch = Scratch::default();
    let (used, event) = engine.input(&mut input[..8], &mut scratch).unwrap();
    let Some(Event::Payload(piece)) = event else { panic!("no piece") };
    assert_eq!((used, piece.bytes(&input, &scratch)), (8, &b"ab"[..]));
    assert!(piece.is_first && !piece.is_last && !piece.ends_frame && engine.is_receiving());
    let (used, event) = engine.input(&mut input[8..], &mut scratch).unwrap();
    let Some(Event::Payload(piece)) = event else { panic!("no piece") };
    assert_eq!((used, piece.bytes(&input[8..], &scratch)), (4, &b"cdef"[..]));
    assert!(!piece.is_first && piece.is_last && piece.ends_frame && !engine.is_receiving());
}

#[test]
fn section_5_4_fragments_keep_their_boundaries_and_empty_ones_are_told_too() {
    let told = to_server(&[
        masked(BINARY, b""),
        masked(CONTINUE, b"a"),
        masked(CONTINUE, b""),
        masked(FIN | CONTINUE, b""),
        masked(FIN | TEXT, b""),
    ]);
    let expected = [
        part(b"", true, true, false),
        part(b"a", true, false, false),
        part(b"", true, false, false),
        part(b"", true, false, true),
        whole(b"", false),
    ];
    assert_eq!(told, expected);
}

#[test]
fn section_5_4_control_frames_come_between_fragments_and_pings_are_answered_there() {
    let told = to_server(&[
        masked(TEXT, b"a"),
        masked(FIN | PING, b"1"),
        masked(CONTINUE, b"b"),
        masked(FIN | PONG, b""),
        masked(FIN | CONTINUE, b"c"),
    ]);
    let expected = [
        part(b"a", false, true, false),
        Told::Ping(b"1".to_vec()),
        Told::Sent(bare(FIN | PONG, b"1")),
        part(b"b", false, false, false),
        Told::Pong(Vec::new()),
        part(b"c", false, false, true),
    ];
    assert_eq!(told, expected);
}

#[test]
fn section_5_5_3_a_flood_of_pings_is_answered_once_with_the_last_ones_payload() {
    let mut engine = server();
    let mut input: Vec<u8> = (0..=255).flat_map(|n| masked(FIN | PING, &[n; 125])).collect();
    let (mut rest, mut scratch) = (input.as_mut_slice(), Scratch::default());
    let mut pings = 0;
    while let (used @ 1.., Some(Event::Ping(_))) = engine.input(rest, &mut scratch).unwrap() {
        rest = &mut rest[used..];
        pings += 1;
    }
    let mut out = Vec::new();
    engine.poll_output(|| KEY, &mut out);
    assert_eq!((pings, out), (256, bare(FIN | PONG, &[255; 125])));
}

#[test]
fn section_5_1_clients_mask_and_servers_do_not() {
    assert_eq!(to_server(&[bare(FIN | TEXT, b"a")]), failed(Error::Mask));
    assert_eq!(to_server(&[bare(FIN | CLOSE, b"")]), failed(Error::Mask));
    let told = to_client(&[masked(FIN | TEXT, b"a")]);
    assert_eq!(told, [Told::Error(Error::Mask), Told::Sent(masked(FIN | CLOSE, &1002u16.to_be_bytes())),]);
}

#[test]
fn section_5_2_reserved_bits_opcodes_and_lengths_in_longer_forms_fail_the_connection() {
    for (input, error) in [
        (masked(FIN | RSV1 | TEXT, b"a"), Error::ReservedBit),
        (masked(FIN | 0x20 | TEXT, b"a"), Error::ReservedBit),
        (masked(FIN | 0x10 | TEXT, b"a"), Error::ReservedBit),
        (masked(FIN | RSV1 | PING, b"a"), Error::ReservedBit),
        (masked(FIN | RSV1 | CLOSE, b""), Error::ReservedBit),
        (masked(FIN | 3, b""), Error::Opcode),
        (masked(FIN | 7, b"a"), Error::Opcode),
        (masked(FIN | 0xb, b""), Error::Opcode),
        (masked(FIN | 0xf, b"a"), Error::Opcode),
        (b"\x82\xfe\x00\x05\0\0\0\0aaaaa".to_vec(), Error::Length),
        (b"\x82\xff\0\0\0\0\0\0\0\x7e\0\0\0\0".to_vec(), Error::Length),
        (b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec(), Error::Length),
    ] {
        assert_eq!(to_server(&[input]), failed(error));
    }
}

#[test]
fn section_5_5_control_frames_in_fragments_or_longer_than_125_bytes_fail_the_connection() {
    for input in [
        masked(PING, b"a"),
        masked(PONG, b""),
        masked(CLOSE, b""),
        masked(FIN | PING, &[0; 126]),
        masked(FIN | PONG, &[0; 126]),
        masked(FIN | CLOSE, &[3; 126]),
    ] {
        assert_eq!(to_server(&[input]), failed(Error::Control));
    }
    for input in [bare(PING, b"a"), bare(FIN | PONG, &[0; 126])] {
        let goodbye = masked(FIN | CLOSE, &1002u16.to_be_bytes());
        assert_eq!(to_client(&[input]), [Told::Error(Error::Control), Told::Sent(goodbye)]);
    }
}

#[test]
fn section_5_4_fragments_that_do_not_belong_where_they_are_fail_the_connection() {
    for first in [CONTINUE, FIN | CONTINUE] {
        assert_eq!(to_server(&[masked(first, b"a")]), failed(Error::Continuation));
    }
    let a = part(b"a", false, true, false);
    for first in [TEXT, FIN | TEXT, BINARY, FIN | BINARY] {
        let [error, goodbye] = failed(Error::Continuation);
        let told = to_server(&[masked(TEXT, b"a"), masked(first, b"b")]);
        assert_eq!(told, [a.clone(), error, goodbye]);
    }
    let [error, goodbye] = failed(Error::Continuation);
    let told = to_server(&[masked(FIN | TEXT, b"a"), masked(FIN | CONTINUE, b"b")]);
    assert_eq!(told, [whole(b"a", false), error, goodbye]);
}

#[test]
fn limits_are_judged_by_headers_alone() {
    let limits = Limits { frame: 1000, message: 2500, ..Limits::default() };
    let header = |first, len: usize| frame(first, &vec![0; len], Some(KEY))[..8].to_vec();
    let told = |input: &[u8]| every_split(|| Engine::server(limits, None), input);
    assert_eq!(told(&header(BINARY, 1001)), failed(Error::FrameTooLong));
    assert_eq!(told(&header(BINARY, 1000)), []);

    let fragments = [BINARY, CONTINUE].map(|first| masked(first, &[0; 1000])).concat();
    let many = |last: Vec<u8>| feed(&mut Engine::server(limits, None), &[&fragments, &last], 1);
    assert_eq!(many(header(CONTINUE, 501))[2..], failed(Error::MessageTooLong));
    assert_eq!(many(masked(FIN | CONTINUE, &[0; 500])).len(), 3);
    // Another message counts from nothing.
    let again = [masked(FIN | CONTINUE, &[0; 500]), masked(FIN | BINARY, &[0; 1000])].concat();
    assert_eq!(many(again).last(), Some(&whole(&[0; 1000], true)));
    assert_eq!(Error::FrameTooLong.code(), CloseCode::TOO_BIG);
}

#[test]
fn a_frame_of_two_to_the_63rd_is_announced_within_unlimited_limits_and_nothing_is_allocated() {
    let limits = Limits { frame: u64::MAX, message: u64::MAX, ..Limits::default() };
    let input = b"\x02\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0abc";
    let told = every_split(|| Engine::server(limits, None), input);
    assert_eq!(
        told,
        [Told::Frame {
            bytes: b"abc".to_vec(),
            is_binary: true,
            is_first: true,
            is_last: false,
            is_whole: false
        }]
    );
}

#[test]
fn section_5_6_text_is_checked_across_fragments_and_cuts() {
    let text =
        "\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff} \u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}";
    for cut in 0..=text.len() {
        let (first, second) = text.as_bytes().split_at(cut);
        let input = [masked(TEXT, first), masked(FIN | PING, b""), masked(FIN | CONTINUE, second)].concat();
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        let told = feed(&mut server(), &bytes, 1);
        assert_eq!(told, feed(&mut server(), &[&input], 1));
        assert_eq!(
            (told.first(), told.last()),
            (Some(&part(first, false, true, false)), Some(&part(second, false, false, true)))
        );
    }
    // Binary is not.
    assert_eq!(to_server(&[masked(FIN | BINARY, b"\xff")]), [whole(b"\xff", true)]);
}

#[test]
fn section_8_1_text_that_is_not_utf_8_fails_the_connection_at_the_first_byte_that_is_wrong() {
    for (bad, good) in [
        (&b"abc\xffdef"[..], 3),
        (b"\x80", 0),
        (b"a\xc0\xaf", 1),
        (b"a\xed\xa0\x80", 2),
        (b"a\xe0\x80\x80", 2),
        (b"\xf4\x90\x80\x80", 1),
        (b"\xf5\x80\x80\x80", 0),
        (b"\xf0\x8f\x80\x80", 1),
        (b"ab\xe2\x82a", 4),
        (b"ab\xe2\x82", 4),
    ] {
        let mut expected = Vec::new();
        if good > 0 {
            let bytes = bad[..good].to_vec();
            expected.push(Told::Frame {
                bytes,
                is_binary: false,
                is_first: true,
                is_last: false,
                is_whole: false,
            });
        }
        expected.extend(failed(Error::Utf8));
        let told = to_server(&[masked(FIN | TEXT, bad)]);
        assert_eq!(told, expected, "{bad:x?}");
    }
    let told = to_server(&[masked(TEXT, b"\xe2\x82"), masked(FIN | CONTINUE, b"")]);
    let [error, goodbye] = failed(Error::Utf8);
    assert_eq!(told, [part(b"\xe2\x82", false, true, false), error, goodbye]);
}

#[test]
fn section_7_4_every_close_code_is_echoed_or_refused() {
    for code in 0..=u16::MAX {
        let payload = [&code.to_be_bytes()[..], b"why"].concat();
        let told = feed(&mut server(), &[&masked(FIN | CLOSE, &payload)], 1);
        let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        if legal {
            let echo = bare(FIN | CLOSE, &code.to_be_bytes());
            assert_eq!(told, [Told::Close(code, "why".to_owned()), Told::Sent(echo)]);
        } else {
            assert_eq!(told, failed(Error::CloseCode), "{code}");
        }
    }
}

#[test]
fn section_5_5_1_close_frames_without_a_code_with_half_a_code_and_with_bad_reasons() {
    let none = [Told::Close(1005, String::new()), Told::Sent(bare(FIN | CLOSE, b""))];
    assert_eq!(to_server(&[masked(FIN | CLOSE, b"")]), none);
    assert_eq!(to_server(&[masked(FIN | CLOSE, b"\x03")]), failed(Error::CloseFrame));
    assert_eq!(to_server(&[masked(FIN | CLOSE, b"\x03\xe8\xff")]), failed(Error::Utf8));
    assert_eq!(to_server(&[masked(FIN | CLOSE, b"\x03\xe8\xe2\x82")]), failed(Error::Utf8));
    let longest = [&b"\x03\xe8"[..], &[b'a'; 123]].concat();
    assert_eq!(to_server(&[masked(FIN | CLOSE, &longest)]).len(), 2);
}

#[test]
fn section_7_1_7_a_goodbye_comes_in_the_middle_of_a_message_too_and_what_follows_it_is_ignored() {
    let told = to_server(&[
        masked(TEXT, b"a"),
        masked(FIN | CLOSE, b"\x03\xe8"),
        masked(FIN | PING, b""),
        b"\xff\xff\xff".to_vec(),
    ]);
    assert_eq!(
        told,
        [
            part(b"a", false, true, false),
            Told::Close(1000, String::new()),
            Told::Sent(goodbye(CloseCode::NORMAL))
        ]
    );
}

#[test]
fn section_7_1_2_after_our_goodbye_the_peers_messages_still_arrive_and_its_own_is_not_answered() {
    let (mut engine, mut out) = (server(), Vec::new());
    engine.encode_close(CloseCode::AWAY, "bye", KEY, &mut out).unwrap();
    assert_eq!(out, bare(FIN | CLOSE, b"\x03\xe9bye"));
    assert!(engine.tx_done() && !engine.rx_done());
    let input =
        [masked(FIN | TEXT, b"a"), masked(FIN | PING, b"b"), masked(FIN | CLOSE, b"\x03\xe9")].concat();
    let told = feed(&mut engine, &[&input], 1);
    let expected = [whole(b"a", false), Told::Ping(b"b".to_vec()), Told::Close(1001, String::new())];
    assert_eq!(told, expected);
    assert!(engine.is_closed() && engine.input_eof().is_ok());
}

#[test]
fn section_7_1_5_a_connection_that_ends_without_a_goodbye_was_broken_off() {
    for input in [&b""[..], b"\x82", &masked(FIN | TEXT, b"a"), &masked(TEXT, b"a")[..6]] {
        let mut engine = server();
        feed(&mut engine, &[input], 1);
        assert_eq!(engine.input_eof(), Err(Error::Truncated));
        assert_eq!(engine.input(&mut [], &mut Scratch::default()), Err(Error::Truncated));
        assert!(!engine.has_output(), "nobody is there to read it");
    }
    assert_eq!(Error::Truncated.code(), CloseCode::ABNORMAL);
    let mut engine = server();
    feed(&mut engine, &[&masked(FIN | 3, b"")], 1);
    assert_eq!(engine.input_eof(), Err(Error::Opcode), "the first fault is the one that counts");
}

#[test]
fn section_5_5_1_the_answer_to_a_goodbye_can_be_given_in_our_own_words_after_our_message() {
    let (mut engine, mut out) = (server(), Vec::new());
    let first = Piece { is_last: false, ..Piece::TEXT };
    engine.frame(&mut [], first, KEY).unwrap();
    engine.input(&mut masked(FIN | CLOSE, b"\x03\xe8"), &mut Scratch::default()).unwrap();
    // RFC 6455 5.5.1: the message under way may be finished first.
    engine.frame(&mut [], Piece { is_first: false, ..Piece::TEXT }, KEY).unwrap();
    engine.encode_close(CloseCode::POLICY, "", KEY, &mut out).unwrap();
    assert_eq!(out, goodbye(CloseCode::POLICY));
    assert!(!engine.has_output() && engine.is_closed());
}
