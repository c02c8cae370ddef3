//! What the driver does by itself. The rest is tested with real tasks in `tests/agent`.

use shared::id::Session;

use super::*;

fn run(after: u64, upto: u64) -> Effect {
    Effect::SendReports { after: Sequence(after), upto: Sequence(upto) }
}

#[test]
fn runs_that_follow_on_one_another_become_one() {
    let ping = || Effect::Send(shared::wire::Uplink::Ping { nonce: 1, session: Session(1) });
    let effects = vec![run(0, 2), ping(), run(2, 3), run(3, 9), run(1, 4), run(4, 5)];
    assert_eq!(join_runs(effects), [run(0, 9), ping(), run(1, 5)]);
}
