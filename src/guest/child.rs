//! Commands run to their end, with a bounded life.

use super::system::{Command, Output, SystemError};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The variable by which a command is found that works in a folder of others: its value is as good as a folder of its own.
pub const MARK: &str = "STACKC_HOOK";

/// What is kept of a command's output, at least, and twice as much at most: enough for every log that a person reads.
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// The same where all of the output counts, such as the rules of a firewall with 50,000 bans: what is longer is a failure.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// How long output may still come from what a finished command left behind in the background.
const LINGER: Duration = Duration::from_millis(300);

/// How long a killed one may take to leave: it may be in the kernel, waiting for a disk.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Between two lines that are told of a command's output.
const TELL_ROUND: Duration = Duration::from_millis(500);

/// Runs a command in its own process group, and kills all of the group at the limit. `said` is given the last whole line
/// of its output from time to time.
pub fn run(command: &Command, said: &mut dyn FnMut(&str)) -> Result<Output, SystemError> {
    let mut argv = command.argv.clone();
    if let Some(user) = &command.user {
        let group = command.group.map_or_else(|| user.clone(), |group| group.to_string());
        let as_user = ["setpriv", "--reuid", user, "--regid", &group, "--init-groups", "--"];
        argv.splice(0..0, as_user.iter().map(|&word| word.to_owned()));
    }
    let spawned = std::io::pipe().and_then(|(reader, writer)| {
        let mut child = std::process::Command::new(&argv[0]);
        child.args(&argv[1..]).env_clear().envs(&command.environment).process_group(0);
        child.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
        child.current_dir(command.folder.as_deref().unwrap_or("/"));
        Ok((child.spawn()?, reader))
    });
    let (mut child, reader) = spawned.map_err(|cause| spawn_error(&argv[0], cause))?;
    feed(&mut child, &command.input);
    let lines = collect(reader);
    let ended = wait(&mut child, &lines, command, said);
    let (output, is_cut) = ended.map_err(|cause| spawn_error(&argv[0], cause))?;
    if command.whole && is_cut {
        let ending = format!("it says more than {} MiB", (2 * ANSWER_BYTES_MAX) >> 20);
        return Err(SystemError::Failed { command: argv.join(" "), ending, tail: Vec::new() });
    }
    Ok(output)
}

fn spawn_error(program: &str, cause: std::io::Error) -> SystemError {
    SystemError::Spawn { program: program.to_owned(), cause }
}

/// Hands over the input from a thread of its own: a child that does not read must not hold us.
fn feed(child: &mut Child, input: &[u8]) {
    let Some(mut stdin) = child.stdin.take() else { return };
    let input = input.to_vec();
    // A child may end without reading; its exit code tells.
    std::thread::spawn(move || drop(stdin.write_all(&input)));
}

fn collect(mut reader: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// How it ended, and whether only the end of its output is there.
fn wait(
    child: &mut Child,
    chunks: &Receiver<Vec<u8>>,
    command: &Command,
    said: &mut dyn FnMut(&str),
) -> std::io::Result<(Output, bool)> {
    let most = if command.whole { ANSWER_BYTES_MAX } else { OUTPUT_BYTES_MAX };
    let started = Instant::now();
    let (mut told, mut is_new) = (started, false);
    let (mut bytes, mut is_cut) = (Vec::new(), false);
    let mut closed = false;
    let status = loop {
        match chunks.recv_timeout(Duration::from_millis(10)) {
            Ok(chunk) => {
                is_cut |= keep(&mut bytes, &chunk, most);
                is_new = true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if closed => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(RecvTimeoutError::Disconnected) => closed = true,
        }
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if is_new && told.elapsed() >= TELL_ROUND {
            last_line(&bytes).inspect(|line| said(line));
            (told, is_new) = (Instant::now(), false);
        }
        if started.elapsed() > command.limit {
            kill_group(child);
            // One that waits for a disk in the kernel does not end even now: nobody waits for it for ever.
            let killed = Instant::now();
            while child.try_wait()?.is_none() && killed.elapsed() < END_LIMIT {
                std::thread::sleep(Duration::from_millis(2));
            }
            break None;
        }
    };
    let ended = Instant::now();
    while let Ok(chunk) = chunks.recv_timeout(LINGER.saturating_sub(ended.elapsed())) {
        is_cut |= keep(&mut bytes, &chunk, most);
    }
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Ok((Output { code: status.and_then(|status| status.code()), text }, is_cut))
}

/// The last whole line that says something. Progress bars end theirs with a carriage return.
fn last_line(bytes: &[u8]) -> Option<String> {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let whole = &bytes[..bytes.iter().rposition(is_end)?];
    let mut lines = whole.rsplit(is_end).map(|line| String::from_utf8_lossy(line));
    lines.find(|line| !line.trim().is_empty()).map(std::borrow::Cow::into_owned)
}

/// Whether something had to go for it.
fn keep(bytes: &mut Vec<u8>, chunk: &[u8], most: usize) -> bool {
    bytes.extend_from_slice(chunk);
    let is_cut = bytes.len() > 2 * most;
    if is_cut {
        bytes.drain(..bytes.len() - most);
    }
    is_cut
}

/// Kills whatever has its working folder, or its mark, here or below. One that a dead call left behind still writes.
pub fn end_all_in(folder: &Path) -> Result<(), SystemError> {
    let started = Instant::now();
    loop {
        let found = running_in(folder).map_err(|cause| spawn_error("/proc", cause))?;
        if found.is_empty() {
            return Ok(());
        }
        if started.elapsed() > END_LIMIT {
            let command = format!("kill of what runs in {}", folder.display());
            let ending = format!("{} still there after {} s", found.len(), END_LIMIT.as_secs());
            return Err(SystemError::Failed { command, ending, tail: Vec::new() });
        }
        for id in found {
            // Gone already is as good.
            let _gone = kill_process(id, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Others than us that work in a folder, or are marked with it. One that ends while we look is none.
fn running_in(folder: &Path) -> std::io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let id =
            entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let works_in = std::fs::read_link(entry.path().join("cwd"));
        if let (Some(id), Ok(works_in)) = (id, works_in)
            && (works_in.starts_with(folder) || is_marked(&entry.path(), folder))
            && id != rustix::process::getpid()
        {
            found.push(id);
        }
    }
    Ok(found)
}

/// Whether a process began with this mark, by its folder of `/proc`.
fn is_marked(process: &Path, folder: &Path) -> bool {
    let environment = std::fs::read(process.join("environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    let mark = format!("{MARK}=");
    let marked = variables.find_map(|variable| variable.strip_prefix(mark.as_bytes()));
    marked.is_some_and(|mark| Path::new(OsStr::from_bytes(mark)).starts_with(folder))
}

fn kill_group(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // Gone already is as good.
        let _gone = kill_process_group(group, Signal::KILL);
    }
}
