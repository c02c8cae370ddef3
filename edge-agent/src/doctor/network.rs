//! The way to the core: whether the broker answers, what its certificate is worth, when the core
//! was last heard, and what waits for it.

use std::path::Path;
use std::time::Duration;

use edge_agent_logic::change::LinkSeen;
use shared::time::Timestamp;
use shared_runtime::link::{Believed, Unreached, certificate_file_ends};

use super::{Finding, Patient};
use crate::app::BUILT_AT;
use crate::link;
use crate::look::{duration, when};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long before its end a certificate is spoken of, in seconds.
const CERTIFICATE_S: u64 = 14 * 24 * 3_600;
/// How long a core may be silent before it is worth a word, in seconds.
const SILENCE_S: u64 = 3_600;
/// What still works.
const OFFLINE: &str = "Meanwhile what runs runs on, what was accepted starts, and every end waits in the database until the core is heard.";

pub(super) fn findings(patient: &Patient) -> Vec<Finding> {
    let mut findings = broker(patient);
    findings.extend(contact(patient));
    findings.extend(waiting(patient));
    findings
}

fn broker(patient: &Patient) -> Vec<Finding> {
    const WHAT: &str = "broker";
    let Ok(config) = &patient.config else { return Vec::new() };
    let floor = patient.glance.as_ref().and_then(|glance| glance.clock_floor);
    let wall = floor.map_or(BUILT_AT, |floor| floor.max(BUILT_AT));
    let believed = Believed { wall, mono: patient.now.mono };
    let url = &config.broker;
    let mut findings = Vec::new();
    match link::reach(config, believed, PATIENCE) {
        Ok(reached) => {
            findings.push(Finding::ok(WHAT, format!("{url} answers ({})", reached.address)));
            let ends = reached.certificate_ends;
            findings.extend(ends.map(|ends| certificate("broker's TLS", ends, patient)));
        }
        Err(Unreached::Config(error)) => {
            findings.push(Finding::fail(WHAT, error.to_string(), None))
        }
        Err(error @ Unreached::Tls { .. }) => {
            let way_out = "Check that ca_file holds the authority of the broker's certificate, that the certificate names this host, and the clocks of both.";
            findings.push(Finding::fail(WHAT, format!("{url}: {error}"), way_out.to_owned()));
        }
        Err(error) => {
            let way_out = format!("Check the network, and that the broker runs. {OFFLINE}");
            findings.push(Finding::warn(WHAT, format!("{url}: {error}"), way_out));
        }
    }
    let files = config.tls.as_ref().map(|tls| {
        let own = tls.client.as_ref().map(|client| ("own TLS", &client.certificate_file));
        let authority = tls.ca_file.as_ref().map(|file| ("TLS authority", file));
        [own, authority]
    });
    for (what, file) in files.into_iter().flatten().flatten() {
        findings.extend(certificate_file(what, file, patient));
    }
    findings
}

/// Only what is worth a word: that a file cannot be read is told by the broker's line.
fn certificate_file(what: &'static str, file: &Path, patient: &Patient) -> Option<Finding> {
    let ends = certificate_file_ends(file).ok().flatten()?;
    Some(certificate(what, ends, patient))
}

fn certificate(what: &'static str, ends: Timestamp, patient: &Patient) -> Finding {
    // A board that woke up in 1970 would find every certificate good for decades.
    let floor = patient.glance.as_ref().and_then(|glance| glance.clock_floor);
    let wall = patient.now.wall.max(BUILT_AT).max(floor.unwrap_or(BUILT_AT));
    let left_s = ends.since_ms(wall) / 1_000;
    let way_out = "Put a new certificate in its place; without encryption there is no link.";
    if ends <= wall {
        let ago = duration(wall.since_ms(ends) / 1_000);
        let detail = format!("the certificate ended at {ends}, {ago} ago by this clock");
        return Finding::warn(what, detail, way_out.to_owned());
    }
    let detail = format!("the certificate is good for another {}", duration(left_s));
    if left_s < CERTIFICATE_S {
        Finding::warn(what, detail, way_out.to_owned())
    } else {
        Finding::ok(what, detail)
    }
}

fn contact(patient: &Patient) -> Option<Finding> {
    const WHAT: &str = "core";
    let glance = patient.glance.as_ref()?;
    let heard = match glance.last_contact {
        Some(at) => format!("last heard {}", when(at, patient.now)),
        None => "never heard".to_owned(),
    };
    let silent =
        glance.last_contact.is_none_or(|at| patient.now.wall.since_ms(at) / 1_000 > SILENCE_S);
    let runs = patient.user.is_some();
    Some(match &glance.link {
        LinkSeen::Refused { detail } => {
            Finding::fail(WHAT, format!("it does not let this agent in: {detail}"), None)
        }
        LinkSeen::Connected if runs => Finding::ok(WHAT, format!("connected, {heard}")),
        LinkSeen::Down { reason } if runs => {
            let detail = format!("no link: {reason}; {heard}");
            Finding::warn(WHAT, detail, OFFLINE.to_owned())
        }
        _ if silent => Finding::warn(WHAT, heard, OFFLINE.to_owned()),
        _ => Finding::ok(WHAT, heard),
    })
}

fn waiting(patient: &Patient) -> Option<Finding> {
    const WHAT: &str = "outbox";
    let glance = patient.glance.as_ref()?;
    let waiting = glance.reports_waiting;
    let most = patient.config.as_ref().ok()?.settings.outbox_max;
    let detail = match waiting {
        0 => "nothing waits for the core".to_owned(),
        1 => "1 report waits for the core".to_owned(),
        _ => format!("{waiting} reports wait for the core, of at most {most}"),
    };
    Some(if waiting >= most {
        let way_out = "Nothing new is taken on until the core has taken some of them.";
        Finding::fail(WHAT, detail, way_out.to_owned())
    } else if waiting >= most / 2 {
        let way_out = format!("At {most}, nothing new is taken on any more.");
        Finding::warn(WHAT, detail, way_out)
    } else {
        Finding::ok(WHAT, detail)
    })
}
