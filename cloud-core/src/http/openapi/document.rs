//! The OpenAPI 3.1 document, made from the table of operations, the list of problems and the types
//! of the API. Pure.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use shared::api::ProblemDocument;

use super::input;
use super::operation::{Answer, Content, Operation, Parameter, Place, Role, of};
use super::table::operations;
use crate::http::problem::{Kind, TYPE_PREFIX};

/// Where schemas stand in the document.
pub const SCHEMAS: &str = "/components/schemas";
/// Of problems.
const PROBLEM_MEDIA: &str = "application/problem+json";
/// What every operation may answer.
const ALWAYS: &[Kind] = &[Kind::BadRequest, Kind::UnknownHost, Kind::Internal];
/// What an operation may answer whose path has a parameter: with some values it is another path,
/// such as `/v1/tasks/plan`, or none.
const AMBIGUOUS: &[Kind] = &[Kind::PathNotFound, Kind::MethodNotAllowed];

const ABOUT: &str = "Ambit places tasks on a fleet of edge devices by where they are, what they \
                     have and how near they are, and sees each to exactly one outcome.\n\n\
                     Every error is a problem (RFC 9457) whose `type` is stable and made to be \
                     compared. Fields may be added to answers; what is here keeps its name and \
                     meaning. `HEAD` works wherever `GET` does. `x-ambit-role` is the least that \
                     a caller has to be.";

/// The groups of operations.
const TAGS: &[(&str, &str)] = &[
    ("tasks", "What is to run, where it runs, and how it came out."),
    ("agents", "The devices that run it."),
    ("schedules", "What makes tasks by itself."),
    ("fleet", "What happens in it, and how it is used."),
    ("core", "The core itself."),
];

/// The document.
///
/// # Panics
/// When the table holds an example that is not JSON, which its test finds.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut outputs = settings.clone().for_serialize().into_generator();
    let mut inputs = settings.for_deserialize().into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations() {
        let told = told(operation, &mut outputs, &mut inputs);
        let verb = operation.verb.name().to_lowercase();
        paths.entry(operation.path).or_default().insert(verb, told);
    }
    outputs.subschema_for::<ProblemDocument>();
    let mut schemas = outputs.take_definitions(true);
    schemas.extend(input::schemas(inputs.take_definitions(true)));
    let tags: Vec<Value> = TAGS
        .iter()
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ambit",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": ABOUT,
        },
        "servers": [{"url": "/", "description": "The core that serves this document."}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    });
    speak_json(&mut document);
    document
}

/// The words of the code are those of its language; in JSON, nothing is null.
fn speak_json(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace("`None`", "`null`").replace("[`", "`").replace("`]", "`");
            }
            fields.values_mut().for_each(speak_json);
        }
        Value::Array(items) => items.iter_mut().for_each(speak_json),
        _ => {}
    }
}

fn told(
    operation: &Operation,
    outputs: &mut SchemaGenerator,
    inputs: &mut SchemaGenerator,
) -> Value {
    let parameters: Vec<Value> =
        operation.parameters.iter().map(|parameter| told_parameter(parameter, outputs)).collect();
    let mut told = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "x-ambit-role": operation.role.name(),
        "responses": responses(operation, outputs),
    });
    if operation.role != Role::Anyone {
        // Or none, as long as the core has no token.
        told["security"] = json!([{"token": []}, {}]);
    }
    if !operation.description.is_empty() {
        told["description"] = json!(operation.description);
    }
    if !parameters.is_empty() {
        told["parameters"] = json!(parameters);
    }
    if let Some(body) = &operation.body {
        let mut content = Map::new();
        for (media, schema, example) in body.content {
            let schema = input::reference(schema(inputs).to_value());
            let example = match media.ends_with("json") && !media.contains("ndjson") {
                true => serde_json::from_str(example).expect("an example is JSON"),
                false => json!(example),
            };
            content.insert((*media).to_owned(), json!({"schema": schema, "example": example}));
        }
        told["requestBody"] =
            json!({"description": body.description, "required": true, "content": content});
    }
    told
}

