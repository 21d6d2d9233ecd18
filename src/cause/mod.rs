//! Why a stream has no connection: values for the program, words for the log.
//!
//! Every attempt that fails leaves a [`Failure`]: what was being done, to whom, and what came of it. A [`Cause`] is the
//! chain of them, in order, because the second address may fail for another reason than the first. It takes one
//! pointer, and nothing on the heap, while nothing has failed.

mod shorthand;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

/// How many failures a [`Cause`] keeps; of more, the oldest are only counted.
pub const MAX_FAILURES: usize = 16;

/// How much of a text from elsewhere [`Words`] keeps, in characters.
pub const MAX_WORDS: usize = 256;

/// Where a failure happened, and the word for it in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// A name could not be turned into addresses.
    Dns,
    /// The socket.
    Tcp,
    /// The TLS session.
    Tls,
    /// A proxy between here and the peer.
    Proxy,
    /// The peer broke its protocol, or did not answer in it.
    Protocol,
    /// The peer answered, with a status that is not good.
    HttpStatus,
    /// What the policy asks for cannot be done.
    Policy,
    /// This side: the application's wish, or a limit of this process.
    Local,
}

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Working out, from policy and metadata, where and how to connect.
    Preparing,
    /// Turning a name into addresses.
    Resolving,
    /// Opening a socket to one address.
    Connecting,
    /// Asking a proxy for the way through.
    Proxying,
    /// The TLS handshake.
    Securing,
    /// The protocol's own beginning, or waiting for an answer.
    Answering,
    /// Anything after: the connection was in use.
    Established,
}

/// Whom it was being done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One address of the peer.
    Address(SocketAddr),
    /// A host name, or the path of a Unix socket.
    Name(Words),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The resolver's answer.
    Dns(DnsFailure),
    /// The socket's error.
    Tcp(TcpFailure),
    /// The TLS library's error, or an alert of the peer.
    Tls(TlsFailure),
    /// What the proxy answered.
    Proxy(Words),
    /// How the peer broke the protocol.
    Protocol(Words),
    /// The HTTP status that is not good.
    HttpStatus(u16),
    /// What in the policy, or in the metadata that it names, cannot be done.
    Policy(Words),
    /// No progress within the time for this [`Phase`].
    TimedOut,
    /// The peer said goodbye: a websocket's close code (1005 where it gave none), and its words.
    Goodbye(u16, Words),
    /// What an MQTT server refused, or left with: its reason code (MQTT 5, 2.4; what a 3.1.1 server says is translated), and
    /// words.
    Mqtt(u8, Words),
    /// Nothing has proved for too long that the connection is still one (`svalidhup`).
    NotValid,
    /// The application asked for it.
    ClosedByUs,
    /// A limit of this process was met.
    Local(Words),
}

/// How a name was not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DnsFailure {
    /// The name does not exist.
    NoSuchName,
    /// The name exists, without an address that can be used here.
    NoAddress,
    /// No DNS server could be reached; `UNREACHABLE` has ordinal 1 then.
    ServerUnreachable,
    /// The DNS server would not, or could not, answer.
    ServerFailure,
    /// This cannot be a host name.
    BadName,
}

/// How a socket failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpFailure {
    /// What it means for the connection.
    pub kind: TcpFailureKind,
    /// What the operating system called it; `None` where it was not asked.
    pub os: Option<io::ErrorKind>,
}

/// What a socket's failure means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TcpFailureKind {
    /// Nobody listens there.
    Refused,
    /// The system gave up waiting for the peer.
    TimedOut,
    /// The peer, or something on the way, broke the connection.
    Reset,
    /// There is no way to this network or host.
    Unreachable,
    /// The peer closed before the connection had served its purpose.
    Closed,
    /// The Unix socket's path does not exist.
    NotFound,
    /// This process may not open it.
    NotPermitted,
    /// Anything else; the `os` kind says what.
    Other,
}

