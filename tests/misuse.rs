//! Requests of user code that make no sense on the connection or the stream that it has: each is refused in its own words, and
//! nothing has changed by it. The tables say what each call comes to, in each state: `ok`, or the error.

#![cfg(all(feature = "h1", feature = "h2", feature = "raw", feature = "ws"))]

use millstream::http::{BodyLength, Head, Method, Status};
use millstream::sim::Network;
use millstream::{
    Address, Census, ClientInfo, ClientRole, Context, Cx, Error, Flow, ListenInfo, Protocol, RxFlags,
    ServerRole, Target, Tx, TxFlow, WsInfo, WsiId,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What a call came to.
fn word(result: &Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(Error::Stale) => "stale",
        Err(Error::WrongRole) => "role",
        Err(Error::WrongKind(_)) => "kind",
        Err(Error::NotConnected) => "down",
        Err(Error::Http(_)) => "http",
        Err(Error::Metadata(_)) => "metadata",
        Err(Error::Policy(_)) => "policy",
        Err(_) => "other",
    }
}

type Call = fn(&mut Cx<'_>, WsiId) -> Result<(), Error>;

/// The head of a request for a websocket that nobody has made.
fn upgrade() -> Head {
    let mut head = Head::new();
    head.set_request(Method::Get, b"/");
    let fields = [
        ("host", "a"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes());
    }
    head
}

const CALLS: [(&str, Call); 9] = [
    ("tx", |cx, id| cx.wsi_request_tx(id)),
    ("rx_flow", |cx, id| cx.wsi_rx_flow(id, false).and_then(|()| cx.wsi_rx_flow(id, true))),
    ("valid", |cx, id| cx.wsi_validity_confirm(id)),
    ("request", |cx, id| cx.http_request(id, Method::Get, "/", "a", &[], BodyLength::None)),
    ("respond", |cx, id| cx.http_respond(id, Status::OK, &[], BodyLength::Known(0))),
    ("ask_ws", |cx, id| cx.ws_request(id, "/", "a", &[], &WsInfo::default())),
    ("accept_ws", |cx, id| cx.ws_accept(id, &upgrade(), &WsInfo::default())),
    ("release", |cx, id| cx.wsi_release(id)),
    ("close", |cx, id| cx.wsi_close(id)),
];

/// What a user is in when the call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Asked for, and not there yet.
    Begun,
    Established,
    /// The request is made, or there.
    Asked,
    /// A client's: the head of the response is there. A server's: it has answered.
    Answered,
    /// A piece of a message is there.
    Message,
    /// The whole message.
    End,
    Closed,
    /// Some time after that.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Raw,
    H1,
    H2,
    Ws,
    WsOverH2,
}

struct Plan {
    shape: Shape,
    is_server: bool,
    at: At,
    call: Call,
}

struct Stage {
    plan: Plan,
    came_to: RefCell<Option<&'static str>>,
    /// What each user has heard.
    heard: RefCell<Vec<(WsiId, At)>>,
}

struct User {
    is_server: bool,
    stage: Rc<Stage>,
}

impl User {
    fn at(&self, cx: &mut Cx<'_>, me: WsiId, at: At) -> Flow {
        self.stage.heard.borrow_mut().push((me, at));
        let Plan { is_server, at: wanted, call, .. } = self.stage.plan;
        if (is_server, wanted) == (self.is_server, at) && self.stage.came_to.borrow().is_none() {
            *self.stage.came_to.borrow_mut() = Some(word(&call(cx, me)));
        }
        Flow::Ok
    }

    fn is_ws(&self) -> bool {
        matches!(self.stage.plan.shape, Shape::Ws | Shape::WsOverH2)
    }
}

