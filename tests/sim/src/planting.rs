//! Plants faults one at a time, and says how many worlds it took to find each.

use std::fmt::Write;

use cloud_core_logic::planted as core;
use edge_agent_logic::planted as agent;

use crate::failure::Failure;
use crate::planted as driver;
use crate::runs;
use crate::sweep::Sweep;

/// Within how many worlds, from seed 1 on, each fault must be found.
pub const SEEDS_MAX: u64 = 25_000;

/// A fault, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    Core(core::Fault),
    Agent(agent::Fault),
    Driver(driver::Fault),
}

impl Planted {
    /// Every fault, with where it is and what it does.
    pub fn all() -> Vec<(Self, &'static str, &'static str)> {
        let core = core::Fault::ALL.iter().map(|(it, text)| (Self::Core(*it), "core", *text));
        let agent = agent::Fault::ALL.iter().map(|(it, text)| (Self::Agent(*it), "agent", *text));
        let driver =
            driver::Fault::ALL.iter().map(|(it, text)| (Self::Driver(*it), "driver", *text));
        core.chain(agent).chain(driver).collect()
    }
}

/// Plants a fault in what this thread plays from now on, or none.
pub fn plant(planted: Option<Planted>) {
    core::set(None);
    agent::set(None);
    driver::set(None);
    match planted {
        Some(Planted::Core(fault)) => core::set(Some(fault)),
        Some(Planted::Agent(fault)) => agent::set(Some(fault)),
        Some(Planted::Driver(fault)) => driver::set(Some(fault)),
        None => {}
    }
}

/// The first world that fails because of a fault, and does not fail alike without it.
fn find(planted: Planted, seeds: u64) -> Option<(u64, Failure)> {
    let mut first_seed = 1;
    while first_seed <= seeds {
        let sweep = Sweep::new(first_seed, seeds + 1 - first_seed);
        let sweep = Sweep { planted: Some(planted), until_failure: true, ..sweep };
        let (seed, failure) = sweep.run().failed.into_iter().next()?;
        plant(None);
        let sound = runs::seed(seed).failure;
        if sound.is_none_or(|sound| sound.name != failure.name) {
            return Some((seed, failure));
        }
        first_seed = seed + 1;
    }
    None
}

/// Plants every fault that is told of in some words, and looks for it in that many worlds. Tells the
/// table; whether each was found.
pub fn find_all(only: &str, seeds: u64, tell: impl Fn(&str)) -> bool {
    let mut missed = Vec::new();
    let sound = Sweep::new(1, 200).run();
    tell(&format!("without a fault: {} of 200 worlds fail", sound.failed.len()));
    tell("  worlds  where   planted");
    for (planted, place, text) in Planted::all() {
        if !text.contains(only) {
            continue;
        }
        let mut line = String::new();
        match find(planted, seeds) {
            Some((seed, failure)) => {
                let _ = write!(line, "{seed:>8}  {place:<6}  {text}: {}", failure.name);
            }
            None => {
                missed.push(text);
                let _ = write!(line, "       -  {place:<6}  {text}: not found");
            }
        }
        tell(&line);
    }
    if !missed.is_empty() {
        tell(&format!("not found in {seeds} worlds: {}", missed.join("; ")));
    }
    missed.is_empty() && sound.failed.is_empty()
}
