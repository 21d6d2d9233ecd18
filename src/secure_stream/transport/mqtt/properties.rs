//! Metadata and the properties of MQTT 5 messages: `content-type`, `response-topic` and `correlation-data` are those that
//! the standard has; whatever else the policy maps metadata to is the name of a user property. With `direct_proto_str`, so is
//! a name that ends in `:`, declared or not.

use crate::cause::Cause;
use crate::policy::StreamType;
use crate::secure_stream::metadata::{DEFAULT_VALUE_LIMIT, Key, MAX_DIRECT_NAME, Metadata};
use ::mqtt::{Properties, Property};

/// Properties of one message that goes out.
const MOST: usize = 32;

/// What metadata that is mapped to these names says is no property.
const NO_PROPERTIES: [&str; 2] = ["topic", "retained"];

/// What a message says beside its payload; on the stack, for there is one for each message.
pub(super) struct Said<'a> {
    properties: [Property<'a>; MOST],
    len: usize,
}

impl<'a> Said<'a> {
    /// What the application has set.
    pub(super) fn collect(stream_type: &'a StreamType, metadata: &'a Metadata) -> Result<Self, Cause> {
        let mut said = Self { properties: [Property::PayloadIsUtf8(false); MOST], len: 0 };
        for (index, def) in stream_type.metadata.iter().enumerate() {
            let Some(name) = def.header.as_deref().filter(|name| !NO_PROPERTIES.contains(name)) else {
                continue;
            };
            // Empty is what takes it back for a message that has none.
            if let Some(value) = metadata.own(Key::Declared(index)).filter(|value| !value.is_empty()) {
                said.add(name, value)?;
            }
        }
        if stream_type.direct_proto_str {
            for (name, value) in metadata.direct() {
                said.add(name.trim_end_matches(':'), value)?;
            }
        }
        Ok(said)
    }

    fn add(&mut self, name: &'a str, value: &'a [u8]) -> Result<(), Cause> {
        let text = || {
            std::str::from_utf8(value)
                .map_err(|_| Cause::policy(&format!("metadata for the property {name} is no valid text")))
        };
        let property = match name {
            "content-type" => Property::ContentType(text()?),
            "response-topic" => Property::ResponseTopic(text()?),
            "correlation-data" => Property::CorrelationData(value),
            _ => Property::User(name, text()?),
        };
        let Some(place) = self.properties.get_mut(self.len) else {
            return Err(Cause::policy("more metadata than a message has properties"));
        };
        *place = property;
        self.len += 1;
        Ok(())
    }

    pub(super) fn as_slice(&self) -> &[Property<'a>] {
        self.properties.get(..self.len).unwrap_or_default()
    }
}

/// Sets what the peer's message says beside its payload. What is too long to keep is as if it had not been said; of what
/// is said twice, the last counts.
pub(super) fn take(properties: &Properties<'_>, stream_type: &StreamType, metadata: &mut Metadata) {
    for property in properties.clone() {
        let (name, value) = match property {
            Property::ContentType(text) => ("content-type", text.as_bytes()),
            Property::ResponseTopic(text) => ("response-topic", text.as_bytes()),
            Property::CorrelationData(bytes) => ("correlation-data", bytes),
            Property::User(name, value) => (name, value.as_bytes()),
            _ => continue,
        };
        // Nobody says these but the message itself.
        if NO_PROPERTIES.contains(&name) {
            continue;
        }
        for (index, def) in stream_type.metadata.iter().enumerate() {
            if def.header.as_deref() == Some(name) {
                let _ = metadata.set_from_peer(Key::Declared(index), value, DEFAULT_VALUE_LIMIT);
            }
        }
        if stream_type.direct_proto_str && name.len() < MAX_DIRECT_NAME {
            let _ = metadata.set_from_peer(Key::Direct(&format!("{name}:")), value, DEFAULT_VALUE_LIMIT);
        }
    }
}
