//! Operations on schedules.

use schemars::json_schema;
use shared::api::{
    FiringDocument, HookCalled, HookDocument, Page, PreviewDocument, PreviewWish, ScheduleDocument,
    ScheduleFired, ScheduleSummary,
};
use shared::id::ScheduleName;
use shared::schedule::ScheduleSpec;

use super::common::{CORE, CURSOR, LIMIT, QUERY, WRITE};
use crate::http::openapi::operation::{
    Answer, Body, Content, Operation, Parameter, Place, Role, Verb, of,
};
use crate::http::problem::Kind;
use crate::http::schedules;

const NAME: Parameter = Parameter {
    name: "name",
    place: Place::Path,
    schema: of::<ScheduleName>,
    description: "The schedule.",
    example: "nightly-report",
};

/// Of whatever is about one schedule.
const SCHEDULE: &[Kind] = &[Kind::InvalidId, Kind::ScheduleNotFound];
/// Of whatever takes a schedule, or a part of one, as its body.
const BODY: &[Kind] = &[
    Kind::InvalidJson,
    Kind::RequestTimeout,
    Kind::BodyTooLarge,
    Kind::UnsupportedMediaType,
    Kind::InvalidSchedule,
];

const SPEC: Body = Body {
    content: &[(
        "application/json",
        of::<ScheduleSpec>,
        r#"{"name": "nightly-report",
            "trigger": {"cron": "30 2 * * *", "zone": "Europe/Berlin"},
            "task": {"run": {"exec": {"command": "/usr/bin/python3", "args": ["report.py"]}}}}"#,
    )],
    description: "The schedule. Only `name`, `trigger` and `task` are required; whatever else is \
                  left out or null has its default. At most 128 KiB.",
};

const SHOWN: Answer = Answer {
    status: 200,
    description: "The schedule as it is now.",
    headers: &[],
    content: &[("application/json", Content::Value(of::<ScheduleDocument>))],
};

const MADE: Answer = Answer {
    status: 201,
    description: "The schedule, which is made.",
    headers: &[("Location", "The path of the schedule.")],
    content: &[("application/json", Content::Value(of::<ScheduleDocument>))],
};

/// What an operator does to one schedule.
const OPERATE: Operation = Operation {
    verb: Verb::Post,
    path: "",
    serve: |route| route,
    id: "",
    tag: "schedules",
    role: Role::Operator,
    summary: "",
    description: "May be repeated.",
    parameters: &[NAME],
    body: None,
    answers: &[SHOWN],
    problems: &[QUERY, SCHEDULE, WRITE, CORE],
};

/// The operations.
pub const OPERATIONS: &[Operation] = &[
    LIST,
    CREATE,
    PREVIEW,
    Operation {
        verb: Verb::Get,
        path: "/v1/schedules/{name}",
        serve: |route| route.to(schedules::show),
        id: "getSchedule",
        role: Role::Viewer,
        summary: "Show one schedule",
        description: "What it is, when it fires next, and which of its tasks are under way.",
        problems: &[QUERY, SCHEDULE, CORE],
        ..OPERATE
    },
    PUT,
    Operation {
        verb: Verb::Delete,
        path: "/v1/schedules/{name}",
        serve: |route| route.to(schedules::delete),
        id: "deleteSchedule",
        summary: "Delete a schedule",
        description: "Its tasks go on; its firings are kept no more.",
        answers: &[Answer { description: "The schedule as it was.", ..SHOWN }],
        ..OPERATE
    },
    Operation {
        path: "/v1/schedules/{name}/pause",
        serve: |route| route.to(schedules::pause),
        id: "pauseSchedule",
        summary: "Let a schedule rest",
        description: "May be repeated. Moments that come meanwhile do not fire, also not later.",
        ..OPERATE
    },
    Operation {
        path: "/v1/schedules/{name}/resume",
        serve: |route| route.to(schedules::resume),
        id: "resumeSchedule",
        summary: "Let a schedule go on",
        ..OPERATE
    },
    Operation {
        path: "/v1/schedules/{name}/fire",
        serve: |route| route.to(schedules::fire),
        id: "fireSchedule",
        role: Role::Submitter,
        summary: "Fire a schedule now",
        description: "Beside its moments, and also while it rests. Its overlap rule holds. Repeated, \
                      it fires again.",
        answers: &[Answer {
            status: 200,
            description: "It was fired.",
            headers: &[],
            content: &[("application/json", Content::Value(of::<ScheduleFired>))],
        }],
        ..OPERATE
    },
    FIRINGS,
    Operation {
        verb: Verb::Get,
        path: "/v1/schedules/{name}/hook",
        serve: |route| route.to(schedules::secret),
        id: "getHook",
        summary: "Show how the hook of a schedule is called",
        description: "With the secret that signs its calls.",
        answers: &[Answer {
            status: 200,
            description: "Path and secret.",
            headers: &[],
            content: &[("application/json", Content::Value(of::<HookDocument>))],
        }],
        problems: &[QUERY, SCHEDULE, CORE],
        ..OPERATE
    },
    CALL,
];

