//! Why the client could not do what it was asked: what is wrong, why, and a way out; and the exit
//! code that each kind of failure has. docs/CLI.md lists the codes.

use std::fmt::Write as _;

use shared::api::ProblemDocument;

/// Failed for a reason that has no code of its own.
pub const EXIT_FAILED: u8 = 1;
/// Told something that it cannot do: a wrong flag, file or value. Nothing was asked of the core.
pub const EXIT_USAGE: u8 = 2;
/// What was asked for is not there.
pub const EXIT_NOT_FOUND: u8 = 3;
/// The core does not let the caller do it.
pub const EXIT_DENIED: u8 = 4;
/// The core cannot be reached.
pub const EXIT_UNREACHABLE: u8 = 5;
/// The core refused what was sent.
pub const EXIT_REFUSED: u8 = 6;
/// The core cannot do it now; try again later.
pub const EXIT_LATER: u8 = 7;

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What was written on the command line, in a variable or in a file is wrong.
    #[error("{0}")]
    Usage(String),
    /// The core cannot be reached.
    #[error("cannot reach a core at {url}: {cause}; {advice}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the network said.
        cause: String,
        /// What to do.
        advice: &'static str,
        /// Whether the core may have done what it was asked to.
        may_have_arrived: bool,
    },
    /// The connection cannot be encrypted with whom it should be.
    #[error("no safe connection to {url}: {refused}")]
    Untrusted {
        /// Where.
        url: String,
        /// What is wrong, and a way out.
        refused: String,
    },
    /// The core answered with a problem.
    #[error("{}", tell(.problem, .path, *.retry_after_s))]
    Problem {
        /// What it said.
        problem: Box<ProblemDocument>,
        /// What was asked for.
        path: String,
        /// After how many seconds to try again, if it said so.
        retry_after_s: Option<u64>,
    },
    /// What answered does not speak as a core does.
    #[error("{url} did not answer as a core does: {detail}; check --url and AMBIT_URL")]
    Unexpected {
        /// Where.
        url: String,
        /// What is odd about the answer.
        detail: String,
    },
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] std::io::Error),
    /// Something else, in a sentence.
    #[error("{0}")]
    Failed(String),
}

impl ClientError {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Unreachable { .. } | Self::Untrusted { .. } => EXIT_UNREACHABLE,
            Self::NotFound(_) => EXIT_NOT_FOUND,
            Self::Problem { problem, .. } => match problem.status {
                401 | 403 => EXIT_DENIED,
                404 => EXIT_NOT_FOUND,
                429 | 503 => EXIT_LATER,
                400..=499 => EXIT_REFUSED,
                _ => EXIT_FAILED,
            },
            Self::Unexpected { .. } | Self::Output(_) | Self::Failed(_) => EXIT_FAILED,
        }
    }

    /// Whether the same request may succeed in a moment.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem { problem, .. } => matches!(problem.status, 429 | 502..=504),
            _ => false,
        }
    }
}

/// What the core said, and what to do about it.
fn tell(problem: &ProblemDocument, path: &str, retry_after_s: Option<u64>) -> String {
    let mut text = match problem.errors.is_empty() {
        true => problem.detail.clone(),
        false => problem.title.clone(),
    };
    for wrong in &problem.errors {
        let field = wrong.pointer.trim_start_matches('/').replace('/', ".");
        let _ = write!(text, "\n  {field}: {}", wrong.detail);
    }
    let name = problem.kind.rsplit('/').next().unwrap_or_default();
    let advice = match (problem.status, name) {
        (401, _) => {
            "the core wants to know who you are: name a file with a token in --token-file, or set \
             AMBIT_TOKEN; an operator makes one with `ambit token create`"
                .to_owned()
        }
        (403, "cross-origin") => String::new(),
        (403, _) => "your token does not allow it: use one with the role that it takes, which an \
                     operator makes with `ambit token create`"
            .to_owned(),
        (404, "task-not-found") => "`ambit task list` shows the tasks there are".to_owned(),
        (404, "agent-not-found") => "`ambit agent list` shows the agents there are".to_owned(),
        (404, "path-not-found") => format!(
            "the core does not know {path}: it is older than this client ({}), or --url leads to \
             something else",
            env!("CARGO_PKG_VERSION")
        ),
        (422, "idempotency-key-reused") => "choose another --idempotency-key".to_owned(),
        (429 | 503, _) => match retry_after_s {
            Some(seconds) => format!("try again in {seconds} s"),
            None => "try again in a moment".to_owned(),
        },
        (500, _) => "the core's log says more".to_owned(),
        _ => String::new(),
    };
    if !advice.is_empty() {
        let _ = write!(text, "\n{advice}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, name: &str) -> ClientError {
        let kind = format!("https://ambit.dev/problems/{name}");
        let problem = ProblemDocument {
            kind,
            title: "title".to_owned(),
            status,
            detail: "detail".to_owned(),
            errors: Vec::new(),
            late_reports: Vec::new(),
        };
        let path = "/v1/x".to_owned();
        ClientError::Problem { problem: Box::new(problem), path, retry_after_s: Some(3) }
    }

    #[test]
    fn each_kind_of_refusal_has_its_code_and_a_way_out() {
        for (status, name, code, way_out) in [
            (400, "invalid-query", EXIT_REFUSED, ""),
            (401, "unauthenticated", EXIT_DENIED, "--token-file"),
            (403, "forbidden", EXIT_DENIED, "ambit token create"),
            (403, "cross-origin", EXIT_DENIED, ""),
            (404, "task-not-found", EXIT_NOT_FOUND, "ambit task list"),
            (404, "agent-not-found", EXIT_NOT_FOUND, "ambit agent list"),
            (404, "path-not-found", EXIT_NOT_FOUND, "older than this client"),
            (412, "policy-changed", EXIT_REFUSED, ""),
            (422, "idempotency-key-reused", EXIT_REFUSED, "--idempotency-key"),
            (429, "too-many-requests", EXIT_LATER, "try again in 3 s"),
            (500, "internal", EXIT_FAILED, "log"),
            (503, "core-busy", EXIT_LATER, "try again in 3 s"),
        ] {
            let error = problem(status, name);
            assert_eq!(error.code(), code, "{name}");
            let text = error.to_string();
            assert!(text.starts_with("detail") && text.contains(way_out), "{name}: {text}");
        }
    }
}
