//! What Ambit reaches on the machine that it is asked on: one table of figures, each with the bound
//! that it is to reach at least and the target that it aims for. Benchmarks measure and never
//! assert; they fail only when something does not work. See `docs/BENCHMARKS.md`.

mod agent_cost;
mod figure;
mod filled;
mod history;
mod idle;
mod knob;
mod latency;
mod load;
mod machine;
mod memory;
mod placement;
mod process;
mod prune;
mod replace;
mod resync;
mod returning;
mod round_trips;
mod sample;
mod schedules;
mod sides;
mod silence;
mod simulate;
mod start;
mod submit;
mod volume;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use figure::{Measured, table};

/// A benchmark: its name, and what measures it.
type Benchmark = (&'static str, fn() -> Measured);

/// What offline work costs.
const OFFLINE: &[Benchmark] = &[
    ("simulate", simulate::measure),
    ("resync", resync::measure),
    ("return", returning::measure),
    ("replace", replace::measure),
    ("silence", silence::measure),
    ("prune", prune::measure),
    ("idle", idle::measure),
];

/// How fast everything is while there is a network.
const SPEED: &[Benchmark] = &[
    ("submit", submit::measure),
    ("batches", submit::batches),
    ("latency", latency::measure),
    ("round-trips", round_trips::measure),
    ("processes", round_trips::processes),
    ("agent", agent_cost::measure),
    ("memory", memory::measure),
    ("start", start::measure),
    ("history", history::measure),
];

/// How fast placement is, and how good.
const PLACEMENT: &[Benchmark] = &[
    ("placement-cities", placement::cities),
    ("placement-uniform", placement::uniform),
    ("placement-few", placement::few),
    ("placement-batch", placement::batch::measure),
    ("placement-eua", placement::eua::measure),
    ("placement-running", placement::running::measure),
];

/// How fast schedules are.
const SCHEDULES: &[Benchmark] = &[
    ("schedules-next", schedules::next::measure),
    ("schedules-million", schedules::million::measure),
];

const HELP: &str = "\
bench offline|speed|placement|schedules
    measures what offline work costs, how fast everything is with a network, how fast a place is
    found, or how fast schedules are
bench --only NAME[,NAME]
    measures what is named: simulate, resync, return, replace, silence, prune, idle; submit, batches,
    latency, round-trips, processes, agent, memory, start, history; placement-cities,
    placement-uniform, placement-few, placement-batch, placement-eua, placement-running;
    schedules-next, schedules-million
";

/// Runs the benchmarks that are asked for.
#[must_use]
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let words: Vec<String> = arguments.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        // Parts of `return`, `prune` and `placement-running` that are processes of their own.
        ["core-side", rest @ ..] => returning::core_side::main(rest),
        ["agents-side", rest @ ..] => sides::agents::main(rest),
        ["running-side", rest @ ..] => placement::running::core_side::main(rest),
        ["prune-side", rest @ ..] => prune::main(rest),
        ["note", rest @ ..] => latency::note(rest),
        ["offline"] => run(OFFLINE.iter().copied()),
        ["speed"] => run(SPEED.iter().copied()),
        ["placement"] => run(PLACEMENT.iter().copied()),
        ["schedules"] => run(SCHEDULES.iter().copied()),
        ["--only", names] => match chosen(names) {
            Ok(benchmarks) => run(benchmarks.into_iter()),
            Err(name) => {
                eprint!("`{name}` is no benchmark\n\n{HELP}");
                ExitCode::from(2)
            }
        },
        _ => {
            eprint!("{HELP}");
            ExitCode::from(2)
        }
    }
}

/// The benchmarks of these names, or the name that none has.
fn chosen(names: &str) -> Result<Vec<Benchmark>, &str> {
    let all = || OFFLINE.iter().chain(SPEED).chain(PLACEMENT).chain(SCHEDULES);
    let find = |name| all().find(|(own, _)| *own == name).copied().ok_or(name);
    names.split([',', ' ']).filter(|name| !name.is_empty()).map(find).collect()
}

fn run(benchmarks: impl Iterator<Item = Benchmark>) -> ExitCode {
    let machine = machine::describe();
    println!("{machine}\n");
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (name, measure) in benchmarks {
        let begun = Instant::now();
        println!("── {name} …");
        // The harness panics when something does not work, and has said why by then.
        match catch_unwind(AssertUnwindSafe(measure)) {
            Ok(Measured { rows: measured, notes }) => {
                for note in notes {
                    println!("   {note}");
                }
                rows.extend(measured);
            }
            Err(_) => failed.push(name),
        }
        println!("   ({:.0} s)", begun.elapsed().as_secs_f64());
    }
    filled::forget();
    println!("\n{machine}\n\n{}", table(&rows));
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("did not work: {}", failed.join(", "));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_benchmark_has_is_told() {
        let names = |text| chosen(text).map(|found| found.iter().map(|(name, _)| *name).collect());
        assert_eq!(names("return, idle"), Ok(vec!["return", "idle"]));
        assert_eq!(names("return,nothing"), Err("nothing"));
    }
}
