//! The engine under blocking sockets, a thread for each connection: `serve PORT BYTES` answers every request with so many
//! bytes. For clients of others: `nghttp http://127.0.0.1:PORT/`, `h2load`, `curl --http2-prior-knowledge`.

use http::{BodyLength, Head, Status};
use millstream_h2::{Engine, Event, Limits, StreamId};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

struct Connection {
    engine: Engine,
    /// Answers that are not complete, and how much of each is to come.
    unfinished: Vec<(StreamId, usize)>,
    out: Vec<u8>,
    body: usize,
}

impl Connection {
    fn told(&mut self, event: &Event) -> Result<(), Box<dyn std::error::Error>> {
        match *event {
            // Not before: some clients lose their way when the answer is complete and their request is not.
            Event::End { stream } => {
                let fields = [(&b"content-type"[..], &b"text/plain"[..])];
                let length = BodyLength::Known(self.body as u64);
                self.engine.encode_response(stream, Status::OK, fields.into_iter(), length, &mut self.out)?;
                if !self.engine.tx_done(stream) {
                    self.unfinished.push((stream, self.body));
                }
            }
            Event::Reset { stream, .. } | Event::Failed { stream, .. } => {
                self.unfinished.retain(|(other, _)| *other != stream);
            }
            _ => {}
        }
        Ok(())
    }

    /// Sends what there is room for.
    fn send(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        for (stream, left) in &mut self.unfinished {
            while *left > 0 {
                let len = self.engine.tx_room(*stream).min(*left);
                if len == 0 {
                    break;
                }
                let frame = self.engine.frame(*stream, len, false)?;
                self.out.extend_from_slice(frame.prefix());
                self.out.resize(self.out.len() + len, b'.');
                *left -= len;
            }
        }
        self.unfinished.retain(|(_, left)| *left > 0);
        Ok(())
    }
}

fn serve(mut socket: TcpStream, body: usize) -> Result<(), Box<dyn std::error::Error>> {
    #[expect(clippy::disallowed_methods, reason = "an example without the loop, whose clock this would be")]
    let began = std::time::Instant::now();
    let engine = Engine::server(Limits::default());
    let mut connection = Connection { engine, unfinished: Vec::new(), out: Vec::new(), body };
    let (mut head, mut input, mut filled) = (Head::new(), vec![0; 65_536], 0);
    loop {
        connection.engine.poll_output(&mut connection.out);
        socket.write_all(&connection.out)?;
        connection.out.clear();
        let read = socket.read(input.get_mut(filled..).unwrap_or_default())?;
        if read == 0 || connection.engine.is_drained() {
            return Ok(());
        }
        filled += read;
        let (now, mut taken) = (began.elapsed().as_micros() as u64, 0);
        loop {
            let bytes = input.get(taken..filled).unwrap_or_default();
            match connection.engine.input(now, bytes, &mut head) {
                Ok((0, None)) => break,
                Ok((used, event)) => {
                    taken += used;
                    if let Some(event) = event {
                        connection.told(&event)?;
                    }
                }
                Err(error) => {
                    connection.engine.poll_output(&mut connection.out);
                    socket.write_all(&connection.out)?;
                    return Err(error.into());
                }
            }
        }
        connection.send()?;
        input.copy_within(taken..filled, 0);
        filled -= taken;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap_or_default().parse()?;
    let body: usize = arguments.next().unwrap_or_default().parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    for socket in listener.incoming() {
        let socket = socket?;
        socket.set_nodelay(true)?;
        std::thread::spawn(move || {
            if let Err(error) = serve(socket, body) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}
