//! System state: how far the device has come on its way to normal operation (README.lws_system.md).

use crate::context::{Call, Context, Core, Effect};
use crate::{ContextBuilder, Cx};
use std::collections::VecDeque;

/// The steps on the way, in their order. A context without notifiers is operational from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SystemState {
    /// The context was just made.
    ContextCreated,
    /// Its own parts are set up.
    Initialized,
    /// The network interfaces that are there have been looked at.
    IfaceColdplug,
    /// There is a network identity.
    Dhcp,
    /// The device knows what time it is; certificates can be checked from here on.
    TimeValid,
    /// What the device has to learn from the network about how to act, it has learned.
    PolicyValid,
    /// The device has a registered identity.
    Registered,
    /// The identity has led to an access token that holds for some time.
    Auth1,
    /// A second token, for other services.
    Auth2,
    /// Ready for normal work.
    Operational,
}

impl SystemState {
    /// The step that comes after this.
    pub const fn next(self) -> Option<Self> {
        Some(match self {
            Self::ContextCreated => Self::Initialized,
            Self::Initialized => Self::IfaceColdplug,
            Self::IfaceColdplug => Self::Dhcp,
            Self::Dhcp => Self::TimeValid,
            Self::TimeValid => Self::PolicyValid,
            Self::PolicyValid => Self::Registered,
            Self::Registered => Self::Auth1,
            Self::Auth1 => Self::Auth2,
            Self::Auth2 => Self::Operational,
            Self::Operational => return None,
        })
    }
}

/// What a notifier thinks of the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// It may be taken.
    GoOn,
    /// Something has to be done first; [`Cx::system_go_on`] says when that is so, and all notifiers are asked again.
    Hold,
}

/// Asked before each step. Closures are notifiers.
pub(crate) type Notifier = Box<dyn FnMut(&mut Cx<'_>, SystemState) -> Step>;

/// Calls that wait for a state.
const ATTACHED: usize = 65_536;

/// Where a context is.
pub(crate) struct System {
    pub(crate) state: SystemState,
    /// The next step is asked for already.
    is_asked: bool,
    attached: VecDeque<(SystemState, Call)>,
}

impl System {
    pub(crate) fn new(has_notifiers: bool) -> Self {
        let state = if has_notifiers { SystemState::ContextCreated } else { SystemState::Operational };
        Self { state, is_asked: false, attached: VecDeque::new() }
    }
}

impl Core {
    /// Has the next step taken, if there is one and nobody holds it.
    pub(crate) fn system_go_on(&mut self) {
        if self.system.state.next().is_some() && !self.system.is_asked {
            self.system.is_asked = true;
            self.effects.push_back(Effect::SystemStep);
        }
    }

    /// The step that waits to be taken.
    pub(crate) fn system_step(&mut self) -> Option<SystemState> {
        self.system.is_asked = false;
        self.system.state.next()
    }

    /// The step is taken: who waited for it has his turn, then the next one.
    pub(crate) fn system_enter(&mut self, state: SystemState) {
        log::info!(target: "millstream::system", "{:?} -> {state:?}", self.system.state);
        self.system.state = state;
        for (wanted, call) in std::mem::take(&mut self.system.attached) {
            if wanted <= state {
                self.effects.push_back(Effect::Call(call));
            } else {
                self.system.attached.push_back((wanted, call));
            }
        }
        self.system_go_on();
    }

    pub(crate) fn attach(&mut self, state: SystemState, call: Call) {
        if state <= self.system.state {
            self.effects.push_back(Effect::Call(call));
        } else if self.system.attached.len() < ATTACHED {
            self.system.attached.push_back((state, call));
        } else {
            log::warn!(target: "millstream::system", "a call that waits for {state:?} is dropped: too many do");
        }
    }
}

impl Context {
    /// The first step, once; notifiers lead to the others.
    pub(crate) fn system_start(&mut self) {
        if self.core.system.state == SystemState::ContextCreated {
            self.core.system_go_on();
        }
    }
}

/// System state.
impl Cx<'_> {
    /// How far the device has come.
    pub fn system_state(&self) -> SystemState {
        self.core.system.state
    }

    /// What a notifier has held the next step for is done.
    pub fn system_go_on(&mut self) {
        self.core.system_go_on();
    }

    /// Runs `call` when the state is reached, or next if it is (`lws_system_ops_t.attach`).
    pub fn attach(&mut self, state: SystemState, call: impl FnOnce(&mut Cx<'_>) + 'static) {
        self.core.attach(state, Box::new(call));
    }
}

impl ContextBuilder {
    /// Asks `notifier` before each step to the next system state, and lets it hold that until its work is done: set the
    /// clock, say, before anything is done with certificates.
    ///
    /// ```
    /// use millstream::{Context, Step, SystemState};
    /// use std::time::Duration;
    ///
    /// let mut clock_is_set = false;
    /// let mut context = Context::builder()
    ///     .system_notifier(move |cx, next| {
    ///         if next != SystemState::TimeValid || clock_is_set {
    ///             return Step::GoOn;
    ///         }
    ///         clock_is_set = true;
    ///         // In place of asking somebody for the time.
    ///         cx.sul_schedule(Duration::from_millis(1), |cx| cx.system_go_on());
    ///         Step::Hold
    ///     })
    ///     .build()?;
    /// context.with(|cx| cx.attach(SystemState::Operational, |cx| cx.stop()));
    /// context.run()?;
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn system_notifier(
        mut self,
        notifier: impl FnMut(&mut Cx<'_>, SystemState) -> Step + 'static,
    ) -> Self {
        self.notifiers.0.push(Box::new(notifier));
        self
    }
}

/// The notifiers of a context, in the order in which they were given.
#[derive(Default)]
pub(crate) struct Notifiers(pub(crate) Vec<Notifier>);

impl std::fmt::Debug for Notifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} notifiers", self.0.len())
    }
}
