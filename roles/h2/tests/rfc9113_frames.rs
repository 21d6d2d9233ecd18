//! Every rule of RFC 9113 3 to 6 that names an error, each test named by its section.

mod common;

use common::*;
use http::{BodyLength, Method, Status};
use millstream_h2::{Code, EncodeError, Engine, Limits};

/// A server on which stream 1 is open: its request is not complete.
fn open_server() -> Engine {
    let mut engine = server();
    assert_eq!(feed(&mut engine, &headers(END_HEADERS, 1, &POST)).len(), 1);
    engine
}

/// A server on which stream 1 is half-closed (remote).
fn asked_server() -> Engine {
    let mut engine = server();
    assert_eq!(feed(&mut engine, &headers(WHOLE, 1, &GET)).len(), 2);
    engine
}

/// A server on which stream 1 is closed: both sides have said all.
fn served_server() -> Engine {
    let mut engine = server();
    let stream = accept(&mut engine, &headers(WHOLE, 1, &GET));
    engine.encode_response(stream, Status::OK, [].into_iter(), BodyLength::None, &mut Vec::new()).unwrap();
    assert!(engine.is_idle());
    engine
}

#[test]
fn section_3_4_a_client_that_does_not_begin_with_the_preface() {
    assert_connection_error(
        &mut Engine::server(Limits::default()),
        b"GET / HTTP/1.1\r\n",
        Code::PROTOCOL_ERROR,
    );
    let mut engine = Engine::server(Limits::default());
    assert_eq!(feed(&mut engine, &PREFACE[..10]), []);
    assert_connection_error(&mut engine, b"PRI * HTTP/2.0\r\n\r\nSN", Code::PROTOCOL_ERROR);
}

#[test]
fn section_3_4_a_first_frame_that_is_not_settings() {
    for first in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, &[]), headers(WHOLE, 1, &GET)] {
        let hello = [PREFACE, &first].concat();
        assert_connection_error(&mut Engine::server(Limits::default()), &hello, Code::PROTOCOL_ERROR);
        assert_connection_error(&mut Engine::client(Limits::default()), &first, Code::PROTOCOL_ERROR);
    }
}

#[test]
fn section_4_1_reserved_bits_and_flags_without_a_meaning_are_ignored() {
    let mut input = headers(WHOLE | 0xc2, 1, &GET);
    input[5] |= 0x80;
    assert_eq!(feed(&mut server(), &input).len(), 2);
    let update = frame(WINDOW_UPDATE, 0xff, 0x8000_0000, &0x8000_0001u32.to_be_bytes());
    assert_eq!(feed(&mut server(), &update), []);
    assert_eq!(feed(&mut server(), &frame(SETTINGS, 0xfe, 0, &[])), [Told::Settings]);
}

#[test]
fn section_4_2_a_frame_beyond_the_largest() {
    for kind in [DATA, HEADERS, SETTINGS, CONTINUATION, 0x77] {
        let mut engine = open_server();
        let stream = u32::from(kind != SETTINGS);
        if kind == CONTINUATION {
            feed(&mut engine, &headers(0, 3, &GET));
            assert_connection_error(
                &mut engine,
                &frame(kind, 0, 3, &vec![0; 16_385]),
                Code::FRAME_SIZE_ERROR,
            );
        } else {
            assert_connection_error(
                &mut engine,
                &frame(kind, 0, stream, &vec![0; 16_385]),
                Code::FRAME_SIZE_ERROR,
            );
        }
    }
    let limits = Limits { frame: 20_000, ..Limits::default() };
    assert_eq!(feed(&mut server_with(limits), &frame(0x77, 0, 1, &vec![0; 20_000])), []);
}

#[test]
fn section_4_2_a_frame_too_short_for_what_it_must_have() {
    let short = [frame(HEADERS, PADDED, 1, &[]), frame(HEADERS, PRIORITIZED, 1, &[0; 4])];
    for input in short.into_iter().chain([frame(DATA, PADDED, 1, &[]), frame(GOAWAY, 0, 0, &[0; 7])]) {
        assert_connection_error(&mut open_server(), &input, Code::FRAME_SIZE_ERROR);
    }
}

