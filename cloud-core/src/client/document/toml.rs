//! TOML as JSON, with the line of each value.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use shared::border::escape;
use toml::de::{DeTable, DeValue};

use super::{DEPTH_MAX, LineEnds, Located, Malformed};

pub(super) fn read(text: &str) -> Result<Located, Malformed> {
    let ends = LineEnds::of(text);
    let table = DeTable::parse(text).map_err(|error| Malformed {
        line: ends.line_at(error.span().map_or(0, |span| span.start)),
        detail: format!("not TOML: {}", error.message().trim().replace('\n', "; ")),
    })?;
    let mut reader = Reader { ends, lines: BTreeMap::from([(String::new(), 1)]) };
    let value = reader.table(table.get_ref(), "", 0)?;
    Ok((value, reader.lines))
}

struct Reader {
    ends: LineEnds,
    lines: BTreeMap<String, usize>,
}

impl Reader {
    fn table(
        &mut self,
        table: &DeTable<'_>,
        pointer: &str,
        depth: usize,
    ) -> Result<Value, Malformed> {
        let mut map = Map::new();
        for (key, value) in table {
            let inner = format!("{pointer}/{}", escape(key.get_ref()));
            let line = self.ends.line_at(key.span().start);
            self.lines.insert(inner.clone(), line);
            map.insert(
                key.get_ref().to_string(),
                self.value(value.get_ref(), &inner, line, depth + 1)?,
            );
        }
        Ok(Value::Object(map))
    }

    fn value(
        &mut self,
        value: &DeValue<'_>,
        pointer: &str,
        line: usize,
        depth: usize,
    ) -> Result<Value, Malformed> {
        let wrong = |detail: String| Err(Malformed { line, detail });
        if depth > DEPTH_MAX {
            return wrong(format!("nested more than {DEPTH_MAX} deep"));
        }
        match value {
            DeValue::String(text) => Ok(Value::String(text.to_string())),
            DeValue::Boolean(flag) => Ok(Value::Bool(*flag)),
            DeValue::Datetime(time) => {
                wrong(format!("a task has no dates; for a text, write \"{time}\" in quotes"))
            }
            DeValue::Integer(number) => {
                match i128::from_str_radix(number.as_str(), number.radix()) {
                    Ok(whole) => match Number::from_i128(whole) {
                        Some(number) => Ok(Value::Number(number)),
                        None => wrong(format!("the number {number} is too large")),
                    },
                    Err(_) => wrong(format!("the number {number} is too large")),
                }
            }
            DeValue::Float(number) => {
                let float = number.as_str().parse().ok().and_then(Number::from_f64);
                match float {
                    Some(number) => Ok(Value::Number(number)),
                    None => wrong(format!("{} is not a finite number", number.as_str())),
                }
            }
            DeValue::Array(items) => {
                let mut list = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let inner = format!("{pointer}/{index}");
                    let line = self.ends.line_at(item.span().start);
                    self.lines.insert(inner.clone(), line);
                    list.push(self.value(item.get_ref(), &inner, line, depth + 1)?);
                }
                Ok(Value::Array(list))
            }
            DeValue::Table(table) => self.table(table, pointer, depth),
        }
    }
}
