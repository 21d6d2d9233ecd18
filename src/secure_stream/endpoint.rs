//! Where a stream type leads: `endpoint`, `port` and `tls` of the policy, with the stream's metadata filled in.

use crate::cause::Cause;
use crate::context::Core;
use crate::plat::{Address, SocketOptions};
use crate::policy::{Lookup, Protocol, StreamType, Template};
use crate::secure_stream::metadata::{Key, Metadata};
#[cfg(feature = "tls")]
use crate::system::Blob;
use crate::wsi::{ClientInfo, ClientRole, Target, Validity};
use std::rc::Rc;
use std::time::Duration;

/// The longest address, path or header value that a template may grow to.
pub(crate) const EXPANDED: usize = 8192;

/// A place to connect to.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) info: Rc<ClientInfo>,
    /// The same over HTTP/1.1, where the server may choose that instead of HTTP/2.
    pub(crate) fall_back: Option<Rc<ClientInfo>>,
    /// What a Host header says.
    pub(crate) authority: String,
    /// The path that came with it, where the endpoint is a whole URL or the target of a redirect.
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) is_tls: bool,
    host: String,
    port: u16,
}

impl Endpoint {
    /// The same server, spoken to with the same protection (RFC 6454 4).
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        let of = |endpoint: &Self| (endpoint.is_tls, endpoint.port, endpoint.info.target.clone());
        of(self) == of(other) && self.host.eq_ignore_ascii_case(&other.host)
    }
}

