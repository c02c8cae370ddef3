//! What happens, in few words, for whoever reads a trace.

use edge_agent_logic::Notice;
use shared::id::{AssignmentId, TaskId};
use shared::report::{End, ReportEvent};
use shared::spec::TaskSpec;
use shared::task::TaskState;
use shared::wire::downlink::Want;
use shared::wire::{Downlink, Uplink};

/// How many bits of a task's id count its submissions, below those of its number.
pub const TRY_BITS: u32 = 12;

/// More than there is work in any world.
const WORK_MAX: u128 = 1_000;

/// A task by the number of the work that it is: `t7`, and `t7b` where it had to be submitted anew.
pub fn task(id: TaskId) -> String {
    let bits = id.0.as_u128();
    let number = (bits & 0xffff_ffff) >> TRY_BITS;
    // What schedules make has no number, and almost always a large one here.
    if number >= WORK_MAX {
        return format!("f{number:05x}");
    }
    match bits & ((1 << TRY_BITS) - 1) {
        0 => format!("t{number}"),
        again => {
            let letter = b'a' + u8::try_from(again % 26).unwrap_or(0);
            format!("t{number}{}", char::from(letter))
        }
    }
}

/// An attempt: `t7.1`.
pub fn attempt(id: AssignmentId) -> String {
    format!("{}.{}", task(id.task), id.attempt)
}

/// A task as it is submitted: what sets it apart from any other.
pub fn submission(id: TaskId, spec: &TaskSpec) -> String {
    let seconds = |name: &str, value: Option<u64>| value.map(|value| format!("{name} {value} s"));
    let disconnect = &spec.disconnect;
    let words = [
        (spec.run.kind() == "noop").then(|| "noop".to_owned()),
        spec.exclusive.then(|| "exclusive".to_owned()),
        (spec.priority != 50).then(|| format!("priority {}", spec.priority)),
        seconds("timeout", spec.timeout_s),
        seconds("deadline", spec.deadline_s),
        Some(format!("{} attempts", spec.retry.attempts_max)),
        seconds("lost after", Some(disconnect.lost_after_s)),
        seconds("stop after", disconnect.stop_after_s),
        (!disconnect.replace).then(|| "not replaced".to_owned()),
        Some(format!("{:?}", disconnect.reconcile)),
    ];
    format!("submits {}: {}", task(id), join(words.into_iter().flatten()))
}

