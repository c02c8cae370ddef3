//! Pages of agents: the cursor that a list gives out and takes back, and the cutting of one page.
//! Pages of tasks come from the store, which makes their cursors itself.

use shared::api::Page;
use shared::id::AgentId;

/// What every cursor of a list of agents begins with, so that one of another list is recognized.
const PREFIX: &str = "agent.";

/// The cursor for what follows an agent.
#[must_use]
pub fn cursor_after(id: &AgentId) -> String {
    format!("{PREFIX}{id}")
}

/// The agent that a cursor points behind; `None` when no list of agents gave it out.
#[must_use]
pub fn agent_of(cursor: &str) -> Option<AgentId> {
    cursor.strip_prefix(PREFIX)?.parse().ok()
}

/// Cuts one page of at most `limit` items off what is left of a list.
pub fn cut<T>(
    items: impl Iterator<Item = T>,
    limit: usize,
    id: impl Fn(&T) -> &AgentId,
) -> Page<T> {
    let mut rest = items;
    let items: Vec<T> = rest.by_ref().take(limit).collect();
    // A cursor is given out only when something follows, so that the last page says so.
    let more = rest.next().is_some();
    let next_cursor = items.last().filter(|_| more).map(|last| cursor_after(id(last)));
    Page { items, next_cursor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let all: Vec<AgentId> = (0..7).map(|n| format!("board-{n}").parse().expect("id")).collect();
        for limit in 1..=8 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let rest = all.iter().filter(|id| after.as_ref().is_none_or(|after| *id > after));
                let page = cut(rest, limit, |id| id);
                seen.extend(page.items.into_iter().cloned());
                match page.next_cursor {
                    Some(cursor) => after = agent_of(&cursor),
                    None => break,
                }
                assert!(after.is_some());
            }
            assert_eq!(seen, all, "limit {limit}");
        }
    }

    #[test]
    fn a_cursor_of_something_else_is_refused() {
        for text in ["", "board-7", "agent.", "agent./", "Agent.board-7", "01936f2e"] {
            assert_eq!(agent_of(text), None, "{text}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back_and_no_other_text_is_one(
            id in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}",
            text in ".{0,40}",
        ) {
            let id: AgentId = id.parse().expect("an id");
            prop_assert_eq!(agent_of(&cursor_after(&id)), Some(id));
            if let Some(read) = agent_of(&text) {
                prop_assert_eq!(cursor_after(&read), text);
            }
        }
    }
}
