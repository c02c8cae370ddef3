//! `ambit agent`: the fleet, and what an operator does to it.

use serde_json::Value;
use shared::api::{AgentDocument, AgentFlag};
use shared_runtime::table::{Table, terminal_width};

use super::args::{AgentArgs, AgentCommand, AgentListArgs, AgentNames};
use super::connection::{Connection, Sent};
use super::error::ClientError;
use super::output::{self, Output, age, colour_of, coloured, tame, typed};
use super::task::pages;

/// Does what the command line says.
///
/// # Errors
/// Whatever keeps it from being done.
pub fn run(args: AgentArgs) -> Result<u8, ClientError> {
    let AgentArgs { common, command } = args;
    let connection = Connection::of(&common)?;
    match command {
        AgentCommand::List(args) => list(&connection, common.output, &args),
        AgentCommand::Status(name) => {
            let value = connection.get(&format!("/v1/agents/{}", name.agent))?;
            output::answer(common.output, &value, || Ok(whole(&typed(&value)?)))?;
            Ok(0)
        }
        AgentCommand::Cordon(names) => operate(&connection, common.output, &names, "cordon"),
        AgentCommand::Uncordon(names) => operate(&connection, common.output, &names, "uncordon"),
        AgentCommand::Drain(names) => operate(&connection, common.output, &names, "drain"),
        AgentCommand::Revoke(names) => operate(&connection, common.output, &names, "revoke"),
    }
}

fn list(connection: &Connection, output: Output, args: &AgentListArgs) -> Result<u8, ClientError> {
    let filters = [
        ("status", args.status.clone()),
        ("region", args.region.clone()),
        ("label", args.label.clone()),
    ];
    let value = pages(connection, "/v1/agents", &filters, &args.page)?;
    output::answer(output, &value, || {
        let agents: Vec<AgentDocument> = typed(&value["items"])?;
        Ok(if agents.is_empty() { "no agents\n".to_owned() } else { rows(&agents) })
    })?;
    Ok(0)
}

fn operate(
    connection: &Connection,
    output: Output,
    names: &AgentNames,
    verb: &str,
) -> Result<u8, ClientError> {
    let mut answers = Vec::new();
    for agent in &names.agents {
        let path = format!("/v1/agents/{agent}/{verb}");
        answers.push(connection.send("POST", &path, Sent::default())?);
    }
    let value = match answers.len() {
        1 => answers.remove(0),
        _ => Value::Array(answers),
    };
    output::answer(output, &value, || match &value {
        Value::Array(_) => Ok(rows(&typed::<Vec<AgentDocument>>(&value)?)),
        one => Ok(rows(&[typed(one)?])),
    })?;
    Ok(0)
}

fn rows(agents: &[AgentDocument]) -> String {
    let names = ["AGENT", "STATUS", "REGION", "POSITION", "LOAD", "RTT", "TASKS", "SEEN", "LABELS"];
    let rows = std::iter::once(names.map(str::to_owned)).chain(agents.iter().map(|agent| {
        [
            agent.id.to_string(),
            status(agent),
            agent.region.clone().unwrap_or_default(),
            position(agent),
            format!("{:.0} %", agent.load * 100.0),
            agent.latency_ms.map_or(String::new(), |ms| format!("{ms:.1} ms")),
            format!("{}/{}", agent.assignments, agent.assignments_max),
            agent.last_seen.map_or(String::new(), age),
            pairs(agent.labels.iter()),
        ]
    }));
    let paint = |column, cell: &str, shown: String| match column {
        1 => coloured(colour_of(cell), shown),
        _ => shown,
    };
    Table { give_way: &[8, 2, 1, 3], rows: rows.collect(), paint: Some(paint) }
        .show(terminal_width())
}

fn position(agent: &AgentDocument) -> String {
    let position = agent.position.map(|position| (position.latitude(), position.longitude()));
    position.map_or(String::new(), |(north, east)| format!("{north:.4},{east:.4}"))
}

/// Its status with what is set on it: `online, cordoned`.
fn status(agent: &AgentDocument) -> String {
    let flags = agent.flags.iter().map(|flag| match flag {
        AgentFlag::Cordoned => "cordoned",
        AgentFlag::Draining => "draining",
        AgentFlag::Quarantined => "quarantined",
        AgentFlag::Revoked => "revoked",
    });
    std::iter::once(agent.status.name()).chain(flags).collect::<Vec<_>>().join(", ")
}

fn pairs<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    pairs.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// One agent, a fact a line.
fn whole(agent: &AgentDocument) -> String {
    let status = status(agent);
    let (own, used) = (&agent.capacity, &agent.used);
    let mut facts = vec![
        ("agent", agent.id.to_string()),
        ("status", coloured(colour_of(&status), status)),
        ("region", agent.region.clone().unwrap_or_default()),
        ("position", position(agent)),
        ("labels", pairs(agent.labels.iter())),
        ("taints", agent.taints.join(", ")),
        ("arch", agent.arch.clone()),
        ("runs", agent.runtimes.join(", ")),
        ("load", format!("{:.0} %", agent.load * 100.0)),
        ("round trip", agent.latency_ms.map_or(String::new(), |ms| format!("{ms:.1} ms"))),
        ("tasks", format!("{} of at most {}", agent.assignments, agent.assignments_max)),
        ("processor", format!("{} of {} cpu_millis reserved", used.cpu_millis, own.cpu_millis)),
        ("memory", format!("{} of {} MiB reserved", used.memory_mib, own.memory_mib)),
        ("disk", format!("{} of {} MiB reserved", used.disk_mib, own.disk_mib)),
    ];
    for (name, amount) in &own.devices {
        let used = used.devices.get(name).copied().unwrap_or(0);
        facts.push(("device", format!("{name}: {used} of {amount} reserved")));
    }
    facts.push((
        "last seen",
        agent.last_seen.map_or(String::new(), |at| format!("{at} ({} ago)", age(at))),
    ));
    if agent.clock_trusted == Some(false) {
        facts.push(("clock", "not trusted by the board itself".to_owned()));
    } else if let Some(offset) = agent.clock_offset_ms {
        facts.push(("clock", format!("{offset} ms ahead of the core's")));
    }
    facts.push(("version", agent.version.clone()));
    lines(facts)
}

/// Facts below one another, those that say nothing left out.
pub(super) fn lines(facts: Vec<(&str, String)>) -> String {
    facts.into_iter().filter(|(_, fact)| !fact.is_empty()).fold(
        String::new(),
        |all, (name, fact)| {
            let fact = fact.replace('\n', " ");
            // Colours are our own; what came from the fleet was tamed where it could hold any.
            all + &format!(
                "{name:<11}{}\n",
                if fact.contains('\u{1b}') { fact } else { tame(&fact) }
            )
        },
    )
}
