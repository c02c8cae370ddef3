//! YAML 1.2 as JSON, with the line of each value: the core schema, so that `no` is a text and not
//! false. Anchors and aliases are refused: a task has no need of them, and with them a small file
//! makes an endless document.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Number, Value};
use shared::border::escape;

use super::{DEPTH_MAX, Located, Malformed};

/// Reads every document of a text.
pub(super) fn read(text: &str) -> Result<Vec<Located>, Malformed> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Malformed {
            line: error.marker().line(),
            detail: format!("not YAML: {}", error.info()),
        })?;
        builder.take(event, span)?;
    }
    Ok(builder.documents)
}

/// A list or an object that is being read.
enum Open {
    List(Vec<Value>),
    Object { map: Map<String, Value>, key: Option<String> },
}

#[derive(Default)]
struct Builder {
    documents: Vec<Located>,
    lines: BTreeMap<String, usize>,
    open: Vec<(String, Open)>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Malformed> {
        let line = span.start.line();
        let wrong = |detail: &str| Err(Malformed { line, detail: detail.to_owned() });
        match event {
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return wrong("aliases (`*name`) are not read here; write the value out");
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse(anchor, None, line)?;
                if self.is_key() {
                    return self.name(&text, line);
                }
                let value = scalar(&text, style, tag.as_deref(), line)?;
                self.locate(line);
                self.put(value);
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse(anchor, tag.as_deref(), line)?;
                self.begin(Open::List(Vec::new()), line)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse(anchor, tag.as_deref(), line)?;
                self.begin(Open::Object { map: Map::new(), key: None }, line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((_, Open::List(items))) => self.put(Value::Array(items)),
                Some((_, Open::Object { map, .. })) => self.put(Value::Object(map)),
                None => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn is_key(&self) -> bool {
        matches!(self.open.last(), Some((_, Open::Object { key: None, .. })))
    }

    fn name(&mut self, text: &str, line: usize) -> Result<(), Malformed> {
        if let Some((pointer, Open::Object { map, key })) = self.open.last_mut() {
            if map.contains_key(text) {
                let detail = format!("the key `{text}` stands here for the second time");
                return Err(Malformed { line, detail });
            }
            self.lines.insert(format!("{pointer}/{}", escape(text)), line);
            *key = Some(text.to_owned());
        }
        Ok(())
    }

    /// The pointer of the value that comes next.
    fn next_pointer(&self) -> String {
        match self.open.last() {
            None => String::new(),
            Some((pointer, Open::List(items))) => format!("{pointer}/{}", items.len()),
            Some((pointer, Open::Object { key, .. })) => {
                format!("{pointer}/{}", escape(key.as_deref().unwrap_or_default()))
            }
        }
    }

    fn locate(&mut self, line: usize) {
        let pointer = self.next_pointer();
        // A value under a key stands where its key does.
        self.lines.entry(pointer).or_insert(line);
    }

    fn begin(&mut self, open: Open, line: usize) -> Result<(), Malformed> {
        if self.is_key() {
            let detail = "a key must be a text, not a list or an object".to_owned();
            return Err(Malformed { line, detail });
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Malformed { line, detail: format!("nested more than {DEPTH_MAX} deep") });
        }
        self.locate(line);
        let pointer = self.next_pointer();
        self.open.push((pointer, open));
        Ok(())
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            None => {
                let lines = std::mem::take(&mut self.lines);
                // `---` with nothing after it is not a task.
                if !value.is_null() {
                    self.documents.push((value, lines));
                }
            }
            Some((_, Open::List(items))) => items.push(value),
            Some((_, Open::Object { map, key })) => {
                map.insert(key.take().unwrap_or_default(), value);
            }
        }
    }
}

fn refuse(anchor: usize, tag: Option<&Tag>, line: usize) -> Result<(), Malformed> {
    if anchor != 0 {
        let detail = "anchors (`&name`) are not read here; write the value out".to_owned();
        return Err(Malformed { line, detail });
    }
    match tag {
        Some(tag) if !["str", "seq", "map"].contains(&tag.suffix()) => {
            let detail = format!("the tag `{}` is not read here; leave it out", tag.suffix());
            Err(Malformed { line, detail })
        }
        _ => Ok(()),
    }
}

/// A scalar by the core schema.
fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    line: usize,
) -> Result<Value, Malformed> {
    refuse(0, tag, line)?;
    if tag.is_some() || style != ScalarStyle::Plain {
        return Ok(Value::String(text.to_owned()));
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    Ok(number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

/// A number, if the text is one that JSON has.
fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    // `1e5` and `.5` are numbers, `e5`, `.` and `1-2` are none.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !unsigned.contains(|c: char| c.is_ascii_digit())
        || !unsigned.chars().all(numeric)
    {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if unsigned.chars().all(|c| c.is_ascii_digit())
        && let Ok(whole) = text.parse::<i128>()
        && let Some(number) = Number::from_i128(whole)
    {
        return Some(number);
    }
    text.parse().ok().and_then(Number::from_f64)
}
