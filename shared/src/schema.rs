//! JSON Schemas of the types that read and write themselves by hand; every other type derives
//! its own. Only what tells others about these types is built with them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::geo::{Area, Position};
use crate::id::{AGENT_ID_LENGTH_MAX, AgentId, SCHEDULE_NAME_LENGTH_MAX, ScheduleName};
use crate::schedule::Day;
use crate::time::Timestamp;
use crate::trace::{SpanId, TraceId};

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A moment in RFC 3339, written in UTC with milliseconds.",
            "type": "string",
            "format": "date-time",
            "examples": ["2026-11-21T01:02:03.456Z"],
        })
    }
}

impl JsonSchema for AgentId {
    fn schema_name() -> Cow<'static, str> {
        "AgentId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let rest = AGENT_ID_LENGTH_MAX - 1;
        json_schema!({
            "description": "Names one agent.",
            "type": "string",
            "pattern": format!("^[A-Za-z0-9][A-Za-z0-9._-]{{0,{rest}}}$"),
            "examples": ["board-7"],
        })
    }
}

impl JsonSchema for ScheduleName {
    fn schema_name() -> Cow<'static, str> {
        "ScheduleName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let rest = SCHEDULE_NAME_LENGTH_MAX - 1;
        json_schema!({
            "description": "Names one schedule.",
            "type": "string",
            "pattern": format!("^[A-Za-z0-9][A-Za-z0-9._-]{{0,{rest}}}$"),
            "examples": ["nightly-report"],
        })
    }
}

impl JsonSchema for Day {
    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A date, a day of every year, or a day of the week.",
            "type": "string",
            "pattern": "^(([0-9]{4}-)?[0-9]{2}-[0-9]{2}|[a-zA-Z]+day)$",
            "examples": ["2026-12-25", "12-25", "sunday"],
        })
    }
}

impl JsonSchema for TraceId {
    fn schema_name() -> Cow<'static, str> {
        "TraceId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names a trace, as the W3C Trace Context does.",
            "type": "string",
            "pattern": "^[0-9a-f]{32}$",
            "examples": ["4bf92f3577b34da6a3ce929d0e0e4736"],
        })
    }
}

impl JsonSchema for SpanId {
    fn schema_name() -> Cow<'static, str> {
        "SpanId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names a span of a trace, as the W3C Trace Context does.",
            "type": "string",
            "pattern": "^[0-9a-f]{16}$",
            "examples": ["00f067aa0ba902b7"],
        })
    }
}

impl JsonSchema for Position {
    fn schema_name() -> Cow<'static, str> {
        "Position".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A place on the Earth, in WGS84 degrees.",
            "type": "object",
            "required": ["latitude", "longitude"],
            "properties": {
                "latitude": {
                    "description": "Degrees north of the equator.",
                    "type": "number", "minimum": -90, "maximum": 90,
                },
                "longitude": {
                    "description": "Degrees east of Greenwich.",
                    "type": "number", "minimum": -180, "maximum": 180,
                },
            },
        })
    }
}

impl JsonSchema for Area {
    fn schema_name() -> Cow<'static, str> {
        "Area".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let list = |items| json_schema!({"type": "array", "minItems": 1, "items": items});
        // Longitude, latitude and, without meaning, an altitude.
        let position = json_schema!({
            "type": "array", "minItems": 2, "maxItems": 3, "items": {"type": "number"},
        });
        let ring = json_schema!({"type": "array", "minItems": 4, "items": position});
        let polygon = list(ring);
        let shape = |name: &str, coordinates: Schema| {
            json_schema!({
                "type": "object",
                "required": ["type", "coordinates"],
                "properties": {"type": {"const": name}, "coordinates": coordinates},
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "An area on the Earth: a GeoJSON Polygon or MultiPolygon (RFC 7946).",
            "oneOf": [
                shape("Polygon", polygon.clone()),
                shape("MultiPolygon", list(polygon)),
            ],
        })
    }
}
