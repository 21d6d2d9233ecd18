//! JSON to [`Policy`], by the table of keys.

pub(super) mod sections;
pub(super) mod stream;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub(super) use sections::StoreDraft;

use super::diagnostic::{Hint, Path, Report, quoted};
use super::json::{Member, Node};
use super::keys::{Entry, Kind, ROOT, Section, Set, keys};
use super::repair::repair;
use super::{ParseOptions, Parsed, Policy, PolicyError, Template, nearest};

/// Reads a whole document: a policy, or what is laid over `base`.
pub(super) fn document(
    text: &str,
    options: &ParseOptions,
    base: Option<&Policy>,
) -> Result<Parsed, PolicyError> {
    let mut report = Report::new(text, options.strict);
    if text.len() > options.max_len {
        let hint = Hint::expected(format!("no more than {} bytes", options.max_len));
        report.error(0, &Path::Root, "the policy is too long", hint);
    } else if let Some(json) = repair(text, &mut report) {
        let mut reader = Reader {
            report,
            policy: base.cloned().unwrap_or_default(),
            overlay: base.is_some(),
            defined: BTreeSet::new(),
            used: BTreeSet::new(),
            metadata_used: Vec::new(),
            stream_types_used: Vec::new(),
        };
        reader.root(&json);
        return reader.finish();
    }
    Err(report.into_error())
}

/// A name in the text that something else has to declare.
struct Use {
    at: usize,
    path: String,
    name: String,
}

/// The reading of a document: what is known so far.
pub(super) struct Reader<'t> {
    pub(super) report: Report<'t>,
    pub(super) policy: Policy,
    /// The document is laid over a policy: it may change stream types only.
    overlay: bool,
    /// Stream types that this document has defined.
    defined: BTreeSet<String>,
    used: BTreeSet<(Section, &'static str)>,
    /// Metadata names that the stream type at hand uses, which it may declare further down.
    metadata_used: Vec<Use>,
    /// Stream types that are named, and may be defined further down.
    stream_types_used: Vec<Use>,
}

