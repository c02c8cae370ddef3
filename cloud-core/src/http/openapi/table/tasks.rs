//! Operations on tasks.

use schemars::json_schema;
use shared::api::{
    BatchDocument, BatchItem, Explanation, LogRecord, Page, Plan, TaskDocument, TaskSummary,
};
use shared::id::{AgentId, ScheduleName, TaskId};
use shared::spec::TaskSpec;
use shared::task::TaskStatus;
use shared::time::Timestamp;
use shared::wire::uplink::LogStream;

use super::common::{CORE, CURSOR, LABEL, LIMIT, QUERY, TASK, TASK_BODY, WRITE, text};
use crate::http::batch::{self, ITEMS_MAX};
use crate::http::logs::TAIL_MAX;
use crate::http::openapi::operation::{
    Answer, Body, Content, Operation, Parameter, Place, Role, Verb, of,
};
use crate::http::problem::Kind;
use crate::http::tasks::KEY_LENGTH_MAX;
use crate::http::{logs, placement, tasks};

const TASK_ID: Parameter = Parameter {
    name: "id",
    place: Place::Path,
    schema: of::<TaskId>,
    description: "The task.",
    example: "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b",
};

const KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    place: Place::Header,
    schema: |_| {
        json_schema!({
            "type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX, "pattern": "^[!-~]+$",
        })
    },
    description: "Makes it safe to send the same task again: the same key with the same task \
                  answers the first one.",
    example: "air-quality-2026-11-21",
};

const TRACEPARENT: Parameter = Parameter {
    name: "traceparent",
    place: Place::Header,
    schema: any_text,
    description: "The trace that the task is to belong to, under the caller's span, as the W3C Trace \
                  Context has it. What is not valid is as if it were not there.",
    example: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
};

const TRACESTATE: Parameter = Parameter {
    name: "tracestate",
    place: Place::Header,
    schema: any_text,
    description: "What others in the trace left for one another. It is handed on to the task, up to \
                  512 bytes of it.",
    example: "rojo=00f067aa0ba902b7",
};

fn any_text(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    json_schema!({"type": "string"})
}

const TASK_TO_RUN: Body = Body {
    content: &[(
        "application/json",
        of::<TaskSpec>,
        r#"{"name": "air-quality",
            "run": {"exec": {"command": "/usr/bin/python3", "args": ["sample.py"]}},
            "needs": {"cpu_millis": 500, "memory_mib": 128},
            "where": {"near": {"latitude": -37.8136, "longitude": 144.9631, "within_m": 50000}}}"#,
    )],
    description: "The task. Only `run` is required; whatever else is left out or null has its \
                  default. At most 128 KiB.",
};

const SHOWN: Answer = Answer {
    status: 200,
    description: "The task.",
    headers: &[],
    content: &[("application/json", Content::Value(of::<TaskDocument>))],
};

/// The operations.
pub const OPERATIONS: &[Operation] = &[LIST, SUBMIT, BATCH, PLAN, SHOW, EXPLAIN, CANCEL, LOGS];

const LIST: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/tasks",
    serve: |route| route.to(tasks::list),
    id: "listTasks",
    tag: "tasks",
    role: Role::Viewer,
    summary: "List tasks, newest first",
    description: "Every condition given must hold.",
    parameters: &[
        Parameter {
            name: "status",
            place: Place::Query,
            schema: of::<TaskStatus>,
            description: "Only tasks of this status.",
            example: "failed",
        },
        Parameter {
            name: "agent",
            place: Place::Query,
            schema: of::<AgentId>,
            description: "Only tasks whose latest attempt is, or was, on this agent.",
            example: "board-7",
        },
        LABEL,
        Parameter {
            name: "name",
            place: Place::Query,
            schema: text,
            description: "Only tasks of this name, which must be the whole name.",
            example: "air-quality",
        },
        Parameter {
            name: "schedule",
            place: Place::Query,
            schema: of::<ScheduleName>,
            description: "Only tasks that this schedule has made.",
            example: "nightly-report",
        },
        LIMIT,
        CURSOR,
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        description: "One page of tasks.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<Page<TaskSummary>>))],
    }],
    problems: &[QUERY, CORE],
};

const SUBMIT: Operation = Operation {
    verb: Verb::Post,
    path: "/v1/tasks",
    serve: |route| route.to(tasks::submit),
    id: "submitTask",
    tag: "tasks",
    role: Role::Submitter,
    summary: "Submit a task",
    description: "When the answer has come, the task is on disk and will have exactly one outcome.",
    parameters: &[KEY, TRACEPARENT, TRACESTATE],
    body: Some(TASK_TO_RUN),
    answers: &[
        Answer { description: "The task that this key was first used for.", ..SHOWN },
        Answer {
            status: 201,
            description: "The task, which is taken on.",
            headers: &[("Location", "The path of the task.")],
            content: &[("application/json", Content::Value(of::<TaskDocument>))],
        },
    ],
    problems: &[
        QUERY,
        &[
            Kind::InvalidIdempotencyKey,
            Kind::TaskPruned,
            Kind::IdempotencyKeyReused,
            Kind::QueueFull,
        ],
        TASK_BODY,
        WRITE,
        CORE,
    ],
};