const LIST: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/schedules",
    serve: |route| route.to(schedules::list),
    id: "listSchedules",
    role: Role::Viewer,
    summary: "List schedules by name",
    description: "",
    parameters: &[LIMIT, CURSOR],
    answers: &[Answer {
        status: 200,
        description: "One page of schedules.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<Page<ScheduleSummary>>))],
    }],
    problems: &[QUERY, CORE],
    ..OPERATE
};

const CREATE: Operation = Operation {
    path: "/v1/schedules",
    serve: |route| route.to(schedules::create),
    id: "createSchedule",
    summary: "Make a schedule",
    description: "When the answer has come, the schedule is on disk.",
    parameters: &[],
    body: Some(SPEC),
    answers: &[MADE],
    problems: &[QUERY, &[Kind::ScheduleExists, Kind::SchedulesFull], BODY, WRITE, CORE],
    ..OPERATE
};

const PUT: Operation = Operation {
    verb: Verb::Put,
    path: "/v1/schedules/{name}",
    serve: |route| route.to(schedules::put),
    id: "putSchedule",
    summary: "Make a schedule, or replace it",
    description: "What says the same as the schedule that is there changes nothing. `name` in the \
                  body is that in the path, or left out. What has come by now was dealt with as \
                  it was asked for before.",
    body: Some(SPEC),
    answers: &[SHOWN, MADE],
    problems: &[QUERY, &[Kind::InvalidId, Kind::SchedulesFull], BODY, WRITE, CORE],
    ..OPERATE
};

const PREVIEW: Operation = Operation {
    path: "/v1/schedules/preview",
    serve: |route| route.to(schedules::preview),
    id: "previewSchedule",
    role: Role::Viewer,
    summary: "Ask when a trigger fires",
    description: "By the rules and the time zones that fire it. Nothing is stored.",
    parameters: &[],
    body: Some(Body {
        content: &[(
            "application/json",
            of::<PreviewWish>,
            r#"{"trigger": {"cron": "30 2 * * *", "zone": "America/New_York"},
                "from": "2026-03-07T00:00:00Z", "count": 3}"#,
        )],
        description: "The trigger, and from when on; now when left out.",
    }),
    answers: &[Answer {
        status: 200,
        description: "The next firings, with what a time change does to them.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<PreviewDocument>))],
    }],
    problems: &[QUERY, BODY, WRITE],
    ..OPERATE
};

const FIRINGS: Operation = Operation {
    verb: Verb::Get,
    path: "/v1/schedules/{name}/firings",
    serve: |route| route.to(schedules::firings),
    id: "listFirings",
    role: Role::Viewer,
    summary: "List what became of the moments of a schedule, the latest first",
    description: "",
    parameters: &[NAME, LIMIT, CURSOR],
    answers: &[Answer {
        status: 200,
        description: "One page of firings.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<Page<FiringDocument>>))],
    }],
    problems: &[QUERY, SCHEDULE, CORE],
    ..OPERATE
};

const fn signed(name: &'static str, description: &'static str, example: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Header,
        schema: |_| json_schema!({"type": "string"}),
        description,
        example,
    }
}

const CALL: Operation = Operation {
    path: "/v1/hooks/{name}",
    serve: |route| route.to(schedules::call),
    id: "callHook",
    role: Role::Anyone,
    summary: "Call the hook of a schedule",
    description: "Needs no token, and a signature as the Standard Webhooks specification has it. A \
                  delivery is taken once: repeated under its id, it gets the first answer.",
    parameters: &[
        NAME,
        signed("webhook-id", "Names the delivery.", "msg_1"),
        signed("webhook-timestamp", "When it was signed, in seconds since 1970.", "1795000000"),
        signed(
            "webhook-signature",
            "`v1,` and the HMAC-SHA256 of id, time and body, joined by dots, in Base64.",
            "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        ),
    ],
    body: Some(Body {
        content: &[("application/json", |_| json_schema!({}), r#"{"door": {"open": true}}"#)],
        description: "What happened: any text in UTF-8, up to 16 KiB.",
    }),
    answers: &[Answer {
        status: 200,
        description: "What came of it.",
        headers: &[],
        content: &[("application/json", Content::Value(of::<HookCalled>))],
    }],
    problems: &[
        QUERY,
        &[
            Kind::InvalidId,
            Kind::InvalidJson,
            Kind::BadSignature,
            Kind::RequestTimeout,
            Kind::BodyTooLarge,
        ],
        WRITE,
        CORE,
    ],
    ..OPERATE
};
