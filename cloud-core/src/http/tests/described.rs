//! The OpenAPI document against what runs: every answer that any test of the API gets is held
//! against it, and the document against the copy that is checked in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use serde_json::Value;

use super::Served;
use super::client::{self, Reply};
use crate::http::openapi::{Operation, document, operations, problems};
use crate::http::problem::{Kind, TYPE_PREFIX};

const CHECKED_IN: &str = "docs/openapi.json";
/// Set, the test writes the document instead of comparing it.
const UPDATE: &str = "AMBIT_UPDATE";
const PROBLEM: &str = "application/problem+json";

/// The document with its schemas compiled.
struct Described {
    document: Value,
    schemas: Schemas,
    /// By JSON pointer.
    compiled: BTreeMap<String, SchemaIndex>,
}

impl Described {
    fn get() -> &'static Self {
        static DESCRIBED: OnceLock<Described> = OnceLock::new();
        DESCRIBED.get_or_init(|| {
            let document = document();
            let mut compiler = Compiler::new();
            compiler.set_default_draft(Draft::V2020_12);
            compiler.enable_format_assertions();
            compiler.add_resource("test:///api", document.clone()).expect("a resource");
            let mut schemas = Schemas::new();
            let mut pointers = Vec::new();
            find_schemas(&document["paths"], "/paths", &mut pointers);
            let compile = |pointer: String| {
                let at = format!("test:///api#{pointer}");
                let index = compiler.compile(&at, &mut schemas);
                (pointer, index.unwrap_or_else(|error| panic!("{at}: {error:#}")))
            };
            let compiled = pointers.into_iter().map(compile).collect();
            Self { document, schemas, compiled }
        })
    }

    fn check(&self, pointer: &str, value: &Value) {
        let index = self.compiled.get(pointer).unwrap_or_else(|| panic!("no schema {pointer}"));
        if let Err(error) = self.schemas.validate(value, *index) {
            panic!("{pointer} is not what {value} is: {error:#}");
        }
    }

    fn refuses(&self, pointer: &str, value: &Value) -> bool {
        self.schemas.validate(value, self.compiled[pointer]).is_err()
    }
}

/// Where the schemas of bodies and parameters stand.
fn find_schemas(value: &Value, pointer: &str, found: &mut Vec<String>) {
    let Value::Object(fields) = value else {
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            find_schemas(item, &format!("{pointer}/{index}"), found);
        }
        return;
    };
    for (name, field) in fields {
        let inner = format!("{pointer}/{}", shared::border::escape(name));
        match name.as_str() {
            "schema" | "x-item-schema" => found.push(inner),
            _ => find_schemas(field, &inner, found),
        }
    }
}

/// The operation that a request is for.
fn operation(method: &str, target: &str) -> Option<&'static Operation> {
    let path = target.split('?').next().unwrap_or_default();
    let method = if method == "HEAD" { "GET" } else { method };
    let fits = |pattern: &str| {
        let (pattern, path) = (pattern.split('/'), path.split('/'));
        pattern.clone().count() == path.clone().count()
            && pattern.zip(path).all(|(want, have)| {
                if want.starts_with('{') { !have.is_empty() } else { want == have }
            })
    };
    let first = operations().find(|operation| fits(operation.path))?;
    operations().find(|one| one.path == first.path && one.verb.name() == method)
}

/// Holds an answer against the document. What is no operation has an answer too: a problem.
pub fn check(method: &str, target: &str, reply: &Reply) {
    let described = Described::get();
    let media = reply.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default();
    let Some(operation) = operation(method, target) else {
        assert_eq!(media, PROBLEM, "{method} {target}");
        return;
    };
    let verb = operation.verb.name().to_lowercase();
    let path = shared::border::escape(operation.path);
    let at = format!("/paths/{path}/{verb}/responses/{}", reply.status);
    let told = described.document.pointer(&at);
    let told = told.unwrap_or_else(|| panic!("{method} {target}: {at} is not described"));
    if method == "HEAD" {
        return;
    }
    let content = &told["content"][media];
    assert!(content.is_object(), "{method} {target}: {at} is described without {media}");
    let at = format!("{at}/content/{}", shared::border::escape(media));
    if content.get("x-item-schema").is_some() {
        let is_chunked = reply.header("transfer-encoding").is_some();
        let text = match is_chunked {
            true => super::logs::unchunked(&reply.body),
            false => String::from_utf8_lossy(&reply.body).into_owned(),
        };
        for line in text.lines().filter(|line| !line.is_empty()) {
            let item = serde_json::from_str(line).expect("a line is JSON");
            described.check(&format!("{at}/x-item-schema"), &item);
        }
    } else if media.ends_with("json") {
        described.check(&format!("{at}/schema"), &reply.json());
    }
    for name in told["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        // Told of a status that has several problems, of which one needs it.
        let is_needed = reply.status < 400;
        assert!(!is_needed || reply.header(&name.to_lowercase()).is_some(), "{at} lacks {name}");
    }
}

