//! What is told of a failing world: how far it could be cut, and how its story ends.

use std::fmt::Write;

use crate::cut::Cut;
use crate::runs;
use crate::shrink::shrink;
use crate::trace::Detail;

/// Lines of the story that are told.
const LINES: usize = 60;

/// Makes the failing world of a seed small, and tells what is left of it.
pub fn explain(seed: u64, cut: Cut) -> String {
    let mut text = String::new();
    let Some(shrunk) = shrink(seed, cut) else {
        return format!("seed {seed} holds\n");
    };
    let whole = crate::plan::Plan::of(seed, None);
    let run = runs::cut(seed, &shrunk.cut, Some(Detail::Story));
    let trace = run.trace.as_ref().map_or(String::new(), |trace| trace.tail(LINES));
    let _ = write!(
        text,
        "seed {seed} as it was:\n{whole}cut in {} runs to:\n{}...\n{trace}\n{}\n\nreplay: make sim SEED={seed} CUT=\"{}\"\n",
        shrunk.runs, shrunk.plan, shrunk.failure, shrunk.cut
    );
    text
}
