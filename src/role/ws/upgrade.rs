//! From HTTP to websocket: the handshake of both sides around their heads (RFC 6455 4). Over HTTP/2 the stream of a request is
//! what the connection is over HTTP/1.1 (RFC 8441); what that needs of HTTP/2 is in `h2/tunnel`.

use super::{Role, Ws};
use crate::cause::Cause;
use crate::context::scratch::Scratch;
use crate::context::{Context, Core, Cx, WsiEvent};
use crate::error::Error;
use crate::http::{BodyLength, Head, Method, Version};
use crate::wsi::{Flags, WsiId, WsiState};
use ws::handshake::{Answer, HandshakeError, Offer, Terms};
use ws::{Engine, Limits};

pub use ws::Deflate as WsDeflate;

/// How a websocket is to be spoken, before both sides have agreed on it. The default is text, without a subprotocol and
/// uncompressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WsInfo<'a> {
    /// Subprotocols, with commas between them: a client asks for them, those it likes best first; a server speaks them.
    pub protocols: &'a str,
    /// Messages are sent as binary (`ws_binary`), unless [`Tx::binary`](crate::Tx::binary) says otherwise. What arrives is passed on
    /// whichever it is, and [`RxFlags::is_binary`](crate::RxFlags::is_binary) tells.
    pub is_binary: bool,
    /// All that has arrived is taken before anything is sent (`ws_prioritize_reads`).
    pub prioritize_reads: bool,
    /// permessage-deflate (RFC 7692): what a client offers, and how far a server goes with what it is offered; none at all
    /// where it is `None`. Messages from 256 bytes on are deflated then. Secrets beside text of somebody else's choice do not
    /// belong into one message: its length gives away what they have in common.
    pub deflate: Option<WsDeflate>,
}

impl<'a> WsInfo<'a> {
    fn terms(&self) -> Terms<'a> {
        Terms { protocols: self.protocols, deflate: self.deflate }
    }
}

/// What a client has asked for, until it is answered.
#[derive(Debug)]
pub(crate) struct Asked {
    /// None over HTTP/2.
    nonce: Option<[u8; 16]>,
    protocols: Box<str>,
    is_binary: bool,
    prioritize_reads: bool,
    deflate: Option<WsDeflate>,
}

impl Asked {
    fn new(info: &WsInfo<'_>, nonce: Option<[u8; 16]>) -> Self {
        let WsInfo { protocols, is_binary, prioritize_reads, deflate } = *info;
        Self { nonce, protocols: protocols.into(), is_binary, prioritize_reads, deflate }
    }

    fn info(&self) -> WsInfo<'_> {
        let Self { is_binary, prioritize_reads, deflate, .. } = *self;
        WsInfo { protocols: &self.protocols, is_binary, prioritize_reads, deflate }
    }

    pub(in crate::role) fn offer(&self) -> Offer<'_> {
        let terms = self.info().terms();
        self.nonce.as_ref().map_or_else(|| Offer::connect(terms), |nonce| Offer::new(nonce, terms))
    }
}

/// What a server answers to the head of a request. A client that asks for subprotocols gets one of them or none at all: what it
/// would speak otherwise nobody could tell.
pub(crate) fn answer<'a>(head: &Head, info: &WsInfo<'a>) -> Result<Answer<'a>, HandshakeError> {
    let needed = if head.version() == Version::Http2 { Method::Connect } else { Method::Get };
    let method = head.method().filter(|method| *method == needed).ok_or(HandshakeError::Method)?;
    let answer = Answer::new(method, head.iter(), &info.terms())?;
    let asks = head.get("sec-websocket-protocol").is_some();
    if asks && !info.protocols.is_empty() && answer.agreed().protocol.is_none() {
        return Err(HandshakeError::Protocol);
    }
    Ok(answer)
}

