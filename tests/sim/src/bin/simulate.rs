//! The simulator's command, behind `make sim`: runs many worlds, or replays one. See
//! `docs/SIMULATION.md`.

use std::process::ExitCode;

use simulator::cut::Cut;
use simulator::sweep::{self, Sweep, Swept};
use simulator::trace::Detail;
use simulator::{report, runs};

const HELP: &str = "\
simulate [--seeds N] [--first-seed S] [--agents A] [--threads T]
    runs N worlds (1000) from seed S (one nobody has tried) and says what they exercised
simulate --planted [--only WORDS] [--seeds N]
    plants faults one at a time, or those that are told of in these words, and says how many worlds
    it took to find each (needs the feature)
simulate --seed X [--cut WORDS] [--everything] [--shrink]
    replays one world and tells its story; `--everything` tells every message and row, `--shrink`
    makes a world that fails as small as it can be first
";

/// What was asked for.
#[derive(Debug, Default)]
struct Asked {
    seed: Option<u64>,
    cut: Cut,
    everything: bool,
    shrink: bool,
    planted: bool,
    only: String,
    first_seed: Option<u64>,
    seeds: Option<u64>,
    agents: Option<usize>,
    threads: Option<usize>,
}

fn main() -> ExitCode {
    match read(std::env::args().skip(1)) {
        Ok(Asked { seed: Some(seed), cut, shrink: true, .. }) => {
            print!("{}", report::explain(seed, cut));
            ExitCode::FAILURE
        }
        Ok(Asked { seed: Some(seed), cut, everything, .. }) => replay(seed, &cut, everything),
        Ok(asked) if asked.planted => planted(&asked),
        Ok(asked) => many(&asked),
        Err(wrong) => {
            eprint!("{wrong}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// An empty value says nothing: `make` passes what it was not given.
fn read(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut arguments = arguments;
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--everything" => asked.everything = true,
            "--shrink" => asked.shrink = true,
            "--planted" => asked.planted = true,
            _ => {}
        }
        if matches!(name.as_str(), "--everything" | "--shrink" | "--planted") {
            continue;
        }
        let value = arguments.next().ok_or(format!("`{name}` needs a value"))?;
        let wrong = |_| format!("`{name}` needs a number, not `{value}`");
        if value.is_empty() {
            continue;
        }
        match name.as_str() {
            "--seed" => asked.seed = Some(value.parse().map_err(wrong)?),
            "--only" => asked.only = value,
            "--cut" => asked.cut = value.parse()?,
            "--first-seed" => asked.first_seed = Some(value.parse().map_err(wrong)?),
            "--seeds" => asked.seeds = Some(value.parse().map_err(wrong)?),
            "--agents" => asked.agents = Some(value.parse().map_err(wrong)?),
            "--threads" => asked.threads = Some(value.parse().map_err(wrong)?),
            _ => return Err(format!("`{name}` is not known")),
        }
    }
    Ok(asked)
}

fn replay(seed: u64, cut: &Cut, everything: bool) -> ExitCode {
    let detail = if everything { Detail::Everything } else { Detail::Story };
    let run = runs::cut(seed, cut, Some(detail));
    print!("seed {seed}\n{}", run.plan);
    print!("{}", run.trace.as_ref().map_or("", |trace| trace.text()));
    match run.failure {
        None => {
            println!("seed {seed} holds");
            ExitCode::SUCCESS
        }
        Some(failure) => {
            println!("seed {seed} fails: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "planted")]
fn planted(asked: &Asked) -> ExitCode {
    let seeds = asked.seeds.unwrap_or(simulator::planting::SEEDS_MAX);
    match simulator::planting::find_all(&asked.only, seeds, |line| println!("{line}")) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

#[cfg(not(feature = "planted"))]
fn planted(_: &Asked) -> ExitCode {
    eprintln!("no fault can be planted in this build: `make sim-planted` makes one");
    ExitCode::from(2)
}

fn many(asked: &Asked) -> ExitCode {
    let first_seed = asked.first_seed.unwrap_or_else(sweep::fresh_seed);
    let sweep = Sweep {
        agents: asked.agents,
        threads: asked.threads.unwrap_or_else(sweep::threads).max(1),
        progress: true,
        ..Sweep::new(first_seed, asked.seeds.unwrap_or(1_000))
    };
    println!("{} seeds from {first_seed} on {} threads", sweep.seeds, sweep.threads);
    let swept = sweep.run();
    print!("{}", swept.coverage.table());
    println!("{}", swept.speed());
    tell(&swept)
}

fn tell(swept: &Swept) -> ExitCode {
    if let Some((seed, _)) = swept.failed.first() {
        println!("\n{} seeds failed; the first is made smaller\n", swept.failed.len());
        print!("{}", report::explain(*seed, Cut::default()));
        return ExitCode::FAILURE;
    }
    let missing = swept.coverage.missing();
    if swept.seeds >= sweep::COVERED_SEEDS_MIN && !missing.is_empty() {
        println!("never exercised: {}", missing.join(", "));
        return ExitCode::FAILURE;
    }
    println!("every promise held");
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_make_was_not_given_is_not_asked_for() {
        let read = |words: &[&str]| read(words.iter().map(|word| (*word).to_owned()));
        let asked = read(&["--seeds", "", "--agents", "3"]).expect("asked");
        assert_eq!((asked.seeds, asked.agents), (None, Some(3)));
        assert!(read(&["--seeds", "many"]).is_err() && read(&["--sooner", "1"]).is_err());
    }
}
