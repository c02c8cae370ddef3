//! `docs/asyncapi.json`, made from the types of the wire: channels, operations, and a JSON Schema
//! of every message. A schema says what a reader takes: a field that may be left out is one that
//! it fills in.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use shared::wire::{Downlink, MESSAGE_BYTES_MAX, PROTOCOL_VERSION, Uplink};

const PATH: &str = "docs/asyncapi.json";
const SCHEMAS: &str = "/components/schemas";

/// The messages of one direction by their `type`, with the schema of each.
fn messages(generator: &mut SchemaGenerator, all: Value, prefix: &str) -> BTreeMap<String, Value> {
    // The enum itself is a definition; its variants are what is wanted of it.
    let name = all["$ref"].as_str().and_then(|name| name.rsplit('/').next()).expect("a name");
    let whole = generator.definitions_mut().remove(name).expect("a definition");
    let variants = whole["oneOf"].as_array().expect("variants").clone();
    let named = variants.into_iter().map(|mut schema| {
        let kind = schema["properties"]["type"]["const"].as_str().expect("a type").to_owned();
        schema["properties"]["v"] = json!({
            "description": "The version of the protocol.", "const": PROTOCOL_VERSION,
        });
        if let Some(required) = schema["required"].as_array_mut() {
            required.push(json!("v"));
        }
        let summary = schema["description"].clone();
        let message = json!({
            "name": kind, "title": format!("{prefix}: {kind}"), "summary": summary,
            "contentType": "application/json", "payload": schema,
        });
        (kind, message)
    });
    named.collect()
}

fn refs(direction: &str, kinds: &[&str]) -> Map<String, Value> {
    let to = |kind: &&str| {
        let target = format!("#/components/messages/{direction}_{kind}");
        ((*kind).to_owned(), json!({"$ref": target}))
    };
    kinds.iter().map(to).collect()
}

/// One channel, and what the agent does with it.
fn channel(name: &str, action: &str, what: &str, kinds: &[&str], side: &str) -> (Value, Value) {
    let channel = json!({
        "address": format!("ambit/v1/agents/{{agent}}/{name}"),
        "description": what,
        "parameters": {"agent": {"description": "The id of the agent."}},
        "messages": refs(side, kinds),
    });
    let messages: Vec<Value> = kinds
        .iter()
        .map(|kind| json!({"$ref": format!("#/channels/{name}/messages/{kind}")}))
        .collect();
    let operation = json!({
        "action": action,
        "channel": {"$ref": format!("#/channels/{name}")},
        "messages": messages,
        "bindings": {"mqtt": {"qos": 1, "retain": false}},
    });
    (channel, operation)
}

/// The document.
fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let (up, down) = (generator.subschema_for::<Uplink>(), generator.subschema_for::<Downlink>());
    let up = messages(&mut generator, up.to_value(), "agent to core");
    let down = messages(&mut generator, down.to_value(), "core to agent");
    let kinds: Vec<&str> = up.keys().map(String::as_str).collect();
    let (from_agent, what_it_sends) =
        channel("up", "send", "From an agent to the core.", &kinds, "up");
    let kinds: Vec<&str> = down.keys().map(String::as_str).collect();
    let (to_agent, what_it_hears) =
        channel("down", "receive", "From the core to an agent.", &kinds, "down");
    let (will, what_is_left) = channel(
        "will",
        "send",
        "The last will of an agent, published by the broker when its connection breaks.",
        &["gone"],
        "up",
    );
    let sides = [("up", up), ("down", down)];
    let all: Map<String, Value> = sides
        .into_iter()
        .flat_map(|(side, messages)| {
            messages.into_iter().map(move |(kind, one)| (format!("{side}_{kind}"), one))
        })
        .collect();
    let about = format!(
        "What passes between an Ambit core and its agents, seen from the agent. Every payload is \
         64 hexadecimal digits of HMAC-SHA256, a newline, and one JSON object, which the schemas \
         here describe; at most {MESSAGE_BYTES_MAX} bytes in all. PROTOCOL.md says what the \
         schemas cannot: keys, order, timing, and what must be on disk before what is said."
    );
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ambit agents",
            "version": PROTOCOL_VERSION.to_string(),
            "license": {"name": "Apache-2.0"},
            "description": about,
        },
        "defaultContentType": "application/json",
        "servers": {"core": {"host": "localhost:1883", "protocol": "mqtt", "protocolVersion": "5"}},
        "channels": {"up": from_agent, "down": to_agent, "will": will},
        "operations": {
            "speak": what_it_sends, "listen": what_it_hears, "leaveAWill": what_is_left,
        },
        "components": {"messages": all, "schemas": generator.take_definitions(true)},
    });
    speak_json(&mut document);
    document
}

/// The words of the code are those of its language; in JSON, nothing is null.
fn speak_json(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["description", "summary"] {
                if let Some(Value::String(text)) = fields.get_mut(name) {
                    *text = text.replace("`None`", "`null`").replace("[`", "`").replace("`]", "`");
                }
            }
            fields.values_mut().for_each(speak_json);
        }
        Value::Array(items) => items.iter_mut().for_each(speak_json),
        _ => {}
    }
}

/// The checked-in document with its schemas compiled.
pub struct Described {
    schemas: Schemas,
    messages: BTreeMap<String, SchemaIndex>,
}

impl Described {
    /// As it is checked in.
    pub fn get() -> &'static Self {
        static DESCRIBED: OnceLock<Described> = OnceLock::new();
        DESCRIBED.get_or_init(|| {
            let document: Value = serde_json::from_str(&super::read(PATH)).expect("JSON");
            let mut compiler = Compiler::new();
            compiler.set_default_draft(Draft::V2020_12);
            compiler.enable_format_assertions();
            compiler.add_resource("test:///wire", document.clone()).expect("a resource");
            let mut schemas = Schemas::new();
            let known = document["components"]["messages"].as_object().expect("messages");
            let compile = |name: &String| {
                let at = format!("test:///wire#/components/messages/{name}/payload");
                let index = compiler.compile(&at, &mut schemas);
                (name.clone(), index.unwrap_or_else(|error| panic!("{at}: {error:#}")))
            };
            let messages = known.keys().map(compile).collect();
            Self { schemas, messages }
        })
    }

    /// Every message, as `up_hello`.
    pub fn kinds(&self) -> impl Iterator<Item = &String> {
        self.messages.keys()
    }

    /// Holds a body against its schema.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn check(&self, up: bool, body: &Value) -> Result<String, String> {
        let kind = body["type"].as_str().unwrap_or_default();
        let name = format!("{}_{kind}", if up { "up" } else { "down" });
        let index = self.messages.get(&name).ok_or_else(|| format!("no message {name}"))?;
        match self.schemas.validate(body, *index) {
            Ok(()) => Ok(name),
            Err(error) => Err(format!("{body} is no {name}: {error:#}")),
        }
    }
}

#[test]
fn the_document_that_is_checked_in_is_what_the_code_says() {
    super::assert_checked_in(PATH, &document());
    assert!(Described::get().kinds().count() > 15);
}

#[test]
fn the_manual_names_every_message_and_every_topic() {
    let manual = super::read("docs/PROTOCOL.md");
    for kind in Described::get().kinds() {
        let (_, word) = kind.split_once('_').expect("a side");
        assert!(manual.contains(&format!("`{word}`")), "docs/PROTOCOL.md lacks `{word}`");
    }
    for topic in ["up", "down", "will"] {
        assert!(manual.contains(&format!("ambit/v1/agents/AGENT/{topic}")), "{topic}");
    }
    assert!(manual.contains(&MESSAGE_BYTES_MAX.to_string()));
}
