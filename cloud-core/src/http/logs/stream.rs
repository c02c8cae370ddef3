//! Reads a log part by part and hands the parts on, until it is told, the client leaves, or, for
//! who follows it, nothing more will come.

use std::time::{Duration, Instant};

use actix_web::web::{self, Bytes};
use shared::id::{AssignmentId, Attempt, TaskId};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::Wish;
use super::tail::Tail;
use super::tell::{Start, Teller};
use crate::http::followers::{Ended, Place};
use crate::http::line::Line;
use crate::http::parts::BrokenOff;
use crate::http::problem::ApiError;
use crate::http::state::State;
use crate::store::LogState;

/// How often to look for more.
const POLL: Duration = Duration::from_millis(300);
/// How long an idle connection goes without a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to wait for the rest of a log when its task is settled: the outcome comes first, and an
/// agent waits 15 s before it sends again what was not acknowledged.
const REST_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to make room for a part.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// Why reading ends early.
enum End {
    /// The client left.
    Gone,
    /// The client does not read.
    Stuck,
    /// The store cannot be read. It was told in the log.
    Failed,
}

impl From<ApiError> for End {
    fn from(_: ApiError) -> Self {
        Self::Failed
    }
}

/// Reads one log for one client.
pub(super) struct LogReader {
    state: web::Data<State>,
    task: TaskId,
    wish: Wish,
    place: Place,
    teller: Teller,
    /// The attempt that is being told, once there is one.
    attempt: Option<Attempt>,
    line: Option<Line>,
    out: mpsc::Sender<Result<Bytes, BrokenOff>>,
    /// When something was last sent, and when the log last grew or its task was found settled.
    sent: Instant,
    grown: Instant,
    over: bool,
}

impl LogReader {
    pub(super) fn new(
        state: web::Data<State>,
        task: TaskId,
        wish: Wish,
        place: Place,
        line: Option<Line>,
        out: mpsc::Sender<Result<Bytes, BrokenOff>>,
    ) -> Self {
        let (teller, now) = (Teller::new(&wish), Instant::now());
        Self {
            state,
            task,
            wish,
            place,
            teller,
            attempt: None,
            line,
            out,
            sent: now,
            grown: now,
            over: false,
        }
    }

    /// Reads all that is wanted. `log` is how things stand.
    pub(super) async fn run(mut self, log: LogState) {
        let ended = self.tell(log).await;
        self.place.end(match ended {
            Ok(()) => Ended::Told,
            Err(End::Gone) => Ended::Left,
            Err(End::Stuck) => Ended::Cut,
            Err(End::Failed) => Ended::Failed,
        });
        if let Err(End::Failed) = ended {
            // A client that has left does not mind.
            let _ = self.out.send(Err(BrokenOff)).await;
        }
    }

    async fn tell(&mut self, mut log: LogState) -> Result<(), End> {
        let latest = log.attempts.iter().rev().find(|one| one.stream.is_some());
        if let Some(first) = self.wish.attempt.or(latest.map(|one| one.attempt)) {
            let start = self.start(first).await?;
            self.begin(first, start);
        }
        loop {
            self.drain().await?;
            if !self.wish.follow {
                return Ok(());
            }
            if let Some(next) = self.next_attempt(&log) {
                self.begin(next, Start::default());
                continue;
            }
            if self.is_told(&log) || self.state.core.is_closing() {
                return Ok(());
            }
            self.rest().await?;
            let task = self.task;
            match self.state.read(move |reader| reader.log_state(task)).await? {
                Some(now) => log = now,
                None => return Ok(()),
            }
        }
    }

    fn begin(&mut self, attempt: Attempt, start: Start) {
        self.attempt = Some(attempt);
        self.teller.begin(attempt, start);
        self.grown = Instant::now();
    }

    /// Where to begin with an attempt.
    async fn start(&self, attempt: Attempt) -> Result<Start, End> {
        let Some(lines) = self.wish.tail else {
            return Ok(Start::default());
        };
        let id = AssignmentId { task: self.task, attempt };
        let mut tail = Tail::of(lines, self.wish.stream);
        let mut from = u64::MAX;
        loop {
            let pieces = self.state.read(move |reader| reader.log_before(id, from)).await?;
            let Some(first) = pieces.first() else {
                return Ok(Start::default());
            };
            from = first.offset;
            if let Some(start) = tail.look(&pieces) {
                return Ok(start);
            }
        }
    }

    /// Tells all that there is of the attempt.
    async fn drain(&mut self) -> Result<(), End> {
        let Some(attempt) = self.attempt else {
            return Ok(());
        };
        let id = AssignmentId { task: self.task, attempt };
        loop {
            let from = self.teller.told();
            let part = self.state.read(move |reader| reader.log_part(id, from)).await?;
            let mut out = Vec::new();
            for piece in part.pieces {
                self.teller.piece(piece, &mut out);
            }
            if part.is_last {
                self.teller.missing_before(part.upto, &mut out);
            }
            if self.teller.told() > from {
                self.grown = Instant::now();
            }
            self.place.tell_gaps(self.teller.take_gaps_told());
            if !out.is_empty() {
                self.place.has_all(false);
                self.send(out.into()).await?;
            }
            if part.is_last {
                self.place.has_all(true);
                return Ok(());
            }
        }
    }

    /// The attempt to go on with: the next one that has a log, unless one was asked for by name.
    fn next_attempt(&self, log: &LogState) -> Option<Attempt> {
        if self.wish.attempt.is_some() {
            return None;
        }
        let mut with_log = log.attempts.iter().filter(|one| one.stream.is_some());
        let next = with_log.find(|one| self.attempt.is_none_or(|current| one.attempt > current));
        next.map(|one| one.attempt)
    }

    /// Whether nothing more will come.
    fn is_told(&mut self, log: &LogState) -> bool {
        let current = log.attempts.iter().find(|one| Some(one.attempt) == self.attempt);
        let asked_ended = self.wish.attempt.is_some() && current.is_some_and(|one| one.ended);
        if !log.settled && !asked_ended {
            return false;
        }
        if !std::mem::replace(&mut self.over, true) {
            self.grown = Instant::now();
        }
        let whole = match current {
            Some(one) => match one.stream {
                Some(stream) => stream.complete && stream.upto <= self.teller.told(),
                None => !one.started,
            },
            None => !log.attempts.iter().any(|one| one.started),
        };
        whole || self.grown.elapsed() >= REST_PATIENCE
    }

    /// Waits a moment, with a sign of life when it is time for one.
    async fn rest(&mut self) -> Result<(), End> {
        sleep(POLL).await;
        if self.out.is_closed() || self.line.as_ref().is_some_and(Line::is_left) {
            return Err(End::Gone);
        }
        if self.sent.elapsed() >= HEARTBEAT
            && let Some(line) = self.teller.heartbeat()
        {
            self.send(Bytes::from_static(line)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), End> {
        match timeout(CLIENT_PATIENCE, self.out.send(Ok(bytes))).await {
            Ok(Ok(())) => {
                self.sent = Instant::now();
                Ok(())
            }
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => {
                // The framework would hold what it has for it for ever.
                if let Some(line) = &self.line {
                    line.cut();
                }
                Err(End::Stuck)
            }
        }
    }
}
