//! The policy: JSON text that says where and how every stream type connects or listens, as typed,
//! immutable values.
//!
//! A [`Policy`] is parsed whole or refused whole. What is refused has [`Diagnostic`]s with line, column and
//! path; what is accepted may still have warnings. Published policies depart from JSON in a few ways
//! (an array closed by `}`, a comma too many): they are accepted with a warning, unless
//! [`ParseOptions::strict`] is set.
//!
//! ```
//! use millstream::policy::Policy;
//!
//! let parsed = Policy::parse(r#"{
//!     "retry": [ { "default": { "backoff": [1000, 5000], "conceal": 5 } } ],
//!     "s": [ { "mintest": { "endpoint": "warmcat.com", "port": 443, "tls": true, "retry": "default" } } ]
//! }"#)?;
//! assert!(parsed.warnings.is_empty());
//! let mintest = parsed.policy.stream_type("mintest").unwrap();
//! assert_eq!(mintest.port, Some(443));
//! assert_eq!(mintest.retry.as_ref().unwrap().backoff, [1000, 5000]);
//!
//! let error = Policy::parse(r#"{ "s": [ { "a": { "retry": "nope" } } ] }"#).unwrap_err();
//! assert_eq!(error.to_string(), "1:28: error: s[0].a.retry: unknown retry scheme \"nope\"; \
//!     expected a name that is defined before it is used");
//! # Ok::<(), millstream::policy::PolicyError>(())
//! ```

mod diagnostic;
mod json;
mod keys;
mod nearest;
mod parse;
mod repair;
mod schema;
mod template;
mod types;

use std::collections::BTreeMap;
use std::rc::Rc;

pub use diagnostic::{Diagnostic, PolicyError, Severity};
pub use keys::{Key, Kind, Section, Shape, keys};
pub(crate) use nearest::nearest;
pub use schema::schema;
pub use template::{ExpandError, Lookup, Template};
pub use types::{
    Attributes, Auth, Cert, Http, MetadataDef, MetricsPolicy, Mqtt, MqttNotice, Protocol, ProxyBuffers,
    RetryPolicy, SocksProxy, StreamType, TrustStore, Ws,
};

/// A policy: what its JSON said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    release: Option<String>,
    product: Option<String>,
    schema_version: u32,
    via_socks5: Option<SocksProxy>,
    retry: BTreeMap<String, Rc<RetryPolicy>>,
    certs: BTreeMap<String, Rc<Cert>>,
    trust_stores: BTreeMap<String, Rc<TrustStore>>,
    auth: BTreeMap<String, Rc<Auth>>,
    metrics: BTreeMap<String, Rc<MetricsPolicy>>,
    stream_types: BTreeMap<String, Rc<StreamType>>,
}

/// How a policy is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Refuse what is otherwise accepted with a warning because published policies need it: departures
    /// from JSON, values of another type than the key has, duplicate and unknown keys.
    pub strict: bool,
    /// Longest text that is looked at, in bytes.
    pub max_len: usize,
}

impl ParseOptions {
    /// [`ParseOptions::max_len`] unless something else is asked for: 256 KiB.
    pub const DEFAULT_MAX_LEN: usize = 256 * 1024;
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self { strict: false, max_len: Self::DEFAULT_MAX_LEN }
    }
}

/// A policy that was accepted, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The policy.
    pub policy: Policy,
    /// What its author ought to know.
    pub warnings: Vec<Diagnostic>,
    /// The keys the text uses, in the order of [`keys()`]; those that are not
    /// [in force](Key::in_force) have no effect yet.
    pub keys: Vec<&'static Key>,
}

