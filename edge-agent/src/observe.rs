//! What the agent tells its log: one line for each thing that somebody may want to know, quiet
//! when all is well, never a secret. The only place that knows how things are said.

use std::path::Path;

use edge_agent_logic::Notice;
use edge_agent_logic::attempt::Cause;
use shared::id::{AgentId, AssignmentId, Boot, Incarnation, Sequence};
use shared_runtime::link::Unsent;
use tracing::{debug, error, info, warn};

use crate::room::GaveWay;

/// The agent begins.
pub fn started(agent: &AgentId, incarnation: Incarnation, boot: Boot, data: &Path, broker: &str) {
    let data = data.display();
    let version = env!("CARGO_PKG_VERSION");
    info!(%agent, version, broker, %data, %incarnation, %boot, "agent starts");
}

/// The disk is so full that the agent cannot even open its database for writing.
pub fn cannot_start_yet(reason: &dyn std::fmt::Display) {
    error!(%reason, "the disk is full; the agent begins when there is room, and tasks run on");
}

/// What was left of the time before the restart.
pub fn recovered(adopted: usize, ended: usize, never_started: usize, gone: usize) {
    if gone > 0 {
        warn!(adopted, ended, never_started, gone, "tasks of the time before the restart");
    } else {
        info!(adopted, ended, never_started, gone, "tasks of the time before the restart");
    }
}

/// The agent ends.
pub fn stopped(running: usize, reports_waiting: usize) {
    info!(running, reports_waiting, "agent stops; what runs goes on running");
}

/// Something the logic wants to be known.
pub fn notice(notice: &Notice) {
    match notice {
        Notice::Welcomed { core } => info!(%core, "connected to the core"),
        Notice::AnotherCore { before, now } => {
            warn!(%before, %now, "the core is another one than before");
        }
        Notice::NotLetIn(refusal) => {
            error!(reason = ?refusal.reason, "the core does not let this agent in: {}", refusal.detail);
        }
        Notice::CoreSilent => {
            warn!("the link is up, but the core says nothing; saying hello again")
        }
        Notice::CoreForgot { acked, before, kept } => {
            warn!(%acked, %before, kept, "the core lost reports that it had acknowledged; the outcomes that are kept here are told again");
        }
        Notice::AheadOfUs { acked, last } => {
            error!(%acked, %last, "the core knows reports that this agent never wrote: another agent uses this id, or old data was put back; give this agent a fresh data folder");
        }
        Notice::OutboxFull { waiting } => {
            warn!(waiting, "too many reports wait for the core; nothing new is taken on");
        }
        Notice::DesiredGap { applied, base } => {
            debug!(%applied, %base, "something is missing before these wishes of the core");
        }
        Notice::ScheduleHeld { name, version } => info!(%name, version, "a schedule is held"),
        Notice::ScheduleNotHeld { name, detail } => {
            warn!(%name, detail, "a schedule cannot be held, and does not fire here");
        }
        Notice::ScheduleWithdrawn { name } => info!(%name, "a schedule is held no more"),
        Notice::ScheduleFired { name, moment, assignment } => {
            debug!(%name, %moment, %assignment, "a schedule fired");
        }
        Notice::ScheduleNotFired { name, moment, count, because } => {
            info!(%name, %moment, count, ?because, "a schedule did not fire");
        }
        Notice::Accepted { assignment } => debug!(%assignment, "accepted"),
        Notice::Refused { assignment, reason, detail } => {
            info!(%assignment, ?reason, detail, "refused");
        }
        Notice::Started { assignment } => debug!(%assignment, "started"),
        Notice::Adopted { assignment, ran_ms } => info!(%assignment, ran_ms, "found running"),
        Notice::Stopping { assignment, cause: Cause::TimedOut } => {
            info!(%assignment, "timed out; stopping it");
        }
        Notice::Stopping { assignment, cause: Cause::Requested { reason } } => {
            info!(%assignment, ?reason, "stopping it");
        }
        Notice::Retried { assignment, runs } => {
            info!(%assignment, runs.failures, runs.losses, "its run is over and the core cannot be asked; running it again");
        }
        Notice::ClockDistrusted { why } => {
            warn!(?why, "the wall clock is not to be believed; nothing is decided by it");
        }
        Notice::ClockTrusted => info!("the wall clock is to be believed again"),
        Notice::Finished { assignment, success } => debug!(%assignment, success, "finished"),
        Notice::Nonsense { assignment, step } => debug!(%assignment, ?step, "ignored"),
    }
}

/// The agent has a credential of its own.
pub fn joined(agent: &AgentId) {
    info!(%agent, "joined the core");
}

/// The broker does not let the agent in; `explained` names the way out.
pub fn not_admitted(explained: &str) {
    error!("{explained}");
}

/// The core says nothing on a connection that is up, and the other identity is tried.
pub fn unanswered(as_member: bool) {
    if as_member {
        warn!(
            "the core has not answered for minutes although the link is up: it is down, or it was \
             put back to a backup that does not know this agent; trying to join again"
        );
    } else {
        info!("nobody answers the request to join; going back to the credential");
    }
}

