//! Counts what a run has exercised, by kind, so that a kind that never came up fails the run
//! instead of hiding behind a green result.

use std::collections::BTreeMap;

use shared::wire::{Downlink, Uplink};

use crate::plan::FAULTS;

/// Kinds beside the faults of the plan that every long enough run must have seen.
const EXPECTED: [&str; 46] = [
    "up join",
    "up hello",
    "up heartbeat",
    "up reports",
    "up ping",
    "up gone",
    "down joined",
    "down join_refused",
    "down welcome",
    "down refused",
    "down desired",
    "down acked",
    "down pong",
    "down who_is_there",
    "message lost",
    "message repeated",
    "message late",
    "core crash before commit",
    "core crash after commit",
    "core crash among effects",
    "agent crash before commit",
    "agent crash after commit",
    "agent crash among effects",
    "found running",
    "found ended",
    "found never started",
    "found gone",
    "reports cut",
    "spawn failed",
    "process killed",
    "terminate",
    "will fired",
    "late report",
    "submission repeated",
    "queue full",
    "settled succeeded",
    "settled failed",
    "settled canceled",
    "ending finished",
    "ending refused",
    "ending lost",
    "ending withdrawn",
    "exclusive started",
    "agent refused",
    "outbox full",
    "desired gap",
];

/// How often each kind of thing happened.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    counts: BTreeMap<String, u64>,
}

impl Coverage {
    pub fn count(&mut self, kind: &str) {
        if let Some(count) = self.counts.get_mut(kind) {
            *count += 1;
        } else {
            self.counts.insert(kind.to_owned(), 1);
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(kind.clone()).or_default() += count;
        }
    }

    pub fn missing(&self) -> Vec<String> {
        let faults = FAULTS.iter().map(|fault| format!("fault {fault:?}"));
        let others = EXPECTED.iter().map(|kind| (*kind).to_owned());
        faults.chain(others).filter(|kind| !self.counts.contains_key(kind)).collect()
    }

    pub fn print(&self) {
        for (kind, count) in &self.counts {
            println!("  {count:>9}  {kind}");
        }
    }
}

pub fn up_kind(message: &Uplink) -> &'static str {
    match message {
        Uplink::Join(_) => "up join",
        Uplink::Hello(_) => "up hello",
        Uplink::Heartbeat(_) => "up heartbeat",
        Uplink::Reports(_) => "up reports",
        Uplink::Ping { .. } => "up ping",
        Uplink::Gone(_) => "up gone",
    }
}

pub fn down_kind(message: &Downlink) -> &'static str {
    match message {
        Downlink::Joined => "down joined",
        Downlink::JoinRefused(_) => "down join_refused",
        Downlink::Welcome(_) => "down welcome",
        Downlink::Refused(_) => "down refused",
        Downlink::Desired(_) => "down desired",
        Downlink::Acked { .. } => "down acked",
        Downlink::Pong { .. } => "down pong",
        Downlink::WhoIsThere => "down who_is_there",
    }
}
