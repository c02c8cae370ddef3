//! The simulator's command: see `docs/SIMULATION.md`.

fn main() {
    match simulator::runs::number("AMBIT_SIM_SEED") {
        Some(seed) => simulator::runs::replay(seed),
        None => simulator::runs::fresh(),
    }
}
