//! A stream that gives back what a websocket says.

use millstream::{Cx, Flow, RxFlags, StreamHandler, StreamId, Tx, TxFlow};
use std::collections::VecDeque;

/// Gives each message back, piece by piece and as what it came, and holds up a peer that does not read.
#[derive(Clone, Default)]
pub struct Echo {
    kept: VecDeque<(Vec<u8>, RxFlags)>,
    bytes: usize,
}

const KEPT: usize = 100_000;

impl StreamHandler for Echo {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self::default()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        if payload == b"leave" {
            return Flow::DisconnectMe;
        }
        self.bytes += payload.len();
        self.kept.push_back((payload.to_vec(), flags));
        cx.rx_flow(me, self.bytes < KEPT).unwrap();
        cx.request_tx(me).unwrap();
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some((mut piece, flags)) = self.kept.pop_front() else { return TxFlow::DontSend };
        tx.binary(flags.is_binary());
        let sent = tx.write(&piece);
        self.bytes -= sent;
        if sent < piece.len() {
            piece.drain(..sent);
            self.kept.push_front((piece, flags));
        } else if flags.is_eom() {
            tx.end_message();
        }
        cx.rx_flow(me, self.bytes < KEPT).unwrap();
        if !self.kept.is_empty() {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }
}
