//! What many operations share: sets of problems, and parameters.

use schemars::json_schema;
use shared::id::AgentId;
use shared::label::LABEL_KEY_BYTES_MAX;

use crate::http::openapi::operation::{Parameter, Place, of};
use crate::http::problem::Kind;
use crate::http::query::{LIMIT_DEFAULT, LIMIT_MAX, TEXT_BYTES_MAX};

/// Of whatever checks its query.
pub const QUERY: &[Kind] = &[Kind::InvalidQuery];
/// Of whatever asks the core or reads its store.
pub const CORE: &[Kind] = &[Kind::CoreBusy, Kind::CoreStopping, Kind::StoreFailing];
/// Of whatever writes.
pub const WRITE: &[Kind] = &[Kind::CrossOrigin];
/// Of whatever is about one task.
pub const TASK: &[Kind] = &[Kind::InvalidId, Kind::TaskNotFound, Kind::TaskForgotten];
/// Of whatever is about one agent.
pub const AGENT: &[Kind] = &[Kind::InvalidId, Kind::AgentNotFound];
/// Of whatever takes a task as its body.
pub const TASK_BODY: &[Kind] = &[
    Kind::InvalidJson,
    Kind::RequestTimeout,
    Kind::BodyTooLarge,
    Kind::UnsupportedMediaType,
    Kind::InvalidTask,
];

/// An agent, in the path.
pub const AGENT_ID: Parameter = Parameter {
    name: "id",
    place: Place::Path,
    schema: of::<AgentId>,
    description: "The agent.",
    example: "board-7",
};

/// How long a page is.
pub const LIMIT: Parameter = Parameter {
    name: "limit",
    place: Place::Query,
    schema: |_| {
        json_schema!({
            "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT,
        })
    },
    description: "The most items of the page.",
    example: "100",
};

/// Where a page begins. It has no example: a cursor is good in the list that gave it out only.
pub const CURSOR: Parameter = Parameter {
    name: "cursor",
    place: Place::Query,
    schema: text,
    description: "The `next_cursor` of the page before.",
    example: "",
};

/// A label.
pub const LABEL: Parameter = Parameter {
    name: "label",
    place: Place::Query,
    schema: |_| {
        let pattern = format!("^[A-Za-z0-9._/-]{{1,{LABEL_KEY_BYTES_MAX}}}(=[^\\u0000]*)?$");
        json_schema!({
            "type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX, "pattern": pattern,
        })
    },
    description: "Only what has this label: `key=value`, or `key` with any value.",
    example: "team=air",
};

/// A text of a query.
pub fn text(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX, "pattern": "^[^\\u0000]+$",
    })
}
