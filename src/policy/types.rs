//! What a policy says, as values. Field names are the keys' names.

use std::fmt;
use std::rc::Rc;

use super::Template;

/// A protocol a stream type can be carried by (`protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `h1`: HTTP/1.1.
    H1,
    /// `h2`: HTTP/2.
    H2,
    /// `h3`: HTTP/3; named by newer policies.
    H3,
    /// `ws`: websocket.
    Ws,
    /// `mqtt`: MQTT 3.1.1, or 5 (`mqtt_version`).
    Mqtt,
    /// `raw`: the bytes as they are.
    Raw,
}

impl Protocol {
    /// All of them, in the order of the policy documentation.
    pub const ALL: [Self; 6] = [Self::H1, Self::H2, Self::H3, Self::Ws, Self::Mqtt, Self::Raw];

    /// The name a policy has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::H3 => "h3",
            Self::Ws => "ws",
            Self::Mqtt => "mqtt",
            Self::Raw => "raw",
        }
    }

    /// The protocol of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A retry and backoff scheme (`retry`), which stream types name.
///
/// ```
/// let retry = millstream::policy::RetryPolicy::default();
/// assert_eq!((retry.backoff.as_slice(), retry.jitterpc), (&[3000][..], 30));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The name stream types use; empty for the scheme of those that name none.
    pub name: String,
    /// `backoff`: milliseconds to wait before each try in turn; the last serves for all that
    /// follow. Never empty.
    pub backoff: Vec<u32>,
    /// `conceal`: how many retries are made before the stream hears of failure;
    /// [`RetryPolicy::CONCEAL_ALWAYS`] for no end. Absent: 0.
    pub conceal: u16,
    /// `jitterpc`: up to this many percent are added to each delay, at random. Absent: 30.
    pub jitterpc: u8,
    /// `svalidping`: seconds without proof that the connection is valid, after which it is
    /// tested by a ping. Absent or 0: never.
    pub svalidping: Option<u16>,
    /// `svalidhup`: seconds without proof that the connection is valid, after which it is closed.
    /// Absent or 0: never.
    pub svalidhup: Option<u16>,
    /// `hold_ms`: milliseconds that a connection must hold before the count of tries goes back to
    /// 0. Absent: 0, at once. lws has no such key.
    pub hold_ms: u32,
}

impl RetryPolicy {
    /// The value of `conceal` that means: never give up.
    pub const CONCEAL_ALWAYS: u16 = 65535;
    /// The only entry of the backoff table of a scheme that has none, in milliseconds.
    pub const DEFAULT_BACKOFF_MS: u32 = 3000;
    /// `jitterpc` of a scheme that does not say.
    pub const DEFAULT_JITTERPC: u8 = 30;
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            name: String::new(),
            backoff: vec![Self::DEFAULT_BACKOFF_MS],
            conceal: 0,
            jitterpc: Self::DEFAULT_JITTERPC,
            svalidping: None,
            svalidhup: None,
            hold_ms: 0,
        }
    }
}

/// A named certificate or key (`certs`): DER, which is not looked into here.
#[derive(Clone, PartialEq, Eq)]
pub struct Cert {
    /// Its name.
    pub name: String,
    /// What the base64 text held.
    pub der: Rc<[u8]>,
}

impl fmt::Debug for Cert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes may be a private key: they do not belong in a log.
        f.debug_struct("Cert").field("name", &self.name).field("der_len", &self.der.len()).finish()
    }
}

/// A named set of certificates to judge servers by (`trust_stores`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustStore {
    /// Its name.
    pub name: String,
    /// `stack`: the certificates, in the policy's order.
    pub stack: Vec<Rc<Cert>>,
}

/// A way to get and use an authentication token (`auth`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// `name`, for `use_auth`.
    pub name: String,
    /// `type`: `sigv4` for AWS signatures.
    pub kind: Option<String>,
    /// `streamtype`: the stream type that refreshes the token.
    pub streamtype: Option<String>,
    /// `blob`: which of the 4 system blobs holds the token, 0 to 3. Absent: 0.
    pub blob: u8,
}

