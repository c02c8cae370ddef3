//! report: what agents tell about their assignments takes effect, each entry once and in order.
//! What a stale attempt tells is kept as history and changes nothing else.

use shared::api::HistoryDocument;
use shared::assignment::Ending;
use shared::id::{AgentId, AssignmentId, TaskId};
use shared::mailbox::{Admission, Inbox};
use shared::report::{End, Finish, ProgressMark, Report, ReportEvent};
use shared::time::{Stamp, Timestamp};
use shared::wire::Downlink;
use shared::wire::uplink::{AttemptProgress, NumberedReport, ProgressNews, Reports};

use super::{Context, Event};
use crate::change::{AssignmentRow, Change, Progressed};
use crate::cloud::Cloud;
use crate::effect::{Effect, Notice, Word};
use crate::planted::planted;

/// The longest text of progress that is kept, in characters.
const PROGRESS_CHARS_MAX: usize = 200;

/// Takes what running attempts say of how far they have come.
pub(crate) fn progress(
    cloud: &mut Cloud,
    agent: &AgentId,
    news: ProgressNews,
    context: &mut Context,
) {
    let known = cloud.channels.get(agent);
    let known = known.map(|channel| (channel.inbox.incarnation, channel.session));
    if known != Some((news.incarnation, news.session)) {
        return;
    }
    for AttemptProgress { assignment, at, stamp, mark } in news.items {
        if !cloud.is_under_way(agent, assignment) {
            continue;
        }
        let at = cloud.by_our_clock(agent, assignment, at, stamp, context.now.wall);
        let thousandths = mark.thousandths.map(|thousandths| thousandths.min(1_000));
        let clean = mark.text.chars().filter(|letter| !letter.is_control());
        let mark = ProgressMark { thousandths, text: clean.take(PROGRESS_CHARS_MAX).collect() };
        let news = Some(Progressed { at, mark });
        cloud.move_attempt(assignment, context, |row| {
            row.progress = news;
            Ok(())
        });
    }
}

/// A run of a task's attempt is over, and its agent has begun another: it counts as if the core
/// had tried again.
fn run_ended(cloud: &mut Cloud, id: TaskId, finish: Box<Finish>, context: &mut Context) {
    // Its state follows its assignment's, which allowed it.
    let _ = cloud.move_task(id, context, |life| {
        life.count(&Ending::Finished(finish));
        life.state.begin_again()
    });
}

/// Takes a run of outbox entries.
pub(crate) fn reports(cloud: &mut Cloud, agent: &AgentId, run: Reports, context: &mut Context) {
    let Some(channel) = cloud.channels.get(agent) else {
        return;
    };
    if (channel.inbox.incarnation, channel.session) != (run.incarnation, run.session) {
        // Either end may be behind the times; a hello sorts it out.
        context.effect(Effect::Send { agent: agent.clone(), message: Downlink::WhoIsThere });
        return;
    }
    let mut acked = channel.inbox.acked;
    let admission = channel.inbox.admit(run.after);
    let blind = planted!(GapTaken).then_some(Admission::Above(acked));
    if let Admission::Above(held) = blind.unwrap_or(admission) {
        for item in run.items {
            // In order and without repeats, whatever the sender's state of mind.
            if (item.seq > acked && item.seq > held) || planted!(RepeatsTaken) {
                acked = item.seq;
                take(cloud, agent, item, context);
            }
        }
        acked = acked.max(run.upto);
    }
    let inbox = Inbox { incarnation: run.incarnation, acked };
    if let Some(channel) = cloud.channels.get_mut(agent) {
        channel.liveness.hear(context.now.mono);
        if channel.inbox != inbox {
            channel.inbox = inbox;
            context.change(Change::InboxMoved { agent: agent.clone(), inbox });
        }
    }
    let message = Downlink::Acked { core: cloud.core, incarnation: run.incarnation, seq: acked };
    context.effect(Effect::Send { agent: agent.clone(), message });
    context.then(Event::Compare { agent: agent.clone() });
    cloud.follow_status(agent, context);
}

/// The fence: takes what an attempt tells if it is under way, or may come back; anything else is
/// kept as history.
fn take(cloud: &mut Cloud, agent: &AgentId, item: NumberedReport, context: &mut Context) {
    let Report { mut assignment, at, stamp, event } = item.report;
    if planted!(StaleCounts) {
        let current = cloud.tasks.get(&assignment.task).and_then(|task| task.current());
        assignment = current.unwrap_or(assignment);
    }
    if let ReportEvent::Fired { schedule, version, moment } = event
        && cloud.take_fired(agent, assignment, item.seq, (schedule, version, moment), context)
    {
        return;
    }
    if let ReportEvent::NotFired { schedule, version, moment, upto, count, because } = event {
        let told = (schedule, version, moment);
        cloud.take_not_fired(agent, told, (upto, count), because, context);
        return;
    }
    if !cloud.is_under_way(agent, assignment) && cloud.may_have_forgotten(assignment) {
        cloud.adopt(agent, assignment, context);
        context.then(Event::AskForInventory { agent: agent.clone() });
    }
    if cloud.is_under_way(agent, assignment) {
        let at = cloud.by_our_clock(agent, assignment, at, stamp, context.now.wall);
        take_effect(cloud, assignment, at, event, context);
        return;
    }
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
}

