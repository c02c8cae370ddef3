//! One configuration out of several sources: defaults, then the file, then variables, then flags,
//! the later one winning, and every value remembers where it came from. A key has the same name
//! everywhere: `http.listen` in the file, `AMBIT_HTTP_LISTEN` among the variables, and
//! `--set http.listen=…` on the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use shared::border::nearest;

use super::{ConfigError, detail_of, parse};
use crate::disk::folder_of;

/// A configuration, and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Layered<T> {
    /// The configuration so far.
    pub value: T,
    /// The source of each key that is not at its default.
    sources: BTreeMap<String, String>,
    /// Every key, with its default.
    keys: BTreeMap<String, Value>,
}

impl<T: Default + Serialize + DeserializeOwned> Layered<T> {
    /// The defaults, and over them what the file says. `anchor` makes paths in the file be seen
    /// from the folder it is given.
    ///
    /// # Errors
    /// The file cannot be read, or says something that `T` does not understand.
    pub fn load(
        path: Option<&Path>,
        anchor: impl FnOnce(&mut T, &Path),
    ) -> Result<Self, ConfigError> {
        let keys = leaves(&document(&T::default()));
        let Some(path) = path else {
            return Ok(Self { value: T::default(), sources: BTreeMap::new(), keys });
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        let mut value: T = parse(&text, path)?;
        anchor(&mut value, folder_of(path));
        let written = document(&parse::<toml::Table>(&text, path)?);
        let name = path.display().to_string();
        let is_written = |key: &&String| written.pointer(&pointer(key)).is_some();
        let sources = keys.keys().filter(is_written).map(|key| (key.clone(), name.clone()));
        Ok(Self { value, sources: sources.collect(), keys })
    }

    /// Takes what the variables say whose names begin with `prefix`, such as `AMBIT_`. Those in
    /// `others` mean something else. An empty one says nothing. One that is near to a key's and
    /// none is a mistake; one that is far from all is somebody else's.
    ///
    /// # Errors
    /// A variable is mistyped, or has a value that its key cannot have.
    pub fn take_variables(
        &mut self,
        prefix: &str,
        others: &[&str],
        variables: &[(String, String)],
    ) -> Result<(), ConfigError> {
        let names: BTreeMap<String, String> =
            self.keys.keys().map(|key| (variable(key), key.clone())).collect();
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            if others.contains(&name.as_str()) || text.is_empty() {
                continue;
            }
            if let Some(key) = names.get(rest) {
                self.set(key, text, name)?;
                continue;
            }
            let known: Vec<String> = names.keys().map(|name| name.to_lowercase()).collect();
            if let Some(meant) = nearest(rest, known.iter().map(String::as_str)) {
                let detail = format!(
                    "no key has this variable; did you mean `{prefix}{}`?",
                    meant.to_uppercase()
                );
                return Err(ConfigError::Given { origin: name.clone(), detail });
            }
        }
        Ok(())
    }

