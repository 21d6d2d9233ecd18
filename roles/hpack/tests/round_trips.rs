//! What is written is read, whatever happens to the table in between; and two decoders see the same.

mod common;

use common::{Fields, Random, decode, encode};
use millstream_hpack::{Decoder, Encoder, Error, Indexing, Limits};

#[test]
fn what_was_written_is_read_while_the_table_changes_its_size() {
    for seed in 1..200 {
        let mut random = Random(seed * 0x9e37_79b9);
        let limits = Limits { table: 8192, ..Limits::default() };
        let (mut encoder, mut decoder) = (Encoder::new(6000), Decoder::new(limits));
        for _ in 0..50 {
            for _ in 0..random.below(3) {
                let size = random.below(8193) as u32;
                encoder.set_max_table_size(size);
                decoder.set_max_table_size(size);
            }
            let fields = random.fields();
            let mut block = encode(&mut encoder, &fields);
            if block.is_empty() {
                continue;
            }
            assert_eq!(decode(&mut decoder, &block).as_ref(), Ok(&fields), "seed {seed}");
            // The list was read; what follows it is another block's affair, cut anywhere.
            block.truncate(random.below(block.len()));
            let _ = decode(&mut decoder.clone(), &block);
        }
    }
}

#[test]
fn each_way_of_indexing_is_read_and_only_one_is_remembered() {
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new(Limits::default()));
    for indexing in [Indexing::Never, Indexing::Without, Indexing::Incremental, Indexing::Incremental] {
        let mut out = Vec::new();
        encoder.block(&mut out).field_as(b"x-key", b"secret", indexing);
        let flags = match (indexing, out.len()) {
            (Indexing::Never, _) => 0x10,
            (Indexing::Without, _) => 0x00,
            (Indexing::Incremental, 1) => 0x80 + 62,
            (Indexing::Incremental, _) => 0x40,
        };
        assert_eq!(out[0], flags);
        assert_eq!(decode(&mut decoder, &out), Ok(vec![(b"x-key".to_vec(), b"secret".to_vec())]));
    }
}

#[test]
fn secrets_are_never_indexed() {
    for name in ["authorization", "proxy-authorization", "cookie", "set-cookie"] {
        let (mut encoder, mut out) = (Encoder::new(4096), Vec::new());
        for _ in 0..2 {
            out.clear();
            encoder.block(&mut out).field(name.as_bytes(), b"secret");
            assert_eq!(out[0] & 0xf0, 0x10, "{name}");
        }
    }
}

/// Blocks as any encoder might write them, and some that none would.
fn any_block(random: &mut Random, encoder: &mut Encoder) -> Vec<u8> {
    let mut block = encode(encoder, &random.fields());
    for _ in 0..random.below(3) {
        if !block.is_empty() {
            let at = random.below(block.len());
            block[at] = random.below(256) as u8;
        }
    }
    block
}

fn loona(decoder: &mut loona_hpack::Decoder<'_>, block: &[u8]) -> Option<Fields> {
    let mut fields = Vec::new();
    let result = decoder.decode_with_cb(block, |name, value| fields.push((name.to_vec(), value.to_vec())));
    result.is_ok().then_some(fields)
}

#[test]
fn another_decoder_reads_the_same() {
    let (mut same, mut refused) = (0, 0);
    for seed in 1..150 {
        let mut random = Random(seed * 0x2545_f491);
        let (mut encoder, mut ours) = (Encoder::new(4096), Decoder::new(Limits::default()));
        let mut theirs = loona_hpack::Decoder::new();
        theirs.set_max_allowed_table_size(4096);
        for _ in 0..20 {
            let block = any_block(&mut random, &mut encoder);
            match (decode(&mut ours, &block), loona(&mut theirs, &block)) {
                (Ok(fields), Some(other)) => {
                    assert_eq!(fields, other, "{block:02x?}");
                    same += 1;
                }
                // It takes a table size anywhere but in a block without fields.
                (Err(Error::LateTableSize), _) | (Err(_), None) => {
                    refused += 1;
                    break;
                }
                (Ok(fields), None) if fields.is_empty() => break,
                (ours, theirs) => panic!("{ours:?} {theirs:?} {block:02x?}"),
            }
        }
    }
    assert!(same > 150 && refused > 60, "{same} {refused}");
}

#[test]
fn another_decoder_reads_what_we_write() {
    for seed in 1..25 {
        let mut random = Random(seed * 0x2545_f491);
        let (mut encoder, mut theirs) = (Encoder::new(4096), loona_hpack::Decoder::new());
        for _ in 0..20 {
            if random.below(4) == 0 {
                encoder.set_max_table_size(random.below(5000) as u32);
            }
            let fields = random.fields();
            if fields.is_empty() {
                continue;
            }
            let block = encode(&mut encoder, &fields);
            assert_eq!(loona(&mut theirs, &block), Some(fields));
        }
    }
}

#[test]
fn another_encoder_is_read() {
    for seed in 1..25 {
        let mut random = Random(seed * 0x2545_f491);
        let (mut ours, mut theirs) = (Decoder::new(Limits::default()), loona_hpack::Encoder::new());
        for _ in 0..20 {
            let fields = random.fields();
            let block = theirs.encode(fields.iter().map(|(name, value)| (&name[..], &value[..])));
            assert_eq!(decode(&mut ours, &block), Ok(fields));
        }
    }
}
