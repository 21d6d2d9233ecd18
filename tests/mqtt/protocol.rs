//! MQTT for user code straight on connections, without secure streams.

use super::broker::{
    Break, CONNECT, DISCONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, publish, publish5, written,
};
use super::world::{World, stream_type};
use millstream::mqtt::{EncodeError, Property, Publish, QoS, Version};
use millstream::{
    Cause, ClientInfo, ClientRole, Cx, Error, Flow, MqttEvent, MqttInfo, Protocol, RxFlags, Target, Tx,
    TxFlow, WsiId,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// What user code was told, and what it is to do.
#[derive(Default)]
struct Stage {
    filters: Vec<&'static str>,
    to_send: VecDeque<(QoS, Vec<u8>)>,
    told: Vec<String>,
    messages: Vec<Vec<u8>>,
    /// In place of what a message is announced with, and of what `writeable` answers.
    announced: Option<u32>,
    answer: Option<TxFlow>,
}

type Shared = Rc<RefCell<Stage>>;

struct Code {
    stage: Shared,
    /// The message that goes out.
    left: VecDeque<u8>,
}

impl Protocol for Code {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        self.stage.borrow_mut().told.push("established".to_owned());
        let filters = self.stage.borrow().filters.clone();
        for filter in filters {
            let is_there = cx.mqtt_subscribe(me, filter, QoS::AtLeastOnce).unwrap();
            if is_there {
                self.stage.borrow_mut().told.push("shared".to_owned());
            }
        }
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn mqtt(&mut self, cx: &mut Cx<'_>, me: WsiId, event: &MqttEvent<'_>) -> Flow {
        let told = match event {
            MqttEvent::Message { topic, is_retained, properties } => {
                self.stage.borrow_mut().messages.push(Vec::new());
                let said: Vec<_> = (*properties).clone().collect();
                format!("{topic} {is_retained} {said:?}")
            }
            MqttEvent::Acknowledged { ordinal, result: Ok(()) } => format!("ack {ordinal}"),
            MqttEvent::Acknowledged { ordinal, result: Err(cause) } => format!("nack {ordinal} {cause}"),
            MqttEvent::Subscribed(Ok(())) => "subscribed".to_owned(),
            MqttEvent::Subscribed(Err(cause)) | MqttEvent::Refused(_, cause) => cause.to_string(),
            _ => String::new(),
        };
        self.stage.borrow_mut().told.push(told);
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        unreachable!("MQTT has messages")
    }

    fn message(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut stage = self.stage.borrow_mut();
        let message = stage.messages.last_mut().unwrap();
        assert_eq!(message.is_empty(), flags.is_som());
        message.extend_from_slice(payload);
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        if self.left.is_empty() {
            let Some((qos, payload)) = self.stage.borrow_mut().to_send.pop_front() else {
                return TxFlow::DontSend;
            };
            let len = self.stage.borrow().announced.unwrap_or(payload.len() as u32);
            match cx.mqtt_publish(me, &Publish { topic: "up", qos, ..Publish::default() }, len) {
                Ok(ordinal) => self.stage.borrow_mut().told.push(format!("sends {ordinal}")),
                Err(Error::Mqtt(EncodeError::Window)) => {
                    self.stage.borrow_mut().to_send.push_front((qos, payload));
                    return TxFlow::DontSend;
                }
                Err(error) => {
                    self.stage.borrow_mut().told.push(error.to_string());
                    return TxFlow::DontSend;
                }
            }
            self.left = payload.into();
        }
        if let Some(answer) = self.stage.borrow_mut().answer.take() {
            cx.wsi_request_tx(me).unwrap();
            return answer;
        }
        let piece = self.left.make_contiguous();
        let written = tx.write(piece);
        self.left.drain(..written);
        cx.wsi_request_tx(me).unwrap();
        TxFlow::Send
    }

    fn closed(&mut self, _: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        let cause = cause.map_or(String::new(), ToString::to_string);
        self.stage.borrow_mut().told.push(format!("closed {cause}"));
    }
}

fn info(mqtt: MqttInfo) -> ClientInfo {
    let mut info = ClientInfo::new(Target::Host("10.0.0.1".to_owned(), 1883), ClientRole::Mqtt);
    info.mqtt = Some(Box::new(mqtt));
    info
}

fn connect(world: &mut World, info: &ClientInfo, stage: Stage) -> (WsiId, Shared) {
    let stage = Rc::new(RefCell::new(stage));
    let code = Code { stage: Rc::clone(&stage), left: VecDeque::new() };
    (world.context.with(|cx| cx.connect(info, code)), stage)
}

fn sending(messages: &[(QoS, &[u8])]) -> Stage {
    let to_send = messages.iter().map(|(qos, message)| (*qos, message.to_vec())).collect();
    Stage { to_send, ..Stage::default() }
}

#[test]
fn user_code_connects_subscribes_publishes_and_hears() {
    for version in [Version::V4, Version::V5] {
        let mut world = World::new("");
        let long = vec![b'x'; 100_000];
        let messages = [(QoS::AtMostOnce, &b"0"[..]), (QoS::AtLeastOnce, b""), (QoS::ExactlyOnce, &long)];
        let stage = Stage { filters: vec!["a/+", "a/b"], ..sending(&messages) };
        let client = MqttInfo { version, client_id: "me".to_owned(), ..MqttInfo::default() };
        let (wsi, stage) = connect(&mut world, &info(client), stage);
        world.run(30);
        let taken: Vec<_> = world.broker.taken.iter().map(|(_, it)| it.as_slice()).collect();
        assert_eq!(taken, [&b"0"[..], b"", &long]);
        let mut told = std::mem::take(&mut stage.borrow_mut().told);
        told.sort();
        let all = [
            "ack 0",
            "ack 1",
            "ack 2",
            "established",
            "sends 0",
            "sends 1",
            "sends 2",
            "subscribed",
            "subscribed",
        ];
        assert_eq!(told, all);
        assert_eq!(world.context.with(|cx| cx.mqtt_client_id(wsi).map(str::to_owned)).as_deref(), Some("me"));

        // Both filters match: it is one message.
        world.broker.send(&match version {
            Version::V4 => publish(1, "a/b", None, &long),
            Version::V5 => publish5(1, "a/b", None, &[&[3][..], &written("text")].concat(), &long),
        });
        world.run(10);
        assert_eq!(stage.borrow().messages, [long]);
        let said = if version == Version::V4 { "" } else { "ContentType(\"text\")" };
        assert_eq!(stage.borrow().told, [format!("a/b true [{said}]")]);

        world.context.with(|cx| cx.mqtt_unsubscribe(wsi, "a/+")).unwrap();
        world.run(5);
        assert_eq!(world.broker.of_kind(UNSUBSCRIBE)[0].filters(), ["a/+"]);
        world.context.with(|cx| cx.wsi_close(wsi)).unwrap();
        world.run_secs(10);
        assert_eq!((world.broker.count(DISCONNECT), world.context.census().wsis), (1, 0));
    }
}

#[test]
fn user_code_and_streams_share_a_connection_and_each_hears_its_own() {
    let mut world = World::new(&stream_type("in", r#", "mqtt_subscribe": "x", "mqtt_clean_start": true"#));
    world.context.with(|cx| cx.set_blob(millstream::Blob::MqttClientId, "me"));
    let client = MqttInfo { client_id: "me".to_owned(), ..MqttInfo::default() };
    let one = connect(&mut world, &info(client.clone()), Stage { filters: vec!["x"], ..Stage::default() });
    world.run(10);
    let two =
        connect(&mut world, &info(client.clone()), Stage { filters: vec!["x", "y"], ..Stage::default() });
    world.run(10);
    assert_eq!(two.1.borrow().told, ["established", "shared", "subscribed"]);
    let (_, told) = world.stream("in");
    world.run(10);
    assert_eq!(told.borrow().count(millstream::StreamState::Connected), 1);
    world.broker.send(&publish(0, "x", None, b"1"));
    world.broker.send(&publish(0, "y", None, b"2"));
    world.run(10);
    assert_eq!(one.1.borrow().messages, [b"1"]);
    assert_eq!(two.1.borrow().messages, [b"1", b"2"]);
    world.context.with(|cx| cx.wsi_close(two.0)).unwrap();
    world.run(5);
    assert_eq!(world.broker.of_kind(UNSUBSCRIBE)[0].filters(), ["y"]);
    assert_eq!(world.broker.connections, 1);
    world.legal();
}

#[test]
fn what_user_code_may_not_say_is_an_error_and_costs_nothing() {
    let mut world = World::new("");
    let (wsi, stage) = connect(&mut world, &info(MqttInfo::default()), Stage::default());
    let early = world.context.with(|cx| cx.mqtt_subscribe(wsi, "x", QoS::AtMostOnce)).unwrap_err();
    assert!(matches!(early, Error::NotConnected));
    world.run(10);
    world.context.with(|cx| {
        let wrong = cx.mqtt_subscribe(wsi, "a#", QoS::AtMostOnce).unwrap_err();
        assert!(matches!(wrong, Error::Mqtt(EncodeError::Filter)), "{wrong}");
        let publish = Publish { topic: "t", ..Publish::default() };
        assert!(matches!(cx.mqtt_publish(wsi, &publish, 1), Err(Error::Mqtt(EncodeError::Turn))));
        cx.mqtt_unsubscribe(wsi, "never").unwrap();
    });
    // Properties are MQTT 5's.
    world.context.with(|cx| {
        struct Wrong;
        impl Protocol for Wrong {
            fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
                cx.wsi_request_tx(me).unwrap();
                Flow::Ok
            }
            fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
                Flow::Ok
            }
            fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
                let properties = &[Property::ContentType("x")];
                let publish = Publish { topic: "t", properties, ..Publish::default() };
                let error = cx.mqtt_publish(me, &publish, 1).unwrap_err();
                assert!(matches!(error, Error::Mqtt(EncodeError::Property)), "{error}");
                tx.write(b"");
                TxFlow::Send
            }
        }
        cx.connect(&info(MqttInfo::default()), Wrong);
    });
    world.run(10);
    assert_eq!(stage.borrow().told, ["established"]);
    assert_eq!((world.broker.connections, world.broker.links(), world.broker.count(PUBLISH)), (1, 1, 0));
}

