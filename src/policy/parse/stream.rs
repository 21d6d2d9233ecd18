//! The members of a stream type that are more than a scalar, and what must hold between them.

use std::collections::BTreeSet;

use super::super::diagnostic::{Hint, Path, quoted};
use super::super::json::Node;
use super::super::keys::Kind;
use super::super::{MetadataDef, Policy, Protocol, StreamType, nearest};
use super::{Reader, is_token, sections};

impl Reader<'_> {
    /// What can be judged only once all members are there.
    pub(super) fn check_stream_type(&mut self, path: &Path<'_>, at: usize, stream_type: &mut StreamType) {
        self.check_metadata_uses(stream_type);
        if stream_type.use_auth.is_none() && stream_type.http.auth_header.is_some() {
            stream_type.use_auth = self.policy.auth.get("lwa").cloned();
        }
        let has_identity = stream_type.server_cert.is_some() && stream_type.server_key.is_some();
        if stream_type.server && stream_type.tls && !has_identity {
            let hint = Hint::expected("\"server_cert\" and \"server_key\"");
            self.report.error(at, path, "a TLS server without a certificate and key", hint);
        }
        if stream_type.endpoint.is_none() && !stream_type.server && !stream_type.local_sink {
            self.report.warn(
                at,
                path,
                "a client without an endpoint cannot connect",
                Hint::expected("\"endpoint\""),
            );
        }
        if stream_type.nailed_up && stream_type.opportunistic {
            let found = "nailed_up and opportunistic contradict each other: nailed_up counts";
            self.report.warn(at, path, found, Hint::none());
        }
    }

    fn check_metadata_uses(&mut self, stream_type: &StreamType) {
        let declared: BTreeSet<&str> = stream_type.metadata.iter().map(|def| def.name.as_str()).collect();
        for used in std::mem::take(&mut self.metadata_used) {
            if self.report.wants_warnings() && !declared.contains(used.name.as_str()) {
                let hint = Hint::nearest(nearest(&used.name, declared.iter().copied()));
                let found = format!("{} is not declared in this stream type's metadata", quoted(&used.name));
                self.report.warn(used.at, &used.path, found, hint);
            }
        }
    }

    fn strings(&mut self, path: &Path<'_>, node: Node<'_>) -> Vec<String> {
        // Nothing depends on them: what is no string is let pass.
        self.elements(path, node).into_iter().filter_map(|element| element.text().map(String::from)).collect()
    }
}

pub(in super::super) fn protocol(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    let Some(name) = reader.text(path, node) else { return };
    if let Some(protocol) = Protocol::from_name(&name) {
        target.protocol = Some(protocol);
    } else if name == "h1get" {
        reader.report.warn(node.at, path, "the old \"h1get\" is taken as \"h1\"", Hint::expected("\"h1\""));
        target.protocol = Some(Protocol::H1);
        target.http.method.get_or_insert_with(|| "GET".to_owned());
    } else {
        let names = Protocol::ALL.map(Protocol::name);
        let hint = Hint::expected(format!("one of {}", names.join(", ")));
        reader.report.error(node.at, path, format!("unknown protocol {}", quoted(&name)), hint);
    }
}

pub(in super::super) fn via_socks5(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.via_socks5 = sections::socks_proxy(reader, path, node);
}

pub(in super::super) fn tls_trust_store(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.tls_trust_store = reader.reference(path, node, "trust store", |policy| &policy.trust_stores);
}

pub(in super::super) fn retry(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.retry = reader.reference(path, node, "retry scheme", |policy| &policy.retry);
}

pub(in super::super) fn use_auth(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.use_auth = reader.reference(path, node, "auth scheme", |policy| &policy.auth);
}

pub(in super::super) fn server_cert(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.server_cert = reader.reference(path, node, "certificate", |policy| &policy.certs);
}

pub(in super::super) fn server_key(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.server_key = reader.reference(path, node, "key", |policy| &policy.certs);
}

pub(in super::super) fn rideshare(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.rideshare = reader.uses_stream_type(path, node);
}

pub(in super::super) fn plugins(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.plugins = reader.strings(path, node);
}

pub(in super::super) fn options(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.options = reader.strings(path, node);
}

pub(in super::super) fn aws_region(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.aws_region = metadata_name(reader, path, node);
}

pub(in super::super) fn aws_service(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    target.aws_service = metadata_name(reader, path, node);
}

fn metadata_name(reader: &mut Reader<'_>, path: &Path<'_>, node: Node<'_>) -> Option<String> {
    let name = reader.text(path, node)?;
    reader.uses_metadata(path, node.at, &name);
    Some(name.into_owned())
}

pub(in super::super) fn http_method(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    let Some(method) = reader.text(path, node) else { return };
    if !is_token(&method) {
        let found = format!("{} cannot be a method", quoted(&method));
        reader.report.error(node.at, path, found, Hint::expected("a method, as GET"));
        return;
    }
    if method.contains(|c: char| c.is_ascii_lowercase()) {
        // RFC 9110 9.1: methods are case-sensitive, so nobody knows "get".
        let hint = Hint::nearest(Some(method.to_ascii_uppercase()));
        reader.report.warn(node.at, path, format!("method {} is not in capitals", quoted(&method)), hint);
    }
    target.http.method = Some(method.into_owned());
}

pub(in super::super) fn http_resp_map(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    const STATE: Kind = Kind::Integer { min: 1000, max: u32::MAX as u64 };
    let mut map: Vec<(u16, u32)> = Vec::new();
    reader.each_member(path, node, |reader, path, member| {
        let Some(status) = member.key.parse().ok().filter(|status| (100..=999).contains(status)) else {
            let hint = Hint::expected("an http status from 100 to 999");
            return reader.report.error(member.at, path, format!("found {}", quoted(&member.key)), hint);
        };
        let Some(state) =
            reader.number(path, member.value, STATE).and_then(|state| u32::try_from(state).ok())
        else {
            return;
        };
        // The statuses keep the list short: there are 900.
        if let Some(known) = map.iter_mut().find(|(known, _)| *known == status) {
            reader.report.lax(member.at, path, "given twice: the last one counts", Hint::none());
            known.1 = state;
        } else {
            map.push((status, state));
        }
    });
    target.http.resp_map = map;
}

pub(in super::super) fn metadata(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: Node<'_>,
    target: &mut StreamType,
) {
    let mut defs: Vec<MetadataDef> = Vec::new();
    reader.each_member(path, node, |reader, path, member| {
        let name = member.key.as_ref();
        if !reader.is_name(path, member.at, name) {
            return;
        }
        let Some(text) = reader.text(path, member.value) else { return };
        if text.len() > Policy::MAX_METADATA_VALUE {
            let hint = Hint::expected(format!("no more than {} bytes", Policy::MAX_METADATA_VALUE));
            return reader.report.error(member.value.at, path, format!("found {} bytes", text.len()), hint);
        }
        let header = if text.is_empty() { None } else { reader.header_name(path, member.value.at, &text) };
        if let Some(known) = defs.iter_mut().find(|def| def.name == name) {
            reader.report.lax(member.at, path, "given twice: the last one counts", Hint::none());
            known.header = header;
        } else if defs.len() >= Policy::MAX_METADATA {
            let hint = Hint::expected(format!("no more than {}", Policy::MAX_METADATA));
            reader.report.error(member.at, path, "too much metadata in a stream type", hint);
        } else {
            defs.push(MetadataDef { name: name.to_owned(), header });
        }
    });
    target.metadata = defs;
}
