//! The one table of everything a policy can say.
//!
//! It drives the parsing, the suggestions for unknown keys and the documentation of keys.

use std::fmt;
use std::marker::PhantomData;

use super::diagnostic::Path;
use super::json::Node;
use super::parse::{Reader, StoreDraft, sections, stream};
use super::{Auth, MetricsPolicy, Policy, RetryPolicy, StreamType, Template};

/// The part of a policy that a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The document itself.
    Root,
    /// A scheme in `retry`.
    Retry,
    /// An entry of `trust_stores`.
    TrustStore,
    /// An entry of `auth`.
    Auth,
    /// An entry of `metrics`.
    Metrics,
    /// A stream type in `s`.
    StreamType,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "(root)",
            Self::Retry => "retry",
            Self::TrustStore => "trust_stores",
            Self::Auth => "auth",
            Self::Metrics => "metrics",
            Self::StreamType => "s",
        })
    }
}

/// What kind of value a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string without control characters.
    Text,
    /// A string in which `${name}` stands for metadata.
    Template,
    /// The name of a header; a trailing `:` is taken off.
    Header,
    /// `true` or `false`.
    Boolean,
    /// A whole number in this range, ends included.
    Integer {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Something else, in words, and how it is written.
    Other(&'static str, Shape),
}

/// How a value is written in JSON that is no scalar of a [`Kind`] of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// An array of strings.
    Texts,
    /// An array of whole numbers.
    Numbers,
    /// An array of objects of strings, each under a name of its own.
    NamedTexts,
    /// An array of objects of whole numbers from this on, each under a name of its own.
    NamedNumbers(u64),
    /// An array of objects of a section.
    List(Section),
    /// An array of objects of objects of a section, each under a name of its own.
    Named(Section),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a string"),
            Self::Template => f.write_str("a string with ${metadata}"),
            Self::Header => f.write_str("a header name"),
            Self::Boolean => f.write_str("true or false"),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Other(what, _) => f.write_str(what),
        }
    }
}

/// A key that a policy may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// Where it stands.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// Another name it is accepted by.
    pub alias: Option<&'static str>,
    /// What it takes.
    pub kind: Kind,
    /// False while the key is parsed and checked, and has no effect in this release.
    pub in_force: bool,
    /// What it does, in a line.
    pub doc: &'static str,
}

/// Every key, section by section.
///
/// ```
/// use millstream::policy::{Section, keys};
///
/// let port = keys().find(|key| key.section == Section::StreamType && key.name == "port").unwrap();
/// assert_eq!(port.kind.to_string(), "a whole number from 0 to 65535");
/// ```
pub fn keys() -> impl Iterator<Item = &'static Key> {
    fn of<T>(table: &'static [Entry<T>]) -> impl Iterator<Item = &'static Key> {
        table.iter().map(|entry| &entry.key)
    }
    of(ROOT).chain(of(RETRY)).chain(of(TRUST_STORE)).chain(of(AUTH)).chain(of(METRICS)).chain(of(STREAM_TYPE))
}

/// A key, and where its value goes in a `T`.
pub(super) struct Entry<T: 'static> {
    pub(super) key: Key,
    pub(super) set: Set<T>,
}

/// How a value gets into a `T`.
pub(super) enum Set<T: 'static> {
    Flag(fn(&mut T) -> &mut bool),
    Text(fn(&mut T) -> &mut Option<String>),
    Name(fn(&mut T) -> &mut String),
    Header(fn(&mut T) -> &mut Option<String>),
    Template(fn(&mut T) -> &mut Option<Template>),
    /// A template whose text may hold control characters: it is payload.
    Message(fn(&mut T) -> &mut Option<Template>),
    Number(fn(&mut T, u64)),
    By(Handler<T>),
}

