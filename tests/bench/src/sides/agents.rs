//! The agents' side: all agents in one thread, one socket to the core's side, and a thread each to
//! read it, to write it and to hear what is asked.

use std::collections::BTreeSet;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use edge_agent_logic::Input;
use shared::time::{Monotonic, mix};
use shared::wire::Topic;
use shared_runtime::clock::Clock;

use super::board::{Board, IDLE, Kind, Out, Traffic, index_of, join_token, socket};
use super::frame;
use super::side::Status;
use super::tally::Tally;
use crate::placement::fleet::Spread;

/// Messages that wait to be written before the agents wait.
const OUTGOING_MAX: usize = 65_536;
/// How often a socket is tried that nobody listens on.
const RETRY: Duration = Duration::from_millis(5);

/// Words: the folder, how many agents, within how many milliseconds of each other their links come
/// up, and `cities` if they are a fleet in cities.
pub fn main(words: &[&str]) -> ExitCode {
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok());
    let (Some(folder), Some(agents)) = (words.first(), number(1)) else {
        return ExitCode::from(2);
    };
    let (events, arriving) = channel();
    let path = socket(Path::new(folder));
    connect(path.clone(), events.clone());
    hear_words(events.clone());
    let spread_ms = number(2).unwrap_or(0) as u64;
    let kind = match words.get(3) {
        Some(&"cities") => Kind::Cities(Spread::cities()),
        _ => Kind::Alike,
    };
    let mut crowd = Crowd::new(agents, &kind, spread_ms, path, events);
    crowd.run(&arriving);
    ExitCode::SUCCESS
}

/// What a thread tells.
enum Event {
    Connected(UnixStream),
    Lost,
    Message(String, Vec<u8>),
    Words(String),
}

/// Connects as soon as somebody listens.
fn connect(path: PathBuf, events: Sender<Event>) {
    std::thread::spawn(move || {
        loop {
            match UnixStream::connect(&path) {
                Ok(stream) => return events.send(Event::Connected(stream)),
                Err(_) => std::thread::sleep(RETRY),
            }
        }
    });
}

fn hear_words(events: Sender<Event>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if events.send(Event::Words(line)).is_err() {
                return;
            }
        }
        // Whoever asked is gone.
        std::process::exit(0);
    });
}

fn read(stream: UnixStream, events: Sender<Event>) {
    std::thread::spawn(move || {
        let mut stream = BufReader::with_capacity(256 * 1024, stream);
        while let Ok((topic, payload)) = frame::read(&mut stream) {
            if events.send(Event::Message(topic, payload)).is_err() {
                return;
            }
        }
        let _ = events.send(Event::Lost);
    });
}

