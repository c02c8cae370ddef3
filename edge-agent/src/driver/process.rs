//! Between the words of the executor and the link and those of the logic. Translates; decides
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use edge_agent_logic::Input;
use edge_agent_logic::input::{Exit, Found, ProcessEnd, ProcessEvent};
use shared::id::{AgentId, AssignmentId};
use shared::report::Output;
use shared::spec::{Exec, Run};
use shared::time::{Monotonic, Now, Timestamp};
use shared::trace::TraceContext;
use shared::wire::downlink::{FiringContext, Order};

use crate::config::Config;
use crate::exec::{self, AttemptDir, End, ExecEvent, ExecEventKind, ExecOrder, ExitRecord, Lease};
use crate::link::LineEvent;

/// Where programs are looked for when the agent itself was not told.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What tells a program to which trace it belongs, as programs that are traced expect it.
const TRACEPARENT: &str = "TRACEPARENT";
const TRACESTATE: &str = "TRACESTATE";
/// The longest reason that is kept, in characters: it may hold what a broker wrote.
const REASON_CHARS_MAX: usize = 500;

/// What tasks are given beside their orders.
#[derive(Debug, Clone)]
pub struct TaskEnvironment {
    /// The agent they run on.
    pub agent: AgentId,
    /// Where programs are looked for.
    pub path: String,
    /// How much of the end of each output stream is reported, in bytes.
    pub tail_bytes: u32,
    /// How much of what one attempt writes is kept on the disk, in bytes.
    pub log_bytes_max: u64,
    /// How much earlier than its lease ends a task under one is over, in milliseconds.
    pub lease_margin_ms: u64,
}

impl TaskEnvironment {
    /// The environment on this machine.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let path = std::env::var("PATH").ok().filter(|path| !path.is_empty());
        Self {
            agent: config.id.clone(),
            path: path.unwrap_or_else(|| PATH_DEFAULT.to_owned()),
            tail_bytes: config.tail_bytes,
            log_bytes_max: config.logs.attempt_bytes_max,
            lease_margin_ms: config.settings.lease_margin_ms,
        }
    }

    /// An order as the executor takes it. What the task says of its environment wins, but for the
    /// names that tell it who it is.
    /// `renewed` is the moment from which its lease counts, if it has one.
    pub(super) fn order(
        &self,
        id: AssignmentId,
        order: &Order,
        dir: &AttemptDir,
        renewed: Option<Monotonic>,
    ) -> ExecOrder {
        let Exec { command, args, env, dir: work } = match &order.run {
            Run::Exec(exec) => exec.clone(),
            // Other kinds are refused when they are offered, or never get a process.
            _ => Exec::default(),
        };
        let home = work.clone().unwrap_or_else(|| dir.work_path().to_string_lossy().into_owned());
        let mut environment =
            BTreeMap::from([("PATH".to_owned(), self.path.clone()), ("HOME".to_owned(), home)]);
        // Whoever sets a trace of their own sets all of it.
        if !env.contains_key(TRACEPARENT)
            && let Some(trace) = order.trace.clone().and_then(TraceContext::checked)
        {
            environment.insert(TRACEPARENT.to_owned(), trace.traceparent);
            environment.extend(trace.tracestate.map(|state| (TRACESTATE.to_owned(), state)));
        }
        environment.extend(env);
        let mut tell = |name: &str, value: String| environment.insert(name.to_owned(), value);
        tell("AMBIT_TASK_ID", id.task.to_string());
        tell("AMBIT_ATTEMPT", id.attempt.to_string());
        tell("AMBIT_AGENT_ID", self.agent.to_string());
        tell("AMBIT_TASK_NAME", order.name.clone().unwrap_or_default());
        let mut event = None;
        if let Some(FiringContext { schedule, at, payload }) = &order.firing {
            tell("AMBIT_SCHEDULE", schedule.to_string());
            tell("AMBIT_SCHEDULED_AT", at.to_string());
            if let Some(payload) = payload {
                tell("AMBIT_EVENT", dir.event_path().to_string_lossy().into_owned());
                event = Some(Arc::clone(payload));
            }
        }
        ExecOrder {
            id,
            command,
            args,
            env: environment,
            dir: work,
            stdout_tail_bytes: self.tail_bytes,
            stderr_tail_bytes: self.tail_bytes,
            log_bytes_max: self.log_bytes_max,
            event,
            lease: order.lease_ms.map(|lease_ms| Lease {
                lease_ms,
                grace_ms: order.grace_ms,
                margin_ms: self.lease_margin_ms,
                // Without a renewal it has ended already, and is told so.
                renewed_ms: renewed.map_or(0, |renewed| renewed.0),
            }),
        }
    }
}

