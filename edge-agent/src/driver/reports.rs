//! Reads outbox entries in runs that fit into messages, and gives them to the link.

use shared::id::{Incarnation, Sequence, Session};
use shared::report::{Output, ReportEvent};
use shared::wire::Uplink;
use shared::wire::uplink::{NumberedReport, Reports};
use shared_runtime::link::PublishError;

use crate::link::Line;
use crate::observe;
use crate::store::Store;

/// The most entries in one message.
const ITEMS_MAX: usize = 200;
/// About the most bytes of entries in one message: half of what a message may have.
const BYTES_MAX: usize = 128 * 1024;
/// The most messages at once; the rest follow as they are acknowledged.
const MESSAGES_MAX: usize = 8;
/// Room in the link that is left to heartbeats.
const ROOM_KEPT: usize = 8;

/// Sends the entries with `after < seq <= upto`. Answers how far the link took them, if not to
/// the end.
pub(super) fn send(
    store: &Store,
    line: &Line,
    (incarnation, session): (Incarnation, Session),
    after: Sequence,
    upto: Sequence,
) -> Option<Sequence> {
    let mut after = after;
    for _ in 0..MESSAGES_MAX {
        if line.room() <= ROOM_KEPT {
            return Some(after);
        }
        let items = match store.reports(after, upto, ITEMS_MAX, BYTES_MAX) {
            Ok(items) => items,
            Err(error) => {
                observe::reports_unreadable(&error);
                return Some(after);
            }
        };
        // What lay behind the last of them may be gone: the core is told that nothing comes.
        let last = items.last().map_or(upto, |item| item.seq);
        match publish(line, (incarnation, session), after, items, last) {
            Ok(()) => after = last,
            Err(_) => return Some(after),
        }
        if after >= upto {
            return None;
        }
    }
    Some(after)
}

fn publish(
    line: &Line,
    (incarnation, session): (Incarnation, Session),
    after: Sequence,
    mut items: Vec<NumberedReport>,
    upto: Sequence,
) -> Result<(), PublishError> {
    let message = |items| Uplink::Reports(Reports { incarnation, session, after, items, upto });
    match line.send(&message(items.clone())) {
        Err(PublishError::TooLarge { .. }) => {}
        other => return other,
    }
    // The bounds of what a report may hold make this all but impossible; yet one that could never
    // be sent would hold back all that follow it.
    for item in &mut items {
        if let ReportEvent::Finished(finish) | ReportEvent::Retried(finish) = &mut item.report.event
        {
            observe::report_cut(item.seq);
            finish.output =
                Output { stdout_truncated: true, stderr_truncated: true, ..Output::default() };
        }
    }
    line.send(&message(items))
}