impl Reader<'_> {
    fn root(&mut self, json: &str) {
        let root = match Node::document(json) {
            Ok(root) => root,
            Err(error) => return self.report.error(error.at, &Path::Root, error.message, Hint::none()),
        };
        let mut head = Policy::default();
        self.object(&Path::Root, root, ROOT, &mut head);
        if self.policy.stream_types.is_empty() {
            self.report.warn(root.at, &Path::Root, "the policy has no stream types", Hint::none());
        }
        if !self.overlay {
            self.policy.release = head.release;
            self.policy.product = head.product;
            self.policy.schema_version = head.schema_version;
            self.policy.via_socks5 = head.via_socks5;
        }
        for used in std::mem::take(&mut self.stream_types_used) {
            if self.report.wants_warnings() && !self.policy.stream_types.contains_key(&used.name) {
                let hint =
                    Hint::nearest(nearest(&used.name, self.policy.stream_types.keys().map(String::as_str)));
                self.report.warn(
                    used.at,
                    &used.path,
                    format!("unknown stream type {}", quoted(&used.name)),
                    hint,
                );
            }
        }
    }

    fn finish(self) -> Result<Parsed, PolicyError> {
        let warnings = self.report.finish()?;
        let keys = keys().filter(|key| self.used.contains(&(key.section, key.name))).collect();
        Ok(Parsed { policy: self.policy, warnings, keys })
    }

    /// Reads an object whose members `table` describes into `target`.
    fn object<T>(&mut self, path: &Path<'_>, node: Node<'_>, table: &'static [Entry<T>], target: &mut T) {
        let mut seen = BTreeSet::new();
        for member in self.members(path, node) {
            if self.report.is_full() {
                return;
            }
            let path = path.key(&member.key);
            let named =
                |entry: &&Entry<T>| entry.key.name == member.key || entry.key.alias == Some(&member.key);
            let Some(entry) = table.iter().find(named) else {
                self.unknown_key(&path, &member, table);
                continue;
            };
            if self.overlay && entry.key.section == Section::Root && entry.key.name != "s" {
                self.report.warn(
                    member.at,
                    &path,
                    "an overlay changes stream types only: ignored",
                    Hint::none(),
                );
                continue;
            }
            if !seen.insert(entry.key.name) {
                self.report.lax(member.at, &path, "given twice: the last one counts", Hint::none());
            }
            self.used.insert((entry.key.section, entry.key.name));
            if self.report.is_placeholder(member.value.at) {
                // The repair has reported it.
            } else if member.value.is_null() {
                self.report.lax(
                    member.value.at,
                    &path,
                    "null: ignored",
                    Hint::expected(entry.key.kind.to_string()),
                );
            } else {
                self.value(&path, member.value, entry, target);
            }
        }
    }

    fn unknown_key<T>(&mut self, path: &Path<'_>, member: &Member<'_>, table: &'static [Entry<T>]) {
        if !self.report.wants_lax() {
            return;
        }
        let known = table.iter().map(|entry| entry.key.name);
        let hint = Hint::nearest(nearest(&member.key, known));
        self.report.lax(member.at, path, format!("unknown key {}", quoted(&member.key)), hint);
    }

    fn value<T>(&mut self, path: &Path<'_>, node: Node<'_>, entry: &Entry<T>, target: &mut T) {
        match entry.set {
            Set::Flag(at) => *at(target) = self.flag(path, node),
            Set::Text(at) => {
                if let Some(text) = self.text(path, node) {
                    *at(target) = Some(text.into_owned());
                }
            }
            Set::Name(at) => {
                if let Some(name) = self.text(path, node) {
                    *at(target) = name.into_owned();
                }
            }
            Set::Header(at) => {
                if let Some(name) = self.text(path, node) {
                    *at(target) = self.header_name(path, node.at, &name);
                }
            }
            Set::Template(at) => {
                if let Some(text) = self.text(path, node) {
                    *at(target) = Some(self.template(path, node.at, &text));
                }
            }
            Set::Message(at) => {
                if let Some(text) = self.string(path, node) {
                    *at(target) = Some(self.template(path, node.at, &text));
                }
            }
            Set::Number(put) => {
                if let Some(number) = self.number(path, node, entry.key.kind) {
                    put(target, number);
                }
            }
            Set::By(handler) => handler(self, path, node, target),
        }
    }

    /// The members of what has to be an object.
    fn members<'n>(&mut self, path: &Path<'_>, node: Node<'n>) -> Vec<Member<'n>> {
        node.members().unwrap_or_else(|| {
            self.wrong_kind(path, node, "an object");
            Vec::new()
        })
    }

    /// The elements of what has to be an array.
    fn elements<'n>(&mut self, path: &Path<'_>, node: Node<'n>) -> Vec<Node<'n>> {
        node.elements().unwrap_or_else(|| {
            self.wrong_kind(path, node, "an array");
            Vec::new()
        })
    }

    fn wrong_kind(&mut self, path: &Path<'_>, node: Node<'_>, expected: impl Into<String>) {
        self.report.error(node.at, path, format!("found {}", node.kind()), Hint::expected(expected));
    }

    /// lws: `true` is true, and anything else false.
    fn flag(&mut self, path: &Path<'_>, node: Node<'_>) -> bool {
        node.boolean().unwrap_or_else(|| {
            let hint = Hint::expected(Kind::Boolean.to_string());
            self.report.lax(node.at, path, format!("found {}, taken as false", node.kind()), hint);
            false
        })
    }

    fn string<'n>(&mut self, path: &Path<'_>, node: Node<'n>) -> Option<Cow<'n, str>> {
        let text = node.text();
        if text.is_none() {
            self.wrong_kind(path, node, "a string");
        }
        text
    }

    /// A string that may go into a header or an address.
    fn text<'n>(&mut self, path: &Path<'_>, node: Node<'n>) -> Option<Cow<'n, str>> {
        let text = self.string(path, node)?;
        if text.contains(|c: char| c.is_ascii_control()) {
            let found = format!("a control character in {}", quoted(&text));
            self.report.error(node.at, path, found, Hint::expected("text without control characters"));
            return None;
        }
        Some(text)
    }

    fn number(&mut self, path: &Path<'_>, node: Node<'_>, kind: Kind) -> Option<u64> {
        let Kind::Integer { min, max } = kind else { return None };
        let text = node.text();
        let digits = text.as_deref().or_else(|| node.number());
        let Some(number) = digits.and_then(|digits| digits.parse::<u64>().ok()) else {
            let found = match digits {
                Some(digits) => format!("found {}", quoted(digits)),
                None => format!("found {}", node.kind()),
            };
            self.report.error(node.at, path, found, Hint::expected(kind.to_string()));
            return None;
        };
        if text.is_some() {
            self.report.lax(node.at, path, "a number written as a string", Hint::none());
        }
        if !(min..=max).contains(&number) {
            self.report.error(
                node.at,
                path,
                format!("{number} is out of range"),
                Hint::expected(kind.to_string()),
            );
            return None;
        }
        Some(number)
    }

    /// A header's name, without the `:` that policies put behind it.
    fn header_name(&mut self, path: &Path<'_>, at: usize, text: &str) -> Option<String> {
        let name = text.strip_suffix(':').unwrap_or(text);
        if is_token(name) {
            return Some(name.to_owned());
        }
        // RFC 9110 5.1: it would break the message it is put into.
        let found = format!("{} cannot be a header", quoted(text));
        self.report.error(at, path, found, Hint::expected(Kind::Header.to_string()));
        None
    }

    fn template(&mut self, path: &Path<'_>, at: usize, text: &str) -> Template {
        let template = Template::parse(text);
        if template.is_unterminated() {
            self.report.warn(at, path, "\"${\" without a '}' after it stands for itself", Hint::none());
        }
        for name in template.names() {
            self.uses_metadata(path, at, name);
        }
        template
    }

    fn uses_metadata(&mut self, path: &Path<'_>, at: usize, name: &str) {
        if self.report.wants_warnings() {
            self.metadata_used.push(Use { at, path: path.to_string(), name: name.to_owned() });
        }
    }

    fn uses_stream_type(&mut self, path: &Path<'_>, node: Node<'_>) -> Option<String> {
        let name = self.text(path, node)?.into_owned();
        if self.report.wants_warnings() {
            self.stream_types_used.push(Use { at: node.at, path: path.to_string(), name: name.clone() });
        }
        Some(name)
    }

    /// What a name stands for, of those defined so far.
    fn reference<V>(
        &mut self,
        path: &Path<'_>,
        node: Node<'_>,
        what: &str,
        map: fn(&Policy) -> &BTreeMap<String, Rc<V>>,
    ) -> Option<Rc<V>> {
        let name = self.text(path, node)?;
        let found = map(&self.policy).get(name.as_ref()).cloned();
        if found.is_none() {
            let known = map(&self.policy).keys().map(String::as_str);
            let hint = match nearest(&name, known) {
                None => Hint::expected("a name that is defined before it is used"),
                near => Hint::nearest(near),
            };
            self.report.error(node.at, path, format!("unknown {what} {}", quoted(&name)), hint);
        }
        found
    }

    /// Whether `name` may name a stream type or metadata.
    fn is_name(&mut self, path: &Path<'_>, at: usize, name: &str) -> bool {
        let found = if name.is_empty() {
            "an empty name".to_owned()
        } else if name.len() > Policy::MAX_NAME {
            format!("a name of {} bytes", name.len())
        } else {
            return true;
        };
        let hint = Hint::expected(format!("1 to {} bytes", Policy::MAX_NAME));
        self.report.error(at, path, found, hint);
        false
    }
}

/// RFC 9110 5.6.2: what names of headers and methods are made of.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