/// The parts of a URL that this library has a use for.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    is_tls: bool,
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Url<'a> {
    /// `http://` and `https://` (RFC 9110 4.2); the fragment stays with us.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            "mqtt" => return Self::parse_as(rest, false, 1883),
            "mqtts" => return Self::parse_as(rest, true, 8883),
            _ => return None,
        };
        Self::parse_as(rest, is_tls, if is_tls { 443 } else { 80 })
    }

    fn parse_as(rest: &'a str, is_tls: bool, default: u16) -> Option<Self> {
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = split_port(authority)?;
        let port = port.unwrap_or(default);
        (!host.is_empty()).then_some(Self { is_tls, host, port, path })
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`; the host without brackets.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None if rest.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => Some((host, Some(port.parse().ok()?))),
        _ => Some((authority, None)),
    }
}

impl Endpoint {
    /// The name or address that it was given by; `localhost` of a Unix socket.
    #[cfg(feature = "h1")]
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// Fills a stream's metadata into a template. A value that is declared but not set is empty.
pub(crate) fn expand(
    template: &Template,
    what: &str,
    stream_type: &StreamType,
    metadata: &Metadata,
    out: &mut Vec<u8>,
) -> Result<(), Cause> {
    let lookup = |name: &str| match stream_type.metadata.iter().position(|def| def.name == name) {
        Some(index) => metadata.get(Key::Declared(index)).map_or(Lookup::Unset, Lookup::Value),
        None => Lookup::Unknown,
    };
    template.expand(lookup, out, EXPANDED).map_err(|error| Cause::policy(&format!("{what}: {error}")))
}

impl Core {
    /// Where a stream type leads at present.
    pub(crate) fn endpoint(
        &mut self,
        stream_type: &StreamType,
        metadata: &Metadata,
    ) -> Result<Endpoint, Cause> {
        let Some(template) = &stream_type.endpoint else {
            return Err(Cause::policy(&format!("stream type {} has no endpoint", stream_type.name)));
        };
        let mut expanded = Vec::new();
        expand(template, "endpoint", stream_type, metadata, &mut expanded)?;
        let Ok(text) = String::from_utf8(expanded) else {
            return Err(Cause::policy("endpoint: the metadata makes it no valid text"));
        };
        if text.contains(|c: char| c.is_control() || c == ' ') {
            return Err(Cause::policy("endpoint: the metadata puts control characters or blanks into it"));
        }
        if let Some(path) = text.strip_prefix('+') {
            let address = match path.strip_prefix('@') {
                Some(name) => Address::abstract_name(name),
                None => Address::unix(path),
            };
            return self.make_endpoint(
                stream_type,
                Target::Address(address),
                "localhost",
                0,
                None,
                stream_type.tls,
            );
        }
        if text.contains("://") {
            let Some(url) = Url::parse(&text) else {
                return Err(Cause::policy(&format!(
                    "endpoint: \"{text}\" is no URL of a protocol that is known"
                )));
            };
            return self.url_endpoint(stream_type, &url);
        }
        let Some((host, port)) = split_port(&text).filter(|(host, _)| !host.is_empty()) else {
            return Err(Cause::policy(&format!("endpoint: \"{text}\" is no address")));
        };
        let default = match (stream_type.protocol, stream_type.tls) {
            (Some(Protocol::Mqtt), false) if stream_type.ws.subprotocol.is_none() => 1883,
            (Some(Protocol::Mqtt), true) if stream_type.ws.subprotocol.is_none() => 8883,
            (_, false) => 80,
            (_, true) => 443,
        };
        let port = port.or(stream_type.port).unwrap_or(default);
        let target = Target::Host(host.to_owned(), port);
        self.make_endpoint(stream_type, target, host, port, None, stream_type.tls)
    }

    fn url_endpoint(&mut self, stream_type: &StreamType, url: &Url<'_>) -> Result<Endpoint, Cause> {
        let path = if url.path.is_empty() { None } else { Some(url.path.as_bytes().to_vec()) };
        let target = Target::Host(url.host.to_owned(), url.port);
        self.make_endpoint(stream_type, target, url.host, url.port, path, url.is_tls)
    }

    /// Where a Location header of `from` leads (RFC 9110 10.2.2): a whole URL, or a path on the same host.
    pub(crate) fn redirected(
        &mut self,
        stream_type: &StreamType,
        from: &Endpoint,
        request_path: &[u8],
        location: &[u8],
    ) -> Result<Endpoint, Cause> {
        let bad = || Cause::protocol("a redirect without a usable Location");
        let location = std::str::from_utf8(location).map_err(|_| bad())?.trim();
        let acceptable = |c: char| !c.is_control() && c != ' ';
        if location.is_empty() || !location.chars().all(acceptable) {
            return Err(bad());
        }
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if from.is_tls { "https" } else { "http" };
            let whole = format!("{scheme}://{rest}");
            let url = Url::parse(&whole).ok_or_else(bad)?;
            return self.url_endpoint(stream_type, &url);
        }
        if location.contains("://") {
            let url = Url::parse(location).ok_or_else(bad)?;
            if from.is_tls && !url.is_tls {
                return Err(Cause::policy("a redirect out of TLS is not followed"));
            }
            return self.url_endpoint(stream_type, &url);
        }
        let location = location.split('#').next().unwrap_or_default().as_bytes();
        let path = if location.starts_with(b"/") {
            location.to_vec()
        } else {
            let base = request_path.split(|byte| *byte == b'?').next().unwrap_or_default();
            let end = base.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let mut path = base.get(..end).filter(|base| !base.is_empty()).unwrap_or(b"/").to_vec();
            path.extend_from_slice(location);
            path
        };
        let target = from.info.target.clone();
        let (host, port) = (from.host.clone(), from.port);
        self.make_endpoint(stream_type, target, &host, port, Some(path), from.is_tls)
    }

    fn make_endpoint(
        &mut self,
        stream_type: &StreamType,
        target: Target,
        host: &str,
        port: u16,
        path: Option<Vec<u8>>,
        is_tls: bool,
    ) -> Result<Endpoint, Cause> {
        let tls = is_tls.then_some((host, port));
        let info = self.client_info(stream_type, role_of(stream_type)?, target, tls)?;
        let fall_back = self.older(stream_type, (host, port), &info)?;
        let default = if is_tls { 443 } else { 80 };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let authority = if port == default || port == 0 { bracketed } else { format!("{bracketed}:{port}") };
        Ok(Endpoint { info: Rc::new(info), fall_back, authority, path, is_tls, host: host.to_owned(), port })
    }

    /// The same place for a websocket that cannot be had over HTTP/2.
    #[cfg(all(feature = "h2", feature = "ws"))]
    pub(crate) fn endpoint_over_h1(
        &mut self,
        stream_type: &StreamType,
        from: &Endpoint,
    ) -> Result<Endpoint, Cause> {
        let tls = from.is_tls.then_some((from.host.as_str(), from.port));
        let info = self.client_info(stream_type, ClientRole::Ws, from.info.target.clone(), tls)?;
        let (authority, path, host) = (from.authority.clone(), from.path.clone(), from.host.clone());
        Ok(Endpoint { info: Rc::new(info), fall_back: None, authority, path, host, ..*from })
    }

    /// `tls` is the name that the server has to prove, and its port.
    fn client_info(
        &mut self,
        stream_type: &StreamType,
        role: ClientRole,
        target: Target,
        tls: Option<(&str, u16)>,
    ) -> Result<ClientInfo, Cause> {
        let mut info = ClientInfo::new(target, role);
        info.validity = validity_of(stream_type);
        #[cfg(feature = "h2")]
        if role == ClientRole::H2 {
            info.window_saturates = stream_type.http.h2q_oflow_txcr;
        }
        info.options = options_of(stream_type);
        if let Some((host, port)) = tls {
            self.add_tls(stream_type, host, port, &mut info)?;
        }
        Ok(info)
    }

    #[cfg(feature = "tls")]
    pub(super) fn add_tls(
        &mut self,
        stream_type: &StreamType,
        host: &str,
        port: u16,
        info: &mut ClientInfo,
    ) -> Result<(), Cause> {
        let client_cert = match stream_type.client_cert {
            None => None,
            Some(index) => {
                let (cert, key) = (Blob::ClientCert(index), Blob::ClientKey(index));
                let (Some(cert), Some(key)) = (self.blobs.get(cert), self.blobs.get(key)) else {
                    let why =
                        format!("client_cert {index}: the blobs ClientCert and ClientKey are not both set");
                    return Err(Cause::policy(&why));
                };
                Some((cert, key))
            }
        };
        let alpn: &[&[u8]] = match info.role {
            // A websocket begins with a request.
            #[cfg(all(feature = "mqtt", feature = "ws"))]
            ClientRole::Mqtt if stream_type.ws.subprotocol.is_some() => ClientRole::Ws.alpn(),
            // What AWS IoT wants to be told on the port that it shares with HTTPS.
            #[cfg(feature = "mqtt")]
            ClientRole::Mqtt if stream_type.mqtt.aws_iot && port == 443 => &[b"x-amzn-mqtt-ca"],
            role => role.alpn(),
        };
        let tls = self
            .tls
            .client(host, stream_type.tls_trust_store.as_ref(), client_cert, alpn)
            .map_err(|error| Cause::tls(&error))?;
        info.tls = Some(tls);
        Ok(())
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self)]
    fn add_tls(&mut self, _: &StreamType, _: &str, _: u16, _: &mut ClientInfo) -> Result<(), Cause> {
        Err(Cause::policy("this build has no TLS: it needs the feature \"tls\""))
    }
}

/// `svalidping` and `svalidhup`; a scheme that has neither leaves it to the context.
pub(in crate::secure_stream) fn validity_of(stream_type: &StreamType) -> Option<Validity> {
    let retry = stream_type.retry.as_deref()?;
    let secs = |secs: Option<u16>| secs.map(|secs| Duration::from_secs(secs.into()));
    let validity = Validity { ping: secs(retry.svalidping), hangup: secs(retry.svalidhup) };
    (validity != Validity::NEVER).then_some(validity)
}

/// `attr_...`.
fn options_of(stream_type: &StreamType) -> SocketOptions {
    let attr = &stream_type.attr;
    let tos = [
        (attr.low_latency, 0x10),
        (attr.high_throughput, 0x08),
        (attr.high_reliability, 0x04),
        (attr.low_cost, 0x02),
    ];
    let tos = tos.into_iter().filter(|(is_set, _)| *is_set).fold(0, |tos, (_, bit)| tos | bit);
    SocketOptions { tos, priority: attr.priority, ..SocketOptions::default() }
}

fn role_of(stream_type: &StreamType) -> Result<ClientRole, Cause> {
    match stream_type.protocol {
        #[cfg(feature = "h1")]
        Some(Protocol::H1) => Ok(ClientRole::H1),
        #[cfg(feature = "h2")]
        Some(Protocol::H2) => Ok(ClientRole::H2),
        #[cfg(feature = "mqtt")]
        Some(Protocol::Mqtt) => Ok(ClientRole::Mqtt),
        #[cfg(feature = "raw")]
        Some(Protocol::Raw) => Ok(ClientRole::Raw),
        #[cfg(all(feature = "h2", feature = "ws"))]
        Some(Protocol::Ws) if stream_type.ws.over_h2 => Ok(ClientRole::H2),
        #[cfg(feature = "ws")]
        Some(Protocol::Ws) => Ok(ClientRole::Ws),
        other => {
            let name = other.map_or("no protocol", Protocol::name);
            Err(Cause::policy(&format!("stream type {}: {name} is not in this build", stream_type.name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_into_what_a_connection_needs() {
        let url = |text| Url::parse(text).map(|url| (url.is_tls, url.host, url.port, url.path));
        assert_eq!(url("https://host:4443/path?q=1#f"), Some((true, "host", 4443, "/path?q=1")));
        assert_eq!(url("HTTP://host"), Some((false, "host", 80, "")));
        assert_eq!(url("https://[::1]:8443/"), Some((true, "::1", 8443, "/")));
        assert_eq!(url("http://user:pw@host?x"), Some((false, "host", 80, "?x")));
        for bad in ["ftp://host/", "http://", "http://:80/", "http://host:99999/", "host:80", "http://[::1/"]
        {
            assert_eq!(url(bad), None, "{bad}");
        }
    }

    #[test]
    fn ports_are_split_from_names_and_not_from_bare_v6_addresses() {
        assert_eq!(split_port("host:81"), Some(("host", Some(81))));
        assert_eq!(split_port("::1"), Some(("::1", None)));
        assert_eq!(split_port("[::1]:81"), Some(("::1", Some(81))));
        assert_eq!(split_port("host:x"), None);
    }
}
