//! Counts what a run has exercised, by kind, so that a kind that never came up fails the run
//! instead of hiding behind a green result.

use cloud_core_logic::Answer;
use cloud_core_logic::firing::{FiringResult, FiringRow, SkippedBecause};
use edge_agent_logic::Notice;
use shared::assignment::Ending;
use shared::task::TaskStatus;
use shared::wire::{Downlink, Uplink};

use crate::script::Fault;

macro_rules! kinds {
    ($($name:ident $text:literal),* $(,)?) => {
        /// A kind of thing that happens, beside the faults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($name),* }

        impl Kind {
            const ALL: &[(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

kinds! {
    UpJoin "up join",
    UpHello "up hello",
    UpHeartbeat "up heartbeat",
    UpReports "up reports",
    UpInventory "up inventory",
    UpProgress "up progress",
    UpLogs "up logs",
    UpPing "up ping",
    UpGone "up gone",
    DownJoined "down joined",
    DownJoinRefused "down join_refused",
    DownWelcome "down welcome",
    DownRefused "down refused",
    DownDesired "down desired",
    DownAcked "down acked",
    DownLogsAcked "down logs_acked",
    DownPong "down pong",
    DownWhoIsThere "down who_is_there",
    Encoded "message as bytes",
    Lost "message lost",
    Repeated "message repeated",
    Late "message late",
    WillFired "last will fired",
    TakenOver "connection taken over",
    WrongSeal "message with a wrong seal",
    JoinedAnew "credential refused, joins anew",
    CoreCrashBeforeCommit "core crash before commit",
    CoreCrashAfterCommit "core crash after commit",
    CoreCrashAmongEffects "core crash among effects",
    CoreCommitFailed "core commit failed",
    CoreCrashWithFiring "core crash at a commit with a firing",
    AgentCrashWithFiring "agent crash at a commit with a firing",
    AgentCrashBeforeCommit "agent crash before commit",
    AgentCrashAfterCommit "agent crash after commit",
    AgentCrashAmongEffects "agent crash among effects",
    AgentCommitFailed "agent commit failed",
    FoundRunning "found running",
    FoundEnded "found ended",
    FoundNeverStarted "found never started",
    FoundGone "found gone",
    ReportsCut "reports cut by the link",
    CommitsLost "commits lost in a power cut",
    SpawnFailed "spawn failed",
    Terminated "process told to end",
    Killed "process killed",
    JoinedLate "board joined late",
    NoClock "board without a clock of its own",
    LateReport "late report",
    Pruned "settled task pruned",
    SubmissionRepeated "submission repeated",
    QueueFull "queue full",
    PlacedTogether "competing tasks placed together",
    SubmittedToNobody "submission to a core that is down",
    Succeeded "settled succeeded",
    Failed "settled failed",
    Canceled "settled canceled",
    EndingFinished "ending finished",
    EndingRefused "ending refused",
    EndingLost "ending lost",
    EndingWithdrawn "ending withdrawn",
    EndingSuperseded "ending superseded",
    Strayed "given up, may come back",
    CameBack "came back and was kept",
    LeaseOver "lease over",
    RunAgain "run again without asking",
    ExclusiveRan "exclusive ran",
    CopiesRan "two copies ran at once",
    DesiredGap "note desired gap",
    OutboxFull "note outbox full",
    CoreSilent "note core silent",
    CoreForgot "note core forgot",
    NotLetIn "note not let in",
    Refused "note refused",
    OlderDatabase "older database refused",
    AheadOfUs "note ahead of us",
    Cloned "cloned board refused",
    AnotherCore "note another core",
    ClockDistrusted "note clock distrusted",
    ClockTrusted "note clock trusted",
    Recovered "core recovered",
    OutcomeToldAgain "outcome told again to a backup",
    ScheduleMade "schedule made",
    ScheduleChanged "schedule changed",
    ScheduleRests "schedule paused",
    ScheduleGoesOn "schedule resumed",
    ScheduleDeleted "schedule deleted",
    ScheduleMoved "schedule dealt with a moment",
    ResidentGiven "schedule given to an agent",
    ResidentTaken "schedule taken from an agent",
    FiredByCore "fired by the core",
    FiredByAgent "fired by an agent",
    FiringWaits "firing waits for an earlier one",
    FiringOverlaps "firing skipped, overlap",
    FiringQueueFull "firing skipped, queue full",
    FiringReplaced "firing skipped, replaced",
    FiringWithdrawn "firing skipped, withdrawn",
    FiringRefused "firing skipped, refused",
    FiredWithoutDate "fired by an agent without the date",
    MissedByCore "moments missed by the core",
    MissedByAgent "moments missed by an agent",
    SpecNoop "spec noop",
    SpecExclusive "spec exclusive",
    SpecTimeout "spec timeout",
    SpecDeadline "spec deadline",
    SpecRetried "spec with retries",
    SpecStopAfter "spec stop_after_s",
    SpecLostAtOnce "spec lost_after_s 0",
    SpecNotReplaced "spec replace false",
    SpecBestScore "spec reconcile best_score",
    SpecKeepOriginal "spec reconcile keep_original",
    SpecKeepReplacement "spec reconcile keep_replacement",
    SpecLongestRunning "spec reconcile longest_running",
    SpecDevice "spec needs a device",
    SpecRegion "spec region",
    SpecLatency "spec latency",
    SpecLabels "spec labels",
    SpecNear "spec near",
    SpecAvoids "spec avoid_agents",
    SpecPinned "spec agents",
    SpecImpossible "spec that fits nowhere",
}

const KINDS: usize = Kind::ALL.len();
const FAULTS: usize = Fault::ALL.len();

/// How often each kind of thing happened.
#[derive(Debug, Clone)]
pub struct Coverage {
    kinds: [u64; KINDS],
    faults: [u64; FAULTS],
}

impl Default for Coverage {
    fn default() -> Self {
        Self { kinds: [0; KINDS], faults: [0; FAULTS] }
    }
}

impl Coverage {
    pub fn count(&mut self, kind: Kind) {
        self.kinds[kind as usize] += 1;
    }

    pub fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.kinds.iter_mut().zip(&other.kinds) {
            *count += more;
        }
        for (count, more) in self.faults.iter_mut().zip(&other.faults) {
            *count += more;
        }
    }

    /// Every kind with its count, faults first.
    fn all(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let faults = Fault::ALL
            .iter()
            .map(|(fault, name)| (format!("fault {name}"), self.faults[*fault as usize]));
        let kinds =
            Kind::ALL.iter().map(|(kind, name)| ((*name).to_owned(), self.kinds[*kind as usize]));
        faults.chain(kinds)
    }

    /// Kinds that never came up.
    pub fn missing(&self) -> Vec<String> {
        self.all().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }

    /// A table in two columns.
    pub fn table(&self) -> String {
        let cells: Vec<String> =
            self.all().map(|(name, count)| format!("{count:>11}  {name:<36}")).collect();
        let rows = cells.len().div_ceil(2);
        let mut text = String::new();
        for row in 0..rows {
            let right = cells.get(row + rows).map_or("", String::as_str);
            text.push_str(format!("{}{right}", cells[row]).trim_end());
            text.push('\n');
        }
        text
    }
}

/// What became of a moment of a schedule.
pub fn firing_kind(row: &FiringRow) -> Kind {
    match (&row.result, row.agent.is_some()) {
        (FiringResult::Fired { .. }, false) => Kind::FiredByCore,
        (FiringResult::Fired { .. }, true) => Kind::FiredByAgent,
        (FiringResult::Queued { .. }, _) => Kind::FiringWaits,
        (FiringResult::Missed { .. }, false) => Kind::MissedByCore,
        (FiringResult::Missed { .. }, true) => Kind::MissedByAgent,
        (FiringResult::Skipped { because, .. }, _) => match because {
            SkippedBecause::Overlap => Kind::FiringOverlaps,
            SkippedBecause::QueueFull => Kind::FiringQueueFull,
            SkippedBecause::Replaced => Kind::FiringReplaced,
            SkippedBecause::Withdrawn => Kind::FiringWithdrawn,
            SkippedBecause::Refused => Kind::FiringRefused,
        },
    }
}

pub fn up_kind(message: &Uplink) -> Kind {
    match message {
        Uplink::Join(_) => Kind::UpJoin,
        Uplink::Hello(_) => Kind::UpHello,
        Uplink::Heartbeat(_) => Kind::UpHeartbeat,
        Uplink::Reports(_) => Kind::UpReports,
        Uplink::Inventory(_) => Kind::UpInventory,
        Uplink::Progress(_) => Kind::UpProgress,
        Uplink::Logs(_) => Kind::UpLogs,
        Uplink::Ping { .. } => Kind::UpPing,
        Uplink::Gone(_) => Kind::UpGone,
    }
}

pub fn down_kind(message: &Downlink) -> Kind {
    match message {
        Downlink::Joined => Kind::DownJoined,
        Downlink::JoinRefused(_) => Kind::DownJoinRefused,
        Downlink::Welcome(_) => Kind::DownWelcome,
        Downlink::Refused(_) => Kind::DownRefused,
        Downlink::Desired(_) => Kind::DownDesired,
        Downlink::Acked { .. } => Kind::DownAcked,
        Downlink::LogsAcked { .. } => Kind::DownLogsAcked,
        Downlink::Pong { .. } => Kind::DownPong,
        Downlink::WhoIsThere => Kind::DownWhoIsThere,
    }
}

pub fn notice_kind(notice: &Notice) -> Option<Kind> {
    match notice {
        Notice::DesiredGap { .. } => Some(Kind::DesiredGap),
        Notice::OutboxFull { .. } => Some(Kind::OutboxFull),
        Notice::CoreSilent => Some(Kind::CoreSilent),
        Notice::CoreForgot { .. } => Some(Kind::CoreForgot),
        Notice::NotLetIn(_) => Some(Kind::NotLetIn),
        Notice::AnotherCore { .. } => Some(Kind::AnotherCore),
        Notice::ClockDistrusted { .. } => Some(Kind::ClockDistrusted),
        Notice::ClockTrusted => Some(Kind::ClockTrusted),
        Notice::Retried { .. } => Some(Kind::RunAgain),
        Notice::Refused { .. } => Some(Kind::Refused),
        _ => None,
    }
}

pub fn answer_kind(answer: &Answer) -> Option<Kind> {
    match answer {
        Answer::Repeated(_) => Some(Kind::SubmissionRepeated),
        Answer::QueueFull { .. } => Some(Kind::QueueFull),
        _ => None,
    }
}

pub fn ending_kind(ending: &Ending) -> Kind {
    match ending {
        Ending::Finished(_) => Kind::EndingFinished,
        Ending::Refused { .. } => Kind::EndingRefused,
        Ending::Lost { .. } => Kind::EndingLost,
        Ending::Withdrawn => Kind::EndingWithdrawn,
        Ending::Superseded { .. } => Kind::EndingSuperseded,
    }
}

pub fn settled_kind(status: TaskStatus) -> Option<Kind> {
    match status {
        TaskStatus::Succeeded => Some(Kind::Succeeded),
        TaskStatus::Failed => Some(Kind::Failed),
        TaskStatus::Canceled => Some(Kind::Canceled),
        _ => None,
    }
}
