//! The sections of the document.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::super::diagnostic::{Hint, Path, quoted};
use super::super::json::{Member, Node};
use super::super::keys::{AUTH, Kind, METRICS, RETRY, STREAM_TYPE, TRUST_STORE};
use super::super::{Auth, Cert, MetricsPolicy, Policy, RetryPolicy, SocksProxy, TrustStore};
use super::Reader;

/// Policies come with and without the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A trust store of which the name, or the certificates, are not read yet.
#[derive(Default)]
pub(in super::super) struct StoreDraft {
    pub(in super::super) name: String,
    stack: Vec<Rc<Cert>>,
}

impl Reader<'_> {
    /// Calls `each` with every member of every object in an array, as in `[{name: ..}, {name: ..}]`.
    pub(super) fn each_member(
        &mut self,
        path: &Path<'_>,
        node: Node<'_>,
        mut each: impl FnMut(&mut Self, &Path<'_>, &Member<'_>),
    ) {
        for (n, element) in self.elements(path, node).into_iter().enumerate() {
            let path = path.index(n);
            for member in self.members(&path, element) {
                if self.report.is_full() {
                    return;
                }
                each(self, &path.key(&member.key), &member);
            }
        }
    }

    /// Puts a named thing where references find it.
    fn define<V>(
        &mut self,
        path: &Path<'_>,
        at: usize,
        name: &str,
        value: V,
        map: fn(&mut Policy) -> &mut BTreeMap<String, Rc<V>>,
    ) {
        if name.is_empty() {
            self.report.error(at, path, "it has no name", Hint::expected("a name"));
        } else if map(&mut self.policy).insert(name.to_owned(), Rc::new(value)).is_some() {
            let found = format!("{} is defined twice: the last one counts", quoted(name));
            self.report.lax(at, path, found, Hint::none());
        }
    }
}

/// The kind of `schema-version`; one that is too high has an error of its own.
pub(in super::super) const SCHEMA_VERSION: Kind = Kind::Integer { min: 0, max: u32::MAX as u64 };

pub(in super::super) fn schema_version(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    policy: &mut Policy,
) {
    let Some(version) = reader.number(path, node, SCHEMA_VERSION) else { return };
    policy.schema_version = u32::try_from(version).unwrap_or(u32::MAX);
    if policy.schema_version > Policy::SCHEMA_VERSION {
        let hint = Hint::expected(format!("at most {}", Policy::SCHEMA_VERSION));
        reader.report.error(node.at, path, format!("version {version} is newer than this parser"), hint);
    }
}

pub(in super::super) fn via_socks5(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    policy: &mut Policy,
) {
    if let Some(proxy) = socks_proxy(reader, path, node) {
        policy.via_socks5 = Some(proxy);
    }
}

/// `address:port`, the address of IPv6 in brackets.
pub(super) fn socks_proxy(reader: &mut Reader<'_>, path: &Path<'_>, node: Node<'_>) -> Option<SocksProxy> {
    let text = reader.text(path, node)?;
    let parsed = text.rsplit_once(':').and_then(|(address, port)| {
        let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
        let address = bare.unwrap_or(address);
        let unclear = bare.is_none() && address.contains(':');
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!address.is_empty() && !unclear).then(|| SocksProxy { address: address.to_owned(), port })
    });
    if parsed.is_none() {
        let hint = Hint::expected("address:port, as 127.0.0.1:1080 or [::1]:1080");
        reader.report.error(node.at, path, format!("found {}", quoted(&text)), hint);
    }
    parsed
}

pub(in super::super) fn retry(reader: &mut Reader<'_>, path: &Path<'_>, node: Node<'_>, _: &mut Policy) {
    reader.each_member(path, node, |reader, path, member| {
        let mut scheme = RetryPolicy { name: member.key.to_string(), ..RetryPolicy::default() };
        reader.object(path, member.value, RETRY, &mut scheme);
        if let (Some(ping), Some(hangup)) = (scheme.svalidping, scheme.svalidhup)
            && hangup <= ping
        {
            let found = format!("svalidhup {hangup} leaves no time for an answer to svalidping {ping}");
            reader.report.warn(member.at, path, found, Hint::none());
        }
        reader.define(path, member.at, &member.key, scheme, |policy| &mut policy.retry);
    });
}

pub(in super::super) fn backoff(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    scheme: &mut RetryPolicy,
) {
    const DELAY: Kind = Kind::Integer { min: 0, max: u32::MAX as u64 };
    let mut table = Vec::new();
    for (n, element) in reader.elements(path, node).into_iter().enumerate() {
        let path = path.index(n);
        if n >= Policy::MAX_BACKOFF {
            let hint = Hint::expected(format!("no more than {} delays", Policy::MAX_BACKOFF));
            reader.report.error(element.at, &path, "the table is too long", hint);
            return;
        }
        let delay = reader.number(&path, element, DELAY);
        table.extend(delay.and_then(|delay| u32::try_from(delay).ok()));
    }
    if !table.is_empty() {
        scheme.backoff = table;
    }
}

pub(in super::super) fn conceal(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    scheme: &mut RetryPolicy,
) {
    // More than the 16 bits of lws is found in published policies, and means: for ever.
    let Some(count) = reader.number(path, node, Kind::Integer { min: 0, max: u64::MAX }) else { return };
    scheme.conceal = u16::try_from(count).unwrap_or_else(|_| {
        let hint = Hint::expected("a whole number from 0 to 65535");
        reader.report.lax(node.at, path, format!("{count} is taken as 65535: for ever"), hint);
        RetryPolicy::CONCEAL_ALWAYS
    });
}