pub(super) fn input_of_line(event: LineEvent) -> Input {
    match event {
        LineEvent::Up { link } => Input::LinkUp { link },
        LineEvent::Down { reason } => {
            Input::LinkDown { reason: reason.chars().take(REASON_CHARS_MAX).collect() }
        }
        LineEvent::Message(message) => Input::Downlink(*message),
    }
}

pub(super) fn input_of_process(ExecEvent { id: assignment, kind }: ExecEvent) -> Input {
    let event = match kind {
        ExecEventKind::Started { .. } => ProcessEvent::Started,
        ExecEventKind::Ended(record) => ProcessEvent::Ended(Box::new(end_of(record))),
        ExecEventKind::SpawnFailed { message } => return not_spawned(assignment, message),
        ExecEventKind::Gone => ProcessEvent::Gone,
    };
    Input::Process { assignment, event }
}

/// No process could be made.
pub(super) fn not_spawned(assignment: AssignmentId, message: String) -> Input {
    let end = ProcessEnd {
        exit: Exit::SpawnFailed { message },
        started_at: None,
        ran_ms: None,
        output: Output::default(),
    };
    Input::Process { assignment, event: ProcessEvent::Ended(Box::new(end)) }
}

fn end_of(record: ExitRecord) -> ProcessEnd {
    let ran = !matches!(record.end, End::SpawnFailed { .. } | End::LeaseEnded { ran: false });
    let exit = match record.end {
        _ if record.out_of_memory => Exit::OutOfMemory,
        End::Exited { code } => Exit::Code(code),
        End::Signaled { signal } => Exit::Signal(signal),
        End::SpawnFailed { message } => Exit::SpawnFailed { message },
        End::LeaseEnded { .. } => Exit::LeaseOver,
    };
    ProcessEnd {
        exit,
        started_at: ran.then_some(Timestamp(record.started_wall_ms)),
        ran_ms: ran.then_some(record.duration_ms),
        output: Output {
            stdout_tail: record.stdout_tail,
            stderr_tail: record.stderr_tail,
            stdout_truncated: record.stdout_truncated,
            stderr_truncated: record.stderr_truncated,
        },
    }
}