impl Policy {
    /// The longest name of a stream type or of metadata, in bytes.
    pub const MAX_NAME: usize = 31;
    /// Most metadata names in a stream type.
    pub const MAX_METADATA: usize = 255;
    /// The longest header name in `metadata`, in bytes.
    pub const MAX_METADATA_VALUE: usize = 255;
    /// Most entries in a `backoff` table.
    pub const MAX_BACKOFF: usize = 64;
    /// The highest `schema-version` that this parser knows.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Parses a policy, with the default [`ParseOptions`].
    ///
    /// # Errors
    /// [`PolicyError`] says everything that is wrong with it, up to a bound.
    pub fn parse(text: &str) -> Result<Parsed, PolicyError> {
        Self::parse_with(text, &ParseOptions::default())
    }

    /// Parses a policy.
    ///
    /// # Errors
    /// [`PolicyError`] says everything that is wrong with it, up to a bound.
    pub fn parse_with(text: &str, options: &ParseOptions) -> Result<Parsed, PolicyError> {
        parse::document(text, options, None)
    }

    /// This policy with `text` laid over it: a document of the same shape, of which only `s`
    /// counts. Members that it gives replace those of the stream type of that name, others stay;
    /// stream types that are not here yet are added. This policy itself does not change.
    ///
    /// ```
    /// # use millstream::policy::Policy;
    /// let policy = Policy::parse(r#"{"s":[{"cpd":{"endpoint":"a.example","port":80}}]}"#)?.policy;
    /// let forced = policy.overlay(r#"{"s":[{"cpd":{"port":999}}]}"#)?.policy;
    /// let cpd = forced.stream_type("cpd").unwrap();
    /// assert_eq!((cpd.endpoint.as_ref().unwrap().source(), cpd.port), ("a.example", Some(999)));
    /// # Ok::<(), millstream::policy::PolicyError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Policy::parse`].
    pub fn overlay(&self, text: &str) -> Result<Parsed, PolicyError> {
        self.overlay_with(text, &ParseOptions::default())
    }

    /// [`Policy::overlay`] with other than the default [`ParseOptions`].
    ///
    /// # Errors
    /// As for [`Policy::parse`].
    pub fn overlay_with(&self, text: &str, options: &ParseOptions) -> Result<Parsed, PolicyError> {
        parse::document(text, options, Some(self))
    }

    /// `release`: identifies the policy's version.
    pub fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// `product`: identifies the product the policy is for.
    pub fn product(&self) -> Option<&str> {
        self.product.as_deref()
    }

    /// `schema-version`; 0 when the policy does not say.
    pub fn schema_version(&self) -> u32 {
        self.schema_version
    }

    /// `via-socks5`: the proxy for all client connections.
    pub fn via_socks5(&self) -> Option<&SocksProxy> {
        self.via_socks5.as_ref()
    }

    /// The retry scheme of that name.
    pub fn retry(&self, name: &str) -> Option<&Rc<RetryPolicy>> {
        self.retry.get(name)
    }

    /// The certificate or key of that name.
    pub fn cert(&self, name: &str) -> Option<&Rc<Cert>> {
        self.certs.get(name)
    }

    /// The trust store of that name.
    pub fn trust_store(&self, name: &str) -> Option<&Rc<TrustStore>> {
        self.trust_stores.get(name)
    }

    /// All trust stores, in the order of their names.
    pub fn trust_stores(&self) -> impl Iterator<Item = &Rc<TrustStore>> {
        self.trust_stores.values()
    }

    /// The authentication scheme of that name.
    pub fn auth(&self, name: &str) -> Option<&Rc<Auth>> {
        self.auth.get(name)
    }

    /// The metrics policies, in the order of their names.
    pub fn metrics(&self) -> impl Iterator<Item = &Rc<MetricsPolicy>> {
        self.metrics.values()
    }

    /// The stream type of that name.
    pub fn stream_type(&self, name: &str) -> Option<&Rc<StreamType>> {
        self.stream_types.get(name)
    }

    /// All stream types, in the order of their names.
    pub fn stream_types(&self) -> impl Iterator<Item = &Rc<StreamType>> {
        self.stream_types.values()
    }
}