#[test]
fn section_4_3_a_header_block_that_cannot_be_decompressed() {
    let input = frame(HEADERS, WHOLE, 1, &[0x80]);
    assert_connection_error(&mut server(), &input, Code::COMPRESSION_ERROR);
    assert_connection_error(&mut server(), &frame(HEADERS, WHOLE, 1, &[0x40]), Code::COMPRESSION_ERROR);
}

#[test]
fn section_4_3_1_a_header_block_that_does_not_say_that_its_table_has_shrunk() {
    let small = || server_with(Limits { header_table: 0, ..Limits::default() });
    assert_connection_error(&mut small(), &headers(WHOLE, 1, &GET), Code::COMPRESSION_ERROR);
    let shrunk = [&[0x20], &block(&GET)[..]].concat();
    assert_eq!(feed(&mut small(), &frame(HEADERS, WHOLE, 1, &shrunk)).len(), 2);
    // Until the setting is acknowledged the old size holds.
    let mut engine = Engine::server(Limits { header_table: 0, ..Limits::default() });
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(WHOLE, 1, &GET)].concat();
    assert_eq!(feed(&mut engine, &hello).len(), 3);
}

#[test]
fn section_4_3_1_our_own_table_shrinks_and_grows_when_the_peer_says_so() {
    let mut engine = server();
    let mut decoder = hpack::Decoder::new(hpack::Limits::default());
    let mut sizes = Vec::new();
    for (nth, table) in
        [None, None, Some(0), None, Some(4096), None, None, Some(59), None].into_iter().enumerate()
    {
        if let Some(size) = table {
            feed(&mut engine, &setting(1, size));
            // The acknowledgement is sent before the next head, and a decoder that has to shrink insists on being told.
            decoder.set_max_table_size(size);
        }
        let stream = accept(&mut engine, &headers(WHOLE, 2 * nth as u32 + 1, &GET));
        let (mut out, fields) = (Vec::new(), [(&b"x-name"[..], &b"a value of some length"[..])]);
        engine.encode_response(stream, Status::OK, fields.into_iter(), BodyLength::None, &mut out).unwrap();
        let sent = frames(&out);
        let head = sent.iter().find(|sent| sent.kind == HEADERS).unwrap();
        let mut count = 0;
        let read = decoder.decode(&head.payload, |_, _| {
            count += 1;
            core::ops::ControlFlow::Continue(())
        });
        assert_eq!((read, count), (Ok(()), 2));
        sizes.push(head.payload.len());
    }
    // Long when nothing of it is in the table.
    let is_short: Vec<bool> = sizes.iter().map(|size| *size < 10).collect();
    assert_eq!(is_short, [false, true, false, false, false, true, true, false, false], "{sizes:?}");
}

#[test]
fn section_5_1_frames_on_a_stream_that_is_idle() {
    for input in [frame(DATA, 0, 3, b"a"), rst_stream(3, Code::CANCEL), window_update(3, 1)] {
        assert_connection_error(&mut open_server(), &input, Code::PROTOCOL_ERROR);
        assert_connection_error(&mut client(), &input, Code::PROTOCOL_ERROR);
    }
    assert_connection_error(&mut client(), &headers(WHOLE, 3, &[(":status", "200")]), Code::PROTOCOL_ERROR);
    assert_eq!(feed(&mut server(), &frame(PRIORITY, 0, 3, &[0; 5])), []);
}

#[test]
fn section_5_1_frames_on_a_stream_that_is_half_closed() {
    let (data, trailers) = (frame(DATA, 0, 1, b"a"), headers(WHOLE, 1, &[("a", "b")]));
    assert_stream_error(&mut asked_server(), &data, 1, Code::STREAM_CLOSED);
    assert_stream_error(&mut asked_server(), &trailers, 1, Code::STREAM_CLOSED);
    for allowed in [window_update(1, 1), frame(PRIORITY, 0, 1, &[0; 5])] {
        assert_eq!(feed(&mut asked_server(), &allowed), []);
    }
    let reset = feed(&mut asked_server(), &rst_stream(1, Code::CANCEL));
    assert_eq!(reset, [Told::Reset(1, Code::CANCEL)]);
}

