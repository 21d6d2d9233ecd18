//! Streams over bare sockets (`"protocol": "raw"`): bytes as they come, without messages. TCP, TLS, Unix sockets.

use crate::context::{Context, Core, WsiEvent};
use crate::error::Error;
use crate::plat::Adopted;
use crate::policy::Protocol;
use crate::secure_stream::endpoint::validity_of;
use crate::secure_stream::stream::Doing;
use crate::secure_stream::{RxFlags, StreamId, StreamKind, Tx, TxFlow};
use crate::wsi::{Binding, WsiId};

impl Context {
    pub(super) fn raw_event(&mut self, id: StreamId, wsi: WsiId, event: WsiEvent<'_>) {
        match event {
            // An accepted stream is CONNECTED from its beginning.
            WsiEvent::Established => {
                self.core.stream_connected(id);
                self.core.report_performance(id);
                if self.core.live(id).is_ok_and(|stream| stream.wants_tx) {
                    self.core.wsi_request_tx(wsi);
                }
            }
            WsiEvent::Rx(payload) => self.call_rx(id, payload, RxFlags::default()),
            WsiEvent::HalfClosed => self.core.close_flushed(wsi, None),
            _ => {}
        }
    }

    /// Bytes have no messages: beginning and end are not told. The end of ours is the end of our side: the peer hears that
    /// nothing more will come, and may go on.
    pub(super) fn raw_tx(&mut self, id: StreamId, wsi: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let has_ended = self.core.wsis.get(wsi).is_none_or(|wsi| wsi.role.tx_room() == 0);
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        stream.wants_tx = false;
        if has_ended {
            return TxFlow::DontSend;
        }
        tx.describe(u64::MAX, false, stream.ordinal);
        match self.call_tx(id, tx) {
            TxFlow::Send if tx.is_empty() && !tx.so_far().is_eom => TxFlow::DontSend,
            flow => flow,
        }
    }
}

impl Core {
    /// A connected socket instead of an attempt.
    pub(crate) fn stream_adopt(&mut self, id: StreamId, socket: Adopted) -> Result<(), Error> {
        let stream = self.live(id)?;
        let is_raw = stream.stream_type.protocol == Some(Protocol::Raw) && !stream.stream_type.tls;
        if stream.kind() != StreamKind::Client || !is_raw {
            return Err(Error::WrongKind("only a raw client stream without TLS adopts a socket"));
        }
        if !matches!(stream.doing, Doing::Idle | Doing::BackingOff) {
            return Err(Error::WrongKind("the stream has a connection, or is about to have one"));
        }
        let validity = validity_of(&stream.stream_type);
        let wsi = self.adopt(socket, Binding::Stream(id))?;
        // The connection does not wait for the stream to be told of itself.
        self.ask_now(id);
        self.begin_attempt(id);
        if let Ok(stream) = self.live_mut(id) {
            stream.wsi = Some(wsi);
        }
        self.opened(wsi);
        if let Some(validity) = validity {
            self.set_validity(wsi, validity);
        }
        Ok(())
    }
}
