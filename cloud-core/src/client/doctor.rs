//! `ambit doctor`: whether the core and its fleet can be worked with from here, each finding with a
//! way out. Changes nothing.

use serde_json::{Value, json};
use shared::api::{AgentDocument, AgentFlag, AgentStatus, Explanation};

use super::args::{DoctorArgs, PageArgs};
use super::connection::Connection;
use super::error::{ClientError, EXIT_FAILED};
use super::output::{self, colour_of, coloured, tame, typed};
use super::task::pages;

/// How far an agent's clock may be from the core's before it is worth a word, in milliseconds.
const CLOCK_OFFSET_MS_MAX: u64 = 5_000;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

fn finding(check: &'static str, verdict: Verdict, detail: impl Into<String>) -> Finding {
    Finding { check, verdict, detail: detail.into() }
}

/// Does what the command line says. The exit code is 1 when something fails.
///
/// # Errors
/// The arguments are wrong; everything else is a finding.
pub fn run(args: &DoctorArgs) -> Result<u8, ClientError> {
    let connection = Connection::of(&args.common)?;
    let findings = examine(&connection);
    let value: Vec<Value> = findings
        .iter()
        .map(|one| json!({"check": one.check, "verdict": one.verdict.name(), "detail": one.detail}))
        .collect();
    output::answer(args.common.output, &Value::Array(value), || {
        Ok(findings.iter().fold(String::new(), |all, one| {
            let verdict =
                coloured(colour_of(one.verdict.name()), format!("{:<8}", one.verdict.name()));
            all + &format!("{verdict}{:<9}{}\n", one.check, tame(&one.detail).replace('\n', "; "))
        }))
    })?;
    let failed = findings.iter().any(|one| one.verdict == Verdict::Failed);
    Ok(if failed { EXIT_FAILED } else { 0 })
}

fn examine(connection: &Connection) -> Vec<Finding> {
    let mut findings = Vec::new();
    match connection.look("/") {
        Ok((_, about)) => findings.push(version(connection.url(), &about)),
        Err(error) => {
            findings.push(finding("core", Verdict::Failed, error.to_string()));
            return findings;
        }
    }
    findings.push(readiness(connection));
    let all = PageArgs { limit: 0, all: true };
    match pages(connection, "/v1/agents", &[], &all)
        .and_then(|value| typed::<Vec<AgentDocument>>(&value["items"]))
    {
        Ok(agents) => {
            findings.push(finding("access", Verdict::Ok, "the core lets you look at its fleet"));
            findings.push(fleet(&agents));
            findings.extend(clocks(&agents));
        }
        Err(error) => {
            findings.push(finding("access", Verdict::Failed, error.to_string()));
            return findings;
        }
    }
    findings.push(
        waiting(connection)
            .unwrap_or_else(|error| finding("tasks", Verdict::Failed, error.to_string())),
    );
    findings
}

fn version(url: &str, about: &Value) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    match about["version"].as_str() {
        Some(version) if version == own => {
            finding("core", Verdict::Ok, format!("{url} answers, version {version}"))
        }
        Some(version) => finding(
            "core",
            Verdict::Warning,
            format!("{url} has version {version}, this client {own}; use a client of its version"),
        ),
        None => finding(
            "core",
            Verdict::Failed,
            format!("{url} is no core: it does not tell its version; check --url and AMBIT_URL"),
        ),
    }
}

fn readiness(connection: &Connection) -> Finding {
    match connection.look("/health/ready") {
        Ok((200, _)) => finding("ready", Verdict::Ok, "it takes tasks and hears its broker"),
        Ok((_, body)) => {
            let reasons = body["reasons"].as_array().cloned().unwrap_or_default();
            let reasons: Vec<&str> = reasons.iter().filter_map(Value::as_str).collect();
            let detail = format!("not ready: {}; its log says more", reasons.join(", "));
            finding("ready", Verdict::Failed, detail)
        }
        Err(error) => finding("ready", Verdict::Failed, error.to_string()),
    }
}

fn fleet(agents: &[AgentDocument]) -> Finding {
    let count = |status| agents.iter().filter(|agent| agent.status == status).count();
    let online = count(AgentStatus::Online);
    let flagged = |flag| agents.iter().filter(|agent| agent.flags.contains(&flag)).count();
    let mut detail = format!("{online} of {} agents online", agents.len());
    for (flag, name) in [
        (AgentFlag::Cordoned, "cordoned"),
        (AgentFlag::Draining, "draining"),
        (AgentFlag::Quarantined, "quarantined"),
    ] {
        if flagged(flag) > 0 {
            detail.push_str(&format!(", {} {name}", flagged(flag)));
        }
    }
    let (verdict, advice) = match (agents.len(), online) {
        (0, _) => (
            Verdict::Failed,
            "; none has joined: start one with `ambit-agent run --broker … --join-token-file …`",
        ),
        (_, 0) => (Verdict::Failed, "; run `ambit-agent doctor` on a board to see why"),
        (all, online) if online < all => {
            (Verdict::Warning, "; `ambit agent list --status offline` shows the others")
        }
        _ => (Verdict::Ok, ""),
    };
    finding("fleet", verdict, detail + advice)
}

fn clocks(agents: &[AgentDocument]) -> Option<Finding> {
    let is_off = |agent: &&AgentDocument| {
        agent.clock_trusted == Some(false)
            || agent.clock_offset_ms.is_some_and(|ms| ms.unsigned_abs() > CLOCK_OFFSET_MS_MAX)
    };
    let off: Vec<&AgentDocument> = agents.iter().filter(is_off).collect();
    let first = off.first()?;
    let detail = format!(
        "{} boards have a wrong clock, {} among them; nothing is lost by it, but the times in their \
         logs are wrong: let them reach a time server",
        off.len(),
        first.id
    );
    Some(finding("clocks", Verdict::Warning, detail))
}

fn waiting(connection: &Connection) -> Result<Finding, ClientError> {
    // The last page would hold the oldest; one that waits is enough to ask why.
    let value = connection.get("/v1/tasks?status=pending&limit=1")?;
    let Some(id) = value["items"][0]["id"].as_str() else {
        return Ok(finding("tasks", Verdict::Ok, "none waits for a place"));
    };
    let explained: Explanation = typed(&connection.get(&format!("/v1/tasks/{id}/explain"))?)?;
    let detail = format!("some wait for a place, such as {id}: {}", explained.summary);
    Ok(finding("tasks", Verdict::Warning, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_of_another_version_and_no_core_at_all_are_told_apart() {
        let verdict = |about: Value| version("u", &about).verdict;
        assert_eq!(verdict(json!({"version": env!("CARGO_PKG_VERSION")})), Verdict::Ok);
        assert_eq!(verdict(json!({"version": "9.9.9"})), Verdict::Warning);
        assert_eq!(verdict(json!({})), Verdict::Failed);
    }

    #[test]
    fn a_fleet_without_agents_fails_with_a_way_out() {
        let found = fleet(&[]);
        assert_eq!(found.verdict, Verdict::Failed);
        assert!(found.detail.contains("ambit-agent run"), "{}", found.detail);
    }
}
