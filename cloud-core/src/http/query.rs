//! Reading query parameters that strangers write. [`Query`] takes the parameters one by one,
//! collects everything that is wrong with them, and names the nearest known one for a parameter
//! that nobody knows: a filter that is silently ignored shows people the wrong list.

use actix_web::{HttpRequest, web};
use shared::border::nearest;
use shared::id::{AgentId, ScheduleName, TaskId};
use shared::label;
use shared::time::Timestamp;

use super::problem::{ApiError, ApiResult, Kind};

/// The number of items of a page when none is asked for.
pub const LIMIT_DEFAULT: usize = 50;
/// The most items of a page.
pub const LIMIT_MAX: usize = 500;
/// The longest text value, in bytes.
pub const TEXT_BYTES_MAX: usize = 512;
/// The most things told to be wrong at once.
const WRONG_MAX: usize = 8;

/// A label to filter by: its key, and its value unless any will do.
pub type LabelFilter = (String, Option<String>);

/// The query parameters of one request, being read.
pub struct Query {
    pairs: Vec<(String, String)>,
    wrong: Vec<String>,
}

impl Query {
    /// Begins to read the parameters of a request that may have those of `known`, each at most
    /// once.
    #[must_use]
    pub fn of(request: &HttpRequest, known: &[&str]) -> Self {
        Self::parse(request.query_string(), known)
    }

    fn parse(text: &str, known: &[&str]) -> Self {
        let mut query = Self { pairs: Vec::new(), wrong: Vec::new() };
        let Ok(pairs) = web::Query::<Vec<(String, String)>>::from_query(text) else {
            query.note("the query is not made of `name=value` pairs joined by `&`".to_owned());
            return query;
        };
        for (name, value) in pairs.into_inner() {
            if !known.contains(&name.as_str()) {
                let hint = match nearest(&name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => "this path takes none".to_owned(),
                    None => format!("known here: {}", known.join(", ")),
                };
                query.note(format!("unknown parameter {}; {hint}", quote(&name)));
            } else if query.pairs.iter().any(|(taken, _)| *taken == name) {
                query.note(format!("`{name}` may be given only once"));
            } else {
                query.pairs.push((name, value));
            }
        }
        query
    }

    fn note(&mut self, wrong: String) {
        // A parameter repeated a thousand times is one mistake, and gets a short answer.
        if self.wrong.len() < WRONG_MAX && !self.wrong.contains(&wrong) {
            self.wrong.push(wrong);
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.pairs.iter().position(|(taken, _)| taken == name)?;
        Some(self.pairs.swap_remove(index).1)
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        let detail = match value.len() {
            0 => "must not be empty; leave it out instead".to_owned(),
            1..=TEXT_BYTES_MAX if value.contains('\0') => {
                "must not hold a NUL character".to_owned()
            }
            1..=TEXT_BYTES_MAX => return Some(value),
            bytes => format!("may be at most {TEXT_BYTES_MAX} bytes long, not {bytes}"),
        };
        self.note(format!("`{name}` {detail}"));
        None
    }

    /// How many items a page may hold, as `limit`.
    pub fn limit(&mut self) -> usize {
        let limit = self.number("limit", 1, LIMIT_MAX as u64);
        limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIMIT_DEFAULT)
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.take(name)?;
        // Rust also reads "+5"; one number has one spelling here.
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse::<u64>() {
            Ok(number) if digits && (least..=most).contains(&number) => Some(number),
            _ => {
                let found = quote(&value);
                self.note(format!(
                    "`{name}` must be a whole number from {least} to {most}, not {found}"
                ));
                None
            }
        }
    }

    /// Yes or no; no when it is left out.
    pub fn flag(&mut self, name: &str) -> bool {
        self.word(name, &[("true", true), ("false", false)]).unwrap_or(false)
    }

