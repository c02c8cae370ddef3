//! settle: an attempt has ended; either that decides the task's one outcome, or it is tried again.

use shared::assignment::{AssignmentState, Ending};
use shared::backoff;
use shared::id::TaskId;
use shared::report::{End, Finish, StopReason};
use shared::task::{FailureReason, Outcome, TaskState, Verdict};

use super::Context;
use crate::cloud::{Cloud, Task};
use crate::document::describe_ending;
use crate::timers::Alarm;

/// How long a task keeps away from an agent that refused it or could not start it, in
/// milliseconds.
const AVOID_MS: u64 = 30_000;
/// The first and the longest wait after a refusal, in milliseconds.
const REFUSED_DELAY_MS: (u64, u64) = (200, 10_000);

/// What follows from the end of an attempt.
enum Next {
    /// The task is settled.
    Settle(Verdict),
    /// It is tried again at once.
    Again,
    /// It is tried again after a wait, in milliseconds.
    After(u64),
}

/// A task's attempt has just ended.
pub(crate) fn attempt_ended(cloud: &mut Cloud, id: TaskId, context: &mut Context) {
    let Some(task) = cloud.tasks.get_mut(&id) else {
        return;
    };
    let Some(row) = task.assignment.take_if(|row| row.state.is_ended()) else {
        return;
    };
    let AssignmentState::Ended { ending, .. } = row.state else {
        return;
    };
    let chance = context.chance();
    task.row.life.count(&ending);
    let keeps_away = matches!(&ending, Ending::Refused { .. })
        || matches!(&ending, Ending::Finished(finish) if matches!(finish.end, End::SpawnFailed { .. }));
    if keeps_away {
        let until = context.now.mono + AVOID_MS;
        task.avoid.retain(|(agent, _)| *agent != row.agent);
        task.avoid.push((row.agent.clone(), until));
    }
    let next = match task.row.life.state {
        TaskState::Stopping { reason, .. } => after_stop(reason, &ending),
        _ => {
            after_end(task, &ending, cloud.settings.losses_max, cloud.settings.refusals_max, chance)
        }
    };
    let counted = task.row.life.clone();
    let keep = move |life: &mut crate::change::TaskLife| {
        life.failures = counted.failures;
        life.losses = counted.losses;
        life.refusals = counted.refusals;
    };
    match next {
        Next::Settle(verdict) => {
            let detail = describe_ending(&ending);
            let finish = match ending {
                Ending::Finished(finish) => Some(finish),
                _ => None,
            };
            let attempt = Some(row.id.attempt);
            let outcome = Outcome { verdict, at: context.now.wall, attempt, finish, detail };
            cloud.settle_task(id, context, outcome);
        }
        Next::Again => {
            // Allowed from every state in which an attempt is under way, and one was.
            let _ = cloud.move_task(id, context, |life| {
                keep(life);
                life.state.try_again(None)
            });
        }
        Next::After(delay_ms) => {
            let until = context.now.wall.plus_ms(i64::try_from(delay_ms).unwrap_or(i64::MAX));
            let _ = cloud.move_task(id, context, |life| {
                keep(life);
                life.state.try_again(Some(until))
            });
            cloud.timers.set(Alarm::BackOff(id), context.now.mono + delay_ms);
        }
    }
}

/// A task's attempt was given up and may come back: another is to take its place meanwhile.
pub(crate) fn attempt_strayed(cloud: &mut Cloud, id: TaskId, context: &mut Context) {
    // An attempt was under way, so another may be tried.
    let _ = cloud.move_task(id, context, |life| {
        life.losses += 1;
        life.state.try_again(None)
    });
}

/// The wait before a task's next attempt is over.
pub(crate) fn back_off_over(cloud: &mut Cloud, id: TaskId, context: &mut Context) {
    // Anything else than backing off means that the task moved on before the alarm rang.
    let _ = cloud.move_task(id, context, |life| life.state.queue_again());
}

/// The end of an attempt that was being stopped. A task that was done before the request reached
/// it is done.
fn after_stop(reason: StopReason, ending: &Ending) -> Next {
    let done = matches!(ending, Ending::Finished(finish) if finish.end.is_success());
    match reason {
        _ if done => Next::Settle(Verdict::Succeeded),
        StopReason::Canceled => Next::Settle(Verdict::Canceled),
        StopReason::DeadlinePassed => failed(FailureReason::DeadlinePassed),
        StopReason::Superseded | StopReason::Disconnected => Next::Again,
    }
}

fn after_end(
    task: &Task,
    ending: &Ending,
    losses_max: u32,
    refusals_max: u32,
    chance: u64,
) -> Next {
    let (spec, life) = (&task.row.spec, &task.row.life);
    let lost = || match spec.disconnect.replace && life.losses <= losses_max {
        true => Next::Again,
        false => failed(FailureReason::Lost),
    };
    match ending {
        Ending::Lost { .. } => lost(),
        Ending::Withdrawn | Ending::Superseded { .. } => Next::Again,
        Ending::Refused { .. } if life.refusals > refusals_max => failed(FailureReason::Rejected),
        Ending::Refused { .. } => {
            let (first_ms, max_ms) = REFUSED_DELAY_MS;
            Next::After(backoff::delay_ms(life.refusals, first_ms, max_ms, chance))
        }
        // By its agent alone: a later firing of the schedule took its place there.
        Ending::Finished(finish) if is_canceled(finish) => Next::Settle(Verdict::Canceled),
        Ending::Finished(finish) => match reason_of(finish) {
            None => Next::Settle(Verdict::Succeeded),
            Some(FailureReason::Lost) => lost(),
            Some(reason) if life.failures >= spec.retry.attempts_max => failed(reason),
            Some(_) => {
                let seconds = |seconds: u64| seconds.saturating_mul(1_000);
                let (first_ms, max_ms) =
                    (seconds(spec.retry.delay_s), seconds(spec.retry.delay_s_max));
                Next::After(backoff::delay_ms(life.failures, first_ms, max_ms, chance))
            }
        },
    }
}

fn is_canceled(finish: &Finish) -> bool {
    matches!(finish.end, End::Stopped { reason: StopReason::Canceled })
}

fn failed(reason: FailureReason) -> Next {
    Next::Settle(Verdict::Failed { reason })
}

/// The reason for which a finished attempt counts as failed; `None` when it did not fail.
fn reason_of(finish: &Finish) -> Option<FailureReason> {
    match finish.end {
        End::Exited { code: 0 } => None,
        End::Exited { .. } => Some(FailureReason::ExitCode),
        End::Signaled { .. } => Some(FailureReason::Signal),
        End::TimedOut => Some(FailureReason::TimedOut),
        End::SpawnFailed { .. } => Some(FailureReason::SpawnFailed),
        End::OutOfMemory => Some(FailureReason::OutOfMemory),
        End::Vanished { .. } | End::Stopped { .. } => Some(FailureReason::Lost),
    }
}
