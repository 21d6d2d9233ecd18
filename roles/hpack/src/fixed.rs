//! The static table (RFC 7541 Appendix A), and where in it a name is.

type Entry = (&'static [u8], &'static [u8]);

/// Index 1 is the first.
const TABLE: [Entry; 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// How many entries there are; the dynamic table's indexes begin above.
pub(crate) const LEN: u32 = TABLE.len() as u32;

/// What hashing begins with.
pub(crate) const SEED: u32 = 0x811c_9dc5;

/// `hash`, gone on with `text`: eight octets at a time, since every field that is sent passes through.
pub(crate) const fn hash(hash: u32, mut text: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = hash as u64 ^ text.len() as u64;
    while let Some((eight, rest)) = text.split_first_chunk::<8>() {
        state = (state ^ u64::from_le_bytes(*eight)).wrapping_mul(ODD);
        state ^= state >> 32;
        text = rest;
    }
    let mut last = 0;
    while let Some((octet, rest)) = text.split_first() {
        last = last << 8 | *octet as u64;
        text = rest;
    }
    state = (state ^ last).wrapping_mul(ODD);
    (state ^ state >> 32) as u32
}

const SLOTS: usize = 256;

/// Open addressing: the first index of each name, by the name's hash; 0 is a free slot.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const BY_NAME: [u8; SLOTS] = {
    let mut slots = [0; SLOTS];
    let mut at = 0;
    while at < TABLE.len() {
        let name = hash(SEED, TABLE[at].0);
        // Entries of one name follow each other.
        if at == 0 || hash(SEED, TABLE[at - 1].0) != name {
            let mut slot = name as usize % SLOTS;
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = at as u8 + 1;
        }
        at += 1;
    }
    slots
};

/// The entry of this index.
pub(crate) fn get(index: u32) -> Option<Entry> {
    TABLE.get((index as usize).checked_sub(1)?).copied()
}

/// The first index of this name, whose hash is `name_hash`; and of this field, when its value is there as well.
pub(crate) fn find(name_hash: u32, name: &[u8], value: &[u8]) -> Option<(u32, Option<u32>)> {
    let mut slot = name_hash as usize % SLOTS;
    loop {
        let first = u32::from(*BY_NAME.get(slot)?);
        let (known, _) = get(first)?;
        if known == name {
            let mut same =
                (first..=LEN).map_while(|at| Some((at, get(at)?))).take_while(|(_, e)| e.0 == name);
            let field = same.find(|(_, entry)| entry.1 == value).map(|(at, _)| at);
            return Some((first, field));
        }
        slot = (slot + 1) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_by_its_name_and_value() {
        for index in 1..=LEN {
            let (name, value) = get(index).unwrap();
            let (first, field) = find(hash(SEED, name), name, value).unwrap();
            assert_eq!(field, Some(index));
            assert_eq!(get(first).unwrap().0, name);
        }
        assert_eq!(find(hash(SEED, b":status"), b":status", b"201"), Some((8, None)));
        assert_eq!(find(hash(SEED, b"x-a"), b"x-a", b""), None);
        assert_eq!((get(0), get(62)), (None, None));
    }
}
