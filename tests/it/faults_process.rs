//! A command that is watched line by line, and may be killed.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

/// How long the last lines of an ended command may take to be read, on a machine with twenty others to run.
const LAST_LINES: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(20);

/// A running command; both its outputs, line by line.
pub struct Operator {
    child: Child,
    said: Receiver<String>,
    lines: Vec<String>,
    since: Instant,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// None: killed.
    pub code: Option<i32>,
    pub lines: Vec<String>,
    pub took: Duration,
}

impl Operator {
    pub fn start(command: Command) -> Self {
        Self::start_with(command, "")
    }

    pub fn start_with(mut command: Command, stdin: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let since = Instant::now();
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let mut input = child.stdin.take().expect("it is piped");
        let stdin = stdin.to_owned();
        // A command that ends early does not read all of it.
        thread::spawn(move || drop(input.write_all(stdin.as_bytes())));
        let (sender, said) = mpsc::channel();
        listen(child.stdout.take().expect("it is piped"), sender.clone());
        listen(child.stderr.take().expect("it is piped"), sender);
        Self { child, said, lines: Vec::new(), since }
    }

    /// Kills the command with SIGKILL `delay` after a line for which `when` holds; it may be over before.
    /// What it started, such as ssh, lives on, as it would for a user.
    pub fn kill_when(&mut self, delay: Duration, when: impl FnMut(&str) -> bool) {
        if self.waits_for(when) {
            thread::sleep(delay);
            self.kill();
        }
    }

    /// Kills the command with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("the command is our child");
    }

    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Lets it stand still, alive.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("it is a process's number");
        kill(Pid::from_raw(pid), signal).expect("the command is our child");
    }

    /// How many lines it has said so far.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Waits for a line for which `when` holds; false when the command is over before.
    pub fn waits_for(&mut self, mut when: impl FnMut(&str) -> bool) -> bool {
        loop {
            let line = match self.said.recv_timeout(GLANCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) if !self.has_ended() => continue,
                Err(_) => return false,
            };
            let now = when(&line);
            self.lines.push(line);
            if now {
                return true;
            }
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than `limit`: nothing may hang.
    pub fn finish(mut self, limit: Duration) -> Ended {
        let status = loop {
            self.lines.extend(self.said.try_iter());
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            if self.since.elapsed() > limit {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("it still runs after {limit:?}:\n  {}", self.lines.join("\n  "));
            }
            thread::sleep(GLANCE);
        };
        let took = self.since.elapsed();
        // A child of the command may hold its output open, so the end of the lines is not waited for without limit.
        let until = Instant::now() + LAST_LINES;
        while let Ok(line) = self.said.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.lines.push(line);
        }
        Ended { code: status.code(), lines: self.lines, took }
    }
}

impl Ended {
    /// # Panics
    /// When the exit code is not 0.
    pub fn expect_done(self) -> Self {
        assert!(self.code == Some(0), "{self}");
        self
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
        write!(f, "ended with {code} after {:?}:\n  {}", self.took, self.lines.join("\n  "))
    }
}

fn listen(output: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
}
