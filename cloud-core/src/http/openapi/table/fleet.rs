//! Operations on what is neither one task nor one agent: what happens, and how agents are ranked.

use schemars::json_schema;
use shared::api::{EventDocument, EventKind, PlacementPolicy, PolicyDocument, PolicyReplay};
use shared::id::{AgentId, ScheduleName, TaskId};

use super::common::{CORE, QUERY, WRITE};
use crate::http::openapi::operation::{
    Answer, Body, Content, Operation, Parameter, Place, Role, Verb, of,
};
use crate::http::problem::Kind;
use crate::http::replay::{self, LAST_MAX};
use crate::http::{events, policy};

const POLICY: Answer = Answer {
    status: 200,
    description: "The policy.",
    headers: &[("ETag", "Its version, in quotes.")],
    content: &[("application/json", Content::Value(of::<PolicyDocument>))],
};

/// The operations.
pub const OPERATIONS: &[Operation] = &[EVENTS, SHOW, PUT, REPLAY];

const EVENTS: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/events",
    serve: |route| route.to(events::follow),
    id: "followEvents",
    tag: "fleet",
    role: Role::Viewer,
    summary: "Follow what happens",
    description: "Server-sent events, each once its change is on disk. Where events are missing, \
                  one of kind `gap` says so, whatever the filter. Ends when the core stops.",
    parameters: &[
        Parameter {
            name: "kind",
            place: Place::Query,
            schema: |_| {
                let kinds = EventKind::ALL.map(|(name, _)| name.replace('.', "\\.")).join("|");
                let pattern = format!("^({kinds})(,({kinds}))*$");
                json_schema!({"type": "string", "pattern": pattern, "maxLength": 512})
            },
            description: "Only events of these kinds, separated by commas.",
            example: "task.settled,agent.offline",
        },
        Parameter {
            name: "task",
            place: Place::Query,
            schema: of::<TaskId>,
            description: "Only events of this task.",
            example: "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b",
        },
        Parameter {
            name: "agent",
            place: Place::Query,
            schema: of::<AgentId>,
            description: "Only events of this agent, and of tasks on it.",
            example: "board-7",
        },
        Parameter {
            name: "schedule",
            place: Place::Query,
            schema: of::<ScheduleName>,
            description: "Only events of this schedule.",
            example: "nightly-report",
        },
        Parameter {
            name: "after",
            place: Place::Query,
            schema: event_id,
            description: "What came behind this event; 0 for all that is kept. Only what is new \
                          when left out.",
            example: "0",
        },
        Parameter {
            name: "Last-Event-ID",
            place: Place::Header,
            schema: event_id,
            description: "The last event that was read before the connection broke off. Wins over \
                          `after`.",
            example: "1763687723456012",
        },
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        description: "What happens, as it happens.",
        headers: &[],
        content: &[("text/event-stream", Content::Stream(of::<EventDocument>))],
    }],
    problems: &[QUERY, CORE],
};

fn event_id(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    json_schema!({"type": "integer", "minimum": 0, "maximum": events::ID_MAX})
}

const SHOW: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/policy",
    serve: |route| route.to(policy::show),
    id: "getPolicy",
    tag: "fleet",
    role: Role::Viewer,
    summary: "Show how agents are ranked",
    description: "The placement policy in force, or an earlier one that is kept, with the version \
                  that placements record.",
    parameters: &[Parameter {
        name: "version",
        place: Place::Query,
        schema: |_| json_schema!({"type": "integer", "minimum": 1, "maximum": policy::VERSION_MAX}),
        description: "An earlier version.",
        example: "1",
    }],
    body: None,
    answers: &[POLICY],
    problems: &[QUERY, &[Kind::PolicyNotFound], CORE],
};

const REPLAY: Operation = Operation {
    verb: Verb::Post,
    path: "/v1/policy/replay",
    serve: |route| route.to(replay::replay),
    id: "replayPolicy",
    tag: "fleet",
    role: Role::Viewer,
    summary: "Ask what another policy would change",
    description: "Places the latest placements twice on the fleet as it is now, by the policy in \
                  force and by this one, each as if its own share were not reserved. Nothing is \
                  changed.",
    parameters: &[Parameter {
        name: "last",
        place: Place::Query,
        schema: |_| json_schema!({"type": "integer", "minimum": 1, "maximum": LAST_MAX}),
        description: "How many placements, those of tasks that are not over first; 1000 when left out.",
        example: "1000",
    }],
    body: Some(POLICY_BODY),
    answers: &[Answer {
        status: 200,
        description: "What it would change.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<PolicyReplay>))],
    }],
    problems: &[QUERY, POLICY_PROBLEMS, WRITE, CORE],
};

/// A policy as it is sent.
const POLICY_BODY: Body = Body {
    content: &[(
        "application/json",
        of::<PlacementPolicy>,
        r#"{"weights": {"load": 30, "capacity": 40, "distance": 20, "latency": 10},
            "distance_m_ref": 100000.0, "latency_ms_ref": 50.0, "packing": false,
            "profiles": {"near": {"weights": {"distance": 200}}}}"#,
    )],
    description: "The whole policy; what is left out or null has its default.",
};

const POLICY_PROBLEMS: &[Kind] = &[
    Kind::InvalidPolicy,
    Kind::InvalidJson,
    Kind::RequestTimeout,
    Kind::BodyTooLarge,
    Kind::UnsupportedMediaType,
];

const PUT: Operation = Operation {
    verb: Verb::Put,
    path: "/v1/policy",
    serve: |route| route.to(policy::put),
    id: "putPolicy",
    tag: "fleet",
    role: Role::Operator,
    summary: "Change how agents are ranked",
    description: "Holds for placements from now on. What says the same as the policy in force \
                  changes nothing.",
    parameters: &[Parameter {
        name: "If-Match",
        place: Place::Header,
        schema: |_| json_schema!({"type": "string", "pattern": "^(\\*|\"[0-9]{1,19}\")$"}),
        description: "The version, in quotes, over which alone the policy is to be put.",
        example: "\"1\"",
    }],
    body: Some(POLICY_BODY),
    answers: &[POLICY],
    problems: &[
        QUERY,
        &[Kind::InvalidIfMatch, Kind::PolicyChanged, Kind::PolicyFromFile],
        POLICY_PROBLEMS,
        WRITE,
        CORE,
    ],
};
