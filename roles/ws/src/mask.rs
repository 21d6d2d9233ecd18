//! Masking, which unmasks as well (RFC 6455 5.3).

/// Masks `data`, whose first byte meets `key`'s first.
pub(crate) fn apply(key: [u8; 4], data: &mut [u8]) {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = data.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The key as it stands for what comes `by` bytes later.
pub(crate) fn advance(mut key: [u8; 4], by: usize) -> [u8; 4] {
    key.rotate_left(by % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_length_and_every_cut_is_masked_as_byte_by_byte() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let plain: Vec<u8> = (0..100).collect();
        for len in 0..=plain.len() {
            let expected: Vec<u8> =
                plain.iter().take(len).zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
            for cut in 0..=len {
                let mut data = plain[..len].to_vec();
                let (first, second) = data.split_at_mut(cut);
                apply(key, first);
                apply(advance(key, cut), second);
                assert_eq!(data, expected, "{len} bytes, cut at {cut}");
            }
        }
    }

    #[test]
    fn the_masked_hello_of_rfc_6455_5_7() {
        let mut data = *b"\x7f\x9f\x4d\x51\x58";
        apply([0x37, 0xfa, 0x21, 0x3d], &mut data);
        assert_eq!(&data, b"Hello");
    }
}