#[test]
fn section_5_1_frames_on_a_stream_that_is_closed() {
    for input in [frame(DATA, 0, 1, b"a"), headers(WHOLE, 1, &GET)] {
        assert_connection_error(&mut served_server(), &input, Code::STREAM_CLOSED);
        let mut reset = open_server();
        feed(&mut reset, &rst_stream(1, Code::CANCEL));
        assert_connection_error(&mut reset, &input, Code::STREAM_CLOSED);
    }
    for late in [window_update(1, 1), rst_stream(1, Code::NO_ERROR), frame(PRIORITY, 0, 1, &[0; 5])] {
        assert_eq!(feed(&mut served_server(), &late), []);
    }
}

#[test]
fn section_5_1_frames_on_a_stream_that_we_have_reset_are_dropped_and_counted() {
    let mut engine = server();
    let input = headers(END_HEADERS, 1, &[&POST[..], &[("content-length", "1")]].concat());
    feed(&mut engine, &input);
    assert_stream_error(&mut engine, &frame(DATA, 0, 1, b"12"), 1, Code::PROTOCOL_ERROR);
    let late = [frame(DATA, 0, 1, b"3"), headers(WHOLE, 1, &[("x-sum", "1")]), window_update(1, 1)].concat();
    assert_eq!(feed(&mut engine, &late), []);
    assert_eq!(output(&mut engine), []);
}

#[test]
fn section_5_1_1_identifiers_that_are_even_or_have_been_passed_over() {
    assert_connection_error(&mut server(), &headers(WHOLE, 2, &GET), Code::PROTOCOL_ERROR);
    let mut engine = server();
    feed(&mut engine, &[headers(WHOLE, 1, &GET), headers(WHOLE, 7, &GET)].concat());
    assert_connection_error(&mut engine, &headers(WHOLE, 5, &GET), Code::PROTOCOL_ERROR);
}

#[test]
fn section_5_1_streams_that_a_server_begins() {
    let promised = headers(WHOLE, 2, &[(":status", "200")]);
    assert_connection_error(&mut client(), &promised, Code::PROTOCOL_ERROR);
    assert_connection_error(&mut client(), &rst_stream(2, Code::CANCEL), Code::PROTOCOL_ERROR);
}

#[test]
fn section_5_1_2_more_streams_than_were_allowed() {
    let mut engine = server_with(Limits { streams: 1, ..Limits::default() });
    feed(&mut engine, &headers(END_HEADERS, 1, &POST));
    assert_stream_error(&mut engine, &headers(END_HEADERS, 3, &POST), 3, Code::REFUSED_STREAM);
    assert_eq!(feed(&mut engine, &frame(DATA, END_STREAM, 3, b"late")), []);
    assert_eq!(feed(&mut engine, &frame(DATA, 0, 1, b"a")), [Told::Body(1, b"a".to_vec())]);
}

#[test]
fn section_5_4_1_the_goodbye_names_the_last_stream() {
    let mut engine = asked_server();
    output(&mut engine);
    feed(&mut engine, &frame(PING, 0, 1, &[0; 8]));
    let sent = output(&mut engine);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].payload, [0, 0, 0, 1, 0, 0, 0, 1]);
}

#[test]
fn section_5_4_2_a_reset_is_not_answered_with_one() {
    let mut engine = open_server();
    output(&mut engine);
    let twice = rst_stream(1, Code::PROTOCOL_ERROR).repeat(2);
    assert_eq!(feed(&mut engine, &twice), [Told::Reset(1, Code::PROTOCOL_ERROR)]);
    assert_eq!(output(&mut engine), []);
}

#[test]
fn section_5_5_unknown_frames_are_ignored_but_not_within_a_header_block() {
    assert_eq!(feed(&mut server(), &frame(0xfe, 0xff, 9, b"whatever")), []);
    let input = [headers(END_STREAM, 1, &GET), frame(0xfe, 0, 1, &[])].concat();
    assert_connection_error(&mut server(), &input, Code::PROTOCOL_ERROR);
}

