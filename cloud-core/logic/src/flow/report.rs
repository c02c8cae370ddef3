//! report: what agents tell about their assignments takes effect, each entry once and in order.
//! What a stale attempt tells is kept as history and changes nothing else.

use shared::api::HistoryDocument;
use shared::assignment::Ending;
use shared::id::{AgentId, AssignmentId};
use shared::mailbox::{Admission, Inbox};
use shared::report::{End, Report, ReportEvent};
use shared::time::Timestamp;
use shared::wire::Downlink;
use shared::wire::uplink::Reports;

use super::{Context, Event};
use crate::change::Change;
use crate::cloud::Cloud;
use crate::effect::Effect;

/// Takes a run of outbox entries.
pub(crate) fn reports(cloud: &mut Cloud, agent: &AgentId, run: Reports, context: &mut Context) {
    let Some(channel) = cloud.channels.get(agent) else {
        return;
    };
    if channel.inbox.incarnation != run.incarnation {
        // Either end may be behind the times; a hello sorts it out.
        context.effect(Effect::Send { agent: agent.clone(), message: Downlink::WhoIsThere });
        return;
    }
    let mut acked = channel.inbox.acked;
    if let Admission::Above(held) = channel.inbox.admit(run.after) {
        for item in run.items {
            // In order and without repeats, whatever the sender's state of mind.
            if item.seq > acked && item.seq > held {
                acked = item.seq;
                take(cloud, agent, item.report, context);
            }
        }
    }
    let inbox = Inbox { incarnation: run.incarnation, acked };
    if let Some(channel) = cloud.channels.get_mut(agent) {
        channel.liveness.hear(context.now.mono);
        if channel.inbox != inbox {
            channel.inbox = inbox;
            context.change(Change::InboxMoved { agent: agent.clone(), inbox });
        }
    }
    let message = Downlink::Acked { incarnation: run.incarnation, seq: acked };
    context.effect(Effect::Send { agent: agent.clone(), message });
    cloud.follow_status(agent, context);
}

fn take(cloud: &mut Cloud, agent: &AgentId, report: Report, context: &mut Context) {
    let Report { assignment, at, event } = report;
    if !cloud.is_current(agent, assignment) {
        if never_ran(&event) {
            // A tombstone met nothing that it could end.
            return;
        }
        let entry = HistoryDocument {
            agent: agent.clone(),
            attempt: assignment.attempt,
            received_at: context.now.wall,
            event,
        };
        let entry = Box::new(entry);
        context.change(Change::LateReport { task: assignment.task, entry });
        return;
    }
    let at = cloud.by_our_clock(agent, assignment, at, context.now.wall);
    let id = assignment.task;
    match event {
        ReportEvent::Accepted => {
            cloud.move_assignment(id, context, |row| {
                row.state.accept(at)?;
                row.accepted_at = Some(at);
                Ok(())
            });
        }
        ReportEvent::Started => {
            let moved = cloud.move_assignment(id, context, |row| {
                row.state.start(at)?;
                row.started_at = Some(at);
                Ok(())
            });
            if moved {
                // The task's state follows its assignment's; it cannot run already.
                let _ = cloud.move_task(id, context, |life| life.state.start());
            }
        }
        ReportEvent::Refused { reason, detail } => {
            cloud.end_assignment(id, context, Ending::Refused { reason, detail }, None);
            context.then(Event::AttemptEnded { task: id });
        }
        ReportEvent::Finished(finish) => {
            cloud.end_assignment(id, context, Ending::Finished(finish), None);
            context.then(Event::AttemptEnded { task: id });
        }
    }
}

fn never_ran(event: &ReportEvent) -> bool {
    let ReportEvent::Finished(finish) = event else {
        return false;
    };
    finish.started_at.is_none() && matches!(finish.end, End::Stopped { .. })
}

impl Cloud {
    /// The fence: whether an assignment is the one under way, on this agent.
    fn is_current(&self, agent: &AgentId, assignment: AssignmentId) -> bool {
        let row = self.tasks.get(&assignment.task).and_then(|task| task.assignment.as_ref());
        row.is_some_and(|row| row.id == assignment && row.agent == *agent && !row.state.is_ended())
    }

    /// A time that an agent read off its wall clock, by ours: moved by the offset measured, and
    /// never before the offer or after now, whatever that clock shows.
    fn by_our_clock(
        &self,
        agent: &AgentId,
        assignment: AssignmentId,
        at: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        let offset_ms = self.fleet.get(agent).and_then(|agent| agent.signal.clock_offset_ms());
        let moved = at.plus_ms(-offset_ms.unwrap_or(0));
        let row = self.tasks.get(&assignment.task).and_then(|task| task.assignment.as_ref());
        let offered_at = row.map_or(now, |row| row.offered_at);
        moved.min(now).max(offered_at.min(now))
    }
}