/// The core does not answer a request to join.
pub fn join_unanswered() {
    warn!(
        "the core does not answer the request to join: it is down, or the join token is not its \
         own; compare join_token_file with the core's"
    );
}

/// The core does not let the agent join.
pub fn join_refused(detail: &str) {
    error!("the core does not let this agent join: {detail}");
}

/// A credential was granted and cannot be kept.
pub fn credential_not_kept(reason: &dyn std::fmt::Display) {
    error!("the credential cannot be kept: {reason}");
}

/// A message for somebody else.
pub fn not_for_us(topic: &str) {
    debug!(topic, "a message for somebody else");
}

/// A message that proves nothing, or says nothing.
pub fn unreadable(reason: &str) {
    warn!(reason, "a message that the core cannot have sent, or cannot have meant; ignored");
}

/// The broker does not deliver a message.
pub fn unsent(topic: &str, reason: &Unsent) {
    warn!(topic, %reason, "a message was not delivered");
}

/// Changes cannot be committed: nothing is said or started until they are.
pub fn commit_failed(reason: &dyn std::fmt::Display, tries: u32) {
    if tries == 1 {
        error!(%reason, "nothing can be written; the agent says and starts nothing until it can");
    } else {
        debug!(%reason, tries, "still nothing can be written");
    }
}

/// Changes can be committed again.
pub fn commit_works_again(tries: u32) {
    info!(tries, "writing works again");
}

/// Reports cannot be read.
pub fn reports_unreadable(reason: &dyn std::fmt::Display) {
    error!(%reason, "reports cannot be read");
}

/// A report is too large to send with its output.
pub fn report_cut(seq: Sequence) {
    warn!(%seq, "a report did not fit into a message; its output was left out");
}

/// The disk is nearly full, or no longer.
pub fn disk(full: bool, free_mib: Option<u64>) {
    if full {
        warn!(free_mib, "the disk is nearly full; no new work is taken on");
    } else {
        info!(free_mib, "the disk has room again");
    }
}

/// Something was let go, so that what matters can be written.
pub fn gave_way(what: GaveWay) {
    match what {
        GaveWay::LogsOfEnded => warn!("the disk is full; the logs of tasks that are over give way"),
        GaveWay::LogsOfRunning => warn!("the disk is full; the logs of tasks that run give way"),
        GaveWay::Ballast => warn!("the disk is full; the ballast gives way"),
    }
}

/// The ballast is there.
pub fn ballast(held_bytes: u64) {
    debug!(held_bytes, "there is ballast to let go when the disk is full");
}

/// The ballast cannot be made.
pub fn no_ballast(reason: &dyn std::fmt::Display) {
    warn!(%reason, "the ballast cannot be made");
}

/// Only what matters is written from now on, or everything again.
pub fn thrift(used_up: bool, tight: bool) {
    if used_up {
        warn!("flash.bytes_per_day is used up; no logs are kept until tomorrow");
    } else if tight {
        warn!("the disk is almost full; no logs are kept");
    } else {
        info!("logs are kept again");
    }
}

/// The switch for logs cannot be set.
pub fn logs_not_switched(reason: &dyn std::fmt::Display) {
    warn!(%reason, "supervisors cannot be told whether to keep logs");
}

/// A task cannot be started for want of room, and waits for it.
pub fn start_waits(assignment: AssignmentId, reason: &str) {
    warn!(%assignment, reason, "the disk is full; the task is started when there is room");
}

/// Leases cannot be renewed: tasks that have one will end.
pub fn leases_not_renewed(reason: &dyn std::fmt::Display) {
    error!(%reason, "leases cannot be renewed; tasks that run under one will end");
}

/// What a task wrote cannot be kept.
pub fn logs_lost(assignment: AssignmentId, reason: &dyn std::fmt::Display) {
    warn!(%assignment, %reason, "what the task wrote cannot be kept");
}

/// What a task wrote is dropped, because it is old or too much.
pub fn logs_dropped(assignment: AssignmentId, bytes: u64) {
    info!(%assignment, bytes, "a log that the core did not take is dropped");
}

/// What a task wrote cannot be read.
pub fn log_unreadable(assignment: AssignmentId, reason: &dyn std::fmt::Display) {
    debug!(%assignment, %reason, "a log cannot be read");
}

/// The position file says nothing.
pub fn no_position(reason: &dyn std::fmt::Display) {
    warn!(%reason, "the position is not known");
}

/// What is left of a task cannot be removed.
pub fn not_forgotten(reason: &dyn std::fmt::Display) {
    warn!(%reason, "a task's directory is left behind");
}

/// Tasks are started the slow way for a while.
pub fn no_zygote(reason: &dyn std::fmt::Display) {
    warn!(%reason, "no process that starts tasks quickly; each costs a little more for a minute");
}