/// How a TLS session failed. The error of the TLS library stays readable through [`Error::source`] of the [`Failure`].
#[derive(Clone, Debug)]
pub struct TlsFailure {
    words: Words,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// A short text that may come from a peer or a policy: cut to [`MAX_WORDS`] characters, control characters replaced, so
/// that it can neither fill memory nor forge a line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(Box<str>);

/// One thing that failed.
///
/// ```
/// use std::io::ErrorKind;
/// use std::net::SocketAddr;
/// use millstream::cause::{Failure, Layer, Phase, TcpFailure};
///
/// let address = SocketAddr::from(([127, 0, 0, 1], 81));
/// let failure = Failure::new(Phase::Connecting, TcpFailure::from(ErrorKind::ConnectionRefused)).with(address);
/// assert_eq!(failure.to_string(), "connecting to 127.0.0.1:81: connection refused");
/// assert_eq!(failure.layer(), Layer::Tcp);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was being done.
    pub phase: Phase,
    /// With whom, where that is known.
    pub target: Option<Target>,
    /// What came of it.
    pub reason: Reason,
}

/// The failures that led to where a stream is, oldest first. [`Cause::default`] is that of a stream without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause(Option<Box<Chain>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chain {
    failures: Vec<Failure>,
    omitted: u32,
}

impl Cause {
    /// Whether nothing failed.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Adds what failed last.
    pub fn push(&mut self, failure: Failure) {
        let chain = self.0.get_or_insert_default();
        if chain.failures.len() >= MAX_FAILURES {
            chain.failures.remove(0);
            chain.omitted = chain.omitted.saturating_add(1);
        }
        chain.failures.push(failure);
    }

    /// Forgets everything, as a new attempt does.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// The failures, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Failure> {
        self.0.as_ref().map_or(&[][..], |chain| &chain.failures).iter()
    }

    /// The failure that decided.
    pub fn last(&self) -> Option<&Failure> {
        self.iter().last()
    }

    /// Where the failure that decided happened.
    pub fn layer(&self) -> Option<Layer> {
        self.last().map(Failure::layer)
    }

    /// How many failures came before those that [`Cause::iter`] gives.
    pub fn omitted(&self) -> u32 {
        self.0.as_ref().map_or(0, |chain| chain.omitted)
    }
}

impl<'a> IntoIterator for &'a Cause {
    type Item = &'a Failure;
    type IntoIter = std::slice::Iter<'a, Failure>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Failure> for Cause {
    fn from(failure: Failure) -> Self {
        let mut cause = Self::default();
        cause.push(failure);
        cause
    }
}

/// The failures in words, oldest first, `; ` between them.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no failure");
        }
        if self.omitted() > 0 {
            write!(f, "{} earlier; ", self.omitted())?;
        }
        for (nth, failure) in self.iter().enumerate() {
            let between = if nth == 0 { "" } else { "; " };
            write!(f, "{between}{failure}")?;
        }
        Ok(())
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.last().and_then(Error::source)
    }
}

impl Failure {
    /// What came of doing this, with nobody in particular.
    pub fn new(phase: Phase, reason: impl Into<Reason>) -> Self {
        Self { phase, target: None, reason: reason.into() }
    }

