//! Streams over MQTT (`"protocol": "mqtt"`) against a broker that does what the test tells it.

#![cfg(feature = "mqtt")]

mod broker;
mod outages;
mod protocol;
mod streams;
mod torture;
mod version5;
#[cfg(feature = "ws")]
mod web;
#[cfg(feature = "ws")]
mod websocket;
mod world;