/// Reads a value that is more than a scalar.
pub(super) type Handler<T> = fn(&mut Reader<'_>, &Path<'_>, Node<'_>, &mut T);

/// Rows of one section's table. The constructors keep a row to a line or two.
struct Rows<T>(Section, PhantomData<fn(&mut T)>);

impl<T> Rows<T> {
    const fn of(section: Section) -> Self {
        Self(section, PhantomData)
    }

    const fn row(&self, name: &'static str, kind: Kind, set: Set<T>, doc: &'static str) -> Entry<T> {
        Entry { key: Key { section: self.0, name, alias: None, kind, in_force: true, doc }, set }
    }

    const fn flag(&self, name: &'static str, at: fn(&mut T) -> &mut bool, doc: &'static str) -> Entry<T> {
        self.row(name, Kind::Boolean, Set::Flag(at), doc)
    }

    const fn text(
        &self,
        name: &'static str,
        at: fn(&mut T) -> &mut Option<String>,
        doc: &'static str,
    ) -> Entry<T> {
        self.row(name, Kind::Text, Set::Text(at), doc)
    }

    const fn name(&self, name: &'static str, at: fn(&mut T) -> &mut String, doc: &'static str) -> Entry<T> {
        self.row(name, Kind::Text, Set::Name(at), doc)
    }

    const fn header(
        &self,
        name: &'static str,
        at: fn(&mut T) -> &mut Option<String>,
        doc: &'static str,
    ) -> Entry<T> {
        self.row(name, Kind::Header, Set::Header(at), doc)
    }

    const fn template(
        &self,
        name: &'static str,
        at: fn(&mut T) -> &mut Option<Template>,
        doc: &'static str,
    ) -> Entry<T> {
        self.row(name, Kind::Template, Set::Template(at), doc)
    }

    const fn message(
        &self,
        name: &'static str,
        at: fn(&mut T) -> &mut Option<Template>,
        doc: &'static str,
    ) -> Entry<T> {
        self.row(name, Kind::Template, Set::Message(at), doc)
    }

    /// A number up to `max`.
    const fn number(
        &self,
        name: &'static str,
        max: u64,
        put: fn(&mut T, u64),
        doc: &'static str,
    ) -> Entry<T> {
        self.row(name, Kind::Integer { min: 0, max }, Set::Number(put), doc)
    }

    const fn by(&self, name: &'static str, kind: Kind, handler: Handler<T>, doc: &'static str) -> Entry<T> {
        self.row(name, kind, Set::By(handler), doc)
    }
}

impl<T> Entry<T> {
    /// Parsed and checked, but without effect in this release.
    const fn later(mut self) -> Self {
        self.key.in_force = false;
        self
    }

    const fn or(mut self, alias: &'static str) -> Self {
        self.key.alias = Some(alias);
        self
    }

    const fn from(mut self, min: u64) -> Self {
        if let Kind::Integer { max, .. } = self.key.kind {
            self.key.kind = Kind::Integer { min, max };
        }
        self
    }
}

/// For values that the table's range has already made fit.
fn narrow<N: TryFrom<u64> + Default>(value: u64) -> N {
    N::try_from(value).unwrap_or_default()
}

const BYTE: u64 = u8::MAX as u64;
const WORD: u64 = u16::MAX as u64;
const LONG: u64 = u32::MAX as u64;

pub(super) static ROOT: &[Entry<Policy>] = {
    const R: Rows<Policy> = Rows::of(Section::Root);
    const fn list(shape: Shape) -> Kind {
        Kind::Other("an array of objects", shape)
    }
    &[
        R.text("release", |p| &mut p.release, "identifies the policy's version"),
        R.text("product", |p| &mut p.product, "identifies the product the policy is for"),
        R.by(
            "schema-version",
            sections::SCHEMA_VERSION,
            sections::schema_version,
            "least parser version the policy needs",
        ),
        R.by(
            "via-socks5",
            Kind::Other("address:port", Shape::Text),
            sections::via_socks5,
            "proxy for all client connections",
        )
        .later(),
        R.by(
            "retry",
            list(Shape::Named(Section::Retry)),
            sections::retry,
            "backoff schemes, for stream types to name",
        ),
        R.by("certs", list(Shape::NamedTexts), sections::certs, "certificates and keys by name, base64 DER"),
        R.by(
            "trust_stores",
            list(Shape::List(Section::TrustStore)),
            sections::trust_stores,
            "sets of certificates to judge servers by",
        ),
        R.by(
            "auth",
            list(Shape::List(Section::Auth)),
            sections::auth,
            "ways to get and use an authentication token",
        ),
        R.by("metrics", list(Shape::List(Section::Metrics)), sections::metrics, "metrics policies").later(),
        R.by("s", list(Shape::Named(Section::StreamType)), sections::stream_types, "stream types"),
    ]
};

pub(super) static RETRY: &[Entry<RetryPolicy>] = {
    const R: Rows<RetryPolicy> = Rows::of(Section::Retry);
    const CONCEAL: Kind = Kind::Integer { min: 0, max: WORD };
    &[
        R.by(
            "backoff",
            Kind::Other("an array of milliseconds", Shape::Numbers),
            sections::backoff,
            "ms to wait before each try in turn",
        ),
        R.by(
            "conceal",
            CONCEAL,
            sections::conceal,
            "retries before the stream hears of failure; 65535: for ever",
        ),
        R.number("jitterpc", BYTE, |r, n| r.jitterpc = narrow(n), "percent that may be added to each delay"),
        R.number(
            "svalidping",
            WORD,
            |r, n| r.svalidping = nonzero(n),
            "s without proof of validity before a ping",
        )
        .later(),
        R.number(
            "svalidhup",
            WORD,
            |r, n| r.svalidhup = nonzero(n),
            "s without proof of validity before the end",
        ),
        R.number(
            "hold_ms",
            LONG,
            |r, n| r.hold_ms = narrow(n),
            "ms a connection must hold before tries count anew",
        ),
    ]
};

fn nonzero(seconds: u64) -> Option<u16> {
    u16::try_from(seconds).ok().filter(|seconds| *seconds > 0)
}

pub(super) static TRUST_STORE: &[Entry<StoreDraft>] = {
    const R: Rows<StoreDraft> = Rows::of(Section::TrustStore);
    &[
        R.name("name", |t| &mut t.name, "its name; stands before stack"),
        R.by(
            "stack",
            Kind::Other("an array of names in certs", Shape::Texts),
            sections::stack,
            "its certificates",
        ),
    ]
};

pub(super) static AUTH: &[Entry<Auth>] = {
    const R: Rows<Auth> = Rows::of(Section::Auth);
    &[
        R.name("name", |a| &mut a.name, "its name, for use_auth"),
        R.text("type", |a| &mut a.kind, "sigv4 for AWS signatures").later(),
        R.by(
            "streamtype",
            Kind::Other("a stream type", Shape::Text),
            sections::auth_streamtype,
            "refreshes the token",
        )
        .later(),
        R.number("blob", 3, |a, n| a.blob = narrow(n), "system blob that holds the token"),
    ]
};

pub(super) static METRICS: &[Entry<MetricsPolicy>] = {
    const R: Rows<MetricsPolicy> = Rows::of(Section::Metrics);
    &[
        R.name("name", |m| &mut m.name, "its name").later(),
        R.number("us_schedule", u64::MAX, |m, n| m.us_schedule = n, "us between reports").later(),
        R.number("us_halflife", u64::MAX, |m, n| m.us_halflife = n, "us until an outlier counts half")
            .later(),
        R.number("min_outlier", u64::MAX, |m, n| m.min_outlier = n, "least value that is an outlier").later(),
        R.by(
            "report",
            Kind::Other("a stream type", Shape::Text),
            sections::metrics_report,
            "carries the reports",
        )
        .later(),
    ]
};

const QOS: u64 = 2;
const S: Rows<StreamType> = Rows::of(Section::StreamType);
const NAMES: Kind = Kind::Other("an array of strings", Shape::Texts);

pub(super) static STREAM_TYPE: &[Entry<StreamType>] = &[
    S.template("endpoint", |t| &mut t.endpoint, "client: where to connect; server: where to bind, or !vhost"),
    S.number("port", WORD, |t, n| t.port = Some(narrow(n)), "TCP port"),
    S.by(
        "protocol",
        Kind::Other("h1, h2, h3, ws, mqtt or raw", Shape::OneOf(&["h1", "h2", "h3", "ws", "mqtt", "raw"])),
        stream::protocol,
        "what is spoken on the connection",
    ),
    S.by(
        "via-socks5",
        Kind::Other("address:port", Shape::Text),
        stream::via_socks5,
        "proxy for this type's connections",
    )
    .later(),
    S.flag("tls", |t| &mut t.tls, "the connection is TLS"),
    S.number(
        "client_cert",
        BYTE,
        |t, n| t.client_cert = Some(narrow(n)),
        "index of the client certificate blobs",
    )
    .or("client cert"),
    S.by(
        "tls_trust_store",
        Kind::Other("a name in trust_stores", Shape::Text),
        stream::tls_trust_store,
        "what servers are judged by",
    ),
    S.flag("opportunistic", |t| &mut t.opportunistic, "the connection may be left dropped while not in use"),
    S.flag("nailed_up", |t| &mut t.nailed_up, "the connection is made at once and again when it drops"),
    S.by("retry", Kind::Other("a name in retry", Shape::Text), stream::retry, "backoff scheme"),
    S.number(
        "timeout_ms",
        LONG,
        |t, n| t.timeout_ms = Some(narrow(n)),
        "ms for a timeout left to the policy",
    ),
    S.flag("allow_redirects", |t| &mut t.allow_redirects, "redirects are followed"),
    S.flag("urgent_tx", |t| &mut t.urgent_tx, "hint: sending is urgent").later(),
    S.flag("urgent_rx", |t| &mut t.urgent_rx, "hint: receiving is urgent").later(),
    S.flag("long_poll", |t| &mut t.long_poll, "h2: a stream that stays open"),
    S.number(
        "attr_priority",
        7,
        |t, n| t.attr.priority = narrow(n),
        "socket priority; 7 needs CAP_NET_ADMIN",
    ),
    S.flag("attr_low_latency", |t| &mut t.attr.low_latency, "ToS: low delay"),
    S.flag("attr_high_throughput", |t| &mut t.attr.high_throughput, "ToS: high throughput"),
    S.flag("attr_high_reliability", |t| &mut t.attr.high_reliability, "ToS: high reliability"),
    S.flag("attr_low_cost", |t| &mut t.attr.low_cost, "ToS: low cost"),
    S.flag("perf", |t| &mut t.perf, "the stream receives JSON about its connections' performance"),
    S.flag("swake_validity", |t| &mut t.swake_validity, "validity checks may wake a suspended system")
        .later(),
    S.number("proxy_buflen", LONG, |t, n| t.proxy.proxy_buflen = narrow(n), "most bytes the proxy holds")
        .later(),
    S.number(
        "proxy_buflen_rxflow_on_above",
        LONG,
        |t, n| t.proxy.proxy_buflen_rxflow_on_above = Some(narrow(n)),
        "the proxy stops reading above this",
    )
    .later(),
    S.number(
        "proxy_buflen_rxflow_off_below",
        LONG,
        |t, n| t.proxy.proxy_buflen_rxflow_off_below = Some(narrow(n)),
        "the proxy reads again below this",
    )
    .later(),
    S.number(
        "client_buflen",
        LONG,
        |t, n| t.proxy.client_buflen = narrow(n),
        "most bytes a proxied client holds",
    )
    .later(),
    S.number(
        "client_buflen_rxflow_on_above",
        LONG,
        |t, n| t.proxy.client_buflen_rxflow_on_above = Some(narrow(n)),
        "a proxied client stops reading above this",
    )
    .later(),
    S.number(
        "client_buflen_rxflow_off_below",
        LONG,
        |t, n| t.proxy.client_buflen_rxflow_off_below = Some(narrow(n)),
        "a proxied client reads again below this",
    )
    .later(),
    S.by(
        "metadata",
        Kind::Other("an array of {name: header or \"\"}", Shape::NamedTexts),
        stream::metadata,
        "names for ${} and headers",
    ),
    S.by(
        "rideshare",
        Kind::Other("a stream type", Shape::Text),
        stream::rideshare,
        "stream type that travels along",
    )
    .later(),
    S.text("payload_fmt", |t| &mut t.payload_fmt, "name of the payload's format"),
    S.by("plugins", NAMES, stream::plugins, "accepted, without effect"),
    S.by("use_auth", Kind::Other("a name in auth", Shape::Text), stream::use_auth, "authentication scheme"),
    S.by(
        "aws_region",
        Kind::Other("a name in metadata", Shape::Text),
        stream::aws_region,
        "holds the region for sigv4",
    )
    .later(),
    S.by(
        "aws_service",
        Kind::Other("a name in metadata", Shape::Text),
        stream::aws_service,
        "holds the service for sigv4",
    )
    .later(),
    S.flag("direct_proto_str", |t| &mut t.direct_proto_str, "metadata names that end in ':' are headers"),
    S.flag("server", |t| &mut t.server, "streams of this type listen"),
    S.by(
        "server_cert",
        Kind::Other("a name in certs", Shape::Text),
        stream::server_cert,
        "the server's certificate",
    ),
    S.by(
        "server_key",
        Kind::Other("a name in certs", Shape::Text),
        stream::server_key,
        "the server's private key",
    ),
    S.flag("local_sink", |t| &mut t.local_sink, "streams of this type go to the registered sink"),
    S.by("options", NAMES, stream::options, "accepted, without effect").later(),
    S.by("http_method", Kind::Text, stream::http_method, "the request method, as GET or POST"),
    S.template("http_url", |t| &mut t.http.url, "path and query"),
    S.number("http_expect", 999, |t, n| t.http.expect = Some(narrow(n)), "the only good status").from(100),
    S.flag("http_fail_redirect", |t| &mut t.http.fail_redirect, "a redirect is a failure"),
    S.by(
        "http_resp_map",
        Kind::Other("an array of {\"status\": state of 1000 or more}", Shape::NamedNumbers(1000)),
        stream::http_resp_map,
        "status to user state",
    ),
    S.header("http_auth_header", |t| &mut t.http.auth_header, "header that carries the token"),
    S.text("http_auth_preamble", |t| &mut t.http.auth_preamble, "text before the token"),
    S.flag("auth_hexify", |t| &mut t.http.auth_hexify, "the token is sent in hex"),
    S.header("http_dsn_header", |t| &mut t.http.dsn_header, "header that carries the serial number"),
    S.header("http_fwv_header", |t| &mut t.http.fwv_header, "header that carries the firmware version"),
    S.header("http_devtype_header", |t| &mut t.http.devtype_header, "header that carries the device type"),
    S.text("http_mime_content_type", |t| &mut t.http.mime_content_type, "content-type of what is sent"),
    S.flag("http_no_content_length", |t| &mut t.http.no_content_length, "no content-length is sent"),
    S.text("http_multipart_name", |t| &mut t.http.multipart_name, "outgoing multipart: name of the part"),
    S.text("http_multipart_filename", |t| &mut t.http.multipart_filename, "outgoing multipart: its filename"),
    S.text(
        "http_multipart_content_type",
        |t| &mut t.http.multipart_content_type,
        "outgoing multipart: its content-type",
    ),
    S.flag(
        "http_multipart_ss_in",
        |t| &mut t.http.multipart_ss_in,
        "incoming multipart: one message per part",
    ),
    S.flag("http_www_form_urlencoded", |t| &mut t.http.www_form_urlencoded, "payload is a form"),
    S.flag("http_cookies", |t| &mut t.http.cookies, "cookies are kept and sent"),
    S.flag(
        "nghttp2_quirk_end_stream",
        |t| &mut t.http.nghttp2_quirk_end_stream,
        "h2 peer answers only at END_STREAM",
    ),
    S.flag("h2q_oflow_txcr", |t| &mut t.http.h2q_oflow_txcr, "h2 peer lets its window overflow"),
    S.text("ws_subprotocol", |t| &mut t.ws.subprotocol, "client: asked for; server: accepted"),
    S.flag("ws_binary", |t| &mut t.ws.binary, "messages are sent as binary"),
    S.flag("ws_prioritize_reads", |t| &mut t.ws.prioritize_reads, "input goes before output"),
    S.flag("ws_over_h2", |t| &mut t.ws.over_h2, "on HTTP/2 connections too, where both sides can"),
    S.number("mqtt_version", 5, |t, n| t.mqtt.version = Some(narrow(n)), "4: 3.1.1, as default; 5: 5")
        .from(4),
    S.template("mqtt_topic", |t| &mut t.mqtt.topic, "where messages are published"),
    S.template("mqtt_subscribe", |t| &mut t.mqtt.subscribe, "topic filter to subscribe to"),
    S.number("mqtt_qos", QOS, |t, n| t.mqtt.qos = narrow(n), "quality of service").or("mqtt qos"),
    S.flag("mqtt_retain", |t| &mut t.mqtt.retain, "messages are retained by the broker"),
    S.number("mqtt_keep_alive", WORD, |t, n| t.mqtt.keep_alive = Some(narrow(n)), "keep-alive in s"),
    S.flag("mqtt_clean_start", |t| &mut t.mqtt.clean_start, "the session starts clean"),
    S.number("mqtt_session_expiry", LONG, |t, n| t.mqtt.session_expiry = Some(narrow(n)), "MQTT 5, in s"),
    S.template("mqtt_will_topic", |t| &mut t.mqtt.will.topic, "topic of the will"),
    S.message("mqtt_will_message", |t| &mut t.mqtt.will.message, "text of the will"),
    S.number("mqtt_will_qos", QOS, |t, n| t.mqtt.will.qos = narrow(n), "quality of service of the will"),
    S.flag("mqtt_will_retain", |t| &mut t.mqtt.will.retain, "the will is retained"),
    S.template("mqtt_birth_topic", |t| &mut t.mqtt.birth.topic, "topic of the birth message"),
    S.message("mqtt_birth_message", |t| &mut t.mqtt.birth.message, "text of the birth message"),
    S.number("mqtt_birth_qos", QOS, |t, n| t.mqtt.birth.qos = narrow(n), "its quality of service"),
    S.flag("mqtt_birth_retain", |t| &mut t.mqtt.birth.retain, "the birth message is retained"),
    S.flag("aws_iot", |t| &mut t.mqtt.aws_iot, "keep to what AWS IoT allows"),
];