fn told_parameter(parameter: &Parameter, generator: &mut SchemaGenerator) -> Value {
    let mut told = json!({
        "name": parameter.name,
        "in": parameter.place.name(),
        "required": parameter.place == Place::Path,
        "description": parameter.description,
        "schema": (parameter.schema)(generator).to_value(),
    });
    if !parameter.example.is_empty() {
        // As it is written: whether it is a number is for its schema to say.
        let typed = told["schema"]["type"] == "integer" || told["schema"]["type"] == "boolean";
        told["example"] = match typed {
            true => serde_json::from_str(parameter.example).expect("an example is JSON"),
            false => json!(parameter.example),
        };
    }
    told
}

/// The problems that an operation may answer, by status.
pub fn problems(operation: &Operation) -> BTreeMap<u16, Vec<Kind>> {
    let mut found: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    let ambiguous = if operation.path.contains('{') { AMBIGUOUS } else { &[] };
    let asked = match operation.role {
        Role::Anyone => &[][..],
        Role::Viewer => &[Kind::Unauthenticated, Kind::TooManyRequests],
        _ => &[Kind::Unauthenticated, Kind::Forbidden, Kind::TooManyRequests],
    };
    let every = [ALWAYS, ambiguous, asked];
    for kind in operation.problems.iter().copied().chain(every).flatten() {
        found.entry(kind.status().as_u16()).or_default().push(*kind);
    }
    found
}

fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut told: BTreeMap<String, Value> = BTreeMap::new();
    for answer in operation.answers {
        told.insert(answer.status.to_string(), told_answer(answer, generator));
    }
    for (status, kinds) in problems(operation) {
        let problem = told_problem(&kinds, generator);
        match told.get_mut(&status.to_string()) {
            // A status may stand for an answer and for a problem; the media type tells them apart.
            Some(answer) => {
                answer["content"][PROBLEM_MEDIA] = problem["content"][PROBLEM_MEDIA].clone();
            }
            None => {
                told.insert(status.to_string(), problem);
            }
        }
    }
    json!(told)
}

fn told_answer(answer: &Answer, generator: &mut SchemaGenerator) -> Value {
    let mut content = Map::new();
    for (media, body) in answer.content {
        let told = match body {
            Content::Value(schema) => json!({"schema": schema(generator).to_value()}),
            // OpenAPI 3.1 has no word for a stream of values.
            Content::Stream(schema) => json!({
                "schema": {"type": "string"}, "x-item-schema": schema(generator).to_value(),
            }),
            Content::Text => json!({"schema": {"type": "string"}}),
        };
        content.insert((*media).to_owned(), told);
    }
    let mut told = json!({"description": answer.description, "content": content});
    if !answer.headers.is_empty() {
        told["headers"] = told_headers(answer.headers);
    }
    told
}

fn told_headers(headers: &[(&str, &str)]) -> Value {
    let told = headers.iter().map(|(name, description)| {
        ((*name).to_owned(), json!({"description": description, "schema": {"type": "string"}}))
    });
    Value::Object(told.collect())
}

fn told_problem(kinds: &[Kind], generator: &mut SchemaGenerator) -> Value {
    let types: Vec<String> =
        kinds.iter().map(|kind| format!("{TYPE_PREFIX}{}", kind.name())).collect();
    let lines: Vec<String> =
        kinds.iter().map(|kind| format!("- `{}`: {}", kind.name(), kind.title())).collect();
    let schema = json!({
        "allOf": [of::<ProblemDocument>(generator).to_value()],
        "properties": {"type": {"enum": types}},
    });
    let mut told = json!({
        "description": lines.join("\n"),
        "content": {PROBLEM_MEDIA: {"schema": schema}},
    });
    if kinds.iter().any(|kind| matches!(kind.status().as_u16(), 429 | 503)) {
        told["headers"] = told_headers(&[("Retry-After", "After how many seconds to try again.")]);
    }
    told
}
