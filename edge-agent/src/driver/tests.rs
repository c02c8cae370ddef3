//! What the driver does by itself. The rest is tested with real tasks in `tests/agent`.

use shared::id::{CoreId, Incarnation, Revision, Session};
use shared::wire::downlink::Welcome;

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

#[test]
fn what_is_under_way_begins_anew_with_every_connection_and_every_greeting() {
    let welcome = Welcome {
        core: CoreId(uuid::Uuid::nil()),
        incarnation: Incarnation(uuid::Uuid::nil()),
        session: Session(1),
        beat: 1,
        reports_after_ms: 0,
        acked_seq: Sequence(0),
        desired_rev: Revision(0),
        heartbeat_ms: 10_000,
        sent_at: Timestamp(0),
    };
    let said = |message| LineEvent::Message(Box::new(message));
    assert!(begins_anew(&LineEvent::Down { reason: "cut".to_owned() }));
    // A core that was killed had told the broker that it had it, and a broker that stays tells nobody.
    assert!(begins_anew(&said(Downlink::Welcome(welcome))));
    assert!(!begins_anew(&said(Downlink::WhoIsThere)));
    assert!(!begins_anew(&LineEvent::Up { link: 1 }));
}