#[test]
fn section_6_1_data_on_stream_0_or_with_too_much_padding() {
    assert_connection_error(&mut server(), &frame(DATA, 0, 0, b"a"), Code::PROTOCOL_ERROR);
    assert_connection_error(&mut open_server(), &frame(DATA, PADDED, 1, &[2, 0]), Code::PROTOCOL_ERROR);
    assert_eq!(feed(&mut open_server(), &frame(DATA, PADDED, 1, &[1, 0])), []);
}

#[test]
fn section_6_2_headers_on_stream_0_or_with_too_much_padding_or_interrupted() {
    assert_connection_error(&mut server(), &headers(WHOLE, 0, &GET), Code::PROTOCOL_ERROR);
    assert_connection_error(&mut server(), &frame(HEADERS, WHOLE | PADDED, 1, &[1]), Code::PROTOCOL_ERROR);
    for next in [frame(DATA, 0, 1, b"a"), headers(WHOLE, 3, &GET), frame(PING, 0, 0, &[0; 8])] {
        let input = [headers(END_STREAM, 1, &GET), next].concat();
        assert_connection_error(&mut server(), &input, Code::PROTOCOL_ERROR);
    }
}

#[test]
fn section_6_3_priority_on_stream_0_or_of_a_wrong_length() {
    assert_connection_error(&mut server(), &frame(PRIORITY, 0, 0, &[0; 5]), Code::PROTOCOL_ERROR);
    assert_stream_error(&mut open_server(), &frame(PRIORITY, 0, 1, &[0; 4]), 1, Code::FRAME_SIZE_ERROR);
    assert_connection_error(&mut server(), &frame(PRIORITY, 0, 1, &[0; 6]), Code::FRAME_SIZE_ERROR);
}

#[test]
fn section_6_4_rst_stream_on_stream_0_or_of_a_wrong_length() {
    assert_connection_error(&mut server(), &rst_stream(0, Code::CANCEL), Code::PROTOCOL_ERROR);
    assert_connection_error(&mut open_server(), &frame(RST_STREAM, 0, 1, &[0; 3]), Code::FRAME_SIZE_ERROR);
}

#[test]
fn section_6_5_settings_on_a_stream_or_of_a_wrong_length() {
    assert_connection_error(&mut server(), &frame(SETTINGS, 0, 1, &[]), Code::PROTOCOL_ERROR);
    assert_connection_error(&mut server(), &frame(SETTINGS, 0, 0, &[0; 5]), Code::FRAME_SIZE_ERROR);
    assert_connection_error(&mut server(), &frame(SETTINGS, ACK, 0, &[0; 6]), Code::FRAME_SIZE_ERROR);
    assert_connection_error(&mut server(), &frame(SETTINGS, ACK, 0, &[]), Code::PROTOCOL_ERROR);
}

#[test]
fn section_6_5_2_settings_with_values_that_they_cannot_have() {
    assert_connection_error(&mut server(), &setting(2, 2), Code::PROTOCOL_ERROR);
    assert_connection_error(&mut client(), &setting(2, 1), Code::PROTOCOL_ERROR);
    assert_connection_error(&mut server(), &setting(4, 0x8000_0000), Code::FLOW_CONTROL_ERROR);
    assert_connection_error(&mut server(), &setting(5, 16_383), Code::PROTOCOL_ERROR);
    assert_connection_error(&mut server(), &setting(5, 0x0100_0000), Code::PROTOCOL_ERROR);
    for good in [setting(2, 1), setting(4, 0x7fff_ffff), setting(5, 0x00ff_ffff), setting(0xfff, 9)] {
        assert_eq!(feed(&mut server(), &good), [Told::Settings]);
    }
}

#[test]
fn section_6_5_3_settings_are_acknowledged_in_order() {
    let mut engine = server();
    feed(&mut engine, &[setting(3, 1), frame(PING, 0, 0, &[1; 8]), setting(3, 2)].concat());
    let kinds: Vec<_> = output(&mut engine).iter().map(|sent| (sent.kind, sent.flags)).collect();
    assert_eq!(kinds, [(SETTINGS, ACK), (PING, ACK), (SETTINGS, ACK)]);
}

