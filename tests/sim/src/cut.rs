//! A smaller world made of a plan: fewer agents, less work, fewer faults, less time, a network
//! without flaws. Written as text, so that a failing world that was cut can be asked for again.

use std::fmt;
use std::str::FromStr;

use crate::plan::{Plan, Weather};

/// What is left of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Only the first agents.
    pub agents: Option<usize>,
    /// The end of the faults.
    pub chaos_ms: Option<u64>,
    /// Only these faults.
    pub faults: Option<Vec<usize>>,
    /// Only this work.
    pub work: Option<Vec<usize>>,
    /// Only these schedules.
    pub schedules: Option<Vec<usize>>,
    /// Nothing is lost, repeated or late.
    pub clear: bool,
    /// Another course of everything that is not planned.
    pub salt: u64,
}

impl Cut {
    /// What is left of a plan.
    pub fn apply(&self, mut plan: Plan) -> Plan {
        plan.salt = self.salt;
        if let Some(agents) = self.agents {
            plan.agents = agents.clamp(1, plan.agents);
            plan.boards.truncate(plan.agents);
            plan.faults.retain(|planned| planned.board < plan.agents);
        }
        if let Some(chaos_ms) = self.chaos_ms {
            plan.chaos_ms = chaos_ms;
            plan.faults.retain(|planned| planned.at_ms < chaos_ms);
            plan.work.retain(|planned| planned.at_ms < chaos_ms);
            for schedule in &mut plan.schedules {
                schedule.deeds.retain(|planned| planned.at_ms < chaos_ms);
            }
            plan.schedules.retain(|schedule| !schedule.deeds.is_empty());
            for board in &mut plan.boards {
                board.on_at_ms = board.on_at_ms.min(chaos_ms);
            }
        }
        if let Some(faults) = &self.faults {
            plan.faults.retain(|planned| faults.contains(&planned.number));
        }
        if let Some(work) = &self.work {
            plan.work.retain(|planned| work.contains(&planned.number));
        }
        if let Some(schedules) = &self.schedules {
            plan.schedules.retain(|planned| schedules.contains(&planned.number));
        }
        if self.clear {
            plan.weather = Weather { delay_ms_max: 20, ..Weather::default() };
            plan.encoded = false;
        }
        plan
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |numbers: &[usize]| {
            numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let words = [
            self.agents.map(|agents| format!("agents={agents}")),
            self.chaos_ms.map(|chaos_ms| format!("chaos_ms={chaos_ms}")),
            self.faults.as_ref().map(|numbers| format!("faults={}", list(numbers))),
            self.work.as_ref().map(|numbers| format!("work={}", list(numbers))),
            self.schedules.as_ref().map(|numbers| format!("schedules={}", list(numbers))),
            self.clear.then(|| "clear".to_owned()),
            (self.salt != 0).then(|| format!("salt={}", self.salt)),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cut = Self::default();
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let wrong = |_| format!("`{word}` in a cut: a number is missing");
            let list = || -> Result<Vec<usize>, String> {
                let numbers = value.split(',').filter(|number| !number.is_empty());
                numbers.map(|number| number.parse().map_err(wrong)).collect()
            };
            match name {
                "agents" => cut.agents = Some(value.parse().map_err(wrong)?),
                "chaos_ms" => cut.chaos_ms = Some(value.parse().map_err(wrong)?),
                "faults" => cut.faults = Some(list()?),
                "work" => cut.work = Some(list()?),
                "schedules" => cut.schedules = Some(list()?),
                "clear" => cut.clear = true,
                "salt" => cut.salt = value.parse().map_err(wrong)?,
                _ => {
                    return Err(format!(
                        "`{word}` in a cut: write agents=, chaos_ms=, faults=, work=, schedules=, clear or salt="
                    ));
                }
            }
        }
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_survives_its_text() {
        let cut = Cut {
            agents: Some(2),
            chaos_ms: Some(9),
            faults: Some(vec![3, 17]),
            work: Some(vec![]),
            schedules: Some(vec![1]),
            clear: true,
            salt: 4,
        };
        assert_eq!(
            cut.to_string(),
            "agents=2 chaos_ms=9 faults=3,17 work= schedules=1 clear salt=4"
        );
        assert_eq!(cut.to_string().parse(), Ok(cut));
        assert_eq!("".parse(), Ok(Cut::default()));
        assert!("agents=x".parse::<Cut>().is_err() && "colour=red".parse::<Cut>().is_err());
    }
}
