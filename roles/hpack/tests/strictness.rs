//! What is refused, rule by rule (RFC 7541).

mod common;

use common::decode;
use core::ops::ControlFlow;
use millstream_hpack::{Decoder, Encoder, Error, Limits};

fn refused(block: &[u8]) -> Error {
    decode(&mut Decoder::new(Limits::default()), block).unwrap_err()
}

#[test]
fn rfc_7541_2_3_3_an_index_that_stands_for_nothing() {
    assert_eq!(refused(&[0x80]), Error::Index);
    assert_eq!(refused(&[0x80 + 62]), Error::Index);
    assert_eq!(refused(&[0x7f, 0x00, 0x00]), Error::Index);
    assert_eq!(refused(&[0x0f, 0xff, 0xff, 0x01, 0x00]), Error::Index);
}

#[test]
fn rfc_7541_4_2_a_table_size_behind_a_field() {
    assert_eq!(refused(&[0x82, 0x20]), Error::LateTableSize);
    assert_eq!(
        decode(&mut Decoder::new(Limits::default()), &[0x20, 0x3f, 0xe1, 0x1f, 0x82]).unwrap().len(),
        1
    );
}

#[test]
fn rfc_7541_4_2_a_table_that_does_not_shrink_when_told() {
    let make = || {
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_max_table_size(100);
        decoder.set_max_table_size(200);
        decoder
    };
    assert_eq!(decode(&mut make(), &[0x82]), Err(Error::MissingTableSize));
    assert_eq!(decode(&mut make(), &[0x3f, 200 - 31 - 128 + 0x80, 1, 0x82]), Err(Error::MissingTableSize));
    let both = [0x3f, 100 - 31, 0x3f, 200 - 31 - 128 + 0x80, 1, 0x82];
    assert_eq!(decode(&mut make(), &both).unwrap().len(), 1);
    assert_eq!(decode(&mut make(), &[0x3f, 201 - 31 - 128 + 0x80, 1]), Err(Error::TableSize));
}

#[test]
fn rfc_7541_4_4_an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(Limits::default());
    assert_eq!(decode(&mut decoder, &[0x3f, 64 - 31, 0x40, 1, b'a', 1, b'b', 0x80 + 62]).unwrap().len(), 2);
    let large = [&[0x40, 1, b'c', 40][..], &[b'd'; 40]].concat();
    assert_eq!(decode(&mut decoder, &large).unwrap(), [(b"c".to_vec(), vec![b'd'; 40])]);
    assert_eq!(decode(&mut decoder, &[0x80 + 62]), Err(Error::Index));
}

#[test]
fn rfc_7541_5_1_an_integer_that_is_too_large() {
    assert_eq!(refused(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]), Error::Integer);
    assert_eq!(refused(&[0x3f]), Error::Truncated);
}

#[test]
fn rfc_7541_5_2_bad_huffman_strings() {
    assert_eq!(refused(&[0x40, 0x81, 0x00, 0x00]), Error::Huffman);
    assert_eq!(refused(&[0x40, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00]), Error::Huffman);
}

#[test]
fn rfc_7541_6_3_a_table_larger_than_allowed() {
    assert_eq!(refused(&[0x3f, 0xe2, 0x1f]), Error::TableSize);
}

#[test]
fn a_block_that_ends_anywhere_but_between_fields() {
    let (mut encoder, mut whole) = (Encoder::new(4096), Vec::new());
    encoder.block(&mut whole).field(b"x-name", b"some value");
    for end in 1..whole.len() {
        assert_eq!(refused(&whole[..end]), Error::Truncated);
    }
}

#[test]
fn strings_and_lists_have_limits() {
    let limits = Limits { string: 20, list: 100, ..Limits::default() };
    let mut out = Vec::new();
    Encoder::new(4096).block(&mut out).field(b"a", &[b'a'; 21]);
    assert_eq!(decode(&mut Decoder::new(limits), &out), Err(Error::StringTooLong));
    // Refused for what it announces: none of it is there.
    assert_eq!(decode(&mut Decoder::new(limits), &[0x40, 21]), Err(Error::StringTooLong));
    // Each of these stands for 42 bytes.
    assert_eq!(decode(&mut Decoder::new(limits), &[0x82, 0x82]).unwrap().len(), 2);
    assert_eq!(decode(&mut Decoder::new(limits), &[0x82, 0x82, 0x82]), Err(Error::ListTooLong));
}

#[test]
fn a_bomb_of_indexes_ends_at_the_limit_of_the_list() {
    let mut decoder = Decoder::new(Limits { list: 65_536, ..Limits::default() });
    let mut block = Vec::new();
    Encoder::new(4096).block(&mut block).field(b"x", &[0xff; 4000]);
    block.resize(block.len() + 16_384, 0x80 + 62);
    let (mut fields, mut bytes) = (0, 0);
    let result = decoder.decode(&block, |name, value| {
        fields += 1;
        bytes += name.len() + value.len();
        ControlFlow::Continue(())
    });
    assert_eq!(result, Err(Error::ListTooLong));
    assert!(fields <= 17 && bytes <= 70_000);
}

#[test]
fn whoever_takes_the_fields_can_break_off() {
    let mut taken = 0;
    let result = Decoder::new(Limits::default()).decode(&[0x82; 100], |_, _| {
        taken += 1;
        if taken == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((result, taken), (Err(Error::Stopped), 3));
}