pub(in super::super) fn certs(reader: &mut Reader<'_>, path: &Path<'_>, node: Node<'_>, _: &mut Policy) {
    reader.each_member(path, node, |reader, path, member| {
        let Some(text) = reader.string(path, member.value) else { return };
        if let Some(der) = decode(&text) {
            let cert = Cert { name: member.key.to_string(), der: der.into() };
            reader.define(path, member.at, &member.key, cert, |policy| &mut policy.certs);
        } else {
            let hint = Hint::expected("base64 of DER, without the BEGIN and END lines of PEM");
            reader.report.error(member.value.at, path, format!("found {}", quoted(&text)), hint);
        }
    });
}

/// Base64, broken into lines or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut digits = Cow::Borrowed(text);
    if text.contains(|c: char| c.is_ascii_whitespace()) {
        digits = text.split_ascii_whitespace().collect::<String>().into();
    }
    BASE64.decode(digits.as_bytes()).ok().filter(|der| !der.is_empty())
}

/// Each entry is `{"name": .., "stack": [..]}`, or `{name: [..]}` as in the documentation's example.
pub(in super::super) fn trust_stores(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    _: &mut Policy,
) {
    for (n, entry) in reader.elements(path, node).into_iter().enumerate() {
        if reader.report.is_full() {
            return;
        }
        let path = path.index(n);
        let Some(members) = entry.members() else {
            reader.wrong_kind(&path, entry, "an object");
            continue;
        };
        let by_map = !members.is_empty() && members.iter().all(|member| member.value.elements().is_some());
        if by_map && members.iter().all(|member| member.key != "stack") {
            for member in members {
                let path = path.key(&member.key);
                let mut draft = StoreDraft { name: member.key.to_string(), stack: Vec::new() };
                stack(reader, &path, member.value, &mut draft);
                trust_store(reader, &path, member.at, draft);
            }
        } else {
            let mut draft = StoreDraft::default();
            reader.object(&path, entry, TRUST_STORE, &mut draft);
            trust_store(reader, &path, entry.at, draft);
        }
    }
}

fn trust_store(reader: &mut Reader<'_>, path: &Path<'_>, at: usize, draft: StoreDraft) {
    if draft.stack.is_empty() {
        reader.report.warn(at, path, "a trust store without certificates trusts nobody", Hint::none());
    }
    let store = TrustStore { name: draft.name.clone(), stack: draft.stack };
    reader.define(path, at, &draft.name, store, |policy| &mut policy.trust_stores);
}

pub(in super::super) fn stack(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    draft: &mut StoreDraft,
) {
    if draft.name.is_empty() {
        reader.report.error(
            node.at,
            path,
            "\"stack\" stands before \"name\"",
            Hint::expected("\"name\" first"),
        );
    }
    draft.stack.clear();
    for (n, element) in reader.elements(path, node).into_iter().enumerate() {
        draft.stack.extend(reader.reference(&path.index(n), element, "certificate", |policy| &policy.certs));
    }
}

pub(in super::super) fn auth(reader: &mut Reader<'_>, path: &Path<'_>, node: Node<'_>, _: &mut Policy) {
    for (n, entry) in reader.elements(path, node).into_iter().enumerate() {
        let path = path.index(n);
        let mut scheme = Auth::default();
        reader.object(&path, entry, AUTH, &mut scheme);
        let name = scheme.name.clone();
        reader.define(&path, entry.at, &name, scheme, |policy| &mut policy.auth);
    }
}

pub(in super::super) fn auth_streamtype(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    auth: &mut Auth,
) {
    auth.streamtype = reader.uses_stream_type(path, node);
}

pub(in super::super) fn metrics(reader: &mut Reader<'_>, path: &Path<'_>, node: Node<'_>, _: &mut Policy) {
    for (n, entry) in reader.elements(path, node).into_iter().enumerate() {
        let path = path.index(n);
        let mut metrics = MetricsPolicy::default();
        reader.object(&path, entry, METRICS, &mut metrics);
        let name = metrics.name.clone();
        reader.define(&path, entry.at, &name, metrics, |policy| &mut policy.metrics);
    }
}

pub(in super::super) fn metrics_report(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    metrics: &mut MetricsPolicy,
) {
    metrics.report = reader.uses_stream_type(path, node);
}

/// A stream type that is there already, in the policy below or further up, is overlaid.
pub(in super::super) fn stream_types(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    _: &mut Policy,
) {
    reader.each_member(path, node, |reader, path, member| {
        let name = member.key.as_ref();
        if !reader.is_name(path, member.at, name) {
            return;
        }
        if !reader.defined.insert(name.to_owned()) {
            let found = "defined twice: this is laid over what stands further up";
            reader.report.lax(member.at, path, found, Hint::none());
        }
        let mut stream_type =
            reader.policy.stream_types.get(name).map(|known| known.as_ref().clone()).unwrap_or_default();
        stream_type.name.clear();
        stream_type.name.push_str(name);
        reader.object(path, member.value, STREAM_TYPE, &mut stream_type);
        reader.check_stream_type(path, member.at, &mut stream_type);
        reader.policy.stream_types.insert(name.to_owned(), Rc::new(stream_type));
    });
}
