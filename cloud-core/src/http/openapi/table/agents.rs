//! Operations on agents.

use shared::api::{AgentDocument, AgentStatus, Page};

use super::common::{AGENT, AGENT_ID, CORE, CURSOR, LABEL, LIMIT, QUERY, WRITE, text};
use crate::http::agents;
use crate::http::openapi::operation::{
    Answer, Content, Operation, Parameter, Place, Role, Verb, of,
};

const SHOWN: &[Answer] = &[Answer {
    status: 200,
    description: "The agent as it is now.",
    headers: &[],
    content: &[("application/json", Content::Value(of::<AgentDocument>))],
}];

/// What an operator does to one agent.
const OPERATE: Operation = Operation {
    verb: Verb::Post,
    path: "",
    serve: |route| route,
    id: "",
    tag: "agents",
    role: Role::Operator,
    summary: "",
    description: "May be repeated.",
    parameters: &[AGENT_ID],
    body: None,
    answers: SHOWN,
    problems: &[QUERY, AGENT, WRITE, CORE],
};

/// The operations.
pub const OPERATIONS: &[Operation] = &[
    LIST,
    SHOW,
    Operation {
        path: "/v1/agents/{id}/cordon",
        serve: |route| route.to(agents::cordon),
        id: "cordonAgent",
        summary: "Let an agent take nothing new",
        ..OPERATE
    },
    Operation {
        path: "/v1/agents/{id}/uncordon",
        serve: |route| route.to(agents::uncordon),
        id: "uncordonAgent",
        summary: "Take back a cordon or a drain",
        ..OPERATE
    },
    Operation {
        path: "/v1/agents/{id}/drain",
        serve: |route| route.to(agents::drain),
        id: "drainAgent",
        summary: "Cordon an agent, and move what has not started there",
        ..OPERATE
    },
    Operation {
        path: "/v1/agents/{id}/revoke",
        serve: |route| route.to(agents::revoke),
        id: "revokeAgent",
        summary: "Void the credential of an agent, and give up what it holds",
        description: "May be repeated. The agent cannot join again under this id.",
        ..OPERATE
    },
    Operation {
        path: "/v1/agents/{id}/readmit",
        serve: |route| route.to(agents::readmit),
        id: "readmitAgent",
        summary: "Let a revoked agent join again",
        ..OPERATE
    },
];

const LIST: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/agents",
    serve: |route| route.to(agents::list),
    id: "listAgents",
    tag: "agents",
    role: Role::Viewer,
    summary: "List agents by id",
    description: "Every condition given must hold.",
    parameters: &[
        Parameter {
            name: "status",
            place: Place::Query,
            schema: of::<AgentStatus>,
            description: "Only agents of this status.",
            example: "online",
        },
        LABEL,
        Parameter {
            name: "region",
            place: Place::Query,
            schema: text,
            description: "Only agents of this region.",
            example: "au-south",
        },
        LIMIT,
        CURSOR,
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        description: "One page of agents.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<Page<AgentDocument>>))],
    }],
    problems: &[QUERY, CORE],
};

const SHOW: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/agents/{id}",
    serve: |route| route.to(agents::show),
    id: "getAgent",
    role: Role::Viewer,
    summary: "Show one agent",
    description: "",
    problems: &[QUERY, AGENT, CORE],
    ..OPERATE
};
