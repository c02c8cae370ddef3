//! submit: a task is taken on, once per idempotency key.

use std::collections::{BTreeMap, VecDeque};

use shared::id::TaskId;
use shared::task::TaskState;

use super::Context;
use crate::change::{Change, TaskLife, TaskRow};
use crate::cloud::{Cloud, Task};
use crate::document;
use crate::effect::Answer;
use crate::input::Submission;
use crate::queue::{Rank, Spot};
use crate::timers::Alarm;

/// The most keys remembered here. The store remembers all of them and is asked first; these only
/// cover the moment between that question and the commit of a submission with the same key.
const KEYS_MAX: usize = 100_000;

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

pub(crate) fn submit(cloud: &mut Cloud, submission: Submission, context: &mut Context) {
    let Submission { id, spec, key, reply } = submission;
    if let Some(key) = &key
        && let Some((first, body_hash)) = cloud.keys.by_key.get(&key.key)
    {
        let same = *body_hash == key.body_hash;
        let answer = if same { Answer::Repeated(*first) } else { Answer::KeyReused(*first) };
        context.answer(reply, answer);
        return;
    }
    let pending_max = cloud.settings.pending_max;
    if cloud.waiting() >= pending_max {
        context.answer(reply, Answer::QueueFull { pending_max, retry_after_s: 5 });
        return;
    }
    let now = context.now;
    let deadline_ms = spec.deadline_s.map(|seconds| seconds.saturating_mul(1_000));
    let deadline_at = deadline_ms.map(|ms| now.wall.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX)));
    if let Some(ms) = deadline_ms {
        cloud.timers.set(Alarm::Deadline(id), now.mono + ms);
    }
    if let Some(key) = &key {
        cloud.keys.insert(key.key.clone(), id, key.body_hash.clone());
    }
    let life = TaskLife {
        state: TaskState::Queued,
        updated_at: now.wall,
        attempt: shared::id::Attempt(0),
        agent: None,
        failures: 0,
        losses: 0,
        refusals: 0,
        forgotten: None,
    };
    let row = TaskRow { id, spec, key, submitted_at: now.wall, deadline_at, life };
    context.change(Change::TaskAdded(Box::new(row.clone())));
    context.answer(reply, Answer::Submitted(Box::new(document::task(&row, &[], Vec::new()))));
    let spot: Spot = cloud.queue.ready(Rank::of(id, &row.spec));
    cloud.tasks.insert(id, Task::new(row, spot));
}

impl Cloud {
    /// Tasks that have no attempt under way: what the bound on waiting tasks counts.
    fn waiting(&self) -> u64 {
        (self.queue.len() + self.backing_off) as u64
    }
}
