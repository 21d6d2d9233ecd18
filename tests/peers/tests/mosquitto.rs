//! MQTT streams against mosquitto, with mosquitto's own clients on the other side.

use millstream::{Blob, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use millstream_peers::WATCHDOG;
use millstream_peers::mosquitto::{Mosquitto, lines};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::rc::Rc;
use std::time::{Duration, Instant};

#[derive(Default, Debug)]
struct Heard {
    states: Vec<StreamState>,
    messages: Vec<String>,
    topics: Vec<String>,
    retained: Vec<String>,
}

impl Heard {
    fn count(&self, state: StreamState) -> usize {
        self.states.iter().filter(|told| **told == state).count()
    }
}

struct App {
    heard: Rc<RefCell<Heard>>,
    to_send: VecDeque<String>,
    sent: usize,
}

impl StreamHandler for App {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut heard = self.heard.borrow_mut();
        if flags.is_som() {
            heard.messages.push(String::new());
            let text = |name| String::from_utf8(cx.metadata(me, name).unwrap().to_vec()).unwrap();
            heard.topics.push(text("from"));
            heard.retained.push(text("kept"));
        }
        heard.messages.last_mut().unwrap().push_str(std::str::from_utf8(payload).unwrap());
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(message) = self.to_send.front() else { return TxFlow::DontSend };
        self.sent += tx.write(&message.as_bytes()[self.sent..]);
        if self.sent == message.len() {
            self.sent = 0;
            self.to_send.pop_front();
        }
        match self.to_send.front() {
            Some(next) if self.sent == 0 => cx.request_tx_len(me, next.len() as u64).unwrap(),
            Some(_) => cx.request_tx(me).unwrap(),
            None => {}
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.heard.borrow_mut().states.push(state);
        if state == StreamState::Connected
            && let Some(next) = self.to_send.front()
        {
            cx.request_tx_len(me, next.len() as u64).unwrap();
        }
        Flow::Ok
    }
}

/// A context with streams of one policy.
struct Side {
    context: Context,
}

impl Side {
    fn new(broker: &Mosquitto, is_tls: bool, keys: &str) -> Self {
        let (port, tls) = if is_tls {
            (broker.tls_port, r#""tls": true, "tls_trust_store": "ours", "client_cert": 0,"#)
        } else {
            (broker.port, "")
        };
        let policy = format!(
            r#"{{{}, "retry": [{{"soon": {{"backoff": [20], "conceal": 65535, "jitterpc": 0}}}}], "s": [{{"it": {{
                "endpoint": "localhost", "port": {port}, "protocol": "mqtt", "nailed_up": true, "retry": "soon", {tls}
                "metadata": [{{"from": "topic"}}, {{"kept": "retained"}}], {keys} }}}}]}}"#,
            broker.certificates.policy()
        );
        let mut context = Context::builder().policy(&policy).unwrap().build().unwrap();
        context.with(|cx| {
            cx.set_blob(Blob::MqttClientId, "peer");
            cx.set_blob(Blob::ClientCert(0), broker.certificates.client.clone());
            cx.set_blob(Blob::ClientKey(0), broker.certificates.client_key.clone());
        });
        Self { context }
    }

    fn stream(&mut self, messages: &[&str]) -> Rc<RefCell<Heard>> {
        let heard = Rc::default();
        let to_send = messages.iter().map(|message| (*message).to_owned()).collect();
        let app = App { heard: Rc::clone(&heard), to_send, sent: 0 };
        self.context.with(|cx| cx.create("it", app)).unwrap();
        heard
    }

    #[allow(clippy::disallowed_methods, reason = "a watchdog needs real time")]
    fn until(&mut self, heard: &RefCell<Heard>, is_there: impl Fn(&Heard) -> bool) {
        let begin = Instant::now();
        while !is_there(&heard.borrow()) {
            self.context.service(Some(Duration::from_secs(1))).unwrap();
            assert!(begin.elapsed() < WATCHDOG, "stuck after {:?}", heard.borrow());
        }
    }

    fn connected(&mut self, heard: &RefCell<Heard>) {
        self.until(heard, |heard| heard.count(StreamState::Connected) > 0);
    }
}