    /// Takes `KEY=VALUE`, as `origin`, a flag, was given it.
    ///
    /// # Errors
    /// It has another form, there is no such key, or the key cannot have this value.
    pub fn take_setting(&mut self, setting: &str, origin: &str) -> Result<(), ConfigError> {
        let wrong = |detail| Err(ConfigError::Given { origin: origin.to_owned(), detail });
        let Some((key, text)) = setting.split_once('=') else {
            return wrong(format!("`{setting}` is not KEY=VALUE"));
        };
        if !self.keys.contains_key(key) {
            let meant = nearest(key, self.keys.keys().map(String::as_str));
            let hint = meant.map_or_else(
                || "--print-config shows every key".to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            return wrong(format!("unknown key `{key}`; {hint}"));
        }
        self.set(key, text, &format!("{origin} {key}"))
    }

    /// Notes that a key was set by other means.
    pub fn note(&mut self, key: &str, origin: &str) {
        self.sources.insert(key.to_owned(), origin.to_owned());
    }

    fn set(&mut self, key: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
        let mut first = None;
        let default = self.keys.get(key).cloned().unwrap_or_default();
        for candidate in readings(text, &default) {
            let mut whole = document(&self.value);
            put(&mut whole, key, candidate);
            match serde_json::from_value(whole) {
                Ok(value) => {
                    self.value = value;
                    self.note(key, origin);
                    return Ok(());
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        let detail = first.map_or_else(String::new, |error| detail_of(&error.to_string()));
        Err(ConfigError::Given { origin: origin.to_owned(), detail })
    }

    /// Every key with its value and its source, a line each, as a TOML file that says the same.
    /// `effective` is the configuration with what follows from other values filled in. What looks
    /// like a password in a URL is masked.
    #[must_use]
    pub fn print(&self, effective: &T) -> String {
        let whole = document(effective);
        let line = |key: &String| {
            let source = self.sources.get(key).map_or("default", String::as_str);
            match whole.pointer(&pointer(key)).unwrap_or(&Value::Null) {
                Value::Null => format!("#{key} =  # not set\n"),
                value => format!("{key} = {}  # {source}\n", written(value)),
            }
        };
        self.keys.keys().map(line).collect()
    }
}

/// The name of a key's variable, without the prefix.
fn variable(key: &str) -> String {
    key.replace('.', "_").to_uppercase()
}

fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

fn document(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Every value of a document that is no object of fixed fields, by its dotted key.
fn leaves(document: &Value) -> BTreeMap<String, Value> {
    fn walk(value: &Value, key: &str, found: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (name, value) in map {
                    let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                    walk(value, &key, found);
                }
            }
            leaf => drop(found.insert(key.to_owned(), leaf.clone())),
        }
    }
    let mut found = BTreeMap::new();
    walk(document, "", &mut found);
    found
}

fn put(document: &mut Value, key: &str, value: Value) {
    if let Some(place) = document.pointer_mut(&pointer(key)) {
        *place = value;
    }
}

/// What a text may mean, the likeliest first, given the default of its key.
fn readings(text: &str, default: &Value) -> Vec<Value> {
    let plain = Value::String(text.to_owned());
    let number = || {
        let whole = text.parse::<u64>().ok().map(Number::from);
        whole.or_else(|| text.parse().ok().and_then(Number::from_f64)).map(Value::Number)
    };
    let list = || {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
    };
    let pairs = || {
        let pairs = text.split(',').map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim().to_owned(), value.trim());
            let number = value.parse().ok().and_then(Number::from_f64).map(Value::Number);
            let whole = value.parse::<u64>().ok().map(Value::from);
            Some((name, value.to_owned(), whole.or(number)))
        });
        pairs.collect::<Option<Vec<_>>>()
    };
    let map = |as_text: bool| {
        let map: Map<String, Value> = pairs()?
            .into_iter()
            .map(|(name, text, number)| match number {
                Some(number) if !as_text => (name, number),
                _ => (name, Value::String(text)),
            })
            .collect();
        Some(Value::Object(map))
    };
    let bool = || text.parse::<bool>().ok().map(Value::Bool);
    match default {
        Value::Bool(_) => vec![bool().unwrap_or(plain)],
        Value::Number(_) => vec![number().unwrap_or(plain)],
        Value::Array(_) => vec![list()],
        Value::Object(_) => [map(true), map(false), Some(plain)].into_iter().flatten().collect(),
        Value::String(_) => vec![plain],
        Value::Null => [Some(plain), number(), bool(), map(false)].into_iter().flatten().collect(),
    }
}