fn take_effect(
    cloud: &mut Cloud,
    assignment: AssignmentId,
    at: Timestamp,
    event: ReportEvent,
    context: &mut Context,
) {
    let (id, stray) = (assignment.task, !cloud.is_current(assignment));
    notice(cloud, assignment, at, &event, context);
    match event {
        ReportEvent::Accepted => {
            cloud.move_attempt(assignment, context, |row| {
                row.state.accept(at)?;
                row.accepted_at = Some(at);
                Ok(())
            });
        }
        ReportEvent::Started => {
            let moved = cloud.move_attempt(assignment, context, |row| {
                row.state.start(at)?;
                row.started_at = Some(at);
                Ok(())
            });
            if moved && !stray {
                // The task's state follows its assignment's; it cannot run already.
                let _ = cloud.move_task(id, context, |life| life.state.start());
            }
        }
        ReportEvent::Retried(finish) => {
            let moved = cloud.move_attempt(assignment, context, |row| {
                row.state.begin_again(at)?;
                row.retries = row.retries.saturating_add(1);
                Ok(())
            });
            if moved && !stray {
                run_ended(cloud, id, finish, context);
            }
        }
        // What made an attempt is told before it, and of none that there is.
        ReportEvent::Fired { .. } | ReportEvent::NotFired { .. } => {}
        ReportEvent::Refused { reason, detail } => {
            let ending = Ending::Refused { reason, detail };
            ended(cloud, assignment, ending, stray, context);
        }
        ReportEvent::Finished(finish) => {
            // That it started is not told apart from an end that was near.
            if let Some(ran_ms) = finish.ran_ms {
                let ran_ms = i64::try_from(ran_ms).unwrap_or(i64::MAX);
                cloud.note_start(assignment, at.plus_ms(-ran_ms));
            }
            ended(cloud, assignment, Ending::Finished(finish), stray, context);
        }
    }
}

/// Tells those who watch how long this was under way.
fn notice(
    cloud: &Cloud,
    assignment: AssignmentId,
    at: Timestamp,
    event: &ReportEvent,
    context: &mut Context,
) {
    let word = match event {
        ReportEvent::Accepted => Word::Accepted,
        ReportEvent::Started => Word::Started,
        ReportEvent::Finished(_) => Word::Finished,
        ReportEvent::Retried(_)
        | ReportEvent::Refused { .. }
        | ReportEvent::Fired { .. }
        | ReportEvent::NotFired { .. } => return,
    };
    let now = context.now.wall;
    let row = cloud.tasks.get(&assignment.task).and_then(|task| task.attempt(assignment));
    if let (Word::Accepted, Some(row)) = (word, row) {
        let after_ms = now.since_ms(row.offered_at);
        context.notice(Notice::Accepted { assignment, after_ms });
    }
    context.notice(Notice::Heard { assignment, word, after_ms: now.since_ms(at) });
}

fn ended(
    cloud: &mut Cloud,
    assignment: AssignmentId,
    ending: Ending,
    stray: bool,
    context: &mut Context,
) {
    cloud.doubt(assignment, &ending);
    if stray {
        context.then(Event::StrayFinished { stray: assignment, ending });
        return;
    }
    cloud.end_assignment(assignment.task, context, ending, None);
    context.next(Event::AttemptEnded { task: assignment.task });
}

fn never_ran(event: &ReportEvent) -> bool {
    let ReportEvent::Finished(finish) = event else {
        return false;
    };
    finish.started_at.is_none() && matches!(finish.end, End::Stopped { .. })
}

impl Cloud {
    /// The fence: whether an assignment is under way on this agent, or is a stray that may come
    /// back from it.
    fn is_under_way(&self, agent: &AgentId, assignment: AssignmentId) -> bool {
        let row = self.tasks.get(&assignment.task).and_then(|task| task.attempt(assignment));
        let its = |row: &AssignmentRow| row.agent == *agent || planted!(StaleCounts);
        row.is_some_and(|row| its(row) && !row.state.is_ended())
    }

    /// Whether an assignment is the current one of its task.
    fn is_current(&self, assignment: AssignmentId) -> bool {
        self.tasks.get(&assignment.task).and_then(|task| task.current()) == Some(assignment)
    }

    /// Notes when an attempt started, if that is not known. Goes to the store with its end.
    fn note_start(&mut self, assignment: AssignmentId, at: Timestamp) {
        let task = self.tasks.get_mut(&assignment.task);
        if let Some(row) = task.and_then(|task| task.attempt_mut(assignment)) {
            row.started_at = row.started_at.or(Some(at.max(row.offered_at)));
        }
    }

    /// A time that an agent read off its clocks, by ours: moved by the offset measured, and
    /// never before the offer or after now, whatever that clock shows.
    fn by_our_clock(
        &self,
        agent: &AgentId,
        assignment: AssignmentId,
        at: Timestamp,
        stamp: Stamp,
        now: Timestamp,
    ) -> Timestamp {
        let moved = self.fleet.get(agent).and_then(|agent| agent.signal.by_our_clock(at, stamp));
        let moved = moved.unwrap_or(now);
        let row = self.tasks.get(&assignment.task).and_then(|task| task.attempt(assignment));
        let offered_at = row.map_or(now, |row| row.offered_at);
        moved.min(now).max(offered_at.min(now))
    }
}
