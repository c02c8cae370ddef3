//! What programs, and people who look around, ask of the core itself.

use schemars::json_schema;
use shared::api::{Index, Liveness, Readiness};

use super::common::QUERY;
use crate::http::openapi::operation::{Answer, Content, Operation, Role, Verb, of};
use crate::http::{docs, health, openapi};

/// A look at the core.
const LOOK: Operation = Operation {
    verb: Verb::Get,
    path: "",
    serve: |route| route,
    id: "",
    tag: "core",
    role: Role::Anyone,
    summary: "",
    description: "",
    parameters: &[],
    body: None,
    answers: &[],
    problems: &[QUERY],
};

const POLICY: (&str, &str) =
    ("Content-Security-Policy", "The page loads from this server alone, and runs no inline code.");

/// The operations.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        path: "/",
        serve: |route| route.to(health::index),
        id: "getIndex",
        summary: "Say what there is",
        answers: &[Answer {
            status: 200,
            description: "The version, and paths.",
            headers: &[],
            content: &[("application/json", Content::Value(of::<Index>))],
        }],
        ..LOOK
    },
    Operation {
        path: "/v1/openapi.json",
        serve: |route| route.to(openapi::serve),
        id: "getOpenApi",
        summary: "Describe the API",
        answers: &[Answer {
            status: 200,
            description: "This document (OpenAPI 3.1).",
            headers: &[],
            content: &[(
                "application/json",
                Content::Value(|_| json_schema!({"type": "object", "required": ["openapi"]})),
            )],
        }],
        ..LOOK
    },
    Operation {
        path: "/docs",
        serve: |route| route.to(docs::page),
        id: "getDocs",
        summary: "Show this document to people",
        description: "A page that shows every operation and lets one try it.",
        answers: &[Answer {
            status: 200,
            description: "The page.",
            headers: &[POLICY],
            content: &[("text/html", Content::Text)],
        }],
        ..LOOK
    },
    Operation {
        path: "/docs/docs.js",
        serve: |route| route.to(docs::script),
        id: "getDocsScript",
        summary: "Serve the script of the page",
        answers: &[Answer {
            status: 200,
            description: "The script.",
            headers: &[],
            content: &[("text/javascript", Content::Text)],
        }],
        ..LOOK
    },
    Operation {
        path: "/docs/docs.css",
        serve: |route| route.to(docs::style),
        id: "getDocsStyle",
        summary: "Serve the style of the page",
        answers: &[Answer {
            status: 200,
            description: "The style.",
            headers: &[],
            content: &[("text/css", Content::Text)],
        }],
        ..LOOK
    },
    Operation {
        path: "/health/live",
        serve: |route| route.to(health::live),
        id: "getLiveness",
        summary: "Tell that the core serves",
        answers: &[Answer {
            status: 200,
            description: "It does.",
            headers: &[],
            content: &[("application/json", Content::Value(of::<Liveness>))],
        }],
        problems: &[],
        ..LOOK
    },
    Operation {
        path: "/health/ready",
        serve: |route| route.to(health::ready),
        id: "getReadiness",
        summary: "Tell whether the core can do its work",
        answers: &[
            Answer {
                status: 200,
                description: "It can.",
                headers: &[],
                content: &[("application/json", Content::Value(of::<Readiness>))],
            },
            Answer {
                status: 503,
                description: "It cannot, for these reasons.",
                headers: &[("Retry-After", "After how many seconds to try again.")],
                content: &[("application/json", Content::Value(of::<Readiness>))],
            },
        ],
        problems: &[],
        ..LOOK
    },
    Operation {
        path: "/metrics",
        serve: |route| route.to(health::metrics),
        id: "getMetrics",
        role: Role::Viewer,
        summary: "Measure the core",
        description: "For Prometheus.",
        answers: &[Answer {
            status: 200,
            description: "Every metric in OpenMetrics text.",
            headers: &[],
            content: &[("application/openmetrics-text", Content::Text)],
        }],
        problems: &[],
        ..LOOK
    },
];