/// A run of an attempt: `t7.1`, or `t7.1 run 2`.
pub fn run(id: AssignmentId, run: u32) -> String {
    match run {
        0 => attempt(id),
        run => format!("{} run {run}", attempt(id)),
    }
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// A message of an agent.
pub fn up(message: &Uplink) -> String {
    match message {
        Uplink::Join(_) => "asks to join".to_owned(),
        Uplink::Hello(hello) => format!(
            "hello: boot {}, link {}, applied {}, outbox {}..{}, holds [{}]",
            hello.boot,
            hello.link,
            hello.applied_rev,
            hello.acked_seq,
            hello.last_seq,
            join(hello.inventory.holds.iter().map(|held| attempt(held.assignment)))
        ),
        Uplink::Heartbeat(beat) => format!(
            "heartbeat {}: applied {}, acknowledged {}",
            beat.beat, beat.applied_rev, beat.acked_seq
        ),
        Uplink::Reports(reports) => {
            let items = reports.items.iter().map(|item| {
                let (id, event) = (item.report.assignment, &item.report.event);
                format!("{} {} {}", item.seq, attempt(id), report(event))
            });
            format!("reports {}..{}: {}", reports.after, reports.upto, join(items))
        }
        Uplink::Inventory(inventory) => {
            let part = &inventory.part;
            let holds = join(part.holds.iter().map(|held| attempt(held.assignment)));
            format!("inventory {} of {}: [{holds}]", part.part + 1, part.parts)
        }
        Uplink::Progress(news) => {
            let items = news
                .items
                .iter()
                .map(|item| format!("{} {:?}", attempt(item.assignment), item.mark.thousandths));
            format!("progress: {}", join(items))
        }
        Uplink::Logs(chunk) => format!("logs of {}", attempt(chunk.assignment)),
        Uplink::Ping { .. } => "ping".to_owned(),
        Uplink::Gone(gone) => format!("goodbye: boot {}, link {}", gone.boot, gone.link),
    }
}

fn report(event: &ReportEvent) -> String {
    match event {
        ReportEvent::Accepted => "accepted".to_owned(),
        ReportEvent::Refused { reason, .. } => format!("refused ({reason:?})"),
        ReportEvent::Started => "started".to_owned(),
        ReportEvent::Retried(finish) => format!("{}, begun again", end(&finish.end)),
        ReportEvent::Finished(finish) => end(&finish.end),
        ReportEvent::Fired { moment, .. } => format!("fired for {moment}"),
        ReportEvent::NotFired { moment, because, .. } => {
            format!("not fired for {moment} ({because:?})")
        }
    }
}

/// How an attempt ended.
pub fn end(end: &End) -> String {
    match end {
        End::Exited { code } => format!("exited {code}"),
        End::Signaled { signal } => format!("killed by signal {signal}"),
        End::TimedOut => "timed out".to_owned(),
        End::Stopped { reason } => format!("stopped ({reason:?})"),
        End::SpawnFailed { .. } => "not spawned".to_owned(),
        End::OutOfMemory => "out of memory".to_owned(),
        End::Vanished { .. } => "vanished".to_owned(),
    }
}

/// A message of the core.
pub fn down(message: &Downlink) -> String {
    match message {
        Downlink::Joined => "joined".to_owned(),
        Downlink::JoinRefused(refusal) => format!("join refused ({:?})", refusal.reason),
        Downlink::Welcome(welcome) => {
            format!("welcome: acknowledged {}, desired {}", welcome.acked_seq, welcome.desired_rev)
        }
        Downlink::Refused(refusal) => format!("refused ({:?})", refusal.reason),
        Downlink::Desired(desired) => {
            let rows = desired.rows.iter().map(|row| match &row.want {
                Want::Run(_) => format!("{} run {}", row.rev, attempt(row.assignment)),
                Want::Stop { reason } => {
                    format!("{} stop {} ({reason:?})", row.rev, attempt(row.assignment))
                }
            });
            format!("desired {}..{}: {}", desired.base, desired.upto, join(rows))
        }
        Downlink::Acked { seq, .. } => format!("acknowledged {seq}"),
        Downlink::LogsAcked { assignment, upto } => {
            format!("has the logs of {} up to {upto}", attempt(*assignment))
        }
        Downlink::Pong { .. } => "pong".to_owned(),
        Downlink::WhoIsThere => "who is there?".to_owned(),
    }
}

/// Whether a message is told of only where everything is.
pub fn up_is_chatter(message: &Uplink) -> bool {
    matches!(message, Uplink::Heartbeat(_) | Uplink::Ping { .. })
}

/// Whether a message is told of only where everything is.
pub fn down_is_chatter(message: &Downlink) -> bool {
    matches!(message, Downlink::Pong { .. })
}

/// How long the copies of a message take.
pub fn journeys(journeys: &[u64]) -> String {
    match journeys {
        [] => "lost".to_owned(),
        copies => join(copies.iter().map(|after_ms| format!("+{after_ms}"))),
    }
}

/// Where a task stands.
pub fn state(state: &TaskState) -> String {
    match state {
        TaskState::Queued => "waits for a place".to_owned(),
        TaskState::BackingOff { .. } => "waits before it is tried again".to_owned(),
        TaskState::Assigned { attempt } => format!("is assigned, attempt {attempt}"),
        TaskState::Running { attempt } => format!("runs, attempt {attempt}"),
        TaskState::Stopping { attempt, reason, .. } => {
            format!("is being stopped, attempt {attempt} ({reason:?})")
        }
        TaskState::Settled { outcome } => {
            format!("is settled: {:?}, {}", outcome.verdict, outcome.detail)
        }
    }
}

/// What an agent notes, where that tells more than what was seen anyway.
pub fn notice(notice: &Notice) -> Option<String> {
    match notice {
        Notice::Accepted { .. } | Notice::Started { .. } | Notice::Finished { .. } => None,
        Notice::Stopping { assignment, cause } => {
            Some(format!("stops {} ({cause:?})", attempt(*assignment)))
        }
        Notice::Refused { assignment, reason, .. } => {
            Some(format!("refuses {} ({reason:?})", attempt(*assignment)))
        }
        Notice::Adopted { assignment, ran_ms } => {
            Some(format!("finds {} running for {ran_ms} ms", attempt(*assignment)))
        }
        Notice::NotLetIn(refusal) => Some(format!("is not let in ({:?})", refusal.reason)),
        other => Some(format!("notes {other:?}")),
    }
}