#[test]
fn the_document_that_is_checked_in_is_the_one_that_is_served() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
    let path = format!("{root}{CHECKED_IN}");
    let served = Served::new().get("/v1/openapi.json").json();
    if std::env::var_os(UPDATE).is_some() {
        let text = serde_json::to_string_pretty(&served).expect("text") + "\n";
        std::fs::write(&path, text).expect("write");
    }
    let text = std::fs::read_to_string(&path).expect("the document is checked in");
    let kept: Value = serde_json::from_str(&text).expect("it is JSON");
    let way_out = format!("{CHECKED_IN} is not what runs; run this test with {UPDATE}=1");
    assert!(kept == served, "{way_out}");
}

#[test]
fn every_operation_is_named_once_and_says_what_it_is() {
    let described = Described::get();
    let mut ids = BTreeSet::new();
    for operation in operations() {
        let id = operation.id;
        assert!(!id.is_empty() && ids.insert(id), "{} {id}", operation.path);
        assert!(!operation.summary.is_empty() && !operation.answers.is_empty(), "{id}");
        let told: BTreeSet<&str> = operation
            .parameters
            .iter()
            .filter(|parameter| operation.path.contains(&format!("{{{}}}", parameter.name)))
            .map(|parameter| parameter.name)
            .collect();
        assert_eq!(told.len(), operation.path.matches('{').count(), "{id}");
        let tags = described.document["tags"].as_array().expect("tags");
        assert!(tags.iter().any(|tag| tag["name"] == operation.tag), "{id}");
    }
}

#[test]
fn every_operation_is_served_and_every_other_method_is_refused() {
    let served = Served::new();
    for path in operations().map(|operation| operation.path).collect::<BTreeSet<_>>() {
        let target = path
            .replace("{id}", "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b")
            .replace("{name}", "nightly-report");
        // A stream would not end.
        let target = if path == "/v1/events" { format!("{target}?after=x") } else { target };
        let known: Vec<&str> = operations()
            .filter(|operation| operation.path == path)
            .map(|operation| operation.verb.name())
            .collect();
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let reply = client::send(served.address, method, &target, &[], b"");
            let is_refused = reply.status == 405;
            assert_eq!(is_refused, !known.contains(&method), "{method} {target}: {}", reply.status);
            if is_refused {
                let allow = reply.header("allow").expect("Allow").replace(", HEAD", "");
                assert_eq!(allow, known.join(", "), "{target}");
            } else if reply.status == 404 {
                assert_ne!(reply.problem(), "path-not-found", "{method} {target}");
            }
        }
    }
}

#[test]
fn what_a_query_may_hold_is_what_is_described() {
    use crate::http::openapi::Place;
    let served = Served::new();
    for operation in operations() {
        if !operation.problems.iter().any(|kinds| kinds.contains(&Kind::InvalidQuery)) {
            continue;
        }
        let target = operation
            .path
            .replace("{id}", "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b")
            .replace("{name}", "nightly-report");
        let target = format!("{target}?zzzzzzzzzzzz=1");
        let reply = client::send(served.address, operation.verb.name(), &target, &[], b"");
        assert_eq!(reply.problem(), "invalid-query", "{target}");
        let told: Vec<&str> = operation
            .parameters
            .iter()
            .filter(|parameter| parameter.place == Place::Query)
            .map(|parameter| parameter.name)
            .collect();
        let sentence = match told.is_empty() {
            true => "this path takes none".to_owned(),
            false => format!("known here: {}", told.join(", ")),
        };
        let detail = reply.json()["detail"].as_str().expect("detail").to_owned();
        assert!(detail.ends_with(&sentence), "{}: {detail}", operation.id);
    }
}

#[test]
fn examples_are_what_their_schemas_say_and_the_core_takes_them() {
    let (described, served) = (Described::get(), Served::new());
    for operation in operations() {
        let path = shared::border::escape(operation.path);
        let at = format!("/paths/{path}/{}", operation.verb.name().to_lowercase());
        let told = &described.document.pointer(&at).expect("described");
        let parameters = told["parameters"].as_array();
        for (index, parameter) in parameters.into_iter().flatten().enumerate() {
            if let Some(example) = parameter.get("example") {
                described.check(&format!("{at}/parameters/{index}/schema"), example);
            }
        }
        let Some(example) = told.pointer("/requestBody/content/application~1json/example") else {
            continue;
        };
        described.check(&format!("{at}/requestBody/content/application~1json/schema"), example);
        let (method, text) = (operation.verb.name(), example.to_string());
        if operation.id == "callHook" {
            // Not without a signature.
            continue;
        }
        let path = operation.path.replace("{name}", "nightly-report");
        let reply = client::send(served.address, method, &path, &[], text.as_bytes());
        assert!(reply.status < 300, "{}: {}", operation.id, reply.json());
    }
}

