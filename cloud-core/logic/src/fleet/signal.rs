//! What an agent measures, smoothed, so that one odd heartbeat does not move work about.
//! Exponential moving averages; the first value is taken as it is.

use shared::time::{Stamp, Timestamp};
use shared::wire::uplink::Load;

/// The weight of a new load measurement.
const LOAD_WEIGHT: f64 = 0.3;
/// The weight of a new round trip: 1/8, as TCP smooths its own (RFC 6298).
const RTT_WEIGHT: f64 = 0.125;
/// The weight of a new clock offset.
const OFFSET_WEIGHT: f64 = 0.25;
/// A monotonic offset that differs by more than this was measured against a wall clock of the
/// core that was set since.
const MONO_JUMP_MS: u64 = 60_000;
/// An offset that jumps by more than this is taken as it is: the clock was set.
const OFFSET_JUMP_MS: f64 = 2_000.0;

/// Smoothed measurements of one agent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Signal {
    load: Option<f64>,
    rtt_ms: Option<f64>,
    offset_ms: Option<f64>,
    clock_trusted: Option<bool>,
    /// What is to be added to the monotonic clock of one start of the agent's kernel to have the
    /// core's wall clock.
    mono: Option<(u32, i64)>,
}

fn blend(old: Option<f64>, new: f64, weight: f64) -> f64 {
    old.map_or(new, |old| old + weight * (new - old))
}

impl Signal {
    /// Smoothed load, 0..1; 0 before the first measurement.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.load.unwrap_or(0.0)
    }

    /// Smoothed round trip in milliseconds, once measured.
    #[must_use]
    pub fn latency_ms(&self) -> Option<f64> {
        self.rtt_ms
    }

    /// How far the agent's wall clock is ahead of the core's, in milliseconds, once measured.
    #[must_use]
    pub fn clock_offset_ms(&self) -> Option<i64> {
        // Bounded by what a timestamp can hold; the cast saturates.
        self.offset_ms.map(|offset| offset.round() as i64)
    }

    /// Whether the agent believes its own wall clock, once it said so.
    #[must_use]
    pub fn clock_trusted(&self) -> Option<bool> {
        self.clock_trusted
    }

    /// Takes a reading of the agent's other clocks in a message that arrived at `received`.
    pub fn measure_stamp(&mut self, stamp: Stamp, received: Timestamp) {
        self.clock_trusted = Some(stamp.trusted);
        // Half the shortest way: the fraction of a millisecond that a cast loses is no matter.
        let way_ms = (self.rtt_ms.unwrap_or(0.0) / 2.0) as i64;
        let mono_ms = i64::try_from(stamp.mono_ms).unwrap_or(i64::MAX);
        let offset_ms = received.0.saturating_sub(way_ms).saturating_sub(mono_ms);
        // The earliest estimate is the one whose message was held up least; a core whose own
        // clock was set begins anew.
        let before = self.mono.filter(|(board, _)| *board == stamp.board).map(|(_, old)| old);
        let settled = before.filter(|old| old.abs_diff(offset_ms) < MONO_JUMP_MS);
        let kept = settled.map_or(offset_ms, |old| old.min(offset_ms));
        self.mono = Some((stamp.board, kept));
    }

    /// When something happened by the core's clock: by the agent's monotonic clock where its
    /// kernel has not started anew since, else by its wall clock if it believed it.
    #[must_use]
    pub fn by_our_clock(&self, at: Timestamp, stamp: Stamp) -> Option<Timestamp> {
        let mono_ms = i64::try_from(stamp.mono_ms).unwrap_or(i64::MAX);
        match self.mono {
            Some((board, offset_ms)) if board == stamp.board => {
                Some(Timestamp(mono_ms).plus_ms(offset_ms))
            }
            _ if stamp.trusted => Some(at.plus_ms(-self.clock_offset_ms().unwrap_or(0))),
            _ => None,
        }
    }

    /// Takes a load. Values a sane agent never sends are clamped or ignored.
    pub fn measure_load(&mut self, load: Load) {
        let worst = load.cpu.max(load.memory);
        if worst.is_finite() {
            self.load = Some(blend(self.load, worst.clamp(0.0, 1.0), LOAD_WEIGHT));
        }
    }

    /// Takes a round trip, in milliseconds.
    pub fn measure_rtt(&mut self, rtt_ms: f64) {
        if rtt_ms.is_finite() && (0.0..=3_600_000.0).contains(&rtt_ms) {
            self.rtt_ms = Some(blend(self.rtt_ms, rtt_ms, RTT_WEIGHT));
        }
    }

    /// Takes the agent's wall clock as it was when it sent a message that arrived at `received`.
    /// Half the round trip is taken to be the way here.
    pub fn measure_clock(&mut self, sent: Timestamp, received: Timestamp) {
        let way_ms = self.rtt_ms.unwrap_or(0.0) / 2.0;
        let offset = (sent.0 as f64) - (received.0 as f64) + way_ms;
        let jumped = self.offset_ms.is_none_or(|old| (offset - old).abs() > OFFSET_JUMP_MS);
        let old = if jumped { None } else { self.offset_ms };
        self.offset_ms = Some(blend(old, offset, OFFSET_WEIGHT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_measurement_moves_little_and_nonsense_nothing() {
        let mut signal = Signal::default();
        signal.measure_rtt(10.0);
        signal.measure_rtt(90.0);
        assert_eq!(signal.latency_ms(), Some(20.0));
        signal.measure_rtt(f64::NAN);
        signal.measure_rtt(-1.0);
        assert_eq!(signal.latency_ms(), Some(20.0));
        signal.measure_load(Load { cpu: 7.0, memory: 0.0, disk: 0.0 });
        assert_eq!(signal.load(), 1.0);
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        let mut signal = Signal::default();
        signal.measure_clock(Timestamp(1_000), Timestamp(900));
        assert_eq!(signal.clock_offset_ms(), Some(100));
        signal.measure_clock(Timestamp(0), Timestamp(1_000_000));
        assert_eq!(signal.clock_offset_ms(), Some(-1_000_000));
    }
}
