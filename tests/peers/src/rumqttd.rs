//! rumqttd as a broker, in threads of this process.

use crate::mosquitto::{command, free_port};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};

/// The port of a broker that runs as long as the process. None, and a word about it, where mosquitto's clients are not
/// installed, which are to be on its other side.
pub fn start() -> Option<u16> {
    if command("mosquitto_sub").arg("--help").output().is_err() {
        println!("skipped: mosquitto's clients are not installed");
        return None;
    }
    let port = free_port();
    let connections = ConnectionSettings {
        connection_timeout_ms: 60_000,
        max_payload_size: 4 << 20,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings {
        name: "plain".to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        tls: None,
        next_connection_delay_ms: 0,
        connections,
    };
    let router = RouterConfig {
        max_connections: 100,
        max_outgoing_packet_count: 200,
        max_segment_size: 100 << 20,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let config =
        Config { router, v4: Some(HashMap::from([("plain".to_owned(), server)])), ..Config::default() };
    std::thread::spawn(move || Broker::new(config).start().unwrap());
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    Some(port)
}
