//! `tungstenite_echo`: gives back each websocket message, by tokio-tungstenite on a runtime of one thread. Prints where it
//! listens.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is there is answered before it is sent: as many messages in one write as came in one read.
async fn echo(socket: TcpStream) -> Result<(), Failure> {
    let mut messages = tokio_tungstenite::accept_async(socket).await?;
    while let Some(message) = messages.next().await {
        messages.feed(message?).await?;
        while let Some(message) = futures_util::FutureExt::now_or_never(messages.next()) {
            let Some(message) = message else { return Ok(()) };
            messages.feed(message?).await?;
        }
        messages.flush().await?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("plain {}", listener.local_addr()?);
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            tokio::task::spawn_local(echo(socket));
        }
    })
}