/// What was found of an attempt. How long one has run that still runs is measured by the kernel's
/// own clock, which no change of the wall clock touches.
pub(super) fn found(found: exec::Found, dir: &AttemptDir, now: Now) -> Found {
    match found {
        exec::Found::Running => {
            let ran_ms = dir.read_child().map_or(0, |child| {
                let hertz = rustix::param::clock_ticks_per_second().max(1);
                let started_ms = u128::from(child.start_ticks) * 1_000 / u128::from(hertz);
                now.mono.0.saturating_sub(u64::try_from(started_ms).unwrap_or(u64::MAX))
            });
            let back = i64::try_from(ran_ms).unwrap_or(i64::MAX);
            Found::Running { started_at: now.wall.plus_ms(back.saturating_neg()), ran_ms }
        }
        exec::Found::Ended(record) => Found::Ended(Box::new(end_of(record))),
        exec::Found::NeverStarted => Found::NeverStarted,
        exec::Found::Gone => Found::Gone,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use shared::capacity::Resources;
    use shared::id::Attempt;
    use shared::wire::downlink::LocalRetry;

    use super::*;

    fn assignment() -> AssignmentId {
        let task = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b".parse().expect("a task id");
        AssignmentId { task, attempt: Attempt(2) }
    }

    fn given(exec: Exec) -> ExecOrder {
        given_in(exec, None)
    }

    fn environment() -> TaskEnvironment {
        TaskEnvironment {
            agent: "board-7".parse().expect("an agent id"),
            path: "/bin".to_owned(),
            tail_bytes: 10,
            log_bytes_max: 2_048,
            lease_margin_ms: 7,
        }
    }

    fn plain(exec: Exec, trace: Option<TraceContext>) -> Order {
        Order {
            name: Some("sample".to_owned()),
            run: Run::Exec(exec),
            needs: Resources::default(),
            priority: 0,
            timeout_ms: None,
            grace_ms: 0,
            stop_after_ms: None,
            lease_ms: Some(9_000),
            retry: LocalRetry::default(),
            firing: None,
            trace,
        }
    }

    fn given_in(exec: Exec, trace: Option<TraceContext>) -> ExecOrder {
        let (environment, order) = (environment(), plain(exec, trace));
        let dir = AttemptDir::at(Path::new("/data/attempts/x"));
        environment.order(assignment(), &order, &dir, Some(Monotonic(5)))
    }

    #[test]
    fn a_task_is_told_who_it_is_and_cannot_say_otherwise() {
        let env = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let order = given(Exec {
            env: BTreeMap::from([env("PATH", "/mine"), env("AMBIT_ATTEMPT", "7"), env("A", "b")]),
            ..Exec::default()
        });
        assert_eq!(order.env["PATH"], "/mine");
        let lease = Lease { lease_ms: 9_000, grace_ms: 0, margin_ms: 7, renewed_ms: 5 };
        assert_eq!((order.lease, order.log_bytes_max), (Some(lease), 2_048));
        assert_eq!(order.env["HOME"], "/data/attempts/x/work");
        assert_eq!(order.env["AMBIT_ATTEMPT"], "2");
        assert_eq!(order.env["AMBIT_TASK_ID"], assignment().task.to_string());
        assert_eq!(order.env["AMBIT_AGENT_ID"], "board-7");
        assert_eq!(order.env["AMBIT_TASK_NAME"], "sample");
        assert_eq!(order.env["A"], "b");
        let order = given(Exec { dir: Some("/srv".to_owned()), ..Exec::default() });
        assert_eq!((order.env["HOME"].as_str(), order.dir.as_deref()), ("/srv", Some("/srv")));
    }

    #[test]
    fn a_task_is_told_its_trace_unless_it_has_one_of_its_own() {
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let told = |exec: Exec, traceparent: &str| {
            let tracestate = Some("rojo=1".to_owned());
            let trace = Some(TraceContext { traceparent: traceparent.to_owned(), tracestate });
            let env = given_in(exec, trace).env;
            [TRACEPARENT, TRACESTATE].map(|name| env.get(name).cloned().unwrap_or_default())
        };
        assert_eq!(told(Exec::default(), PARENT), [PARENT, "rojo=1"]);
        // What no core of ours says is not passed on.
        assert_eq!(told(Exec::default(), "00-nonsense\0"), ["", ""]);
        let with = |name: &str| Exec {
            env: BTreeMap::from([(name.to_owned(), "mine".to_owned())]),
            ..Exec::default()
        };
        assert_eq!(told(with(TRACEPARENT), PARENT), ["mine", ""]);
        assert_eq!(told(with(TRACESTATE), PARENT), [PARENT, "mine"]);
        assert!(!given(Exec::default()).env.contains_key(TRACEPARENT));
    }

    #[test]
    fn what_a_schedule_fired_is_told_which_and_for_what_moment() {
        let environment = environment();
        let dir = AttemptDir::at(Path::new("/data/attempts/x"));
        let firing = |payload: Option<&str>| FiringContext {
            schedule: "nightly".parse().expect("a name"),
            at: Timestamp(1_800_000_000_000),
            payload: payload.map(Into::into),
        };
        let given = |firing| {
            let order = Order { firing: Some(firing), ..plain(Exec::default(), None) };
            environment.order(assignment(), &order, &dir, None)
        };
        let order = given(firing(None));
        assert_eq!(order.env["AMBIT_SCHEDULE"], "nightly");
        assert_eq!(order.env["AMBIT_SCHEDULED_AT"], "2027-01-15T08:00:00.000Z");
        assert!(!order.env.contains_key("AMBIT_EVENT") && order.event.is_none());
        let order = given(firing(Some("{}")));
        assert_eq!(order.env["AMBIT_EVENT"], "/data/attempts/x/event");
        assert_eq!(order.event.as_deref(), Some("{}"));
        assert!(!given_in(Exec::default(), None).env.contains_key("AMBIT_SCHEDULE"));
    }

    #[test]
    fn want_of_memory_is_told_before_the_signal_it_came_with() {
        let mut record = ExitRecord {
            end: End::Signaled { signal: 9 },
            started_wall_ms: 5,
            ended_wall_ms: 6,
            duration_ms: 1,
            stdout_tail: "x".to_owned(),
            stderr_tail: String::new(),
            stdout_truncated: true,
            stderr_truncated: false,
            out_of_memory: true,
            log_end_offset: 1,
            written_bytes: 0,
        };
        assert_eq!(end_of(record.clone()).exit, Exit::OutOfMemory);
        record.out_of_memory = false;
        let end = end_of(record.clone());
        assert_eq!(
            (end.exit, end.started_at, end.ran_ms),
            (Exit::Signal(9), Some(Timestamp(5)), Some(1))
        );
        assert!(end.output.stdout_truncated);
        record.end = End::LeaseEnded { ran: true };
        assert_eq!(end_of(record.clone()).exit, Exit::LeaseOver);
        assert_eq!(end_of(record.clone()).started_at, Some(Timestamp(5)));
        for end in [End::SpawnFailed { message: "no".to_owned() }, End::LeaseEnded { ran: false }] {
            assert_eq!(end_of(ExitRecord { end, ..record.clone() }).started_at, None);
        }
    }
}