impl Protocol for User {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let _ = self.at(cx, me, At::Established);
        if self.is_server {
            return Flow::Ok;
        }
        let asked = match self.stage.plan.shape {
            Shape::Raw => cx.wsi_request_tx(me),
            Shape::H1 | Shape::H2 => cx.http_request(me, Method::Get, "/", "a", &[], BodyLength::None),
            Shape::Ws | Shape::WsOverH2 => cx.ws_request(me, "/", "a", &[], &WsInfo::default()),
        };
        drop(asked);
        self.at(cx, me, At::Asked)
    }

    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        let _ = self.at(cx, me, At::Asked);
        if self.is_ws() {
            drop(cx.ws_accept(me, head, &WsInfo::default()));
        } else {
            drop(cx.http_respond(me, Status::OK, &[], BodyLength::Unknown));
        }
        drop(cx.wsi_request_tx(me));
        self.at(cx, me, At::Answered)
    }

    fn response(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        drop(cx.wsi_request_tx(me));
        self.at(cx, me, At::Answered)
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &[u8]) -> Flow {
        self.at(cx, me, At::Message)
    }

    fn message(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &[u8], _: RxFlags) -> Flow {
        self.at(cx, me, At::Message)
    }

    fn end(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        self.at(cx, me, At::End)
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let is_client_of_http = !self.is_server && matches!(self.stage.plan.shape, Shape::H1 | Shape::H2);
        if is_client_of_http {
            return TxFlow::DontSend;
        }
        tx.write(b"piece");
        tx.end_message();
        TxFlow::Send
    }

    fn closed(&mut self, cx: &mut Cx<'_>, me: WsiId, _: Option<&millstream::Cause>) {
        let _ = self.at(cx, me, At::Closed);
        let stage = Rc::clone(&self.stage);
        if (stage.plan.is_server, stage.plan.at) == (self.is_server, At::Gone) {
            let call = move |cx: &mut Cx<'_>| {
                *stage.came_to.borrow_mut() = Some(word(&(stage.plan.call)(cx, me)));
            };
            cx.sul_schedule(Duration::from_secs(1), call);
        }
    }
}

/// What the call comes to, if its moment does, and what was heard. Everything is over and gone behind it.
fn play(plan: Plan) -> (Option<&'static str>, Vec<(WsiId, At)>) {
    let network = Network::new(5);
    let mut context = Context::builder().sim(network.host("10.0.0.1")).build().unwrap();
    let (client, server) = match plan.shape {
        Shape::Raw => (ClientRole::Raw, ServerRole::Raw),
        Shape::H1 => (ClientRole::H1, ServerRole::H1),
        Shape::H2 | Shape::WsOverH2 => (ClientRole::H2, ServerRole::Http),
        Shape::Ws => (ClientRole::Ws, ServerRole::H1),
    };
    let stage = Rc::new(Stage { plan, came_to: RefCell::default(), heard: RefCell::default() });
    let address = Address::Ip("10.0.0.1:80".parse().unwrap());
    let run = |context: &mut Context, secs| {
        let until = network.now().saturating_add(Duration::from_secs(secs));
        network.run(&mut [context], until).unwrap();
    };
    let vhost = context.with(|cx| {
        let shared = Rc::clone(&stage);
        let accept = move |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| -> Option<Box<dyn Protocol>> {
            Some(Box::new(User { is_server: true, stage: Rc::clone(&shared) }))
        };
        let info = ListenInfo { websockets: true, ..ListenInfo::new(address.clone(), server) };
        let vhost = cx.listen(info, accept).unwrap();
        let info = ClientInfo::new(Target::Address(address), client);
        let user = User { is_server: false, stage: Rc::clone(&stage) };
        let me = cx.connect(&info, user);
        if stage.plan.at == At::Begun {
            *stage.came_to.borrow_mut() = Some(word(&(stage.plan.call)(cx, me)));
        }
        vhost
    });
    run(&mut context, 5);
    let heard = stage.heard.borrow().clone();
    context.with(|cx| heard.iter().for_each(|(id, _)| drop(cx.wsi_close(*id))));
    run(&mut context, 5);
    context.with(|cx| cx.vhost_destroy(vhost).unwrap());
    run(&mut context, 400);
    assert_eq!(context.census(), Census::default());
    let came_to = stage.came_to.borrow_mut().take();
    (came_to, heard)
}

