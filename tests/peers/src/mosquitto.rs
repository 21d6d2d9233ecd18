//! mosquitto as a broker and as clients, in a directory of its own.

use crate::certificates::Certificates;
use base64::Engine;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// A broker that runs as long as this lives. One port is plain; the other is TLS, and asks for a certificate.
pub struct Mosquitto {
    broker: Child,
    directory: PathBuf,
    pub port: u16,
    pub tls_port: u16,
    pub certificates: Certificates,
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    command
}

impl Mosquitto {
    /// None, and a word about it, where mosquitto is not installed.
    pub fn start(name: &str) -> Option<Self> {
        let directory = std::env::temp_dir().join(format!("millstream-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let certificates = Certificates::default();
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        write("ca.pem", &pem("CERTIFICATE", &certificates.authority));
        write("cert.pem", &pem("CERTIFICATE", &certificates.server));
        write("key.pem", &pem("PRIVATE KEY", &certificates.key));
        let (port, tls_port) = (free_port(), free_port());
        let at = directory.display();
        write(
            "conf",
            &format!(
                "user root\nper_listener_settings false\nallow_anonymous true\nlistener {port} 127.0.0.1\n\
                 listener {tls_port} 127.0.0.1\ncafile {at}/ca.pem\ncertfile {at}/cert.pem\nkeyfile {at}/key.pem\n\
                 require_certificate true\n"
            ),
        );
        let broker = command("mosquitto")
            .arg("-c")
            .arg(directory.join("conf"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.join("log")).unwrap())
            .spawn();
        let Ok(broker) = broker else {
            println!("skipped: mosquitto is not installed");
            return None;
        };
        let mut this = Self { broker, directory, port, tls_port, certificates };
        for port in [port, tls_port] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                let log = std::fs::read_to_string(this.directory.join("log")).unwrap_or_default();
                assert!(this.broker.try_wait().unwrap().is_none(), "mosquitto ended: {log}");
                std::thread::yield_now();
            }
        }
        Some(this)
    }

    /// `mosquitto_pub` or `mosquitto_sub` at the plain port.
    pub fn client(&self, program: &str, args: &[&str]) -> Child {
        let port = self.port.to_string();
        let mut command = command(program);
        command.args(["-h", "127.0.0.1", "-p", &port]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Publishes one message, and has its acknowledgement.
    pub fn publish(&self, topic: &str, qos: u8, payload: &str, more: &[&str]) {
        let qos = qos.to_string();
        let args = [&["-t", topic, "-q", &qos, "-m", payload], more].concat();
        let output = self.client("mosquitto_pub", &args).wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// What a client has printed, line by line.
pub fn lines(output: Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
