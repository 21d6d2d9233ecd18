//! What the system knows and policies refer to: `lws_system` of libwebsockets.

mod blob;

pub use blob::Blob;
pub(crate) use blob::Blobs;
