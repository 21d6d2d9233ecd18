//! A thermometer and a display on one MQTT connection, by one policy, through a small broker of this program's own.
//! Prints each state and payload.
//!
//! `cargo run --example mqtt`, or `cargo run --example mqtt -- HOST:PORT` with a broker that is there already.

use millstream::{
    Address, Context, Cx, Flow, ListenInfo, Protocol, RxFlags, ServerRole, StreamHandler, StreamId,
    StreamState, Tx, TxFlow, WsiId,
};
use std::net::SocketAddr;

/// Publishes three readings; each goes out when the one before it is acknowledged.
struct Thermometer {
    readings: Vec<&'static str>,
}

impl StreamHandler for Thermometer {
    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(reading) = self.readings.first() else { return TxFlow::DontSend };
        println!("thermometer: sends {reading}, transaction {}", tx.ordinal());
        tx.write(reading.as_bytes());
        TxFlow::Send
    }

    /// The connection was lost before the broker had said that it has the reading.
    fn resend(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.tx(cx, me, tx)
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, ack: u32) -> Flow {
        println!("thermometer: {state} {ack}");
        match state {
            StreamState::QosAckRemote => drop(self.readings.remove(0)),
            StreamState::Connected => {}
            _ => return Flow::Ok,
        }
        if !self.readings.is_empty() {
            cx.request_tx(me).ok();
        }
        Flow::Ok
    }
}

/// Shows what is published.
struct Display {
    expected: usize,
    is_on: bool,
}

impl StreamHandler for Display {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let topic = text(cx.metadata(me, "from").unwrap_or_default());
        println!("    display: {topic}: {} {flags:?}", text(payload));
        if flags.is_eom() {
            self.expected = self.expected.saturating_sub(1);
        }
        if self.expected == 0 {
            cx.stop();
        }
        Flow::Ok
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match cx.cause(me) {
            Some(cause) => println!("    display: {state}: {cause}"),
            None => println!("    display: {state}"),
        }
        // Somebody listens: the readings may come.
        if state == StreamState::Connected && !std::mem::replace(&mut self.is_on, true) {
            cx.create("thermometer", Thermometer { readings: vec!["19.5", "19.6", "19.4"] }).ok();
        }
        Flow::Ok
    }
}

fn policy(host: &str, port: u16) -> String {
    let connection = format!(
        r#""endpoint": "{host}", "port": {port}, "protocol": "mqtt", "nailed_up": true, "retry": "default",
        "mqtt_qos": 1, "mqtt_keep_alive": 60, "mqtt_clean_start": true,
        "mqtt_will_topic": "attic/state", "mqtt_will_message": "lost""#
    );
    format!(
        r#"{{
        "retry": [ {{ "default": {{ "backoff": [1000, 2000, 5000], "conceal": 65535, "jitterpc": 20 }} }} ],
        "s": [
            {{ "thermometer": {{ {connection}, "mqtt_topic": "attic/temperature" }} }},
            {{ "display": {{ {connection}, "mqtt_subscribe": "+/temperature", "metadata": [ {{ "from": "topic" }} ] }} }}
        ] }}"#
    )
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut context = Context::builder().build()?;
    let (host, port) = match std::env::args().nth(1) {
        Some(broker) => {
            let (host, port) = broker.rsplit_once(':').ok_or("a broker is HOST:PORT")?;
            (host.to_owned(), port.parse()?)
        }
        None => ("127.0.0.1".to_owned(), start_broker(&mut context)?),
    };
    context.set_policy(&policy(&host, port))?;
    context.with(|cx| cx.create("display", Display { expected: 3, is_on: false }))?;
    context.run()?;
    Ok(())
}

/// As much of a broker as one client needs that talks to itself: it takes every filter for one that matches.
#[derive(Default)]
struct Broker {
    unread: Vec<u8>,
    answers: Vec<u8>,
    is_subscribed: bool,
}

fn start_broker(context: &mut Context) -> Result<u16, Box<dyn std::error::Error>> {
    let address = Address::Ip(SocketAddr::from(([127, 0, 0, 1], 0)));
    let info = ListenInfo::new(address, ServerRole::Raw);
    let accept =
        |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| Some(Box::<Broker>::default() as Box<dyn Protocol>);
    context.with(|cx| {
        let vhost = cx.listen(info, accept)?;
        let port = cx.vhost_address(vhost).and_then(Address::port);
        Ok(port.ok_or("the broker has no port")?)
    })
}

impl Broker {
    /// One packet, if it is there as a whole. Its length is 7 bits a byte, lowest first (MQTT 3.1.1, 2.2.3).
    fn take_packet(&mut self) -> Option<Vec<u8>> {
        let (mut len, mut at) = (0usize, 1);
        loop {
            let byte = *self.unread.get(at)?;
            len |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte < 0x80 || at > 4 {
                break;
            }
        }
        (self.unread.len() >= at + len).then(|| self.unread.drain(..at + len).collect())
    }

    /// What a packet leads to.
    fn answer(&mut self, packet: &[u8]) {
        let id_at = |at: usize| packet.get(at..at + 2).unwrap_or(&[0, 1]).to_owned();
        match packet.first().map_or(0, |first| first >> 4) {
            // CONNECT, CONNACK.
            1 => self.answers.extend([0x20, 2, 0, 0]),
            // PUBLISH: all that is published here is short, and of QoS 1. PUBACK, and back it goes at QoS 0.
            3 => {
                let topic = usize::from(*packet.get(3).unwrap_or(&0));
                let id = id_at(4 + topic);
                self.answers.extend([0x40, 2]);
                self.answers.extend(&id);
                if self.is_subscribed {
                    let (head, payload) = (
                        packet.get(2..4 + topic).unwrap_or_default(),
                        packet.get(6 + topic..).unwrap_or_default(),
                    );
                    self.answers.extend([0x30, (head.len() + payload.len()) as u8]);
                    self.answers.extend(head);
                    self.answers.extend(payload);
                }
            }
            // SUBSCRIBE, SUBACK.
            8 => {
                self.is_subscribed = true;
                self.answers.extend([0x90, 3]);
                self.answers.extend(id_at(2));
                self.answers.push(1);
            }
            // PINGREQ, PINGRESP.
            12 => self.answers.extend([0xd0, 0]),
            _ => {}
        }
    }
}

impl Protocol for Broker {
    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8]) -> Flow {
        self.unread.extend_from_slice(payload);
        while let Some(packet) = self.take_packet() {
            self.answer(&packet);
        }
        cx.wsi_request_tx(me).ok();
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.answers);
        self.answers.drain(..sent);
        if !self.answers.is_empty() {
            cx.wsi_request_tx(me).ok();
        }
        TxFlow::Send
    }
}