#[test]
fn a_message_goes_on_whatever_its_first_call_answers_and_never_beyond_its_length() {
    for (announced, payload, is_closed) in
        [(None, &b"12345"[..], false), (None, b"", false), (Some(3), b"12345", true)]
    {
        let mut world = World::new("");
        let answer = (announced.is_none()).then_some(TxFlow::DontSend);
        let stage = Stage { announced, answer, ..sending(&[(QoS::AtLeastOnce, payload)]) };
        let (_, stage) = connect(&mut world, &info(MqttInfo::default()), stage);
        world.run(20);
        let told = stage.borrow().told.clone();
        if is_closed {
            assert!(told.last().unwrap().contains("more payload than was announced"), "{told:?}");
            assert!(world.broker.taken.is_empty());
        } else {
            assert_eq!(told, ["established", "sends 0", "ack 0"]);
            assert_eq!(world.broker.taken, [("up".to_owned(), payload.to_vec())]);
        }
    }
}

#[test]
fn a_full_window_and_a_refused_message_are_told() {
    let mut world = World::new("");
    world.broker.connack_properties = vec![0x21, 0, 1];
    world.broker.puback = Some((0x97, Vec::new()));
    let client = MqttInfo { version: Version::V5, ..MqttInfo::default() };
    let messages = [(QoS::AtLeastOnce, &b"1"[..]), (QoS::AtLeastOnce, b"2"), (QoS::AtLeastOnce, b"3")];
    let (_, stage) = connect(&mut world, &info(client), sending(&messages));
    world.run(30);
    let told = stage.borrow().told.clone();
    let expected = [
        "established",
        "sends 0",
        "nack 0 PUBLISH: quota exceeded (0x97)",
        "sends 1",
        "ack 1",
        "sends 2",
        "ack 2",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_connection_that_is_refused_or_lost_ends_its_users_and_their_messages() {
    let mut world = World::new("");
    world.broker.connack = 5;
    let (_, stage) = connect(&mut world, &info(MqttInfo::default()), Stage::default());
    world.run(10);
    let why = "CONNACK: not authorized (0x87)";
    assert_eq!(stage.borrow().told, [why.to_owned(), format!("closed {why}")]);
    world.broker.connack = 0;

    let client = MqttInfo { client_id: "me".to_owned(), clean_start: false, ..MqttInfo::default() };
    for (kind, how) in [
        (CONNECT, Break::Before),
        (SUBSCRIBE, Break::Before),
        (PUBLISH, Break::Before),
        (PUBLISH, Break::Taken),
    ] {
        world.broker.break_at = Some((kind, how));
        let begin = Stage { filters: vec!["x"], ..sending(&[(QoS::ExactlyOnce, b"1")]) };
        let (_, stage) = connect(&mut world, &info(client.clone()), begin);
        world.run(20);
        assert!(stage.borrow().told.last().unwrap().starts_with("closed "), "{kind} {how:?}");
        // The next one has a connection of its own to the same session.
        let (wsi, stage) = connect(&mut world, &info(client.clone()), sending(&[(QoS::ExactlyOnce, b"2")]));
        world.run(20);
        assert_eq!(stage.borrow().told, ["established", "sends 0", "ack 0"], "{kind} {how:?}");
        world.context.with(|cx| cx.wsi_close(wsi)).unwrap();
        world.run_secs(10);
        assert_eq!(world.context.census(), millstream::Census::default(), "{kind} {how:?}");
    }
}
