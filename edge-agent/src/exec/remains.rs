//! What is left running of a task whose supervisor was killed: found by session, group and
//! environment, and killed. Without it a lost attempt could go on beside its replacement.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use shared::id::TaskId;

use super::identity::{Identity, ProcessStat, processes};
use super::record::ChildRecord;

/// How long the killed may take to disappear. A process stuck in a driver takes for ever.
const CLEARING: Duration = Duration::from_secs(5);

/// How often to look whether they are gone.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Kills what is left of a task and waits until it is gone. The dead supervisor's id is still its
/// session; the child, if it was noted, its process group.
pub(super) async fn clear(supervisor: Identity, child: Option<ChildRecord>, task: TaskId) {
    let until = Instant::now() + CLEARING;
    loop {
        // While a session has members its number is given to no new process. So if it was given
        // to one, there are no members.
        let holder = ProcessStat::of(supervisor.pid);
        if holder.is_some_and(|holder| holder.identity != supervisor) {
            return;
        }
        let left: Vec<ProcessStat> =
            processes().filter(|process| belongs(process, supervisor, child, task)).collect();
        if left.is_empty() {
            return;
        }
        for process in &left {
            kill(process.identity);
        }
        if Instant::now() > until {
            tracing::warn!(%task, processes = left.len(), "what is left of a lost task does not die");
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether a process is of this task. Its session's number alone could, after the session's end
/// and a full turn of process ids, be another's; together with the group or the environment not.
fn belongs(
    process: &ProcessStat,
    supervisor: Identity,
    child: Option<ChildRecord>,
    task: TaskId,
) -> bool {
    process.is_alive()
        && process.session == supervisor.pid
        && process.identity.start_ticks >= supervisor.start_ticks
        && (child.is_some_and(|child| child.pid == process.group)
            || environment_names(process.identity.pid, task))
}

fn environment_names(pid: u32, task: TaskId) -> bool {
    let wanted = format!("AMBIT_TASK_ID={task}");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
}

/// Kills exactly this process.
fn kill(identity: Identity) {
    let Some(pid) = identity.pid() else { return };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) if identity.is_alive() => {
            let _ = pidfd_send_signal(descriptor, Signal::KILL);
        }
        Err(error) if error != Errno::SRCH && identity.is_alive() => {
            let _ = kill_process(pid, Signal::KILL);
        }
        _ => {}
    }
}