/// A metrics policy (`metrics`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsPolicy {
    /// `name`.
    pub name: String,
    /// `us_schedule`: microseconds between reports.
    pub us_schedule: u64,
    /// `us_halflife`: microseconds after which an outlier counts half.
    pub us_halflife: u64,
    /// `min_outlier`.
    pub min_outlier: u64,
    /// `report`: the stream type that carries the reports.
    pub report: Option<String>,
}

/// A SOCKS5 proxy (`via-socks5`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocksProxy {
    /// Name or address, without the brackets of an IPv6 address.
    pub address: String,
    /// TCP port.
    pub port: u16,
}

/// A metadata name of a stream type (`metadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataDef {
    /// The name, for `${name}`, [`Template`] and the stream's metadata calls.
    pub name: String,
    /// The header it travels in, both ways, without the policy's trailing `:`.
    /// `None`: it stays here.
    pub header: Option<String>,
}

/// Hints for the IP packets of a stream type (`attr_...`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `attr_priority`: socket priority, 0 (normal) to 7 (needs `CAP_NET_ADMIN`).
    pub priority: u8,
    /// `attr_low_latency`.
    pub low_latency: bool,
    /// `attr_high_throughput`.
    pub high_throughput: bool,
    /// `attr_high_reliability`.
    pub high_reliability: bool,
    /// `attr_low_cost`.
    pub low_cost: bool,
}

/// Buffers of a proxied stream, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyBuffers {
    /// `proxy_buflen`: most payload the proxy holds for the stream. Absent: 32768.
    pub proxy_buflen: u32,
    /// `proxy_buflen_rxflow_on_above`: with more than this the proxy stops reading.
    pub proxy_buflen_rxflow_on_above: Option<u32>,
    /// `proxy_buflen_rxflow_off_below`: with less than this it reads again.
    pub proxy_buflen_rxflow_off_below: Option<u32>,
    /// `client_buflen`: most payload the client holds for the stream. Absent: 32768.
    pub client_buflen: u32,
    /// `client_buflen_rxflow_on_above`: with more than this the client stops reading.
    pub client_buflen_rxflow_on_above: Option<u32>,
    /// `client_buflen_rxflow_off_below`: with less than this it reads again.
    pub client_buflen_rxflow_off_below: Option<u32>,
}

impl ProxyBuffers {
    /// `proxy_buflen` and `client_buflen` of a policy that does not say.
    pub const DEFAULT_BUFLEN: u32 = 32768;
}

impl Default for ProxyBuffers {
    fn default() -> Self {
        Self {
            proxy_buflen: Self::DEFAULT_BUFLEN,
            proxy_buflen_rxflow_on_above: None,
            proxy_buflen_rxflow_off_below: None,
            client_buflen: Self::DEFAULT_BUFLEN,
            client_buflen_rxflow_on_above: None,
            client_buflen_rxflow_off_below: None,
        }
    }
}