    /// A time.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        let value = self.take(name)?;
        match serde_json::from_value(serde_json::Value::String(value.clone())) {
            Ok(time) => Some(time),
            Err(_) => {
                let found = quote(&value);
                self.note(format!(
                    "`{name}` must be a time in RFC 3339, such as 2026-11-21T01:02:03Z, with `+` \
                     written as %2B, not {found}"
                ));
                None
            }
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&'static str, T)]) -> Option<T> {
        let value = self.take(name)?;
        if let Some(&(_, meant)) = words.iter().find(|(word, _)| *word == value) {
            return Some(meant);
        }
        let known = words.iter().map(|(word, _)| *word);
        let list = known.clone().collect::<Vec<_>>().join(", ");
        let hint = match nearest(&value, known) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("not {}", quote(&value)),
        };
        let joint = if hint.starts_with("did") { "; " } else { ", " };
        self.note(format!("`{name}` must be one of {list}{joint}{hint}"));
        None
    }

    /// Some of a few words, separated by commas.
    pub fn words<T: Copy>(&mut self, name: &str, words: &[(&'static str, T)]) -> Option<Vec<T>> {
        let value = self.text(name)?;
        let meant = |text: &str| {
            self.pairs.push((name.to_owned(), text.to_owned()));
            self.word(name, words)
        };
        Some(value.split(',').filter_map(meant).collect())
    }

    /// A task's id.
    pub fn task(&mut self, name: &str) -> Option<TaskId> {
        match self.take(name)?.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.note(format!("`{name}`: {error}"));
                None
            }
        }
    }

    /// An agent's id.
    pub fn agent(&mut self, name: &str) -> Option<AgentId> {
        match self.take(name)?.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.note(format!("`{name}`: {error}"));
                None
            }
        }
    }

    /// A schedule's name.
    pub fn schedule(&mut self, name: &str) -> Option<ScheduleName> {
        match self.take(name)?.parse() {
            Ok(schedule) => Some(schedule),
            Err(error) => {
                self.note(format!("`{name}`: {error}"));
                None
            }
        }
    }

    /// A label, as `label=key=value` or `label=key`.
    pub fn label(&mut self) -> Option<LabelFilter> {
        let text = self.text("label")?;
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text.as_str(), None),
        };
        if let Err(detail) = label::check_key(key) {
            self.note(format!("`label` must be key=value or key, and {detail}"));
            return None;
        }
        Some((key.to_owned(), value))
    }

    /// Notes something wrong that only the handler can see.
    pub fn refuse(&mut self, name: &str, detail: &str) {
        self.note(format!("`{name}` {detail}"));
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Everything that was wrong, in one problem.
    pub fn finish(self) -> ApiResult<()> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        Err(ApiError::new(Kind::InvalidQuery, self.wrong.join("; ")))
    }
}

/// Refuses any query parameter: a misspelt wish must not be dropped while the rest is done.
///
/// # Errors
/// When the request has one.
pub fn none(request: &HttpRequest) -> ApiResult<()> {
    Query::of(request, &[]).finish()
}

