//! Reading what strangers write. [`Fields`] walks a JSON object, checks every value where it
//! stands, and collects all problems instead of stopping at the first, each with its JSON pointer
//! and, for a field nobody knows, the nearest one that exists.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One thing wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// JSON pointer (RFC 6901) of the offending value; empty for the whole document.
    pub pointer: String,
    /// A sentence that says what is wrong and what to write instead.
    pub detail: String,
}

/// The most problems told at once; a hostile document does not get a longer answer.
pub const PROBLEMS_MAX: usize = 32;

/// Everything wrong with a document so far.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one more, up to [`PROBLEMS_MAX`].
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(Problem { pointer: pointer.into(), detail: detail.into() });
        }
    }

    /// `Ok` when nothing was wrong.
    ///
    /// # Errors
    /// All that was noted.
    pub fn into_result<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

/// The name in `known` nearest to `wrong`, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A hostile key may be long; the distance costs its length times the known one's.
    if wrong.len() > 64 {
        return None;
    }
    let wrong = wrong.to_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    // Somebody who writes `cpu` means `cpu_millis`, however far apart the two are.
    let mut longer = known.iter().filter(|name| wrong.len() >= 2 && name.starts_with(&wrong));
    if let (Some(name), None) = (longer.next(), longer.next()) {
        return Some(name);
    }
    let score = |name: &str| strsim::damerau_levenshtein(&wrong, name);
    known
        .into_iter()
        .map(|name| (score(name), name))
        .min()
        .filter(|&(distance, name)| distance <= 1 + name.len() / 3)
        .map(|(_, name)| name)
}

/// One object being read: asks for its fields by name, then tells which others it had.
pub struct Fields<'a> {
    pointer: String,
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Begins to read `value`, which must be an object.
    pub fn of(
        value: &'a Value,
        pointer: impl Into<String>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let pointer = pointer.into();
        match value {
            Value::Object(map) => Some(Self { pointer, map, known: Vec::new() }),
            other => {
                problems.add(pointer, format!("must be an object, not {}", describe(other)));
                None
            }
        }
    }

    /// The pointer of one of its fields.
    #[must_use]
    pub fn pointer_of(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escape(name))
    }

    /// A field as it stands; `None` when absent or null.
    pub fn raw(&mut self, name: &'static str) -> Option<&'a Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Whether the field is there and null: "none", where absent means "the default".
    #[must_use]
    pub fn is_null(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(Value::is_null)
    }

    /// An object field.
    pub fn object(&mut self, name: &'static str, problems: &mut Problems) -> Option<Fields<'a>> {
        let value = self.raw(name)?;
        Fields::of(value, self.pointer_of(name), problems)
    }

    /// A whole number within a range.
    pub fn integer(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<u64> {
        let value = self.raw(name)?;
        let pointer = self.pointer_of(name);
        match value.as_u64() {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let (least, most) = (range.start(), range.end());
                problems.add(
                    pointer,
                    format!(
                        "must be a whole number from {least} to {most}, not {}",
                        describe(value)
                    ),
                );
                None
            }
        }
    }

    /// A finite number within a range.
    pub fn number(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<f64>,
        problems: &mut Problems,
    ) -> Option<f64> {
        let value = self.raw(name)?;
        let pointer = self.pointer_of(name);
        match value.as_f64() {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let (least, most) = (range.start(), range.end());
                problems.add(
                    pointer,
                    format!("must be a number from {least} to {most}, not {}", describe(value)),
                );
                None
            }
        }
    }

    /// true or false.
    pub fn boolean(&mut self, name: &'static str, problems: &mut Problems) -> Option<bool> {
        let value = self.raw(name)?;
        let pointer = self.pointer_of(name);
        if !value.is_boolean() {
            problems.add(pointer, format!("must be true or false, not {}", describe(value)));
        }
        value.as_bool()
    }

    /// A text of at most `bytes_max` bytes without NUL.
    pub fn text(
        &mut self,
        name: &'static str,
        bytes_max: usize,
        problems: &mut Problems,
    ) -> Option<String> {
        let value = self.raw(name)?;
        text_of(value, self.pointer_of(name), bytes_max, problems)
    }

    /// A list of texts.
    pub fn texts(
        &mut self,
        name: &'static str,
        items_max: usize,
        bytes_max: usize,
        problems: &mut Problems,
    ) -> Vec<String> {
        self.list(name, items_max, problems)
            .into_iter()
            .filter_map(|(pointer, value)| text_of(value, pointer, bytes_max, problems))
            .collect()
    }

    /// A list, each item with its pointer.
    pub fn list(
        &mut self,
        name: &'static str,
        items_max: usize,
        problems: &mut Problems,
    ) -> Vec<(String, &'a Value)> {
        let Some(found) = self.raw(name) else {
            return Vec::new();
        };
        // Most fields are absent, and need no pointer.
        let pointer = self.pointer_of(name);
        match found {
            Value::Array(items) if items.len() <= items_max => {
                let at = |index: usize| format!("{pointer}/{index}");
                items.iter().enumerate().map(|(index, item)| (at(index), item)).collect()
            }
            Value::Array(items) => {
                let count = items.len();
                problems.add(pointer, format!("may hold at most {items_max} items, not {count}"));
                Vec::new()
            }
            other => {
                problems.add(pointer, format!("must be a list, not {}", describe(other)));
                Vec::new()
            }
        }
    }

    /// An object whose keys are free, each entry with its pointer.
    pub fn entries(
        &mut self,
        name: &'static str,
        entries_max: usize,
        problems: &mut Problems,
    ) -> Vec<(String, &'a str, &'a Value)> {
        let Some(fields) = self.object(name, problems) else {
            return Vec::new();
        };
        if fields.map.len() > entries_max {
            let count = fields.map.len();
            let detail = format!("may hold at most {entries_max} entries, not {count}");
            problems.add(fields.pointer, detail);
            return Vec::new();
        }
        let entries = fields.map.iter();
        entries.map(|(key, value)| (fields.pointer_of(key), key.as_str(), value)).collect()
    }

    /// Ends the reading: every field that nobody asked for is a problem that names the nearest
    /// known one.
    pub fn finish(self, problems: &mut Problems) {
        for key in self.map.keys().filter(|key| !self.known.contains(&key.as_str())) {
            let shown: String = key.chars().take(64).collect();
            let hint = match nearest(key, self.known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            problems.add(self.pointer_of(&shown), format!("unknown field `{shown}`; {hint}"));
        }
    }
}

/// Reads a text of at most `bytes_max` bytes without NUL.
pub fn text_of(
    value: &Value,
    pointer: String,
    bytes_max: usize,
    problems: &mut Problems,
) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= bytes_max && !text.contains('\0') => {
            Some(text.clone())
        }
        Value::String(text) if text.contains('\0') => {
            problems.add(pointer, "must not hold a NUL character");
            None
        }
        Value::String(text) => {
            let bytes = text.len();
            problems.add(pointer, format!("may be at most {bytes_max} bytes long, not {bytes}"));
            None
        }
        other => {
            problems.add(pointer, format!("must be a text, not {}", describe(other)));
            None
        }
    }
}

