//! What must hold for any header blocks: no panic, limits that are kept, and fields that are the same once they have been
//! written and read again.

use core::ops::ControlFlow;
use millstream_hpack::{Decoder, Encoder, Error, Limits};

/// Small limits, so that short inputs reach them.
const LIMITS: Limits = Limits { table: 256, string: 300, list: 2000 };

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Error> {
    let (mut fields, mut size) = (Vec::new(), 0);
    let result = decoder.decode(block, |name, value| {
        assert!(name.len() <= 300 && value.len() <= 300);
        size += name.len() + value.len() + 32;
        assert!(size <= 2000 + 632, "the list goes on beyond its limit");
        fields.push((name.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    result.map(|()| fields)
}

/// Blocks, each behind one byte that is its length, and between them table sizes.
pub(crate) fn hpack(data: &[u8]) {
    let (mut decoder, mut encoder, mut again) =
        (Decoder::new(LIMITS), Encoder::new(256), Decoder::new(LIMITS));
    let mut rest = data;
    while let Some((&len, behind)) = rest.split_first() {
        if len == 0xff {
            let Some((&size, behind)) = behind.split_first() else { return };
            let size = u32::from(size);
            decoder.set_max_table_size(size);
            again.set_max_table_size(size);
            encoder.set_max_table_size(size);
            rest = behind;
            continue;
        }
        let (block, behind) = behind.split_at(usize::from(len).min(behind.len()));
        rest = behind;
        let Ok(fields) = decode(&mut decoder, block) else { return };
        let mut out = Vec::new();
        let mut block = encoder.block(&mut out);
        for (name, value) in &fields {
            block.field(name, value);
        }
        assert_eq!(decode(&mut again, &out), Ok(fields));
    }
}