/// A stranger's text for a sentence: quoted, escaped and bounded.
#[must_use]
pub fn quote(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::task::TaskStatus;

    const KNOWN: [&str; 6] = ["status", "agent", "label", "name", "limit", "cursor"];

    fn wrong(text: &str) -> String {
        let mut query = Query::parse(text, &KNOWN);
        query.word("status", &TaskStatus::ALL);
        query.agent("agent");
        query.label();
        query.text("name");
        query.limit();
        query.text("cursor");
        query.finish().map_or_else(|error| error.detail().to_owned(), |()| String::new())
    }

    #[test]
    fn what_is_right_is_read() {
        let mut query =
            Query::parse("status=running&label=team%3Dair%3D1&limit=500&name=a+b%20c", &KNOWN);
        assert_eq!(query.word("status", &TaskStatus::ALL), Some(TaskStatus::Running));
        assert_eq!(query.label(), Some(("team".to_owned(), Some("air=1".to_owned()))));
        assert_eq!(query.limit(), 500);
        assert_eq!(query.text("name").as_deref(), Some("a b c"));
        assert_eq!(query.text("cursor"), None);
        query.finish().expect("nothing wrong");
        let mut query = Query::parse("label=team&&", &KNOWN);
        assert_eq!(query.label(), Some(("team".to_owned(), None)));
        assert_eq!(query.limit(), LIMIT_DEFAULT);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, sentence) in [
            ("stat=running", "unknown parameter \"stat\"; did you mean `status`?"),
            ("zzzzzzzzz=1", "known here: status, agent"),
            ("limit=0", "`limit` must be a whole number from 1 to 500, not \"0\""),
            ("limit=501", "`limit` must be"),
            ("limit=%2B5", "`limit` must be"),
            ("limit=-1", "`limit` must be"),
            ("limit=", "`limit` must be"),
            ("limit=99999999999999999999999", "`limit` must be"),
            ("limit=1&limit=2", "`limit` may be given only once"),
            ("status=runing", "did you mean `running`?"),
            ("status=", "`status` must be one of blocked, pending"),
            ("agent=a/b", "`agent`: an agent id may hold only"),
            ("label=%3Dx", "`label` must be key=value or key"),
            ("label=a%20b", "`label` must be key=value or key"),
            ("name=", "`name` must not be empty"),
            ("name=a%00b", "NUL"),
        ] {
            let found = wrong(text);
            assert!(found.contains(sentence), "{text}: {found}");
        }
        let long = format!("name={}", "a".repeat(TEXT_BYTES_MAX + 1));
        assert!(wrong(&long).contains("at most 512 bytes"), "{}", wrong(&long));
    }

    #[test]
    fn numbers_flags_and_times_are_read_in_one_spelling() {
        let mut query = Query::parse(
            "a=7&b=true&c=2026-11-21T01:02:03.5Z&d=2026-11-21T02:02:03.5%2B01:00",
            &["a", "b", "c", "d", "e"],
        );
        assert_eq!((query.number("a", 0, 7), query.flag("b")), (Some(7), true));
        assert_eq!(query.time("c"), query.time("d"));
        assert_eq!(
            (query.number("e", 1, 2), query.flag("e"), query.time("e")),
            (None, false, None)
        );
        query.finish().expect("nothing wrong");
        let wrong = |text: &str| {
            let mut query = Query::parse(text, &["a", "b", "c"]);
            query.number("a", 1, 9);
            query.flag("b");
            query.time("c");
            query.finish().expect_err("wrong").detail().to_owned()
        };
        for (text, sentence) in [
            ("a=0", "`a` must be a whole number from 1 to 9, not \"0\""),
            ("b=1", "`b` must be one of true, false"),
            ("c=yesterday", "`c` must be a time in RFC 3339, such as 2026"),
            ("c=2026-11-21T02:02:03+01:00", "with `+` written as %2B"),
        ] {
            assert!(wrong(text).contains(sentence), "{text}: {}", wrong(text));
        }
    }

    #[test]
    fn a_hostile_query_gets_a_short_answer() {
        let many: Vec<_> = (0..5_000).map(|n| format!("{n}{}=1", "x".repeat(20))).collect();
        assert!(wrong(&many.join("&")).len() < 2_000);
        assert!(wrong(&"q".repeat(100_000)).len() < 300);
        wrong("%ff%fe=%00&=&==&&&%=%zz");
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_query_breaks_the_reader(text in ".{0,60}|([a-z]{0,8}[=&%0-9a-f+]{0,6}){0,8}") {
            let known = ["limit", "cursor", "label", "since"];
            let mut query = Query::parse(&text, &known);
            let _ = (query.limit(), query.text("cursor"), query.time("since"), query.flag("x"));
            // However long the query, what is said of it is short.
            prop_assert!(query.wrong.len() <= WRONG_MAX);
        }

        #[test]
        fn what_was_escaped_is_read(value in "[^\\x00]{1,40}") {
            let escaped: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let mut query = Query::parse(&format!("name={escaped}"), &["name"]);
            prop_assert_eq!(query.text("name"), Some(value));
        }

        #[test]
        fn a_number_has_one_spelling(number: u64, text in "[+0-9 -]{0,6}") {
            let mut query = Query::parse(&format!("a={number}"), &["a"]);
            prop_assert_eq!(query.number("a", 0, u64::MAX), Some(number));
            let mut query = Query::parse(&format!("a={}", text.replace(' ', "%20")), &["a"]);
            if query.number("a", 0, 99).is_some() {
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'+'));
            }
        }
    }
}