/// What a stream type says to the HTTP transports (`http_...`). Header names are without the
/// policy's trailing `:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// `http_method`: a token, as it goes on the wire.
    pub method: Option<String>,
    /// `http_url`: path and query, with or without the leading `/`.
    pub url: Option<Template>,
    /// `http_expect`: the only good status. Absent: 200 to 299 are.
    pub expect: Option<u16>,
    /// `http_fail_redirect`: a redirect is a failure.
    pub fail_redirect: bool,
    /// `http_resp_map`: status to user state (1000 or more).
    pub resp_map: Vec<(u16, u32)>,
    /// `http_auth_header`: the header that carries the token.
    pub auth_header: Option<String>,
    /// `http_auth_preamble`: text before the token.
    pub auth_preamble: Option<String>,
    /// `auth_hexify`: the token is sent in hex.
    pub auth_hexify: bool,
    /// `http_dsn_header`: the header that carries the device's serial number.
    pub dsn_header: Option<String>,
    /// `http_fwv_header`: the header that carries the firmware version.
    pub fwv_header: Option<String>,
    /// `http_devtype_header`: the header that carries the type of device.
    pub devtype_header: Option<String>,
    /// `http_mime_content_type`: content-type of what is sent.
    pub mime_content_type: Option<String>,
    /// `http_no_content_length`: none is sent, even if the length is known.
    pub no_content_length: bool,
    /// `http_multipart_name`: what a client sends goes out as a form of one part (RFC 7578), and this is the part's name.
    pub multipart_name: Option<String>,
    /// `http_multipart_filename`: its file name.
    pub multipart_filename: Option<String>,
    /// `http_multipart_content_type`: its content-type.
    pub multipart_content_type: Option<String>,
    /// `http_multipart_ss_in`: incoming multipart is taken apart, one message per part, between
    /// [`RxFlags::is_related_start`](crate::RxFlags::is_related_start) and
    /// [`is_related_end`](crate::RxFlags::is_related_end). Metadata that is mapped to `content-disposition`,
    /// `content-type` or another header that begins with `content-` is the part's.
    pub multipart_ss_in: bool,
    /// `http_www_form_urlencoded`: payload is a form.
    pub www_form_urlencoded: bool,
    /// `http_cookies`: cookies are kept and sent, as RFC 6265 says. All streams of a context share one jar; without a list
    /// of public suffixes, a domain of one label is taken for one, and those of more (`co.uk`) are not known.
    pub cookies: bool,
    /// `nghttp2_quirk_end_stream`: this h2 peer answers only after `END_STREAM`.
    pub nghttp2_quirk_end_stream: bool,
    /// `h2q_oflow_txcr`: this h2 peer lets its window overflow.
    pub h2q_oflow_txcr: bool,
}

/// What a stream type says to the websocket transport (`ws_...`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ws {
    /// `ws_subprotocol`: what a client asks for and a server accepts. With protocol `mqtt`, where it is `mqtt` as a rule: the
    /// connection is a websocket to `http_url`.
    pub subprotocol: Option<String>,
    /// `ws_binary`: messages are sent as binary.
    pub binary: bool,
    /// `ws_prioritize_reads`: input goes before output.
    pub prioritize_reads: bool,
    /// `ws_over_h2`: a client shares an HTTP/2 connection where the server allows it; a server of websockets alone takes HTTP/2.
    pub over_h2: bool,
}

/// What a stream type says to the MQTT transport (`mqtt_...`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mqtt {
    /// `mqtt_version`, a key of ours: 4 for MQTT 3.1.1, as where it is not said; 5 for MQTT 5. A broker that does not speak it
    /// refuses the client.
    pub version: Option<u8>,
    /// `mqtt_topic`: where messages are published. Of those that arrive, metadata that is mapped to `topic` has the topic, and
    /// metadata that is mapped to `retained` says `1` where the broker had kept them. In MQTT 5, metadata that is mapped to
    /// `content-type`, `response-topic` or `correlation-data` goes with messages both ways, and so does what is mapped to
    /// any other name, as a user property.
    pub topic: Option<Template>,
    /// `mqtt_subscribe`: the topic filter to subscribe to.
    pub subscribe: Option<Template>,
    /// `mqtt_qos`: 0 to 2.
    pub qos: u8,
    /// `mqtt_retain`: messages are retained by the broker.
    pub retain: bool,
    /// `mqtt_keep_alive`: seconds.
    pub keep_alive: Option<u16>,
    /// `mqtt_clean_start`.
    pub clean_start: bool,
    /// `mqtt_session_expiry`, a key of ours, for MQTT 5: seconds that the session outlives the connection; 4294967295 is for
    /// ever. Where it is not said, a session that starts clean ends with its connection, and any other lives for ever. With
    /// both, the first connection starts clean, and those after it go on with the session.
    pub session_expiry: Option<u32>,
    /// `mqtt_will_...`: what the broker says when we are lost.
    pub will: MqttNotice,
    /// `mqtt_birth_...`: what we say once connected.
    pub birth: MqttNotice,
    /// `aws_iot`: keep to what Amazon's broker allows.
    pub aws_iot: bool,
}

