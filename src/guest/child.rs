//! Commands run to their end, with a bounded life.

use super::system::{Command, Output, SystemError};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What is kept of a command's output: enough for every log that a person reads.
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// How long output may still come from what a finished command left behind in the background.
const LINGER: Duration = Duration::from_millis(300);

/// Runs a command in its own process group, and kills all of the group at the limit.
pub fn run(command: &Command) -> Result<Output, SystemError> {
    let mut argv = command.argv.clone();
    if let Some(user) = &command.user {
        let as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"];
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
    wait(&mut child, &lines, command.limit).map_err(|cause| spawn_error(&argv[0], cause))
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

fn wait(child: &mut Child, chunks: &Receiver<Vec<u8>>, limit: Duration) -> std::io::Result<Output> {
    let started = Instant::now();
    let mut bytes = Vec::new();
    let mut closed = false;
    let status = loop {
        match chunks.recv_timeout(Duration::from_millis(10)) {
            Ok(chunk) => keep(&mut bytes, &chunk),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if closed => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(RecvTimeoutError::Disconnected) => closed = true,
        }
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if started.elapsed() > limit {
            kill_group(child);
            child.wait()?;
            break None;
        }
    };
    let ended = Instant::now();
    while let Ok(chunk) = chunks.recv_timeout(LINGER.saturating_sub(ended.elapsed())) {
        keep(&mut bytes, &chunk);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output { code: status.and_then(|status| status.code()), text })
}

fn keep(bytes: &mut Vec<u8>, chunk: &[u8]) {
    bytes.extend_from_slice(chunk);
    if bytes.len() > 2 * OUTPUT_BYTES_MAX {
        bytes.drain(..bytes.len() - OUTPUT_BYTES_MAX);
    }
}

fn kill_group(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // Gone already is as good.
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}
