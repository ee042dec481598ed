//! Child processes with a bounded life, and the probes that open connections.

use super::system::{Command, Output, SystemError};
use crate::model::Probe;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
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

/// Asks once; the reason when it does not pass.
pub fn probe(probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Tcp { port, timeout_seconds } => {
            connect(*port, seconds(*timeout_seconds)).map(drop).map_err(|e| e.to_string())
        }
        Probe::Http { port, path, status, timeout_seconds } => {
            let found = http_status(*port, path, seconds(*timeout_seconds));
            match found.map_err(|error| error.to_string())? {
                found if found == *status => Ok(()),
                found => Err(format!("HTTP status {found} instead of {status}")),
            }
        }
        Probe::Command { argv, timeout_seconds } => {
            let words: Vec<&str> = argv.iter().map(String::as_str).collect();
            let output = run(&Command::new(&words, seconds(*timeout_seconds)));
            let output = output.map_err(|error| error.to_string())?;
            match output.code {
                Some(0) => Ok(()),
                code => Err(format!("exit code {code:?}: {}", output.tail(3).join(" / "))),
            }
        }
        Probe::Unit { unit } => Err(format!("`{unit}` is the service manager's to judge")),
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds.max(1)))
}

fn connect(port: u16, limit: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}

/// The status of `GET path`; only the first line of the answer is read. Source: RFC 9112 §4.
fn http_status(port: u16, path: &str, limit: Duration) -> std::io::Result<u16> {
    let mut stream = connect(port, limit)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: stackc-guest\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let started = Instant::now();
    let mut head = Vec::new();
    let mut buffer = [0; 256];
    while !head.contains(&b'\n') && head.len() < 4096 && started.elapsed() < limit {
        match stream.read(&mut buffer)? {
            0 => break,
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split_ascii_whitespace();
    let version = words.next().filter(|word| word.starts_with("HTTP/1."));
    let status = version.and(words.next()).and_then(|word| word.parse().ok());
    status.ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}
