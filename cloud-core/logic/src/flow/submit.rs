//! submit: a task is taken on, once per idempotency key.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use shared::id::TaskId;
use shared::spec::TaskSpec;
use shared::time::Timestamp;
use shared::trace::Trace;

use super::Context;
use crate::change::{Change, TaskLife, TaskRow};
use crate::cloud::{Cloud, Task};
use crate::document;
use crate::effect::{Answer, Taken};
use crate::firing::Origin;
use crate::happening::Happening;
use crate::input::{NewTask, Submission, Submissions};
use crate::queue::{Rank, Spot};
use crate::timers::Alarm;

/// The most keys remembered here. The store remembers all of them and is asked first; these only
/// cover the moment between that question and the commit of a submission with the same key.
pub const KEYS_MAX: usize = 100_000;

/// The latest idempotency keys, each with its task and the hash of its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentKeys {
    by_key: BTreeMap<String, (TaskId, String)>,
    oldest_first: VecDeque<String>,
}

impl RecentKeys {
    fn insert(&mut self, key: String, task: TaskId, body_hash: String) {
        if self.oldest_first.len() == KEYS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_key.remove(&oldest);
        }
        self.oldest_first.push_back(key.clone());
        self.by_key.insert(key, (task, body_hash));
    }
}

/// One task.
pub(crate) fn submit(cloud: &mut Cloud, submission: Submission, context: &mut Context) {
    let Submission { id, spec, key, trace, reply } = submission;
    let row = row_of(cloud, NewTask { id, spec, key, trace }, context.now.wall);
    let answer = match take_on(cloud, row.clone(), context) {
        Taken::Submitted { .. } => {
            Answer::Submitted(Box::new(document::task(&row, &[], Vec::new())))
        }
        Taken::Repeated(first) => Answer::Repeated(first),
        Taken::KeyReused(first) => Answer::KeyReused(first),
        Taken::UnknownProfile(problem) => Answer::UnknownProfile(problem),
        Taken::QueueFull { pending_max, retry_after_s } => {
            Answer::QueueFull { pending_max, retry_after_s }
        }
    };
    context.answer(reply, answer);
}

/// Many tasks, each for itself: one that is not taken does not keep the others out.
pub(crate) fn submit_many(cloud: &mut Cloud, submissions: Submissions, context: &mut Context) {
    let Submissions { tasks, reply } = submissions;
    let now = context.now.wall;
    let mut take = |task| {
        let row = row_of(cloud, task, now);
        take_on(cloud, row, context)
    };
    let taken = tasks.into_iter().map(&mut take).collect();
    context.answer(reply, Answer::SubmittedMany(taken));
}

/// The row of a task that is submitted at this moment.
fn row_of(cloud: &Cloud, task: NewTask, now: Timestamp) -> TaskRow {
    let NewTask { id, spec, key, trace } = task;
    let deadline_ms = spec.deadline_s.map(|seconds| seconds.saturating_mul(1_000));
    let deadline_at = deadline_ms.map(|ms| now.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX)));
    let trace = trace.or_else(|| unsampled(id, cloud.settings.trace_one_in));
    let life = TaskLife::new(now);
    TaskRow { id, spec, key, submitted_at: now, deadline_at, trace, origin: None, life }
}

fn take_on(cloud: &mut Cloud, row: TaskRow, context: &mut Context) -> Taken {
    let id = row.id;
    if let Some(key) = &row.key
        && let Some((first, body_hash)) = cloud.keys.by_key.get(&key.key)
    {
        let same = *body_hash == key.body_hash;
        return if same { Taken::Repeated(*first) } else { Taken::KeyReused(*first) };
    }
    if let Err(problem) = cloud.policy.check_profile(row.spec.prefer.profile.as_deref()) {
        return Taken::UnknownProfile(Box::new(problem));
    }
    let pending_max = cloud.settings.pending_max;
    if cloud.waiting() >= pending_max {
        return Taken::QueueFull { pending_max, retry_after_s: 5 };
    }
    let now = context.now;
    if let Some(seconds) = row.spec.deadline_s {
        cloud.timers.set(Alarm::Deadline(id), now.mono + seconds.saturating_mul(1_000));
    }
    if let Some(key) = &row.key {
        cloud.keys.insert(key.key.clone(), id, key.body_hash.clone());
    }
    let spot: Spot = cloud.queue.ready(Rank::of(id, &row.spec));
    let spec = cloud.specs.share(&row.spec);
    cloud.tasks.insert(id, Box::new(Task::new(&row, spec, spot)));
    context.change(Change::TaskAdded(Box::new(row)));
    context.tell(Happening::submitted(id));
    Taken::Submitted { at: now.wall }
}

/// The trace of a task that came without one, if that is not to be sampled.
fn unsampled(id: TaskId, one_in: u64) -> Option<Box<Trace>> {
    let own = Trace::of_task(id);
    (!own.id.is_one_in(one_in)).then(|| Box::new(Trace { sampled: false, ..own }))
}

impl Cloud {
    /// Takes on a task that nobody submitted.
    ///
    /// # Errors
    /// A sentence that says why it is not taken.
    pub(crate) fn take_on_fired(
        &mut self,
        id: TaskId,
        spec: Arc<TaskSpec>,
        origin: Origin,
        context: &mut Context,
    ) -> Result<(), String> {
        let row = self.fired_row(id, spec, origin, context.now.wall);
        match take_on(self, row, context) {
            Taken::Submitted { .. } => Ok(()),
            Taken::UnknownProfile(problem) => Err(format!("`prefer.profile` {}", problem.detail)),
            Taken::QueueFull { pending_max, .. } => {
                Err(format!("{pending_max} tasks wait for a place, as many as may"))
            }
            // It has no key.
            Taken::Repeated(first) | Taken::KeyReused(first) => Err(format!("{first} was first")),
        }
    }

    /// The row of a task that a schedule makes at this moment.
    pub(crate) fn fired_row(
        &self,
        id: TaskId,
        spec: Arc<TaskSpec>,
        origin: Origin,
        now: Timestamp,
    ) -> TaskRow {
        let task = NewTask { id, spec, key: None, trace: None };
        TaskRow { origin: Some(Box::new(origin)), ..row_of(self, task, now) }
    }

    /// Tasks that have no attempt under way: what the bound on waiting tasks counts.
    fn waiting(&self) -> u64 {
        (self.queue.len() + self.backing_off) as u64
    }
}