    /// The same, with this peer.
    #[must_use]
    pub fn with(mut self, target: impl Into<Target>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Where it happened.
    pub const fn layer(&self) -> Layer {
        match self.reason {
            Reason::Dns(_) => Layer::Dns,
            Reason::Tcp(_) | Reason::NotValid => Layer::Tcp,
            Reason::Tls(_) => Layer::Tls,
            Reason::Proxy(_) => Layer::Proxy,
            Reason::Protocol(_) | Reason::Goodbye(..) | Reason::Mqtt(..) => Layer::Protocol,
            Reason::HttpStatus(_) => Layer::HttpStatus,
            Reason::Policy(_) => Layer::Policy,
            Reason::ClosedByUs | Reason::Local(_) => Layer::Local,
            Reason::TimedOut => self.phase.layer(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{} {target}: {}", self.phase, self.reason),
            None => write!(f, "{}", self.reason),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let Reason::Tls(TlsFailure { source: Some(source), .. }) = &self.reason else { return None };
        Some(&**source)
    }
}

impl Phase {
    /// Where it is the layer's fault that this took too long.
    const fn layer(self) -> Layer {
        match self {
            Self::Preparing => Layer::Policy,
            Self::Resolving => Layer::Dns,
            Self::Connecting => Layer::Tcp,
            Self::Proxying => Layer::Proxy,
            Self::Securing => Layer::Tls,
            Self::Answering | Self::Established => Layer::Protocol,
        }
    }
}

impl TlsFailure {
    /// A failure that the TLS library has an error for.
    pub fn from_error(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source: Arc<dyn Error + Send + Sync> = Arc::from(error.into());
        Self { words: Words::from(source.to_string().as_str()), source: Some(source) }
    }

    /// A failure that is only known in words.
    pub fn from_words(words: &str) -> Self {
        Self { words: words.into(), source: None }
    }
}

/// By what they say: errors of other libraries cannot be compared.
impl PartialEq for TlsFailure {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for TlsFailure {}

impl From<io::ErrorKind> for TcpFailure {
    fn from(os: io::ErrorKind) -> Self {
        use io::ErrorKind as Os;
        let kind = match os {
            Os::ConnectionRefused => TcpFailureKind::Refused,
            Os::TimedOut => TcpFailureKind::TimedOut,
            Os::ConnectionReset | Os::ConnectionAborted => TcpFailureKind::Reset,
            Os::HostUnreachable | Os::NetworkUnreachable | Os::NetworkDown | Os::AddrNotAvailable => {
                TcpFailureKind::Unreachable
            }
            Os::UnexpectedEof | Os::BrokenPipe | Os::NotConnected | Os::WriteZero => TcpFailureKind::Closed,
            Os::NotFound => TcpFailureKind::NotFound,
            Os::PermissionDenied => TcpFailureKind::NotPermitted,
            _ => TcpFailureKind::Other,
        };
        Self { kind, os: Some(os) }
    }
}

impl From<&io::Error> for TcpFailure {
    fn from(error: &io::Error) -> Self {
        error.kind().into()
    }
}

impl From<TcpFailureKind> for TcpFailure {
    fn from(kind: TcpFailureKind) -> Self {
        Self { kind, os: None }
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        let mut kept: String = text.chars().take(MAX_WORDS).map(clean).collect();
        if text.chars().nth(MAX_WORDS).is_some() {
            kept.push_str("...");
        }
        Self(kept.into())
    }
}

impl Deref for Words {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl From<&str> for Target {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<DnsFailure> for Reason {
    fn from(failure: DnsFailure) -> Self {
        Self::Dns(failure)
    }
}

impl From<TcpFailure> for Reason {
    fn from(failure: TcpFailure) -> Self {
        Self::Tcp(failure)
    }
}

impl From<TlsFailure> for Reason {
    fn from(failure: TlsFailure) -> Self {
        Self::Tls(failure)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Protocol => "protocol",
            Self::HttpStatus => "http status",
            Self::Policy => "policy",
            Self::Local => "local",
        })
    }
}

/// The words that stand before the peer's name.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preparing => "preparing a connection to",
            Self::Resolving => "resolving",
            Self::Connecting => "connecting to",
            Self::Proxying => "asking the proxy for",
            Self::Securing => "TLS with",
            Self::Answering => "waiting for",
            Self::Established => "connection with",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(failure) => failure.fmt(f),
            Self::Tcp(failure) => failure.fmt(f),
            Self::Tls(failure) => failure.words.fmt(f),
            Self::Proxy(words)
            | Self::Protocol(words)
            | Self::Policy(words)
            | Self::Local(words)
            | Self::Mqtt(_, words) => words.fmt(f),
            Self::HttpStatus(status) => write!(f, "http status {status}"),
            Self::Goodbye(code, words) if words.is_empty() => {
                write!(f, "closed by the peer with code {code}")
            }
            Self::Goodbye(code, words) => write!(f, "closed by the peer with code {code}: {words}"),
            Self::TimedOut => f.write_str("took too long"),
            Self::NotValid => f.write_str("no sign of life for too long"),
            Self::ClosedByUs => f.write_str("closed by this side"),
        }
    }
}

impl fmt::Display for DnsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchName => "no such name",
            Self::NoAddress => "no usable address",
            Self::ServerUnreachable => "DNS server unreachable",
            Self::ServerFailure => "DNS server failed",
            Self::BadName => "not a host name",
        })
    }
}

impl fmt::Display for TcpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TcpFailureKind::Refused => "connection refused",
            TcpFailureKind::TimedOut => "timed out",
            TcpFailureKind::Reset => "connection reset",
            TcpFailureKind::Unreachable => "unreachable",
            TcpFailureKind::Closed => "closed by the peer",
            TcpFailureKind::NotFound => "no such socket",
            TcpFailureKind::NotPermitted => "permission denied",
            TcpFailureKind::Other => {
                return match self.os {
                    Some(os) => write!(f, "{os}"),
                    None => f.write_str("socket error"),
                };
            }
        })
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

#[cfg(test)]
mod tests;