fn write(stream: UnixStream) -> SyncSender<Vec<u8>> {
    let (sender, messages) = sync_channel::<Vec<u8>>(OUTGOING_MAX);
    std::thread::spawn(move || {
        let mut stream = BufWriter::with_capacity(256 * 1024, stream);
        while let Ok(first) = messages.recv() {
            let some = std::iter::once(first).chain(messages.try_iter());
            let written = some.into_iter().try_for_each(|message| stream.write_all(&message));
            if written.and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    });
    sender
}

/// All agents.
struct Crowd {
    clock: Clock,
    boards: Vec<Board>,
    /// When each is to be woken next.
    wakeups: BTreeSet<(Monotonic, usize)>,
    wakeup_of: Vec<Option<Monotonic>>,
    /// Agents whose link comes up later.
    links: BTreeSet<(Monotonic, usize)>,
    spread_ms: u64,
    out: Option<SyncSender<Vec<u8>>>,
    deaf: bool,
    path: PathBuf,
    events: Sender<Event>,
    synced: Tally,
    met: Tally,
    connected_at: u64,
    reports_waited: u64,
}

impl Crowd {
    fn new(
        agents: usize,
        kind: &Kind,
        spread_ms: u64,
        path: PathBuf,
        events: Sender<Event>,
    ) -> Self {
        let (clock, token) = (Clock::new(), join_token());
        let tally = || Tally::of(agents);
        Self {
            boards: (0..agents).map(|at| Board::new(at, kind, &token, &clock)).collect(),
            clock,
            wakeups: BTreeSet::new(),
            wakeup_of: vec![None; agents],
            links: BTreeSet::new(),
            spread_ms,
            out: None,
            deaf: false,
            path,
            events,
            synced: tally(),
            met: tally(),
            connected_at: 0,
            reports_waited: 0,
        }
    }

    fn run(&mut self, arriving: &Receiver<Event>) {
        loop {
            let wait = self.wait();
            match arriving.recv_timeout(wait) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.wake();
        }
    }

    fn wait(&self) -> Duration {
        let next = self.wakeups.first().into_iter().chain(self.links.first());
        let next = next.map(|(at, _)| *at).min();
        let now = self.clock.now().mono;
        next.map_or(IDLE, |at| Duration::from_millis(at.since_ms(now)).min(IDLE))
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Connected(stream) => {
                let other = stream.try_clone().expect("the stream twice");
                read(other, self.events.clone());
                self.out = Some(write(stream));
                let now = self.clock.now();
                self.connected_at = now.mono.0;
                for at in 0..self.boards.len() {
                    let later_ms = mix(now.chance, at as u64) % (self.spread_ms + 1);
                    self.links.insert((now.mono + later_ms, at));
                }
            }
            Event::Lost => {
                (self.out, self.deaf, self.connected_at) = (None, false, 0);
                self.links.clear();
                for at in 0..self.boards.len() {
                    self.step(at, Input::LinkDown { reason: "the core is gone".to_owned() });
                }
                connect(self.path.clone(), self.events.clone());
            }
            Event::Message(..) if self.deaf => {}
            Event::Message(topic, payload) => {
                let at = topic.parse().ok().and_then(|topic: Topic| index_of(topic.agent()));
                let at = at.expect("a topic of one of the agents");
                self.with(at, |board, clock, out| board.hear(&topic, &payload, clock, out));
            }
            Event::Words(words) => self.hear(&words),
        }
    }

    /// Does what one agent does, and sends what it says.
    fn with(&mut self, at: usize, act: impl FnOnce(&mut Board, &Clock, Out<'_>)) {
        let Self { boards, clock, out, deaf, .. } = self;
        let Some(board) = boards.get_mut(at) else {
            return;
        };
        let mut send = |topic: String, payload: Vec<u8>| {
            if let Some(out) = out.as_ref().filter(|_| !*deaf) {
                // One that is gone is noticed by whoever reads.
                let _ = out.send(frame::encode(&topic, &payload));
            }
        };
        act(board, clock, &mut send);
        self.note(at);
    }

    fn step(&mut self, at: usize, input: Input) {
        self.with(at, |board, clock, out| board.step(input, clock, out));
    }

    /// Notes when an agent is to be woken, and whether it is in sync.
    fn note(&mut self, at: usize) {
        let now = self.clock.now().mono;
        let Some(board) = self.boards.get(at) else {
            return;
        };
        let (wakeup, before) = (board.next_wakeup(), self.wakeup_of[at]);
        if wakeup != before {
            if let Some(before) = before {
                self.wakeups.remove(&(before, at));
            }
            self.wakeups.extend(wakeup.map(|wakeup| (wakeup, at)));
            self.wakeup_of[at] = wakeup;
        }
        self.met.set(at, board.is_met(), now);
        self.synced.set(at, board.is_synced(), now);
    }

    fn wake(&mut self) {
        let now = self.clock.now().mono;
        while let Some((_, at)) = self.links.first().copied().filter(|(due, _)| *due <= now) {
            self.links.pop_first();
            self.with(at, |board, clock, out| board.link_up(clock, out));
        }
        // Each at most once, so that words are heard in between.
        let due = |(due, _): &&(Monotonic, usize)| *due <= now;
        let due: Vec<usize> = self.wakeups.iter().take_while(due).map(|(_, at)| *at).collect();
        for at in due {
            self.step(at, Input::Tick);
        }
    }

    fn hear(&mut self, words: &str) {
        match words.split_once(' ') {
            Some(("end", count)) => {
                let count = count.parse().unwrap_or(0);
                for at in 0..self.boards.len() {
                    self.with(at, |board, clock, _| board.end(count, clock));
                }
            }
            Some(("count", _)) => {
                self.boards.iter_mut().for_each(|board| board.traffic = Traffic::default());
                self.reports_waited =
                    self.boards.iter().map(|board| board.reports_waiting() as u64).sum();
            }
            _ if words == "deaf" => self.deaf = true,
            _ => {}
        }
        let line = self.status().line();
        println!("{line}");
    }

    fn status(&self) -> Status {
        let mut status = Status::default();
        let traffic = || self.boards.iter().map(|board| board.traffic);
        let sum = |of: fn(Traffic) -> u64| traffic().map(of).sum::<u64>();
        status.set("connected", u64::from(self.out.is_some()));
        status.set("connected_at", self.connected_at);
        status.set("met", self.met.count as u64);
        status.set("met_at", self.met.all_at);
        status.set("synced", self.synced.count as u64);
        status.set("synced_at", self.synced.all_at);
        status.set("running", self.boards.iter().map(|board| board.running() as u64).sum());
        status.set("reports_waited", self.reports_waited);
        status.set("hellos", sum(|traffic| traffic.hellos));
        status.set("hellos_max", traffic().map(|traffic| traffic.hellos).max().unwrap_or(0));
        status.set("reports_sent", sum(|traffic| traffic.reports_sent));
        status.set("rows", sum(|traffic| traffic.rows));
        status.set("up", sum(|traffic| traffic.up));
        status.set("down", sum(|traffic| traffic.down));
        status
    }
}