/// A value as TOML has it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(&masked(text)),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let pairs =
                map.iter().map(|(name, value)| format!("{} = {}", quoted(name), written(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A text as a basic string of TOML: as in JSON, which leaves DEL as it is, and TOML does not take
/// that.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string().replace('\u{7f}', "\\u007f")
}

/// A URL without the password that may be in it by mistake.
fn masked(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        _ => text.to_owned(),
    }
}

/// The variables of this process whose names and values are text.
#[must_use]
pub fn variables() -> Vec<(String, String)> {
    let text = |os: std::ffi::OsString| os.into_string().ok();
    std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
}

/// Sees a path from a folder.
pub fn anchor(path: &mut Option<PathBuf>, folder: &Path) {
    if let Some(path) = path {
        *path = folder.join(&*path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Example {
        data: Option<PathBuf>,
        http: Http,
        labels: BTreeMap<String, String>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Http {
        listen_port: u16,
        hosts: Vec<String>,
        open: bool,
        url: Option<String>,
        depth: Option<u64>,
    }

    impl Default for Http {
        fn default() -> Self {
            Self { listen_port: 80, hosts: Vec::new(), open: false, url: None, depth: None }
        }
    }

    fn nothing() -> Layered<Example> {
        Layered::load(None, |_, _| {}).expect("defaults")
    }

    fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_later_source_wins_and_is_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.toml");
        std::fs::write(&path, "data = 'd'\n[http]\nlisten_port = 1\nopen = true\n").expect("write");
        let see = |value: &mut Example, folder: &Path| anchor(&mut value.data, folder);
        let mut layered = Layered::load(Some(&path), see).expect("file");
        let pairs = [
            ("X_HTTP_LISTEN_PORT", "2"),
            ("X_HTTP_HOSTS", "a, b"),
            ("X_HTTP_DEPTH", "7"),
            ("X_LABELS", "a=1,b=x"),
            ("X_HTTP_OPEN", ""),
            ("X_TOKEN", "t"),
            ("Y", "z"),
        ];
        layered.take_variables("X_", &["X_TOKEN"], &vars(&pairs)).expect("variables");
        layered.take_setting("http.listen_port=3", "--set").expect("flag");
        layered.take_setting("http.url=mqtt://me:secret@host", "--set").expect("flag");
        let value = &layered.value;
        assert_eq!(value.data.as_deref(), Some(&*folder.path().join("d")));
        assert_eq!((value.http.listen_port, value.http.depth, value.http.open), (3, Some(7), true));
        assert_eq!((value.http.hosts.len(), value.labels["b"].as_str()), (2, "x"));
        let printed = layered.print(value).replace(&folder.path().display().to_string(), "DIR");
        let expected = "data = \"DIR/d\"  # DIR/x.toml\n\
                        http.depth = 7  # X_HTTP_DEPTH\n\
                        http.hosts = [\"a\", \"b\"]  # X_HTTP_HOSTS\n\
                        http.listen_port = 3  # --set http.listen_port\n\
                        http.open = true  # DIR/x.toml\n\
                        http.url = \"mqtt://***@host\"  # --set http.url\n\
                        labels = {\"a\" = \"1\", \"b\" = \"x\"}  # X_LABELS\n";
        assert_eq!(printed, expected);
        // What is printed can be read.
        let again: Example = parse(&printed, Path::new("printed")).expect("TOML");
        assert_eq!(again.http.listen_port, 3);
    }

    #[test]
    fn a_wrong_name_tells_the_right_one_and_a_strange_one_is_left_alone() {
        let take = |name: &str, value: &str| {
            let taken = nothing().take_variables("X_", &[], &vars(&[(name, value)]));
            taken.map_err(|error| error.to_string())
        };
        assert_eq!(
            take("X_HTTP_LISTN_PORT", "1").expect_err("mistyped"),
            "X_HTTP_LISTN_PORT: no key has this variable; did you mean `X_HTTP_LISTEN_PORT`?"
        );
        assert_eq!(take("X_SERVICE_HOST", "10.0.0.1"), Ok(()), "somebody else's");
        assert!(take("X_HTTP_LISTEN_PORT", "x").expect_err("wrong").contains("invalid type"));
        let set = |setting: &str| {
            nothing().take_setting(setting, "--set").expect_err("refused").to_string()
        };
        assert_eq!(
            set("http.opne=true"),
            "--set: unknown key `http.opne`; did you mean `http.open`?"
        );
        assert!(set("http.open").contains("is not KEY=VALUE"));
        assert!(set("http.open=perhaps").starts_with("--set http.open: "));
    }

    proptest::proptest! {
        #[test]
        fn no_setting_and_no_variable_breaks_the_reader(
            text in ".{0,40}|(data|http.listen|http.workers|labels)=.{0,20}",
            name in "[A-Z_]{0,24}",
            value in ".{0,20}",
        ) {
            let mut layered = Layered::<Example>::load(None, |_, _| {}).expect("defaults");
            let _ = layered.take_setting(&text, "--set");
            let _ = layered.take_variables("T_", &[], &[(format!("T_{name}"), value)]);
            // Whatever was taken is printed as a file that says the same.
            let printed = layered.print(&layered.value);
            let read: Example = parse(&printed, Path::new("printed")).expect("a file");
            proptest::prop_assert_eq!(read, layered.value);
        }
    }
}
