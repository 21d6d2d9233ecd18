//! What the system knows and policies refer to: `lws_system` of libwebsockets.

mod blob;
mod state;

pub use blob::Blob;
pub(crate) use blob::Blobs;
pub(crate) use state::{Notifiers, System};
pub use state::{Step, SystemState};