/// A will or birth message; there is one when it has a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MqttNotice {
    /// `mqtt_will_topic`, `mqtt_birth_topic`.
    pub topic: Option<Template>,
    /// `mqtt_will_message`, `mqtt_birth_message`.
    pub message: Option<Template>,
    /// `mqtt_will_qos`, `mqtt_birth_qos`: 0 to 2.
    pub qos: u8,
    /// `mqtt_will_retain`, `mqtt_birth_retain`.
    pub retain: bool,
}

/// A stream type (`s`): where streams that name it connect or listen, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamType {
    /// Its name.
    pub name: String,
    /// `endpoint`. Client: a DNS name, an address, `+path` or `+@name` for a Unix socket, or a
    /// whole URL. Server: the interface or address to bind to, or `!vhost`.
    pub endpoint: Option<Template>,
    /// `port`.
    pub port: Option<u16>,
    /// `protocol`. lws takes h1 for a stream type that does not say.
    pub protocol: Option<Protocol>,
    /// `via-socks5`; when absent the policy's own, if it has one.
    pub via_socks5: Option<SocksProxy>,
    /// `tls`.
    pub tls: bool,
    /// `client_cert`: index of the client certificate among the system blobs.
    pub client_cert: Option<u8>,
    /// `tls_trust_store`: what the server is judged by. Absent: the operating system's store.
    pub tls_trust_store: Option<Rc<TrustStore>>,
    /// `opportunistic`: the connection may be left dropped while it is not in use.
    pub opportunistic: bool,
    /// `nailed_up`: the connection is made at once, and again when it drops.
    pub nailed_up: bool,
    /// `retry`: the backoff scheme. Absent: [`RetryPolicy::default`].
    pub retry: Option<Rc<RetryPolicy>>,
    /// `timeout_ms`, for a stream timeout that is left to the policy.
    pub timeout_ms: Option<u32>,
    /// `allow_redirects`: redirects are followed.
    pub allow_redirects: bool,
    /// `urgent_tx`.
    pub urgent_tx: bool,
    /// `urgent_rx`.
    pub urgent_rx: bool,
    /// `long_poll`: an h2 stream that stays open for what the server may send.
    pub long_poll: bool,
    /// `attr_...`.
    pub attr: Attributes,
    /// `perf`: the stream is told how its connections performed.
    pub perf: bool,
    /// `swake_validity`: validity checks may wake a suspended system.
    pub swake_validity: bool,
    /// `proxy_buflen...`, `client_buflen...`.
    pub proxy: ProxyBuffers,
    /// `metadata`, in the policy's order, each name once.
    pub metadata: Vec<MetadataDef>,
    /// `rideshare`: the stream type that travels with this one.
    pub rideshare: Option<String>,
    /// `payload_fmt`: the name of the payload's format, for whoever creates the stream.
    pub payload_fmt: Option<String>,
    /// `plugins`: accepted, without effect.
    pub plugins: Vec<String>,
    /// `use_auth`; when absent and there is a `http_auth_header`, the scheme named `lwa`, if the
    /// policy has it.
    pub use_auth: Option<Rc<Auth>>,
    /// `aws_region`: the metadata name that holds the region, for sigv4.
    pub aws_region: Option<String>,
    /// `aws_service`: the metadata name that holds the service, for sigv4.
    pub aws_service: Option<String>,
    /// `direct_proto_str`: metadata names that end in `:` are headers.
    pub direct_proto_str: bool,
    /// `server`: streams of this type listen.
    pub server: bool,
    /// `server_cert`. Present when `server` and `tls` are set.
    pub server_cert: Option<Rc<Cert>>,
    /// `server_key`. Present when `server` and `tls` are set.
    pub server_key: Option<Rc<Cert>>,
    /// `local_sink`: streams of this type go to the sink registered in this process.
    pub local_sink: bool,
    /// `options`: accepted, without effect.
    pub options: Vec<String>,
    /// `http_...` and the peer quirks.
    pub http: Http,
    /// `ws_...`.
    pub ws: Ws,
    /// `mqtt_...`.
    pub mqtt: Mqtt,
}

impl StreamType {
    /// The metadata of that name, if the stream type declares it.
    pub fn metadata(&self, name: &str) -> Option<&MetadataDef> {
        self.metadata.iter().find(|def| def.name == name)
    }
}
