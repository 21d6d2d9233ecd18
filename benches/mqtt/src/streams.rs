//! This library's streams as a MQTT client. See `measure.rs`.

mod measure;

use measure::{Begin, PAYLOAD, TOPIC, Task, WINDOW};
use millstream::{Context, Cx, Error, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};

struct Client {
    task: Task,
    begin: Option<Begin>,
    sent: u32,
    done: u32,
}

impl Client {
    fn done(&mut self, cx: &mut Cx<'_>) {
        self.done += 1;
        if self.done == self.task.count {
            self.begin.take().expect("a beginning").report(self.task.count);
            cx.stop();
        }
    }
}

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, _: StreamId, _: &[u8], flags: RxFlags) -> Flow {
        if flags.is_som() && self.begin.is_none() {
            self.begin = Some(Begin::now());
        }
        if flags.is_eom() {
            self.done(cx);
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(&PAYLOAD);
        self.sent += 1;
        if self.sent < self.task.count {
            let _ = cx.request_tx(me);
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::Connected if self.task.is_publisher => {
                self.begin = Some(Begin::now());
                let _ = cx.request_tx(me);
            }
            StreamState::Connected => println!("ready"),
            StreamState::QosAckRemote => self.done(cx),
            StreamState::Disconnected | StreamState::QosNackRemote if self.done < self.task.count => {
                panic!("{state} after {} messages", self.done)
            }
            _ => {}
        }
        Flow::Ok
    }
}

fn main() -> Result<(), Error> {
    let task = Task::from_args();
    assert_eq!(WINDOW, 256, "what streams have");
    let key = if task.is_publisher { "mqtt_topic" } else { "mqtt_subscribe" };
    let policy = format!(
        r#"{{"s": [{{"it": {{"endpoint": "127.0.0.1", "port": {}, "protocol": "mqtt", "nailed_up": true,
            "mqtt_qos": {}, "mqtt_clean_start": true, "mqtt_keep_alive": 60, "{key}": "{TOPIC}"}}}}]}}"#,
        task.port, task.qos
    );
    let mut context = Context::builder().policy(&policy)?.build()?;
    context.with(|cx| cx.create("it", Client { task, begin: None, sent: 0, done: 0 }))?;
    context.run()
}