impl Core {
    /// Queues the request for an upgrade on an idle client connection.
    pub(crate) fn ws_request<'f: 'd, 'd>(
        &mut self,
        id: WsiId,
        target: &[u8],
        host: &[u8],
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        info: &WsInfo<'d>,
    ) -> Result<(), Error> {
        let wsi = self.wsis.get_mut(id).ok_or(Error::Stale)?;
        if wsi.state() != WsiState::Open {
            return Err(Error::NotConnected);
        }
        #[cfg(feature = "h2")]
        if let Role::Child(carrier) = wsi.role {
            return self.h2_ask_ws((carrier, id), target, host, fields, Asked::new(info, None));
        }
        let Role::H1(engine) = &mut wsi.role else { return Err(Error::WrongRole) };
        engine.ask_upgrade();
        let [a, b, c, d] = [(); 4].map(|()| self.plat.mask_key());
        let mut nonce = [0; 16];
        for (to, from) in nonce.iter_mut().zip([a, b, c, d].as_flattened()) {
            *to = *from;
        }
        let asked = Asked::new(info, Some(nonce));
        let offer = asked.offer();
        let own = offer.fields();
        let fields = fields.map(|(name, value)| -> (&[u8], &[u8]) { (name, value) }).chain(own);
        self.http_request(id, Method::Get, target, host, fields, BodyLength::None)?;
        if let Some(wsi) = self.wsis.get_mut(id) {
            wsi.rare().upgrade = Some(Box::new(asked));
        }
        Ok(())
    }

    /// Grants the upgrade that the request at hand asks for.
    pub(crate) fn ws_accept(
        &mut self,
        id: WsiId,
        answer: &Answer<'_>,
        info: &WsInfo<'_>,
    ) -> Result<(), Error> {
        let wsi = self.wsis.get_mut(id).ok_or(Error::Stale)?;
        if wsi.state() != WsiState::Open {
            return Err(Error::NotConnected);
        }
        let carrier = wsi.role.carrier();
        match &mut wsi.role {
            Role::H1(engine) => {
                self.spares.lend(&mut wsi.front);
                engine
                    .encode_upgrade(answer.fields(), &mut wsi.front)
                    .map_err(|e| Error::Http(e.to_string()))?;
                self.wsi_request_flush(id);
            }
            #[cfg(feature = "h2")]
            Role::Child(carrier) => {
                let carrier = *carrier;
                self.h2_accept_ws((carrier, id), answer)?;
            }
            _ => return Err(Error::WrongRole),
        }
        let engine = Engine::server(Limits::default(), answer.agreed().deflate);
        self.ws_begin(id, Ws::new(engine, info, carrier));
        Ok(())
    }

    /// The server grants what a client has asked for. True when it does so as it may, and the connection speaks websocket.
    pub(in crate::role) fn ws_agree(&mut self, id: WsiId, head: &Head) -> bool {
        let asked = self.wsis.get_mut(id).and_then(|wsi| wsi.rare().upgrade.take());
        let (Some(asked), Some(status)) = (asked, head.status()) else {
            self.close(id, Some(Cause::protocol("the server switched protocols unasked")));
            return false;
        };
        match asked.offer().check(status, head.iter()) {
            Ok(agreed) => {
                let engine = Engine::client(Limits::default(), agreed.deflate);
                self.ws_begin(id, Ws::new(engine, &asked.info(), self.parent(id)));
                true
            }
            Err(error) => {
                let cause = Cause::protocol(&format!("websocket handshake: {error}"));
                self.close(id, Some(cause));
                false
            }
        }
    }

    /// The connection speaks websocket from here on. It is up already: what proves that it still is, is counted anew, unless
    /// that is the business of the connection that carries it.
    fn ws_begin(&mut self, id: WsiId, ws: Ws) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let is_carried = ws.carrier().is_some();
        wsi.role = Role::Ws(Box::new(ws));
        if self.vhost_is_leaving(id)
            && let Some(wsi) = self.wsis.get_mut(id)
        {
            wsi.flags.set(Flags::LEAVING);
        }
        self.wait_no_more(id);
        if !is_carried {
            self.validity_start(id);
        }
        self.schedule(id);
    }
}

impl Context {
    /// The server has switched protocols.
    pub(in crate::role) fn ws_upgraded(&mut self, id: WsiId, scratch: &Scratch) {
        if self.core.ws_agree(id, &scratch.head) {
            self.wsi_event(id, WsiEvent::Response(&scratch.head));
        }
    }
}

/// WebSockets, on connections without secure streams.
impl Cx<'_> {
    /// Asks the server to speak websocket, on an http client connection that is up and idle. The answer comes as a
    /// [`response`](crate::Protocol::response): of status 101, over HTTP/2 of 200 and the like, when the connection speaks
    /// websocket from then on, any other when it does not. `fields` go into the request beside the protocol's own.
    ///
    /// On a stream of HTTP/2 ([`ClientRole::H2`](crate::ClientRole::H2)) the request waits for the server's settings; where
    /// they do not allow it (RFC 8441 3), the stream is [`closed`](crate::Protocol::closed).
    ///
    /// # Errors
    /// [`Error::Stale`]; the connection is not up, speaks something else, or is busy; a field is not valid.
    pub fn ws_request(
        &mut self,
        wsi: WsiId,
        target: &str,
        host: &str,
        fields: &[(&str, &str)],
        info: &WsInfo<'_>,
    ) -> Result<(), Error> {
        self.bound(wsi)?;
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.core.ws_request(wsi, target.as_bytes(), host.as_bytes(), fields, info)
    }

    /// Grants the upgrade to websocket that a request asks for, instead of a response: `request` is its head, as
    /// [`request`](crate::Protocol::request) is given it. From here on messages arrive by
    /// [`message`](crate::Protocol::message). Over HTTP/2 such requests come as CONNECT with a `:protocol`, if
    /// [`ListenInfo::websockets`](crate::ListenInfo::websockets) invites them.
    ///
    /// # Errors
    /// [`Error::Stale`]; the request does not ask for it in a way that can be granted: it still wants a response then.
    pub fn ws_accept(&mut self, wsi: WsiId, request: &Head, info: &WsInfo<'_>) -> Result<(), Error> {
        self.bound(wsi)?;
        let answer = answer(request, info).map_err(|error| Error::Http(error.to_string()))?;
        self.core.ws_accept(wsi, &answer, info)
    }
}