#[test]
fn messages_of_every_qos_go_both_ways_plain_and_with_client_certificates() {
    let Some(broker) = Mosquitto::start("both-ways") else { return };
    let long = "x".repeat(1_000_000);
    for is_tls in [false, true] {
        for qos in 0..3u8 {
            let keys = format!(
                r#""mqtt_qos": {qos}, "mqtt_topic": "up", "mqtt_subscribe": "down/#", "mqtt_clean_start": true"#
            );
            let mut side = Side::new(&broker, is_tls, &keys);
            let subscriber = side.stream(&[]);
            side.connected(&subscriber);
            broker.publish("down/a", qos, "one", &[]);
            broker.publish("down/b", qos, &long[..100_000], &[]);
            side.until(&subscriber, |heard| heard.messages.len() == 2 && heard.messages[1].len() == 100_000);
            assert_eq!(subscriber.borrow().topics, ["down/a", "down/b"]);

            let qos = qos.to_string();
            broker.publish("ready", 1, "go", &["-r"]);
            let mut listener =
                broker.client("mosquitto_sub", &["-t", "up", "-t", "ready", "-q", &qos, "-C", "4", "-v"]);
            let mut printed = BufReader::new(listener.stdout.take().unwrap()).lines().map(Result::unwrap);
            // What was retained comes first: now it is there.
            assert_eq!(printed.next().as_deref(), Some("ready go"));
            let publisher = side.stream(&["19", &long, "20"]);
            side.until(&publisher, |heard| heard.count(StreamState::QosAckRemote) == 3);
            assert_eq!(printed.next().as_deref(), Some("up 19"));
            assert_eq!(printed.next().map(|line| line.len()), Some(1_000_003));
            assert_eq!(printed.next().as_deref(), Some("up 20"));
            assert!(listener.wait().unwrap().success());
            assert_eq!(publisher.borrow().count(StreamState::QosNackRemote), 0);
        }
    }
}

#[test]
fn retained_messages_are_reported_and_left_behind() {
    let Some(broker) = Mosquitto::start("retained") else { return };
    broker.publish("state", 1, "on", &["-r"]);
    let keys = r#""mqtt_qos": 1, "mqtt_retain": true, "mqtt_topic": "left", "mqtt_subscribe": "state", "mqtt_clean_start": true"#;
    let mut side = Side::new(&broker, false, keys);
    let heard = side.stream(&["behind"]);
    side.until(&heard, |heard| heard.messages.len() == 1);
    broker.publish("state", 1, "off", &[]);
    side.until(&heard, |heard| heard.messages.len() == 2 && heard.count(StreamState::QosAckRemote) == 1);
    assert_eq!(heard.borrow().retained, ["1", "0"]);
    drop(side);
    let got = broker.client("mosquitto_sub", &["-t", "left", "-C", "1", "-v"]).wait_with_output().unwrap();
    assert_eq!(lines(got), ["left behind"]);
}

#[test]
fn a_will_is_published_when_the_client_is_lost_and_not_when_it_says_goodbye() {
    let Some(broker) = Mosquitto::start("will") else { return };
    let keys = r#""mqtt_topic": "t", "mqtt_clean_start": true, "mqtt_will_topic": "will", "mqtt_will_message": "lost",
        "mqtt_will_qos": 1, "mqtt_will_retain": true, "mqtt_birth_topic": "birth", "mqtt_birth_message": "here",
        "mqtt_birth_qos": 1, "mqtt_birth_retain": true"#;
    let retained = |topic: &str| {
        let got =
            broker.client("mosquitto_sub", &["-t", topic, "-C", "1", "-W", "1"]).wait_with_output().unwrap();
        String::from_utf8(got.stdout).unwrap().trim().to_owned()
    };
    let mut side = Side::new(&broker, false, keys);
    let heard = side.stream(&[]);
    side.connected(&heard);
    drop(side);
    assert_eq!((retained("birth").as_str(), retained("will").as_str()), ("here", ""));

    // Who takes over the client id has the broker drop the other.
    let mut side = Side::new(&broker, false, keys);
    let heard = side.stream(&[]);
    side.connected(&heard);
    broker.publish("anything", 0, "x", &["-i", "peer"]);
    side.until(&heard, |heard| heard.count(StreamState::Connected) == 2);
    assert_eq!(retained("will"), "lost");
}

#[test]
fn a_session_keeps_messages_for_a_client_that_is_away() {
    let Some(broker) = Mosquitto::start("session") else { return };
    for qos in 1..3 {
        let keys = format!(r#""mqtt_qos": {qos}, "mqtt_subscribe": "news/{qos}""#);
        let mut side = Side::new(&broker, false, &keys);
        let heard = side.stream(&[]);
        side.connected(&heard);
        // The broker breaks the connection; the stream comes back to the same session.
        broker.publish(&format!("news/{qos}"), 1, "before", &[]);
        side.until(&heard, |heard| heard.messages.len() == 1);
        drop(side);
        for nth in 0..10 {
            broker.publish(&format!("news/{qos}"), qos, &nth.to_string(), &[]);
        }
        let mut side = Side::new(&broker, false, &keys);
        let heard = side.stream(&[]);
        side.until(&heard, |heard| heard.messages.len() == 10);
        assert_eq!(heard.borrow().messages, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the broker's clock is real")]
fn a_silent_stream_outlives_its_keep_alive() {
    let Some(broker) = Mosquitto::start("keep-alive") else { return };
    let mut side = Side::new(&broker, false, r#""mqtt_topic": "t", "mqtt_keep_alive": 1"#);
    let heard = side.stream(&[]);
    side.connected(&heard);
    // mosquitto drops a client after one and a half times its keep alive, and looks every few seconds.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(8) {
        side.context.service(Some(Duration::from_millis(500))).unwrap();
    }
    assert_eq!(heard.borrow().count(StreamState::Disconnected), 0);
}
