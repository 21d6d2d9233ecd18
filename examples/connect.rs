//! Connects to a name as every client connection does, and says to which of its addresses, and how long that took.
//!
//! `cargo run --example connect -- NAME PORT [NAMESERVER:PORT...]`; without name servers, those of the system.

use millstream::{
    Cause, ClientInfo, ClientRole, Context, Cx, Flow, Names, Protocol, Target, Tx, TxFlow, WsiId,
};

struct Connection;

impl Protocol for Connection {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let peer = cx.wsi_peer(me).map(ToString::to_string).unwrap_or_default();
        println!("{peer} after {} ms", cx.now().as_us() / 1000);
        Flow::DisconnectMe
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn closed(&mut self, cx: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        if let Some(cause) = cause {
            println!("failed: {cause}");
        }
        cx.stop();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("usage: connect NAME PORT [NAMESERVER:PORT...]".into());
    };
    let servers = arguments.map(|server| server.parse()).collect::<Result<_, _>>()?;
    let mut context = Context::builder().names(Names { servers, ..Names::default() }).build()?;
    let info = ClientInfo::new(Target::Host(name, port.parse()?), ClientRole::Raw);
    context.with(|cx| cx.connect(&info, Connection));
    context.run()?;
    Ok(())
}
