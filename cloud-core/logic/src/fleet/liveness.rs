//! Whether an agent can be heard: online → suspect → offline by missed heartbeats, offline at once
//! by a last will, and back with hysteresis: an agent that was lost is believed again only after
//! several heartbeats in a row, and after more of them the more often it was lost of late.

use std::collections::VecDeque;

use shared::api::AgentStatus;
use shared::time::Monotonic;

use crate::settings::Settings;

/// How long a fall counts against an agent, in milliseconds.
const FALL_MEMORY_MS: u64 = 10 * 60_000;
/// The most falls that count.
const FALLS_MAX: usize = 6;

/// What is known of one agent's audibility.
#[derive(Debug, Clone, PartialEq)]
pub struct Liveness {
    status: AgentStatus,
    last_heard: Monotonic,
    /// Heartbeats since it was heard again, while it is not online.
    steady: u64,
    falls: VecDeque<Monotonic>,
}

impl Liveness {
    /// An agent that says hello for the first time.
    #[must_use]
    pub fn newcomer(now: Monotonic) -> Self {
        Self { status: AgentStatus::Online, last_heard: now, steady: 0, falls: VecDeque::new() }
    }

    /// An agent known from before the core started: given time to be heard before it is missed.
    #[must_use]
    pub fn remembered(now: Monotonic) -> Self {
        Self { status: AgentStatus::Suspect, last_heard: now, steady: 0, falls: VecDeque::new() }
    }

    /// Whether it can be heard.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        self.status
    }

    /// When it was last heard.
    #[must_use]
    pub fn last_heard(&self) -> Monotonic {
        self.last_heard
    }

    /// It said something that is no heartbeat: it is there, which proves nothing about how steady
    /// its link is.
    pub fn hear(&mut self, now: Monotonic) {
        self.last_heard = self.last_heard.max(now);
        if self.status == AgentStatus::Offline {
            self.status = AgentStatus::Suspect;
            self.steady = 0;
        }
    }

    /// It said hello: a first one after the core's start, or after an orderly restart, is believed
    /// at once; one after a fall has to be followed by heartbeats.
    pub fn greet(&mut self, now: Monotonic) {
        self.forget_old_falls(now);
        self.hear(now);
        if self.falls.is_empty() {
            self.status = AgentStatus::Online;
        }
    }

    /// A heartbeat came.
    pub fn beat(&mut self, now: Monotonic, settings: &Settings) {
        self.hear(now);
        self.forget_old_falls(now);
        if self.status == AgentStatus::Suspect {
            self.steady += 1;
            let extra = self.falls.len().saturating_sub(1) as u64;
            let needed = if self.falls.is_empty() { 1 } else { settings.recover_beats + extra };
            if self.steady >= needed {
                self.status = AgentStatus::Online;
            }
        }
    }

    /// Its connection is gone: the broker, or the agent itself, says so.
    pub fn gone(&mut self, now: Monotonic, orderly: bool) {
        if self.status != AgentStatus::Offline {
            self.status = AgentStatus::Offline;
            if !orderly {
                self.fall(now);
            }
        }
    }

    /// Looks whether it has been silent for too long.
    pub fn look(&mut self, now: Monotonic, settings: &Settings) {
        let silent_ms = now.since_ms(self.last_heard);
        if silent_ms >= settings.offline_after_beats * settings.heartbeat_ms {
            if self.status != AgentStatus::Offline {
                self.status = AgentStatus::Offline;
                self.fall(now);
            }
        } else if silent_ms >= settings.suspect_after_beats * settings.heartbeat_ms {
            if self.status == AgentStatus::Online {
                self.status = AgentStatus::Suspect;
            }
            self.steady = 0;
        }
    }

    /// When to look next; `None` while it is offline.
    #[must_use]
    pub fn look_at(&self, settings: &Settings) -> Option<Monotonic> {
        let beats = match self.status {
            AgentStatus::Online => settings.suspect_after_beats,
            AgentStatus::Suspect => settings.offline_after_beats,
            AgentStatus::Offline => return None,
        };
        Some(self.last_heard + beats * settings.heartbeat_ms)
    }

    /// Silence up to now is not the agent's fault: the core itself was cut off.
    pub fn excuse(&mut self, now: Monotonic) {
        self.last_heard = self.last_heard.max(now);
    }

    fn fall(&mut self, now: Monotonic) {
        self.steady = 0;
        if self.falls.len() == FALLS_MAX {
            self.falls.pop_front();
        }
        self.falls.push_back(now);
    }

    fn forget_old_falls(&mut self, now: Monotonic) {
        while self.falls.front().is_some_and(|&at| now.since_ms(at) > FALL_MEMORY_MS) {
            self.falls.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { heartbeat_ms: 1_000, ..Settings::default() }
    }

    #[test]
    fn missed_beats_lead_over_suspect_to_offline() {
        let settings = settings();
        let mut agent = Liveness::newcomer(Monotonic(0));
        agent.look(Monotonic(1_999), &settings);
        assert_eq!(agent.status(), AgentStatus::Online);
        agent.look(Monotonic(2_000), &settings);
        assert_eq!(agent.status(), AgentStatus::Suspect);
        assert_eq!(agent.look_at(&settings), Some(Monotonic(4_000)));
        agent.look(Monotonic(4_000), &settings);
        assert_eq!(agent.status(), AgentStatus::Offline);
        assert_eq!(agent.look_at(&settings), None);
    }

    #[test]
    fn each_recent_fall_asks_for_one_more_beat() {
        let settings = settings();
        let mut agent = Liveness::newcomer(Monotonic(0));
        for fall in 0..3 {
            agent.gone(Monotonic(10), false);
            agent.greet(Monotonic(20));
            assert_eq!(agent.status(), AgentStatus::Suspect);
            let mut beats = 0;
            while agent.status() != AgentStatus::Online {
                agent.beat(Monotonic(30), &settings);
                beats += 1;
            }
            assert_eq!(beats, settings.recover_beats + fall);
        }
    }

    #[test]
    fn an_old_fall_and_an_orderly_stop_are_not_held_against_it() {
        let settings = settings();
        let mut agent = Liveness::newcomer(Monotonic(0));
        agent.gone(Monotonic(10), true);
        agent.greet(Monotonic(20));
        assert_eq!(agent.status(), AgentStatus::Online);
        agent.gone(Monotonic(30), false);
        agent.greet(Monotonic(30 + FALL_MEMORY_MS + 1));
        assert_eq!(agent.status(), AgentStatus::Online);
        let mut known = Liveness::remembered(Monotonic(0));
        known.beat(Monotonic(1), &settings);
        assert_eq!(known.status(), AgentStatus::Online);
    }
}
