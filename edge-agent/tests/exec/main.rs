//! Tasks as real processes, run by the real binary: what they leave behind, how they are found
//! again, and that none runs twice. No test measures time; waits are long and end early.

mod adopt;
mod full_disk;
mod lease;
mod logs;
mod once;
mod outcome;
mod progress;
mod rate;
mod stop;
mod world;
mod zygote;
