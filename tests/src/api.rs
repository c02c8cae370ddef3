//! The core's HTTP API in the words of `shared::api`, with waiting for what takes time. Every
//! call may fail because the core is down at the moment; the waiting ones bear that.

use std::io;
use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::api::{AgentDocument, AgentStatus, Explanation, Page, Plan, TaskDocument, TaskSummary};
use shared::task::TaskStatus;

use crate::http::{self, Answer, Request};
use crate::wait::{check, eventually};

/// A core, by its address.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Api {
    /// Any request.
    ///
    /// # Errors
    /// When no complete answer came.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let body = body.map(Value::to_string);
        let request = Request { method, path, headers: &[], body: body.as_deref() };
        http::request(self.address, request)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        self.request("GET", path, None).map_err(|error| error.to_string())?.read()
    }

    /// Submits once, whatever the answer.
    ///
    /// # Errors
    /// When no complete answer came: the task may have been taken or not.
    pub fn try_submit(&self, spec: &Value, key: Option<&str>) -> io::Result<Answer> {
        let (key, body) = (key.map(|key| ("Idempotency-Key", key)), spec.to_string());
        http::request(self.address, submission(key.as_slice(), &body))
    }

    /// Submits and does not wait for an answer.
    ///
    /// # Errors
    /// When it cannot even be sent.
    pub fn submit_and_leave(&self, spec: &Value, key: &str) -> io::Result<()> {
        let (key, body) = ([("Idempotency-Key", key)], spec.to_string());
        http::send_and_leave(self.address, submission(&key, &body))
    }

    /// Submits and expects it to be taken; the id of the task.
    ///
    /// # Panics
    /// With the core's answer, when it was anything but 201.
    pub fn submit(&self, spec: &Value) -> String {
        let answer = self.try_submit(spec, None).expect("the core answers a submission");
        assert_eq!(answer.status, 201, "{spec} was answered with {answer}");
        answer.json()["id"].as_str().expect("a task has an id").to_owned()
    }

    /// A task as it is now.
    ///
    /// # Errors
    /// When the core does not answer, or has no such task.
    pub fn task(&self, id: &str) -> Result<TaskDocument, String> {
        self.get(&format!("/v1/tasks/{id}"))
    }

    /// Waits until a task is as asked for.
    ///
    /// # Panics
    /// With the task as it was last seen, when it does not become so.
    pub fn task_when(
        &self,
        id: &str,
        what: &str,
        holds: impl Fn(&TaskDocument) -> bool,
    ) -> TaskDocument {
        eventually(&format!("task {id} {what}"), || {
            let task = self.task(id)?;
            check(holds(&task), || in_brief(&task))?;
            Ok(task)
        })
    }

    /// Waits until a task is settled.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn settled(&self, id: &str) -> TaskDocument {
        self.task_when(id, "to be settled", |task| task.summary.status.is_settled())
    }

    /// Waits until a task runs.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn running(&self, id: &str) -> TaskDocument {
        self.task_when(id, "to run", |task| task.summary.status == TaskStatus::Running)
    }

    /// Every task the core knows, page by page, newest first.
    ///
    /// # Errors
    /// When the core does not answer.
    pub fn tasks(&self, filter: &str) -> Result<Vec<TaskSummary>, String> {
        let mut tasks = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/tasks?limit=500{filter}{cursor}");
            let page: Page<TaskSummary> = self.get(&path)?;
            tasks.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(tasks),
            }
        }
    }

    /// Calls a task off.
    ///
    /// # Panics
    /// When the core does not answer with 200.
    pub fn cancel(&self, id: &str) -> TaskDocument {
        let path = format!("/v1/tasks/{id}/cancel");
        let answer = self.request("POST", &path, None).expect("the core answers a cancel");
        answer.read().expect("a cancel answers with the task")
    }

    /// Why a task is where it is.
    ///
    /// # Errors
    /// When the core does not answer, or has no such task.
    pub fn explain(&self, id: &str) -> Result<Explanation, String> {
        self.get(&format!("/v1/tasks/{id}/explain"))
    }

    /// Where a task would go.
    ///
    /// # Panics
    /// When the core does not answer with a plan.
    pub fn plan(&self, spec: &Value) -> Plan {
        let answer = self.request("POST", "/v1/tasks/plan", Some(spec)).expect("an answer");
        answer.read().expect("a plan")
    }

    /// All agents.
    ///
    /// # Errors
    /// When the core does not answer.
    pub fn agents(&self) -> Result<Vec<AgentDocument>, String> {
        self.get::<Page<AgentDocument>>("/v1/agents?limit=500").map(|page| page.items)
    }

    /// One agent.
    ///
    /// # Errors
    /// When the core does not answer, or has no such agent.
    pub fn agent(&self, id: &str) -> Result<AgentDocument, String> {
        self.get(&format!("/v1/agents/{id}"))
    }

    /// Waits until an agent has a status.
    ///
    /// # Panics
    /// When it does not get it in time.
    pub fn agent_is(&self, id: &str, status: AgentStatus) -> AgentDocument {
        eventually(&format!("agent {id} to be {}", status.name()), || {
            let agent = self.agent(id)?;
            check(agent.status == status, || format!("{agent:?}"))?;
            Ok(agent)
        })
    }

    /// Does something to an agent: `cordon`, `uncordon`, `drain`.
    ///
    /// # Panics
    /// When the core does not answer with the agent.
    pub fn operate(&self, id: &str, operation: &str) -> AgentDocument {
        let path = format!("/v1/agents/{id}/{operation}");
        let answer = self.request("POST", &path, None).expect("the core answers");
        answer.read().expect("the agent as it is now")
    }

    /// The sum of a metric over all its labels; 0 when there is none.
    ///
    /// # Errors
    /// When the core does not answer.
    pub fn metric(&self, name: &str) -> Result<f64, String> {
        let answer = self.request("GET", "/metrics", None).map_err(|error| error.to_string())?;
        let value = |line: &str| -> Option<f64> {
            let rest = line.strip_prefix(name)?;
            let named = rest.starts_with('{') || rest.starts_with(' ');
            named.then(|| rest.rsplit(' ').next()?.parse().ok())?
        };
        Ok(answer.body.lines().filter_map(value).sum())
    }
}

fn submission<'a>(headers: &'a [(&'a str, &'a str)], body: &'a str) -> Request<'a> {
    Request { method: "POST", path: "/v1/tasks", headers, body: Some(body) }
}

/// What matters of a task when a test has failed.
#[must_use]
pub fn in_brief(task: &TaskDocument) -> String {
    let attempts: Vec<String> = task
        .assignments
        .iter()
        .map(|attempt| {
            let detail = attempt.detail.as_deref().unwrap_or_default();
            format!("#{} on {} {:?} {detail}", attempt.attempt.0, attempt.agent, attempt.status)
        })
        .collect();
    format!(
        "task {} is {:?} {:?}; attempts: [{}]; outcome: {:?}; late reports: {}",
        task.summary.id,
        task.summary.status,
        task.summary.reason,
        attempts.join(", "),
        task.outcome,
        task.late_reports.len()
    )
}
