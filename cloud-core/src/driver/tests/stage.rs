//! A store and a way out that do as they are told, and write down what happened.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cloud_core_logic::change::{Change, Credential, Stored};
use shared::id::AgentId;
use shared::time::Timestamp;
use shared::wire::Downlink;

use crate::driver::Outbound;
use crate::store::{
    AgentLogs, HistoryBounds, HistoryPruned, KeptLogs, LogBounds, Pruned, Reader, Store, StoreError,
};

/// What a store is told to do with the next commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Works,
    Full,
    Contradicts,
    Hangs,
}

/// What the store did and what the driver said, in one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happened {
    Committed { changes: usize },
    LogsKept { chunks: usize },
    LogsFailed,
    LogsGivenUp,
    LogsAcked(AgentId, u64),
    Failed,
    CredentialPut(AgentId),
    CredentialRemoved(AgentId),
    Sent(AgentId),
    JoinAnswered(AgentId, bool),
}

#[derive(Debug)]
pub(super) struct Stage {
    mood: Mutex<Mood>,
    changed: Condvar,
    hanging: AtomicBool,
    happened: Mutex<Vec<Happened>>,
}

impl Stage {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(Mood::Works),
            changed: Condvar::new(),
            hanging: AtomicBool::new(false),
            happened: Mutex::default(),
        })
    }

    fn note(&self, happened: Happened) {
        self.happened.lock().expect("lock").push(happened);
    }

    pub(super) fn happened(&self) -> Vec<Happened> {
        self.happened.lock().expect("lock").clone()
    }

    pub(super) fn set(&self, mood: Mood) {
        *self.mood.lock().expect("lock") = mood;
        self.changed.notify_all();
    }

    pub(super) fn hangs(&self) -> bool {
        self.hanging.load(Ordering::Acquire)
    }

    pub(super) fn commits(&self) -> usize {
        let committed = |happened: &&Happened| matches!(happened, Happened::Committed { .. });
        self.happened.lock().expect("lock").iter().filter(committed).count()
    }

    pub(super) async fn until(&self, what: impl Fn(&[Happened]) -> bool) {
        for _ in 0..1_000 {
            if what(&self.happened.lock().expect("lock")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never happened: {:?}", self.happened());
    }
}

/// A store that fails as it is told.
pub(super) struct Moody {
    pub(super) store: Box<dyn Store>,
    pub(super) stage: Arc<Stage>,
}

impl Store for Moody {
    fn load(&mut self) -> Result<Stored, StoreError> {
        self.store.load()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut mood = self.stage.mood.lock().expect("lock");
        while *mood == Mood::Hangs {
            self.stage.hanging.store(true, Ordering::Release);
            mood = self.stage.changed.wait(mood).expect("wait");
        }
        let error = match *mood {
            Mood::Works | Mood::Hangs => {
                self.store.commit(changes)?;
                self.stage.note(Happened::Committed { changes: changes.len() });
                return Ok(());
            }
            Mood::Full => StoreError::Full { source: "no room".into() },
            Mood::Contradicts => StoreError::Contradiction { what: "told to".to_owned() },
        };
        self.stage.note(Happened::Failed);
        Err(error)
    }

    fn keep_logs(
        &mut self,
        logs: &[AgentLogs],
        bounds: &LogBounds,
        now: Timestamp,
    ) -> Result<KeptLogs, StoreError> {
        if *self.stage.mood.lock().expect("lock") != Mood::Works {
            self.stage.note(Happened::LogsFailed);
            return Err(StoreError::Full { source: "no room".into() });
        }
        self.stage.note(Happened::LogsKept { chunks: logs.len() });
        self.store.keep_logs(logs, bounds, now)
    }

    fn prune_logs(&mut self, bounds: &LogBounds, now: Timestamp) -> Result<Pruned, StoreError> {
        let before = self.store.prune_logs(&LogBounds::default(), now)?;
        let after = self.store.prune_logs(bounds, now)?;
        if after.bytes < before.bytes {
            self.stage.note(Happened::LogsGivenUp);
        }
        Ok(after)
    }

    fn prune_history(
        &mut self,
        bounds: &HistoryBounds,
        effort: usize,
        now: Timestamp,
    ) -> Result<HistoryPruned, StoreError> {
        self.store.prune_history(bounds, effort, now)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.store.reader()
    }
}

pub(super) struct Recorder(pub(super) Arc<Stage>);

impl Outbound for Recorder {
    fn put_credential(&mut self, agent: &AgentId, _credential: &Credential) {
        self.0.note(Happened::CredentialPut(agent.clone()));
    }

    fn remove_credential(&mut self, agent: &AgentId) {
        self.0.note(Happened::CredentialRemoved(agent.clone()));
    }

    fn readmit(&mut self, _agent: &AgentId) {}

    fn send(&mut self, agent: &AgentId, message: &Downlink) {
        self.0.note(match message {
            Downlink::LogsAcked { upto, .. } => Happened::LogsAcked(agent.clone(), *upto),
            _ => Happened::Sent(agent.clone()),
        });
    }

    fn answer_join(&mut self, agent: &AgentId, message: &Downlink) {
        let granted = matches!(message, Downlink::Joined);
        self.0.note(Happened::JoinAnswered(agent.clone(), granted));
    }
}
