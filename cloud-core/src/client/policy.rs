//! `ambit policy`: the placement policy in force, and another one in its place.

use serde_json::Value;

use super::args::{PolicyArgs, PolicyCommand};
use super::connection::{Connection, Sent};
use super::document;
use super::error::ClientError;
use super::output;

/// Does what the command line says.
///
/// # Errors
/// Whatever keeps it from being done.
pub fn run(args: PolicyArgs) -> Result<u8, ClientError> {
    let PolicyArgs { common, command } = args;
    let value = match command {
        PolicyCommand::Show => Connection::of(&common)?.get("/v1/policy")?,
        PolicyCommand::Set { file, format, if_version } => {
            let mut documents = document::read(&file, format)?;
            let (Some(document), true) = (documents.pop(), documents.is_empty()) else {
                let detail = "several documents, and a policy is one; leave one of them";
                return Err(ClientError::Usage(format!("{}: {detail}", file.display())));
            };
            let mut sent = Sent::json(&policy_in(&document.value));
            if let Some(version) = if_version {
                sent.headers.push(("if-match", format!("\"{version}\"")));
            }
            let connection = Connection::of(&common)?;
            connection.send("PUT", "/v1/policy", sent).map_err(|error| match error {
                ClientError::Problem { mut problem, path, retry_after_s } => {
                    let told: Vec<String> =
                        problem.errors.iter().map(|problem| document.tell(problem)).collect();
                    if !told.is_empty() {
                        problem.detail = told.join("\n");
                        problem.errors.clear();
                    }
                    ClientError::Problem { problem, path, retry_after_s }
                }
                other => other,
            })?
        }
    };
    output::answer(common.output, &value, || Ok(table(&value)))?;
    Ok(0)
}

/// The policy in a document: what `policy show -o json` wrote is taken as well.
fn policy_in(document: &Value) -> Value {
    match (document.get("version"), document.get("policy")) {
        (Some(_), Some(policy)) => policy.clone(),
        _ => document.clone(),
    }
}

fn table(value: &Value) -> String {
    let mut text = format!("version         {}\n", value["version"]);
    let Some(policy) = value["policy"].as_object() else { return text };
    for (name, value) in policy.iter().filter(|(name, _)| *name != "version") {
        match value {
            Value::Object(inner) => {
                for (key, value) in inner {
                    let name = format!("{name}.{key}");
                    text.push_str(&format!("{name:<15} {value}\n"));
                }
            }
            value => text.push_str(&format!("{name:<15} {value}\n")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_shown_can_be_set() {
        let policy = json!({"weights": {"load": 1}, "packing": true});
        assert_eq!(policy_in(&json!({"version": 3, "policy": policy})), policy);
        assert_eq!(policy_in(&policy), policy);
        let expected = "version         3\npacking         true\nweights.load    1\n";
        assert_eq!(table(&json!({"version": 3, "policy": policy})), expected);
    }
}
