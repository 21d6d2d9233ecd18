//! Bytes to frames of HTTP/2 that are well formed, or nearly: what comes after the first rules is reached by them far sooner
//! than by bytes that are taken as they are.

use super::common::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PADDED, PING, POST, PRIORITY,
    RST_STREAM, SETTINGS, block, frame, window_update,
};

/// Windows, tables and lengths at their ends and beside them.
const NUMBERS: [u32; 16] = [
    0,
    1,
    50,
    99,
    100,
    101,
    4096,
    16_383,
    16_384,
    16_385,
    65_535,
    65_536,
    70_000,
    0x7fff_0000,
    0x7fff_ffff,
    u32::MAX,
];

const RESPONSES: [&[(&str, &str)]; 4] = [
    &[(":status", "200")],
    &[(":status", "103")],
    &[(":status", "200"), ("content-length", "100")],
    &[(":status", "304"), ("x-field", "some value")],
];

const TRAILERS: &[(&str, &str)] = &[("x-trailer", "value")];

/// More bytes are not made: they are given one by one as well, and that takes its time.
const MOST: usize = 4000;

/// What a peer says: three bytes for each frame, which are its type, its stream and a number.
pub(crate) fn frames(from_client: bool, script: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // The first block says that there is no table, whatever is allowed (RFC 7541 4.2).
    let mut sizes = vec![0x20];
    let mut block = |fields: &[(&str, &str)]| [std::mem::take(&mut sizes), block(fields)].concat();
    for [kind, stream, number] in script.as_chunks::<3>().0 {
        let (id, ends) = (u32::from(stream % 16) * 2 + 1, if stream & 0x80 == 0 { 0 } else { END_STREAM });
        let (nth, value) = (usize::from(*number), NUMBERS[usize::from(number % 16)]);
        let head = match nth % 4 {
            0 if from_client => GET.to_vec(),
            1 if from_client => [&POST[..], &[("content-length", "100")]].concat(),
            2 if from_client => [&POST[..], &[("expect", "100-continue")]].concat(),
            _ if from_client => POST.to_vec(),
            nth => RESPONSES[nth].to_vec(),
        };
        match kind % 16 {
            0 | 1 => out.extend(frame(HEADERS, END_HEADERS | ends, id, &block(&head))),
            2 => {
                let head = block(&head);
                let (first, second) = head.split_at(nth % head.len());
                out.extend(frame(HEADERS, ends, id, first));
                out.extend(frame(CONTINUATION, END_HEADERS, id, second));
            }
            3 => out.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &block(TRAILERS))),
            4 | 5 => out.extend(frame(DATA, ends, id, &vec![b'.'; nth])),
            6 => out.extend(frame(DATA, PADDED | ends, id, &[&[*number], &[b'.'; 120][..]].concat())),
            7 => out.extend(window_update(id, value)),
            8 => out.extend(window_update(0, value)),
            9 => {
                let entry = |id: u8, value: u32| [&[0, id][..], &value.to_be_bytes()].concat();
                let both = [entry(number >> 4, value), entry(stream & 7, NUMBERS[usize::from(stream >> 4)])];
                out.extend(frame(SETTINGS, 0, 0, &both.concat()));
            }
            10 => out.extend(frame(SETTINGS, ACK, 0, &[])),
            11 => out.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, number % 16])),
            12 => out.extend(frame(PING, if ends == 0 { 0 } else { ACK }, 0, b"farewell")),
            13 => out.extend(frame(GOAWAY, 0, 0, &[0, 0, 0, number % 16, 0, 0, 0, 0])),
            14 => out.extend(frame(PRIORITY, 0, id, &[0; 5][..5 - nth / 255])),
            _ => out.extend(frame(DATA, ends, id, &vec![b'.'; nth * 8])),
        }
        if out.len() > MOST {
            break;
        }
    }
    out
}
