//! From an order to a child process, or to a sentence about why there is none. Spawns; neither
//! waits nor writes.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::progress::PROGRESS_VARIABLE;
use super::record::ExecOrder;
use super::sys;

/// Where programs are looked up when the order's environment does not say.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts the command in `dir`, in a process group of its own that dies with this process, with
/// nothing to read and both outputs piped. It is told where to tell its progress, if there is a
/// place for that. The error is a sentence for the task's owner.
pub(super) fn launch(
    order: &ExecOrder,
    dir: &Path,
    progress_file: Option<&Path>,
) -> Result<Child, String> {
    refuse_impossible(order)?;
    let mut command = Command::new(&order.command);
    command.args(&order.args).env_clear().env("PATH", PATH_DEFAULT).envs(&order.env);
    if let Some(progress_file) = progress_file {
        command.env(PROGRESS_VARIABLE, progress_file);
    }
    command.current_dir(dir).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::detach_from_parent(&mut command);
    if order.command.contains('/') {
        sys::execute_exactly(&mut command).map_err(|error| explain(order, dir, &error))?;
    }
    command.spawn().map_err(|error| explain(order, dir, &error))
}

/// What no system could start, found before it is tried.
fn refuse_impossible(order: &ExecOrder) -> Result<(), String> {
    if order.command.is_empty() {
        return Err("The command is empty; write the program to run in `run.exec.command`.".into());
    }
    if let Some(dir) = order.dir.as_deref().filter(|dir| !Path::new(dir).is_absolute()) {
        return Err(format!(
            "The working directory `{dir}` is not an absolute path; begin it with `/`, or leave `run.exec.dir` out for one of the task's own."
        ));
    }
    let odd = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
    if let Some(name) = order.env.keys().find(odd) {
        return Err(format!(
            "The environment variable name {name:?} in `run.exec.env` is not possible; use letters, digits and `_`."
        ));
    }
    let texts = [&order.command].into_iter().chain(&order.args).chain(order.env.values());
    if texts.chain(&order.dir).any(|text| text.contains('\0')) {
        return Err(
            "A zero byte stands in `run.exec`, which no program can be given; remove it.".into()
        );
    }
    Ok(())
}

/// Turns the system's refusal into what was wrong and what to do. The same error number means
/// different things, so this looks again at what is there.
fn explain(order: &ExecOrder, dir: &Path, error: &io::Error) -> String {
    let command = &order.command;
    let place = dir.display();
    match fs::metadata(dir) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => {
            return format!(
                "The working directory `{place}` does not exist on this agent; create it, or leave `run.exec.dir` out for one of the task's own."
            );
        }
        Err(problem) => {
            return format!("The working directory `{place}` cannot be used: {problem}.");
        }
        Ok(found) if !found.is_dir() => {
            return format!(
                "The working directory `{place}` is not a directory; name one that is."
            );
        }
        Ok(_) => {}
    }
    match error.kind() {
        io::ErrorKind::NotFound if !command.contains('/') => {
            let path = order.env.get("PATH").map_or(PATH_DEFAULT, String::as_str);
            format!(
                "The command `{command}` was not found on this agent in `{path}`; install it there, or give its full path."
            )
        }
        io::ErrorKind::NotFound if dir.join(command).exists() => format!(
            "The command `{command}` exists, but the interpreter or loader that it names does not; install it on this agent."
        ),
        io::ErrorKind::NotFound => format!(
            "The command `{command}` does not exist on this agent; check `run.exec.command`."
        ),
        io::ErrorKind::PermissionDenied => format!(
            "The command `{command}` may not be executed by this agent; make it executable (chmod +x), and its directories and `{place}` accessible."
        ),
        io::ErrorKind::ArgumentListTooLong => format!(
            "The arguments and environment of `{command}` are larger than this agent's system allows; pass them in a file."
        ),
        _ if error.raw_os_error() == Some(libc::ENOEXEC) => format!(
            "The command `{command}` is not a program for this agent's processor, nor a script that begins with `#!`."
        ),
        _ => format!("The command `{command}` could not be started: {error}."),
    }
}
