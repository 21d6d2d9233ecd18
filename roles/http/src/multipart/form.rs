//! What goes out around the one part of a form.

use crate::field;
use alloc::vec::Vec;

/// A form with one part (RFC 7578): what stands before its content, and behind.
///
/// ```
/// use millstream_http::multipart::Form;
///
/// let form = Form::new([1, 2], b"log", Some(b"a\"b.txt"), None);
/// let boundary = "00000000000000010000000000000002";
/// let head = "Content-Disposition: form-data; name=\"log\"; filename=\"a%22b.txt\"";
/// assert_eq!(form.front(), format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
/// assert_eq!(form.back(), format!("\r\n--{boundary}--\r\n").as_bytes());
/// assert_eq!(form.boundary(), boundary.as_bytes());
/// ```
#[derive(Debug)]
pub struct Form {
    text: Vec<u8>,
    front: usize,
}

/// Hexadecimal digits of 128 random bits: no content has them by chance.
const BOUNDARY: usize = 32;

impl Form {
    /// A form whose part has this name and, where they are given, a file name and a Content-Type. A Content-Type that
    /// cannot be the value of a field is left out.
    pub fn new(random: [u64; 2], name: &[u8], filename: Option<&[u8]>, content_type: Option<&[u8]>) -> Self {
        let mut text = Vec::from(*b"--");
        for half in random {
            text.extend((0..16).rev().map(|digit| hex((half >> (digit * 4)) & 15)));
        }
        text.extend_from_slice(b"\r\nContent-Disposition: form-data; name=");
        quote(name, &mut text);
        if let Some(filename) = filename {
            text.extend_from_slice(b"; filename=");
            quote(filename, &mut text);
        }
        if let Some(value) = content_type.map(field::trim).filter(|value| field::is_value(value)) {
            text.extend_from_slice(b"\r\nContent-Type: ");
            text.extend_from_slice(value);
        }
        text.extend_from_slice(b"\r\n\r\n");
        let front = text.len();
        text.extend_from_slice(b"\r\n");
        text.extend_from_within(..2 + BOUNDARY);
        text.extend_from_slice(b"--\r\n");
        Self { text, front }
    }

    /// What stands before the content.
    pub fn front(&self) -> &[u8] {
        self.text.get(..self.front).unwrap_or_default()
    }

    /// What stands behind the content.
    pub fn back(&self) -> &[u8] {
        self.text.get(self.front..).unwrap_or_default()
    }

    /// What the Content-Type of the whole says behind `boundary=`.
    pub fn boundary(&self) -> &[u8] {
        self.text.get(2..2 + BOUNDARY).unwrap_or_default()
    }

    /// The bytes that the form adds to its content.
    pub fn overhead(&self) -> u64 {
        self.text.len() as u64
    }
}

fn hex(nibble: u64) -> u8 {
    let digit = u32::try_from(nibble).ok().and_then(|nibble| char::from_digit(nibble, 16));
    digit.map_or(b'0', |digit| digit as u8)
}

/// In quotes, and what would end them or the line escaped as browsers do it (RFC 7578 4.2, WHATWG HTML 4.10.21.8).
fn quote(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in value {
        match byte {
            b'"' => out.extend_from_slice(b"%22"),
            b'\r' => out.extend_from_slice(b"%0D"),
            b'\n' => out.extend_from_slice(b"%0A"),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}
