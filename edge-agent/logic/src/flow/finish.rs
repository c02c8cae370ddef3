//! What a process does: it runs, and it ends. Its end is told as it was, unless the agent itself
//! brought it about.

use shared::id::AssignmentId;
use shared::report::{End, ReportEvent, StopReason};
use shared::time::Now;

use crate::agent::Agent;
use crate::attempt::{Cause, Live, Remains, State};
use crate::effect::{Notice, Outcome};
use crate::input::{Exit, ProcessEnd, ProcessEvent};

/// What is said of an attempt whose supervisor disappeared.
const GONE: &str = "the task's process disappeared with its supervisor, for example in a power cut or an out-of-memory kill; how it ended is not known";

/// Takes what happened to an attempt's process.
pub(crate) fn process(
    agent: &mut Agent,
    id: AssignmentId,
    event: ProcessEvent,
    out: &mut Outcome,
    now: Now,
) {
    match event {
        ProcessEvent::Started => started(agent, id, out, now),
        ProcessEvent::Ended(end) => ended(agent, id, *end, out, now),
        ProcessEvent::Gone => gone(agent, id, out, now),
    }
}

fn started(agent: &mut Agent, id: AssignmentId, out: &mut Outcome, now: Now) {
    let boot = agent.boot;
    if agent.undecided.contains_key(&id) {
        return out.nonsense(id, None);
    }
    if !agent.advance(id, |state| state.run(boot, now.wall), out) {
        return;
    }
    agent.report(id, ReportEvent::Started, out, now);
    out.note(Notice::Started { assignment: id });
    agent.watch_run(id, 0, now);
}

pub(crate) fn ended(
    agent: &mut Agent,
    id: AssignmentId,
    process: ProcessEnd,
    out: &mut Outcome,
    now: Now,
) {
    let Some(live) = agent.with_process(id) else {
        return out.nonsense(id, None);
    };
    let ProcessEnd { exit, started_at, ran_ms, output } = process;
    // An agent that was held up takes a run for too long whose end it has not heard of yet.
    let in_time = ran_ms.zip(live.order.timeout_ms).is_some_and(|(ran, most)| ran < most);
    // A signal may be the agent's own, on a clock a little ahead of the supervisor's.
    let of_itself = in_time && !matches!(exit, Exit::Signal(_));
    let end = match (live.state, exit) {
        // What the agent brought about is told as what it is, whatever the process made of it.
        (State::Stopping { cause, .. }, _) if cause != Cause::TimedOut || !of_itself => cause.end(),
        (_, Exit::Code(code)) => End::Exited { code },
        (_, Exit::Signal(signal)) => End::Signaled { signal },
        (_, Exit::OutOfMemory) => End::OutOfMemory,
        (_, Exit::LeaseOver) => End::Stopped { reason: StopReason::Disconnected },
        (_, Exit::SpawnFailed { message }) => End::SpawnFailed { message },
    };
    agent.end_run(id, end, Remains { started_at, ran_ms, output }, out, now);
}

/// Nothing of it runs, and nobody knows how it ended.
pub(crate) fn gone(agent: &mut Agent, id: AssignmentId, out: &mut Outcome, now: Now) {
    let Some(live) = agent.with_process(id) else {
        return out.nonsense(id, None);
    };
    let end = match live.state {
        State::Stopping { cause, .. } => cause.end(),
        _ => End::Vanished { message: GONE.to_owned() },
    };
    agent.end_run(id, end, Remains::default(), out, now);
}

impl Agent {
    /// An attempt that has a process, as far as is known.
    fn with_process(&self, id: AssignmentId) -> Option<&Live> {
        let live = self.live.get(&id)?;
        (live.state.is_active() && !self.undecided.contains_key(&id)).then_some(live)
    }

    /// An attempt's process is seen to run, for so long already: sets the alarm for its timeout,
    /// if it has one.
    pub(crate) fn watch_run(&mut self, id: AssignmentId, ran_ms: u64, now: Now) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.started = Some(now.mono - ran_ms);
        if let (State::Running { .. }, Some(timeout_ms)) = (live.state, live.order.timeout_ms) {
            self.alarms.insert(id, now.mono + timeout_ms.saturating_sub(ran_ms));
        }
    }
}