#[test]
fn section_6_5_3_settings_take_effect_when_all_of_them_are_there() {
    let mut engine = server();
    let entry = |id: u8, value: u32| [&[0, id][..], &value.to_be_bytes()].concat();
    let none = frame(SETTINGS, 0, 0, &entry(1, 0));
    let stream = accept(&mut engine, &[none, headers(END_HEADERS, 1, &POST)].concat());
    feed(&mut engine, &window_update(0, 100_000));
    feed(&mut engine, &window_update(1, 100_000));
    let all = frame(SETTINGS, 0, 0, &[entry(1, 4096), entry(4, 65_536), entry(5, 16_385)].concat());
    let (first, rest) = all.split_at(9 + 6 + 6 + 5);
    feed(&mut engine, first);
    // A peer that has not been told that its settings are known reads neither a larger table nor larger frames.
    let mut out = Vec::new();
    let (field, body) = ([(&b"x-a"[..], &b"b"[..])], BodyLength::Unknown);
    engine.encode_response(stream, Status::OK, field.into_iter(), body, &mut out).unwrap();
    let head = frames(&out).pop().unwrap();
    let mut decoder = hpack::Decoder::new(hpack::Limits { table: 0, ..hpack::Limits::default() });
    let read = decoder.decode(&head.payload, |_, _| core::ops::ControlFlow::Continue(()));
    assert_eq!((head.kind, read, engine.tx_room(stream)), (HEADERS, Ok(()), 16_384));
    let mut pieces = rest.to_vec();
    pieces.splice(0..0, first[first.len() - 5..].iter().copied());
    assert_eq!(feed(&mut engine, &pieces), [Told::Settings]);
    assert_eq!(engine.tx_room(stream), 16_385);
}

#[test]
fn section_6_6_a_push_that_was_not_allowed() {
    let push = frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &block(&GET)[..]].concat());
    assert_connection_error(&mut client(), &push, Code::PROTOCOL_ERROR);
    assert_connection_error(&mut asked_server(), &push, Code::PROTOCOL_ERROR);
    assert_connection_error(&mut client(), &frame(PUSH_PROMISE, 0, 0, &[]), Code::PROTOCOL_ERROR);
}

#[test]
fn section_6_7_ping_on_a_stream_or_of_a_wrong_length() {
    assert_connection_error(&mut server(), &frame(PING, 0, 1, &[0; 8]), Code::PROTOCOL_ERROR);
    assert_connection_error(&mut server(), &frame(PING, 0, 0, &[0; 7]), Code::FRAME_SIZE_ERROR);
}

#[test]
fn section_6_8_goaway_on_a_stream() {
    assert_connection_error(&mut server(), &frame(GOAWAY, 0, 1, &[0; 8]), Code::PROTOCOL_ERROR);
}

#[test]
fn section_6_8_streams_beyond_the_goodbye_are_refused_and_their_heads_still_read() {
    let mut engine = server();
    engine.go_away(Code::NO_ERROR);
    output(&mut engine);
    let (mut encoder, mut late, mut next) = (hpack::Encoder::new(4096), Vec::new(), Vec::new());
    for out in [&mut late, &mut next] {
        let mut block = encoder.block(out);
        for (name, value) in GET {
            block.field(name.as_bytes(), value.as_bytes());
        }
    }
    let late = frame(HEADERS, WHOLE, 1, &late);
    assert_stream_error(&mut engine, &late, 1, Code::REFUSED_STREAM);
    // The second block is nothing but references to what the first has left in the table.
    assert!(next.len() <= GET.len());
    assert_stream_error(&mut engine, &frame(HEADERS, WHOLE, 3, &next), 3, Code::REFUSED_STREAM);
}

