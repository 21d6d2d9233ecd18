//! JSON in which every key and value knows its place in the text.
//!
//! `serde_json` does the parsing; its raw values borrow from the text, so that where one begins is a
//! subtraction of addresses. Each level is parsed when it is looked at.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value, and the byte offset it begins at.
#[derive(Clone, Copy)]
pub(super) struct Node<'t> {
    raw: &'t str,
    pub(super) at: usize,
}

/// A member of an object.
pub(super) struct Member<'t> {
    pub(super) key: Cow<'t, str>,
    /// Byte offset of the key's opening quote.
    pub(super) at: usize,
    pub(super) value: Node<'t>,
}

/// What a text that is not JSON has wrong.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) at: usize,
    pub(super) message: String,
}

impl<'t> Node<'t> {
    /// The value that `text` is. The whole of it is checked for being JSON.
    pub(super) fn document(text: &'t str) -> Result<Self, SyntaxError> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| syntax_error(text, &error))?;
        Ok(Self { raw: text, at: 0 }.child(raw))
    }

    /// The members of an object, in the text's order; `None` for anything else.
    pub(super) fn members(self) -> Option<Vec<Member<'t>>> {
        if !self.raw.starts_with('{') {
            return None;
        }
        let Members(members) = serde_json::from_str(self.raw).ok()?;
        Some(members.into_iter().map(|(key, value)| self.member(key, value)).collect())
    }

    /// The elements of an array; `None` for anything else.
    pub(super) fn elements(self) -> Option<Vec<Self>> {
        if !self.raw.starts_with('[') {
            return None;
        }
        let elements: Vec<&'t RawValue> = serde_json::from_str(self.raw).ok()?;
        Some(elements.into_iter().map(|raw| self.child(raw)).collect())
    }

    /// What a string says; `None` for anything else, and for a string whose escapes are no text.
    pub(super) fn text(self) -> Option<Cow<'t, str>> {
        let inner = self.raw.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str(self.raw).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    pub(super) fn boolean(self) -> Option<bool> {
        match self.raw {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    pub(super) fn is_null(self) -> bool {
        self.raw == "null"
    }

    /// The digits of a number, or whatever else it is made of.
    pub(super) fn number(self) -> Option<&'t str> {
        self.raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then_some(self.raw)
    }

    /// What this is, for a message.
    pub(super) fn kind(self) -> &'static str {
        match self.raw.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') if self.text().is_none() => "a string with a broken escape",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    fn member(self, key: &'t RawValue, value: &'t RawValue) -> Member<'t> {
        let key = self.child(key);
        // A key with broken escapes is no known key: it may stand in a message as it is.
        let name = key.text().unwrap_or(Cow::Borrowed(key.raw));
        Member { key: name, at: key.at, value: self.child(value) }
    }

    fn child(self, raw: &'t RawValue) -> Self {
        let raw = raw.get();
        let within = raw.as_ptr().addr().saturating_sub(self.raw.as_ptr().addr());
        Self { raw, at: self.at.saturating_add(within) }
    }
}

/// The members of an object as they stand in the text: duplicates are kept, and so are the places.
struct Members<'t>(Vec<(&'t RawValue, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// `serde_json` counts columns in bytes, and puts " at line 1 column 2" behind its message.
fn syntax_error(text: &str, error: &serde_json::Error) -> SyntaxError {
    let mut message = error.to_string();
    if let Some(place) = message.rfind(" at line ") {
        message.truncate(place);
    }
    let line_start = match error.line().checked_sub(2) {
        Some(newline) => text.match_indices('\n').nth(newline).map_or(0, |(at, _)| at.saturating_add(1)),
        None => 0,
    };
    let at = line_start.saturating_add(error.column().saturating_sub(1)).min(text.len());
    SyntaxError { at, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_value_knows_where_it_begins() {
        let text = " {\"é\" : [1, {\"b\":\"c\"}],\n\"é\":null}";
        let root = Node::document(text).unwrap();
        assert_eq!(root.at, 1);
        let members = root.members().unwrap();
        let [first, second] = members.as_slice() else { panic!("duplicates are kept") };
        assert_eq!((first.key.as_ref(), second.key.as_ref()), ("é", "é"));
        assert_eq!(second.at, text.rfind("\"é\"").unwrap());
        assert!(second.value.is_null());
        let elements = first.value.elements().unwrap();
        assert_eq!(elements[0].number(), Some("1"));
        assert_eq!(elements[0].at, text.find('1').unwrap());
        let inner = elements[1].members().unwrap();
        assert_eq!(inner[0].value.text().as_deref(), Some("c"));
        assert_eq!(inner[0].value.at, text.find("\"c\"").unwrap());
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_noticed() {
        let root = Node::document(r#"["a\"\u00e9", "\ud800", "", true]"#).unwrap();
        let elements = root.elements().unwrap();
        assert_eq!(elements[0].text().as_deref(), Some("a\"é"));
        assert_eq!(elements[1].text(), None);
        assert_eq!(elements[1].kind(), "a string with a broken escape");
        assert_eq!(elements[2].text().as_deref(), Some(""));
        assert_eq!(elements[3].boolean(), Some(true));
        let root = Node::document(r#"{"\ud800":1,"a\n":2}"#).unwrap();
        let members = root.members().unwrap();
        assert_eq!(members[0].key, r#""\ud800""#);
        assert_eq!(members[1].key, "a\n");
    }

    #[test]
    fn syntax_errors_have_a_byte_offset_and_no_place_in_the_words() {
        for (text, at) in [("", 0), ("{\"a\" 1}", 5), ("{\n\"é\" 1}", 7), ("[1,\n2,\n\n x]", 9), ("[1] x", 4)]
        {
            let Err(error) = Node::document(text) else { panic!("{text}") };
            assert_eq!(error.at, at, "{text:?}: {}", error.message);
            assert!(!error.message.contains("line"), "{}", error.message);
        }
    }
}