/// What each call comes to in this state, which has to come. A call that is refused leaves everything as it was.
fn row(shape: Shape, is_server: bool, at: At) -> String {
    let (_, undisturbed) = play(Plan { shape, is_server, at, call: |_, _| Ok(()) });
    let words = CALLS.map(|(name, call)| {
        let (came_to, heard) = play(Plan { shape, is_server, at, call });
        let came_to = came_to.unwrap_or_else(|| panic!("{shape:?}: {at:?} never came"));
        assert!(came_to == "ok" || heard == undisturbed, "{shape:?}, {at:?}: {name} has changed something");
        came_to
    });
    words.join(" ")
}

fn check(shape: Shape, is_server: bool, expected: &[(At, &str)]) {
    for (at, words) in expected {
        assert_eq!(row(shape, is_server, *at), *words, "{shape:?}, server: {is_server}, {at:?}");
    }
}

const STALE: &str = "stale stale stale stale stale stale stale stale stale";

// The columns: tx, rx_flow, valid, request, respond, ask_ws, accept_ws, release, close.

#[test]
fn bytes_are_not_http() {
    let wrong = "ok ok ok role role role role ok ok";
    let begun = (At::Begun, "ok ok ok role role down down ok ok");
    check(Shape::Raw, false, &[begun, (At::Established, wrong), (At::Closed, STALE), (At::Gone, STALE)]);
    let states = [At::Established, At::Message].map(|at| (at, wrong));
    check(Shape::Raw, true, &states);
    check(Shape::Raw, true, &[(At::Closed, STALE), (At::Gone, STALE)]);
}

#[test]
fn one_request_at_a_time_and_one_response_to_it_whatever_the_version() {
    let (begun, busy) = ("ok ok ok down down down down ok ok", "ok ok ok http http http http ok ok");
    let idle = "ok ok ok ok http ok http ok ok";
    let to_answer = "ok ok ok http ok http http ok ok";
    for shape in [Shape::H1, Shape::H2] {
        check(
            shape,
            false,
            &[
                (At::Begun, begun),
                (At::Established, idle),
                (At::Asked, busy),
                (At::Answered, busy),
                (At::Message, busy),
                (At::End, idle),
                (At::Closed, STALE),
                (At::Gone, STALE),
            ],
        );
        // A stream of HTTP/2 is there because of its request.
        let established = if shape == Shape::H2 { to_answer } else { busy };
        check(
            shape,
            true,
            &[
                (At::Established, established),
                (At::Asked, to_answer),
                (At::Answered, busy),
                (At::End, busy),
                (At::Closed, STALE),
                (At::Gone, STALE),
            ],
        );
    }
}

#[test]
fn a_websocket_is_no_http_any_more_whatever_the_version() {
    let (begun, busy) = ("ok ok ok down down down down ok ok", "ok ok ok http http http http ok ok");
    let idle = "ok ok ok ok http ok http ok ok";
    let speaks_ws = "ok ok ok role role role role ok ok";
    for shape in [Shape::Ws, Shape::WsOverH2] {
        check(
            shape,
            false,
            &[
                (At::Begun, begun),
                (At::Established, idle),
                (At::Asked, busy),
                (At::Answered, speaks_ws),
                (At::Message, speaks_ws),
                (At::Closed, STALE),
                (At::Gone, STALE),
            ],
        );
        // Over HTTP/2 a request for a websocket is refused by an error, and granted as what it is.
        let asked = if shape == Shape::Ws { "ok ok ok http ok http ok ok ok" } else { busy };
        check(
            shape,
            true,
            &[
                (At::Established, busy),
                (At::Asked, asked),
                (At::Answered, speaks_ws),
                (At::Message, speaks_ws),
                (At::Closed, STALE),
                (At::Gone, STALE),
            ],
        );
    }
}