#[test]
fn section_6_8_the_last_stream_of_a_goodbye_is_never_more_than_it_was_before() {
    let mut engine = server();
    feed(&mut engine, &headers(END_HEADERS, 1, &POST));
    engine.go_away(Code::NO_ERROR);
    // Was on its way, and is refused: its request goes to another connection.
    feed(&mut engine, &headers(END_HEADERS, 3, &POST));
    engine.go_away(Code::CANCEL);
    feed(&mut engine, &frame(PING, 0, 1, &[0; 8]));
    let goodbyes = output(&mut engine).into_iter().filter(|sent| sent.kind == GOAWAY);
    let lasts: Vec<_> = goodbyes.map(|goodbye| goodbye.payload[..4].to_vec()).collect();
    assert_eq!(lasts, [[0, 0, 0, 1]; 3]);
}

#[test]
fn section_6_8_a_client_that_was_told_goodbye_begins_nothing() {
    let mut engine = client();
    let goodbye = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(feed(&mut engine, &goodbye), [Told::GoAway(1, Code::NO_ERROR)]);
    assert_eq!(engine.can_open(), Err(EncodeError::Ending));
    assert_eq!(feed(&mut engine, &headers(WHOLE, 1, &[(":status", "200")])).len(), 2);
}

#[test]
fn section_6_9_a_window_that_grows_by_nothing_or_in_a_wrong_length() {
    assert_connection_error(&mut server(), &window_update(0, 0), Code::PROTOCOL_ERROR);
    assert_stream_error(&mut open_server(), &window_update(1, 0), 1, Code::PROTOCOL_ERROR);
    assert_connection_error(&mut server(), &frame(WINDOW_UPDATE, 0, 0, &[0; 5]), Code::FRAME_SIZE_ERROR);
}

#[test]
fn section_6_9_data_that_nobody_takes_counts_against_the_window_of_the_connection() {
    let narrow = Limits { connection_window: 65_535, ..Limits::default() };
    let mut engine = server_with(narrow);
    feed(&mut engine, &[headers(END_HEADERS, 1, &POST), headers(END_HEADERS, 3, &POST)].concat());
    assert_stream_error(&mut engine, &window_update(1, 0), 1, Code::PROTOCOL_ERROR);
    let dropped = frame(DATA, PADDED, 1, &[[255].as_slice(), &[0; 16_383]].concat()).repeat(2);
    assert_eq!(feed(&mut engine, &dropped), []);
    // What was dropped is granted again: nobody else would do it.
    let granted: u32 = output(&mut engine)
        .iter()
        .filter(|sent| (sent.kind, sent.stream) == (WINDOW_UPDATE, 0))
        .map(|sent| u32::from_be_bytes(sent.payload[..].try_into().unwrap()))
        .sum();
    assert_eq!(granted, 2 * 16_384);
}

#[test]
fn section_6_9_1_windows_beyond_their_largest_and_data_beyond_the_window() {
    assert_connection_error(&mut server(), &window_update(0, 0x7fff_ffff), Code::FLOW_CONTROL_ERROR);
    assert_stream_error(&mut open_server(), &window_update(1, 0x7fff_ffff), 1, Code::FLOW_CONTROL_ERROR);

    let limits = Limits { window: 0, initial_window: 10, ..Limits::default() };
    let mut engine = server_with(limits);
    feed(&mut engine, &headers(END_HEADERS, 1, &POST));
    assert_stream_error(&mut engine, &frame(DATA, 0, 1, &[0; 11]), 1, Code::FLOW_CONTROL_ERROR);
}

#[test]
fn section_6_9_1_data_beyond_the_window_of_the_connection() {
    let wide =
        Limits { initial_window: 1 << 20, connection_window: 65_535, frame: 1 << 20, ..Limits::default() };
    let mut engine = server_with(wide);
    feed(&mut engine, &headers(END_HEADERS, 1, &POST));
    assert_eq!(feed(&mut engine, &frame(DATA, 0, 1, &vec![0; 65_535])).len(), 1);
    assert_connection_error(&mut engine, &frame(DATA, 0, 1, &vec![0; 65_536]), Code::FLOW_CONTROL_ERROR);
}

#[test]
fn section_6_9_2_a_setting_that_makes_a_window_too_large() {
    let mut engine = client();
    assert_eq!(feed(&mut engine, &window_update(1, 0x7fff_ffff - 65_535)), []);
    assert_connection_error(&mut engine, &setting(4, 65_536), Code::FLOW_CONTROL_ERROR);
}