const BATCH: Operation = Operation {
    verb: Verb::Post,
    path: "/v1/tasks/batch",
    serve: |route| route.to(batch::submit),
    id: "submitTasks",
    tag: "tasks",
    role: Role::Submitter,
    summary: "Submit many tasks",
    description: "Each is taken or refused for itself; those that are taken are on disk, in one \
                  transaction, when the answer has come. All of them belong to the trace of the request.",
    parameters: &[TRACEPARENT, TRACESTATE],
    body: Some(Body {
        content: &[
            (
                "application/json",
                |generator| {
                    let item = of::<BatchItem>(generator);
                    json_schema!({"type": "array", "maxItems": ITEMS_MAX, "items": item})
                },
                r#"[{"run": {"noop": {}}, "idempotency_key": "a"}, {"run": {"noop": {}}}]"#,
            ),
            (
                "application/x-ndjson",
                |_| json_schema!({"type": "string"}),
                "{\"run\": {\"noop\": {}}}\n{\"run\": {\"noop\": {}}}\n",
            ),
        ],
        description: "At most 10,000 tasks of 128 KiB each, as an array or one a line, 16 MiB in \
                      all.",
    }),
    answers: &[Answer {
        status: 200,
        description: "One result per task, in their order.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<BatchDocument>))],
    }],
    problems: &[
        QUERY,
        &[
            Kind::InvalidJson,
            Kind::RequestTimeout,
            Kind::BodyTooLarge,
            Kind::UnsupportedMediaType,
            Kind::InvalidBatch,
            Kind::QueueFull,
        ],
        WRITE,
        CORE,
    ],
};

const PLAN: Operation = Operation {
    verb: Verb::Post,
    path: "/v1/tasks/plan",
    serve: |route| route.to(placement::plan),
    id: "planTask",
    tag: "tasks",
    role: Role::Viewer,
    summary: "Ask where a task would go",
    description: "Nothing is stored. `refused` counts the agents that may not take it by reason.",
    parameters: &[],
    body: Some(TASK_TO_RUN),
    answers: &[Answer {
        status: 200,
        description: "What placing it would come to.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<Plan>))],
    }],
    problems: &[QUERY, TASK_BODY, WRITE, CORE],
};

const SHOW: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/tasks/{id}",
    serve: |route| route.to(tasks::show),
    id: "getTask",
    tag: "tasks",
    role: Role::Viewer,
    summary: "Show one task",
    description: "Its spec, its attempts, and its outcome once it has one.",
    parameters: &[TASK_ID],
    body: None,
    answers: &[SHOWN],
    problems: &[QUERY, TASK, CORE],
};

const EXPLAIN: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/tasks/{id}/explain",
    serve: |route| route.to(placement::explain),
    id: "explainTask",
    tag: "tasks",
    role: Role::Viewer,
    summary: "Explain where a task is, or why it waits",
    description: "For a task that waits, `what_helps` says what would help.",
    parameters: &[TASK_ID],
    body: None,
    answers: &[Answer {
        status: 200,
        description: "The explanation.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<Explanation>))],
    }],
    problems: &[QUERY, TASK, CORE],
};

const CANCEL: Operation = Operation {
    verb: Verb::Post,
    path: "/v1/tasks/{id}/cancel",
    serve: |route| route.to(tasks::cancel),
    id: "cancelTask",
    tag: "tasks",
    role: Role::Submitter,
    summary: "Call a task off",
    description: "May be repeated. A settled task stays as it is.",
    parameters: &[TASK_ID],
    body: None,
    answers: &[SHOWN],
    problems: &[QUERY, TASK, WRITE, CORE],
};

const LOGS: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/tasks/{id}/logs",
    serve: |route| route.to(logs::show),
    id: "readTaskLog",
    tag: "tasks",
    role: Role::Viewer,
    summary: "Read, or follow, what a task writes",
    description: "Without `format`, a client that accepts `text/plain` gets text. An idle follower \
                  of records is sent an empty line every 15 s.",
    parameters: &[
        TASK_ID,
        Parameter {
            name: "attempt",
            place: Place::Query,
            schema: |_| json_schema!({"type": "integer", "minimum": 1, "maximum": u32::MAX}),
            description: "The number of the attempt; the latest one that has a log when left out.",
            example: "1",
        },
        Parameter {
            name: "stream",
            place: Place::Query,
            schema: of::<LogStream>,
            description: "Only one of the two streams.",
            example: "stderr",
        },
        Parameter {
            name: "since",
            place: Place::Query,
            schema: of::<Timestamp>,
            description: "Only what was written from then on, by the board's clock.",
            example: "2026-11-21T01:02:03Z",
        },
        Parameter {
            name: "tail",
            place: Place::Query,
            schema: |_| json_schema!({"type": "integer", "minimum": 0, "maximum": TAIL_MAX}),
            description: "Only so many of the last lines.",
            example: "100",
        },
        Parameter {
            name: "follow",
            place: Place::Query,
            schema: |_| json_schema!({"type": "boolean", "default": false}),
            description: "Whether to go on with what is written.",
            example: "false",
        },
        Parameter {
            name: "format",
            place: Place::Query,
            schema: |_| json_schema!({"type": "string", "enum": ["ndjson", "text"]}),
            description: "Records, one a line, or the text alone.",
            example: "ndjson",
        },
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        description: "The log.",
        headers: &[],
        content: &[
            ("application/x-ndjson", Content::Stream(of::<LogRecord>)),
            ("text/plain", Content::Text),
        ],
    }],
    problems: &[QUERY, TASK, CORE],
};