/// Reads a field that must be one of a few words.
pub fn choice<T: Copy>(
    fields: &mut Fields<'_>,
    name: &'static str,
    words: &[(&'static str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let pointer = fields.pointer_of(name);
    let value = fields.raw(name)?;
    let written = value.as_str().unwrap_or_default();
    if let Some(&(_, chosen)) = words.iter().find(|&&(word, _)| word == written) {
        return Some(chosen);
    }
    let known = words.iter().map(|&(word, _)| word);
    let list = known.clone().collect::<Vec<_>>().join(", ");
    let detail = match nearest(written, known) {
        Some(word) => format!("must be one of {list}; did you mean `{word}`?"),
        None => format!("must be one of {list}, not {}", describe(value)),
    };
    problems.add(pointer, detail);
    None
}

/// A value in words, bounded, for an error message.
#[must_use]
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.chars().count() <= 40 => format!("the text {text:?}"),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Escapes one step of a JSON pointer.
#[must_use]
pub fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_field_names_the_nearest_known_one() {
        let document = json!({"prioritty": 1, "zzz": 2});
        let mut problems = Problems::default();
        let mut fields = Fields::of(&document, "", &mut problems).expect("object");
        fields.integer("priority", 0..=100, &mut problems);
        fields.finish(&mut problems);
        let found = problems.into_result(()).expect_err("problems");
        assert_eq!(found[0].pointer, "/prioritty");
        assert!(found[0].detail.contains("did you mean `priority`?"), "{:?}", found[0]);
        assert!(found[1].detail.contains("known here: priority"), "{:?}", found[1]);
    }

    #[test]
    fn a_pointer_escapes_what_has_meaning_in_it() {
        let document = json!({"a/b~c": 1});
        let mut problems = Problems::default();
        Fields::of(&document, "/x", &mut problems).expect("object").finish(&mut problems);
        assert_eq!(problems.into_result(()).expect_err("problems")[0].pointer, "/x/a~1b~0c");
    }
}