#[test]
fn section_6_9_2_a_window_below_zero_lets_nothing_pass_until_it_is_above() {
    let mut engine = idle_client_with(Limits::default());
    let stream = ask(&mut engine, Method::Post, BodyLength::Unknown);
    engine.frame(stream, 16_384, false).unwrap();
    assert_eq!(feed(&mut engine, &setting(4, 16_000)), [Told::Settings]);
    assert_eq!(engine.tx_room(stream), 0);
    assert_eq!(feed(&mut engine, &window_update(1, 384)), []);
    assert_eq!((engine.tx_room(stream), engine.frame(stream, 1, false)), (0, Err(EncodeError::Room)));
    assert!(!engine.frame(stream, 0, false).unwrap().is_suppressed(), "nothing is not too much");
    assert_eq!(feed(&mut engine, &window_update(1, 1)), [Told::Window(1)]);
    assert_eq!(engine.tx_room(stream), 1);
    // A larger one opens it by the difference, and the connection's window stays what it was.
    assert_eq!(feed(&mut engine, &setting(4, 100_000)), [Told::Settings]);
    assert_eq!(engine.tx_room(stream), 16_384);
    for _ in 0..3 {
        engine.frame(stream, engine.tx_room(stream), false).unwrap();
    }
    assert_eq!(engine.tx_room(stream), 0, "65,535 bytes for all streams together");
}

#[test]
fn section_6_10_continuation_of_nothing() {
    let block = block(&GET);
    assert_connection_error(
        &mut server(),
        &frame(CONTINUATION, END_HEADERS, 1, &block),
        Code::PROTOCOL_ERROR,
    );
    assert_connection_error(
        &mut server(),
        &frame(CONTINUATION, END_HEADERS, 0, &block),
        Code::PROTOCOL_ERROR,
    );
    let other = [headers(END_STREAM, 1, &GET), frame(CONTINUATION, END_HEADERS, 3, &[])].concat();
    assert_connection_error(&mut server(), &other, Code::PROTOCOL_ERROR);
    let ended = [headers(WHOLE, 1, &GET), frame(CONTINUATION, END_HEADERS, 1, &[])].concat();
    assert_connection_error(&mut server(), &ended, Code::PROTOCOL_ERROR);
    let good = [headers(END_STREAM, 1, &GET), frame(CONTINUATION, END_HEADERS, 1, &[])].concat();
    assert_eq!(feed(&mut server(), &good).len(), 2);
}

#[test]
fn section_7_codes_that_nobody_knows_are_told_and_do_nothing_else() {
    let unknown = Code(0xffff_fffe);
    assert_eq!(feed(&mut open_server(), &rst_stream(1, unknown)), [Told::Reset(1, unknown)]);
    let goodbye = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, b'?']);
    assert_eq!(feed(&mut client(), &goodbye), [Told::GoAway(1, unknown)]);
}

#[test]
fn rfc_8441_3_a_setting_that_is_taken_back() {
    let mut engine = idle_client_with(Limits::default());
    assert_eq!(feed(&mut engine, &setting(8, 1)), [Told::Settings]);
    assert!(engine.peer_takes_connect());
    assert_connection_error(&mut engine, &setting(8, 0), Code::PROTOCOL_ERROR);
    assert_connection_error(&mut idle_client_with(Limits::default()), &setting(8, 2), Code::PROTOCOL_ERROR);
}

#[test]
fn section_5_1_a_client_ignores_what_may_come_late_for_a_stream_that_it_has_reset() {
    let mut engine = idle_client_with(Limits::default());
    let stream = ask(&mut engine, Method::Get, BodyLength::None);
    engine.reset(stream, Code::CANCEL);
    assert_eq!(output(&mut engine), frames(&rst_stream(1, Code::CANCEL)));
    let late = [headers(END_HEADERS, 1, &[(":status", "200")]), frame(DATA, END_STREAM, 1, b"late")].concat();
    assert_eq!(feed(&mut engine, &late), []);
}
