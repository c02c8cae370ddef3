//! The three formats say the same, tell where each value stands, and refuse what they cannot read.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::client::output::yaml as written;

fn one(text: &str, format: FileFormat) -> Document {
    let mut documents = parse(text, format, "task").expect("read");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn refused(text: &str, format: FileFormat) -> String {
    parse(text, format, "task").expect_err("refused").to_string()
}

const YAML: &str = "# a task\nname: no\nrun:\n  exec: {command: echo, args: [\"1\", 'on']}\n\
                    where:\n  near:\n    latitude: -37.5\n    longitude: +144\npriority: 0x10\n\
                    timeout_s: ~\nexclusive: false\n";
const TOML: &str = "name = 'no'\npriority = 16\nexclusive = false\n\n[run.exec]\n\
                    command = 'echo'\nargs = ['1', 'on']\n\n[where.near]\nlatitude = -37.5\n\
                    longitude = 144\n";

#[test]
fn the_three_formats_say_the_same() {
    let expected = json!({
        "name": "no", "run": {"exec": {"command": "echo", "args": ["1", "on"]}},
        "where": {"near": {"latitude": -37.5, "longitude": 144}},
        "priority": 16, "exclusive": false,
    });
    let mut yaml = one(YAML, FileFormat::Yaml).value;
    assert_eq!(yaml.as_object_mut().and_then(|map| map.remove("timeout_s")), Some(Value::Null));
    assert_eq!(yaml, expected);
    assert_eq!(one(TOML, FileFormat::Toml).value, expected);
    let text = serde_json::to_string_pretty(&expected).expect("json");
    assert_eq!(one(&text, FileFormat::Json).value, expected);
}

#[test]
fn each_value_is_told_with_its_line() {
    let tell = |document: &Document, pointer: &str| {
        document.tell(&Problem { pointer: pointer.to_owned(), detail: "is wrong".to_owned() })
    };
    let yaml = one(YAML, FileFormat::Yaml);
    assert_eq!(tell(&yaml, "/where/near/latitude"), "task, line 7: where.near.latitude: is wrong");
    assert_eq!(tell(&yaml, "/run/exec/args/1"), "task, line 4: run.exec.args.1: is wrong");
    assert_eq!(tell(&yaml, "/where/area"), "task, line 5: where.area: is wrong");
    assert_eq!(tell(&yaml, ""), "task, line 2: the task is wrong");
    let toml = one(TOML, FileFormat::Toml);
    assert_eq!(tell(&toml, "/where/near/latitude"), "task, line 10: where.near.latitude: is wrong");
    assert_eq!(tell(&toml, "/run/exec/args/0"), "task, line 7: run.exec.args.0: is wrong");
    let json = one("{\n  \"run\": {\n\t\"exec\": {}}}", FileFormat::Json);
    assert_eq!(tell(&json, "/run/exec/command"), "task, line 3: run.exec.command: is wrong");
    assert_eq!(tell(&Document::given(json!({})), "/run"), "the command line: run: is wrong");
}

#[test]
fn several_tasks_stand_in_one_file() {
    let yaml = "run: {noop: {}}\n---\n# nothing\n---\nrun: {noop: {}}\nrum: 1\n";
    let documents = parse(yaml, FileFormat::Yaml, "task").expect("read");
    assert_eq!(documents.len(), 2);
    let problem = Problem { pointer: "/rum".to_owned(), detail: "is wrong".to_owned() };
    assert_eq!(documents[1].tell(&problem), "task, line 6: rum: is wrong");
    let json = "[{\"run\": {\"noop\": {}}},\n {\"rum\": 1}]";
    let documents = parse(json, FileFormat::Json, "task").expect("read");
    assert_eq!(documents[1].tell(&problem), "task, line 2, item 2: rum: is wrong");
    assert_eq!(documents[1].lines.get("/rum"), Some(&2));
    let lines = "{\"run\": {\"noop\": {}}}\r\n\n {\"rum\": 1}";
    let documents = parse(lines, FileFormat::Ndjson, "task").expect("read");
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[1].tell(&problem), "task, line 3: rum: is wrong");
    let alone = parse("{}\n", FileFormat::Ndjson, "task").expect("read");
    assert!(alone[0].is_among_others && !one("{}", FileFormat::Json).is_among_others);
}

#[test]
fn a_call_has_a_bound() {
    let text = "{}\n".repeat(TASKS_MAX);
    assert_eq!(parse(&text, FileFormat::Ndjson, "task").expect("read").len(), TASKS_MAX);
    let text = format!("[{}0]", "0,".repeat(TASKS_MAX));
    assert!(refused(&text, FileFormat::Json).contains("100001 tasks, at most 100000"));
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    for (text, format, expected) in [
        (
            "{\n",
            FileFormat::Json,
            "task, line 2: not JSON at column 0: EOF while parsing an object",
        ),
        ("{}\n{]\n", FileFormat::Ndjson, "task, line 2: not JSON at column 2: key must be"),
        ("{}\n{\n}\n", FileFormat::Ndjson, "task, line 2: not JSON at column 1: EOF while"),
        ("\n\n", FileFormat::Ndjson, "task: there is no task in it"),
        ("[]", FileFormat::Json, "task: there is no task in it"),
        ("a = \n", FileFormat::Toml, "task, line 1: not TOML: "),
        ("\na = 1\na = 2\n", FileFormat::Toml, "task, line 3: not TOML: duplicate key"),
        ("a = 99999999999999999999\n", FileFormat::Toml, "task, line 1: the number 9999"),
        ("a = inf\n", FileFormat::Toml, "task, line 1: inf is not a finite number"),
        ("a: 1\na: 2\n", FileFormat::Yaml, "task, line 2: the key `a` stands here for the second"),
        ("a: &x 1\nb: *x\n", FileFormat::Yaml, "task, line 1: anchors (`&name`) are not read"),
        ("a: *x\n", FileFormat::Yaml, "task, line 1: "),
        ("a: !!binary x\n", FileFormat::Yaml, "task, line 1: the tag `binary` is not read here"),
        ("? [a]\n: 1\n", FileFormat::Yaml, "task, line 1: a key must be a text"),
        ("a: [1\nb: 2\n", FileFormat::Yaml, "task, line "),
        ("---\n", FileFormat::Yaml, "task: there is no task in it"),
    ] {
        let error = refused(text, format);
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    assert!(refused(&deep, FileFormat::Yaml).contains("nested more than 64 deep"));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[-+0-9a-fnotrueslEx.~ :#]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_as_yaml_is_read_back(value in any_value()) {
        let value = json!({"value": value});
        let text = written(&value);
        prop_assert_eq!(one(&text, FileFormat::Yaml).value, value, "{}", text);
    }

    #[test]
    fn no_text_breaks_a_reader(text in "[-a-c \\n:{}\\[\\]\"'#&*!|>%@`0-9.\\t=,]{0,60}") {
        for format in FileFormat::value_variants() {
            let format = *format;
            let _ = parse(&text, format, "task");
        }
    }
}
