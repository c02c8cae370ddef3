//! `ambit policy`: the placement policy in force, another one in its place, and what that would change.

mod replayed;

use std::path::Path;

use serde_json::Value;

use super::args::{PolicyArgs, PolicyCommand};
use super::connection::{Connection, Sent};
use super::document::{self, Document, FileFormat};
use super::error::ClientError;
use super::output::{self, typed};

/// Does what the command line says.
///
/// # Errors
/// Whatever keeps it from being done.
pub fn run(args: PolicyArgs) -> Result<u8, ClientError> {
    let PolicyArgs { common, command } = args;
    let value = match command {
        PolicyCommand::Show { version } => {
            let asked = version.map_or(String::new(), |version| format!("?version={version}"));
            Connection::of(&common)?.get(&format!("/v1/policy{asked}"))?
        }
        PolicyCommand::Set { file, format, if_version } => {
            let document = read(&file, format)?;
            let mut sent = Sent::json(&policy_in(&document.value));
            if let Some(version) = if_version {
                sent.headers.push(("if-match", format!("\"{version}\"")));
            }
            let connection = Connection::of(&common)?;
            let put = connection.send("PUT", "/v1/policy", sent);
            put.map_err(|error| placed(error, &document))?
        }
        PolicyCommand::Replay { file, format, last } => {
            let document = read(&file, format)?;
            let path = format!("/v1/policy/replay?last={last}");
            let sent = Sent::json(&policy_in(&document.value));
            let connection = Connection::of(&common)?;
            let value = connection.send("POST", &path, sent);
            let value = value.map_err(|error| placed(error, &document))?;
            output::answer(common.output, &value, || Ok(replayed::table(&typed(&value)?)))?;
            return Ok(0);
        }
    };
    output::answer(common.output, &value, || Ok(table(&value)))?;
    Ok(0)
}

fn read(file: &Path, format: Option<FileFormat>) -> Result<Document, ClientError> {
    let mut documents = document::read(file, format)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        _ => {
            let detail = "several documents, and a policy is one; leave one of them";
            Err(ClientError::Usage(format!("{}: {detail}", file.display())))
        }
    }
}

/// What the core says of a policy, with the lines of the file.
fn placed(error: ClientError, document: &Document) -> ClientError {
    match error {
        ClientError::Problem { mut problem, path, retry_after_s } => {
            let told = problem.errors.iter().map(|problem| document.tell_of("policy", problem));
            let told: Vec<String> = told.collect();
            if !told.is_empty() {
                problem.detail = told.join("\n");
                problem.errors.clear();
            }
            ClientError::Problem { problem, path, retry_after_s }
        }
        other => other,
    }
}

/// The policy in a document: what `policy show -o json` wrote is taken as well.
fn policy_in(document: &Value) -> Value {
    match (document.get("version"), document.get("policy")) {
        (Some(_), Some(policy)) => policy.clone(),
        _ => document.clone(),
    }
}

fn table(value: &Value) -> String {
    let mut rows = vec![("version".to_owned(), value["version"].to_string())];
    flatten("", &value["policy"], &mut rows);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 1;
    rows.iter().map(|(name, value)| format!("{name:<width$} {value}\n")).collect()
}

/// Every value with the names that lead to it. What says nothing is not shown.
fn flatten(before: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if before.is_empty() { "" } else { "." };
                flatten(&format!("{before}{dot}{name}"), value, rows);
            }
        }
        Value::Null => {}
        Value::String(text) => rows.push((before.to_owned(), text.clone())),
        value => rows.push((before.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_shown_can_be_set() {
        let policy = json!({"weights": {"load": 1}, "packing": true, "budget_us": null,
            "batch": "auto", "profiles": {"near": {"weights": {"distance": 200}}}});
        assert_eq!(policy_in(&json!({"version": 3, "policy": policy})), policy);
        assert_eq!(policy_in(&policy), policy);
        let expected = "version                         3\n\
                        batch                           auto\n\
                        packing                         true\n\
                        profiles.near.weights.distance  200\n\
                        weights.load                    1\n";
        assert_eq!(table(&json!({"version": 3, "policy": policy})), expected);
    }
}
