//! How the network between a host and its router is, and the packet filter's words for it. Pure:
//! makes text, runs nothing.

use std::fmt::Write as _;
use std::time::Duration;

/// What the router does with packets from and to one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Passage {
    /// They pass.
    #[default]
    Open,
    /// They are refused, and whoever sent them is told: connections are reset.
    Refused,
    /// They vanish, and nobody is told.
    Lost,
    /// Those from the host vanish; it still hears everybody.
    LostFromHost,
    /// Those to the host vanish; everybody still hears it.
    LostToHost,
}

/// How packets that pass are treated, each way.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shape {
    /// How much longer each takes.
    pub delay: Duration,
    /// By how much more or less than that, at random.
    pub jitter: Duration,
    /// How many of a hundred are lost.
    pub loss_percent: f64,
}

impl Shape {
    /// Whether nothing is done.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// In the words of `tc netem`.
    #[must_use]
    pub fn netem(&self) -> String {
        let (delay_us, jitter_us) = (self.delay.as_micros(), self.jitter.as_micros());
        format!("netem limit 10000 delay {delay_us}us {jitter_us}us loss {}%", self.loss_percent)
    }
}

/// The router's end of a host's cable.
#[must_use]
pub fn port(index: u8) -> String {
    format!("p{index}")
}

/// The rules of the router, as `iptables-restore` reads them: they replace all earlier ones at
/// once. Hosts in `queued` have their packets decided by the queue of their number.
#[must_use]
pub fn rules(passages: &[(u8, Passage)], queued: &[u8]) -> String {
    let mut text = "*mangle\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n".to_owned();
    for &index in queued {
        let port = port(index);
        let _ = writeln!(text, "-A PREROUTING -i {port} -j NFQUEUE --queue-num {index}");
        let _ = writeln!(text, "-A POSTROUTING -o {port} -j NFQUEUE --queue-num {index}");
    }
    text.push_str("COMMIT\n*filter\n:FORWARD ACCEPT [0:0]\n");
    for &(index, passage) in passages {
        let (from, to) = (format!("-i {}", port(index)), format!("-o {}", port(index)));
        let ways = match passage {
            Passage::Open => vec![],
            Passage::Refused | Passage::Lost => vec![from, to],
            Passage::LostFromHost => vec![from],
            Passage::LostToHost => vec![to],
        };
        for way in ways {
            if passage == Passage::Refused {
                let _ = writeln!(text, "-A FORWARD {way} -p tcp -j REJECT --reject-with tcp-reset");
                let _ = writeln!(text, "-A FORWARD {way} -j REJECT");
            } else {
                let _ = writeln!(text, "-A FORWARD {way} -j DROP");
            }
        }
    }
    text.push_str("COMMIT\n");
    text
}
