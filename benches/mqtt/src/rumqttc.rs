//! rumqttc as a MQTT client, on a runtime of one thread. See `measure.rs`.

mod measure;

use measure::{Begin, PAYLOAD, TOPIC, Task, WINDOW};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet, QoS};

async fn publish(client: AsyncClient, task: Task, qos: QoS) {
    for _ in 0..task.count {
        client.publish(TOPIC, qos, false, PAYLOAD).await.expect("a client");
    }
    // The event loop ends by itself.
    std::future::pending().await
}

async fn run(client: &AsyncClient, mut events: EventLoop, task: Task, qos: QoS) {
    let (mut begin, mut done) = (None, 0);
    while done < task.count {
        let event = events.poll().await.expect("a connection");
        match event {
            Event::Incoming(Packet::ConnAck(_)) if task.is_publisher => {
                begin = Some(Begin::now());
                tokio::spawn(publish(client.clone(), task, qos));
            }
            Event::Incoming(Packet::ConnAck(_)) => client.subscribe(TOPIC, qos).await.expect("a client"),
            Event::Incoming(Packet::SubAck(_)) => println!("ready"),
            Event::Incoming(Packet::Publish(_)) => {
                begin.get_or_insert_with(Begin::now);
                done += 1;
            }
            Event::Outgoing(Outgoing::Publish(_)) if qos == QoS::AtMostOnce => done += 1,
            Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) if task.is_publisher => done += 1,
            _ => {}
        }
    }
    begin.expect("a beginning").report(task.count);
}

fn main() {
    let task = Task::from_args();
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(task.qos)];
    let mut options = MqttOptions::new("rumqttc", "127.0.0.1", task.port);
    options.set_inflight(WINDOW);
    let (client, mut events) = AsyncClient::new(options, usize::from(WINDOW));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(&client, events, task, qos));
}
