//! What the application asks of a stream: tx, metadata, its timer. Data is touched at once; user code runs later.

use super::metadata::{DEFAULT_VALUE_LIMIT, Key};
use super::stream::{Doing, StreamTimer};
use super::{MetadataError, StreamId, StreamKind};
use crate::context::{Core, Effect, Timer};
use crate::error::Error;
use crate::policy::StreamType;
use std::time::Duration;

fn key_of<'a>(stream_type: &StreamType, name: &'a str) -> Option<Key<'a>> {
    let declared = stream_type.metadata.iter().map(|def| def.name.as_str());
    Key::find(name, declared, stream_type.direct_proto_str)
}

impl Core {
    pub(crate) fn request_tx(&mut self, id: StreamId) -> Result<(), Error> {
        let stream = self.live_mut(id)?;
        match (stream.kind(), stream.doing) {
            (StreamKind::Server | StreamKind::Sink, _) => {
                Err(Error::WrongKind("a server stream only listens, and a sink only accepts"))
            }
            (StreamKind::Accepted, _) | (_, Doing::Connected) => {
                stream.wants_tx = true;
                match stream.wsi {
                    Some(wsi) => self.stream_wants_tx(id, wsi),
                    None => self.request_peer_tx(id),
                }
                Ok(())
            }
            (StreamKind::Client, Doing::Idle) => {
                if !stream.wants_tx {
                    stream.wants_tx = true;
                    self.ask(id, Effect::Poll(id));
                }
                Ok(())
            }
            (StreamKind::Client, Doing::Attempting | Doing::BackingOff) => {
                stream.wants_tx = true;
                Ok(())
            }
        }
    }

    pub(crate) fn request_tx_len(&mut self, id: StreamId, len: u64) -> Result<(), Error> {
        let stream = self.live_mut(id)?;
        if !stream.txn.tx_begun || stream.txn.tx_ended {
            stream.txn.tx_len = Some(len);
        }
        self.request_tx(id)
    }

    pub(crate) fn set_metadata(&mut self, id: StreamId, name: &str, value: &[u8]) -> Result<(), Error> {
        let stream = self.live_mut(id)?;
        if let Some(key) = key_of(&stream.stream_type, name) {
            stream.metadata.set(key, value, DEFAULT_VALUE_LIMIT).map_err(Error::Metadata)
        } else {
            let names = stream.stream_type.metadata.iter().map(|def| def.name.as_str());
            let nearest = crate::policy::nearest(name, names);
            Err(Error::Metadata(MetadataError::unknown(name, nearest)))
        }
    }

    pub(crate) fn metadata(&self, id: StreamId, name: &str) -> Option<&[u8]> {
        let stream = self.live(id).ok()?;
        stream.metadata.get(key_of(&stream.stream_type, name)?)
    }

    pub(crate) fn start_timeout(&mut self, id: StreamId, after: Option<Duration>) -> Result<(), Error> {
        let stream = self.live(id)?;
        let policy = stream.stream_type.timeout_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        let Some(after) = after.or(policy) else {
            let name = &stream.stream_type.name;
            return Err(Error::Policy(format!("stream type {name} has no timeout_ms to take the time from")));
        };
        let at = self.now.saturating_add(after);
        let sul = self.suls.schedule(at, Timer::Stream(id, StreamTimer::Timeout));
        self.set_stream_timer(id, StreamTimer::Timeout, sul);
        Ok(())
    }

    pub(crate) fn cancel_timeout(&mut self, id: StreamId) -> Result<(), Error> {
        self.live(id)?;
        self.cancel_stream_timer(id, StreamTimer::Timeout);
        Ok(())
    }

    pub(crate) fn server_ack(&mut self, id: StreamId, nack: u16) -> Result<(), Error> {
        let stream = self.live_mut(id)?;
        if stream.parent.is_none() {
            return Err(Error::WrongKind("only an accepted stream answers"));
        }
        if !stream.txn.asked || stream.txn.answered {
            return Err(Error::WrongKind("there is no request that waits for an answer"));
        }
        stream.txn.nack = nack;
        Ok(())
    }
}
