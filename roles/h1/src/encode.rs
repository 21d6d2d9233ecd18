//! Heads on their way out.

use crate::EncodeError;
use alloc::vec::Vec;
use http::field::{is_token, is_value};

/// Fields that say how the body is framed or the connection is used: the engine's own to write.
const OWN: [&str; 4] = ["content-length", "transfer-encoding", "connection", "keep-alive"];

/// Appends a field that the engine has no reason to doubt.
pub(crate) fn push_own(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the caller's fields, or says which rule they break.
pub(crate) fn push_fields<'a>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    is_client: bool,
) -> Result<(), EncodeError> {
    for (name, value) in fields {
        let is = |own: &str| name.eq_ignore_ascii_case(own.as_bytes());
        if !is_token(name) || !is_value(value) || OWN.iter().any(|own| is(own)) || (is_client && is("host")) {
            return Err(EncodeError::Field);
        }
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}