/// What the reader of tasks and the schema of tasks say of the same document: whatever the reader
/// takes, the schema must allow.
#[test]
fn what_the_core_takes_as_a_task_its_schema_allows() {
    let described = Described::get();
    let at = "/paths/~1v1~1tasks/post/requestBody/content/application~1json/schema";
    let full = serde_json::to_value(shared::spec::TaskSpec::new(shared::spec::Run::Noop {}));
    let mut full = full.expect("json");
    described.check(at, &full);
    for name in full.as_object().expect("fields").keys().cloned().collect::<Vec<_>>() {
        let kept = full[&name].clone();
        full[&name] = Value::Null;
        let is_taken = shared::spec::parse(&full).is_ok();
        assert_eq!(described.refuses(at, &full), !is_taken, "{name}: null");
        full[&name] = kept;
    }
    for text in [
        r#"{}"#,
        r#"{"run": {}}"#,
        r#"{"run": {"exec": {"command": ""}}}"#,
        r#"{"run": {"exec": {}}}"#,
        r#"{"run": {"noop": {}, "exec": {"command": "x"}}}"#,
        r#"{"run": {"noop": {"x": 1}}}"#,
        r#"{"run": {"noop": {}}, "prioritty": 1}"#,
        r#"{"run": {"noop": {}}, "priority": 101}"#,
        r#"{"run": {"noop": {}}, "where": {"near": {"latitude": 1}}}"#,
        r#"{"run": {"noop": {}}, "where": {"near": {"latitude": 91, "longitude": 0}}}"#,
        r#"{"run": {"noop": {}}, "where": {"agents": ["a/b"]}}"#,
        r#"{"run": {"noop": {}}, "where": {"expressions": [{"key": "a", "op": "like"}]}}"#,
        r#"{"run": {"noop": {}}, "where": {"area": {"type": "Point", "coordinates": [1, 2]}}}"#,
    ] {
        let task: Value = serde_json::from_str(text).expect("json");
        assert!(shared::spec::parse(&task).is_err(), "{text}");
        assert!(described.refuses(at, &task), "{text}");
    }
    for text in [
        r#"{"run": {"noop": {}, "exec": null}, "where": null, "timeout_s": null}"#,
        r#"{"run": {"exec": {"command": "x", "args": null, "env": {"A": ""}, "dir": "/"}}}"#,
        r#"{"run": {"noop": {}}, "where": {"near": {"latitude": 1, "longitude": 2, "within_m": null},
            "expressions": [{"key": "a", "op": "exists", "values": null}],
            "area": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}}}"#,
        r#"{"run": {"noop": {}}, "needs": {"devices": {"camera": 1}, "cpu_millis": null}}"#,
    ] {
        let task: Value = serde_json::from_str(text).expect("json");
        shared::spec::parse(&task).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        described.check(at, &task);
    }
}

#[test]
fn every_problem_is_described_somewhere() {
    let told: BTreeSet<&str> =
        operations().flat_map(problems).flat_map(|(_, kinds)| kinds).map(Kind::name).collect();
    for kind in Kind::all() {
        assert!(told.contains(kind.name()), "no operation answers {}", kind.name());
    }
}

/// Of each problem the manual says what it means and what to do, and of nothing else.
#[test]
fn the_manual_has_a_section_for_every_problem() {
    let manual = include_str!("../../../../docs/PROBLEMS.md");
    let sections: Vec<String> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_owned())
        .collect();
    let known: Vec<String> =
        Kind::all().map(|kind| format!("{} ({})", kind.name(), kind.status().as_u16())).collect();
    assert_eq!(sections, known);
    assert!(manual.contains(TYPE_PREFIX));
}

#[test]
fn the_page_loads_what_the_core_serves_and_nothing_else() {
    let served = Served::new();
    let page = served.get("/docs");
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let text = String::from_utf8(page.body).expect("text");
    let assets: Vec<&str> = text
        .split(['"', ' ', '>'])
        .filter(|word| word.starts_with("/docs/") || word.contains("://"))
        .collect();
    assert_eq!(assets, ["/docs/docs.css", "/docs/docs.js"]);
    for asset in assets {
        let reply = served.get(asset);
        assert_eq!(reply.status, 200, "{asset}");
        let source = String::from_utf8(reply.body).expect("text");
        assert!(!source.contains("://") && !source.contains("innerHTML"), "{asset}");
    }
    // Inline code would be without effect.
    let is_handler = |word: &str| word.starts_with("on") && word.contains('=');
    assert!(!text.split_whitespace().any(is_handler), "{text}");
    assert!(!text.contains("style=") && !text.contains("<script>"), "{text}");
}
