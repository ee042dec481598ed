//! Tasks: what runs in the background, and what it said. Source of the formats: pve-common, `PVE/UPID.pm`, `PVE/RESTEnvironment.pm`.

use super::{LabError, error::AtPath as _};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write as _,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// The user and the token that all requests come from.
pub(super) const USER: &str = "root@pam";
pub(super) const TOKEN_ID: &str = "stackc";

/// One task, as its file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    upid: String,
    pid: u32,
    pstart: u64,
    /// Seconds since 1970.
    starttime: u64,
    kind: String,
    id: String,
    /// When and how it ended.
    end: Option<(u64, String)>,
}

/// All tasks of a node, on disk as `<upid>.json` and `<upid>.log`.
pub(super) struct Journal {
    folder: Utf8PathBuf,
    node: String,
    tasks: Mutex<BTreeMap<String, Task>>,
}

/// What a task that works on writes its lines to.
pub(super) struct TaskLog {
    path: Utf8PathBuf,
    warnings: std::cell::Cell<u32>,
}

impl TaskLog {
    /// A line that cannot be written is lost; the task goes on.
    pub(super) fn line(&self, text: &str) {
        let log = OpenOptions::new().append(true).create(true).open(&self.path);
        let _ = log.and_then(|mut log| log.write_all(format!("{}\n", text.trim_end()).as_bytes()));
    }

    pub(super) fn warn(&self, text: &str) {
        self.warnings.set(self.warnings.get() + 1);
        self.line(&format!("WARN: {text}"));
    }
}

impl Journal {
    /// Reads what is on disk. A task without an end died with its daemon.
    pub(super) fn open(folder: &Utf8Path, node: &str) -> Result<Self, LabError> {
        fs::create_dir_all(folder).at("make", folder)?;
        let journal =
            Self { folder: folder.to_owned(), node: node.to_owned(), tasks: Mutex::default() };
        for entry in folder.read_dir_utf8().at("list", folder)? {
            let path = entry.at("list", folder)?.into_path();
            if path.extension() != Some("json") {
                continue;
            }
            // A daemon killed while it wrote leaves a cut file: that task is unknown, as it would be on a node.
            let text = fs::read(&path).at("read", &path)?;
            if let Ok(task) = serde_json::from_slice::<Task>(&text) {
                journal.tasks().insert(task.upid.clone(), task);
            }
        }
        let unfinished: Vec<String> =
            journal.tasks().values().filter(|t| t.end.is_none()).map(|t| t.upid.clone()).collect();
        for upid in unfinished {
            journal.end(&upid, "unexpected status");
        }
        Ok(journal)
    }

    /// Runs `work` in a thread of its own and returns its UPID at once.
    pub(super) fn spawn(
        self: &Arc<Self>,
        kind: &str,
        id: &str,
        work: impl FnOnce(&TaskLog) -> Result<(), String> + Send + 'static,
    ) -> Result<String, LabError> {
        let task = self.begin(kind, id)?;
        let (journal, upid) = (Arc::clone(self), task.upid.clone());
        std::thread::spawn(move || {
            let log =
                TaskLog { path: journal.log_path(&task.upid), warnings: std::cell::Cell::new(0) };
            // A panic must not leave a task that runs for ever.
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| work(&log)));
            let done = done.unwrap_or_else(|_| Err("unexpected status".to_owned()));
            journal.end(&task.upid, &conclude(&log, done));
        });
        Ok(upid)
    }

    fn begin(&self, kind: &str, id: &str) -> Result<Task, LabError> {
        let mut tasks = self.tasks();
        // A node forks a worker for each task; here the count stands for the worker's number, so that no two are alike.
        let pid = std::process::id() + u32::try_from(tasks.len()).unwrap_or(u32::MAX) + 1;
        let (pstart, starttime) = (ticks_since_boot(), now());
        let upid = format!(
            "UPID:{}:{pid:08X}:{pstart:08X}:{starttime:08X}:{kind}:{id}:{USER}!{TOKEN_ID}:",
            self.node
        );
        let task =
            Task { upid, pid, pstart, starttime, kind: kind.into(), id: id.into(), end: None };
        self.write(&task)?;
        tasks.insert(task.upid.clone(), task.clone());
        Ok(task)
    }

    fn end(&self, upid: &str, status: &str) {
        let mut tasks = self.tasks();
        let Some(task) = tasks.get_mut(upid) else { return };
        task.end = Some((now(), status.to_owned()));
        let ended = task.clone();
        // Unwritten, it is "unexpected status" after a restart, which is what it then looks like.
        let _ = self.write(&ended);
    }

    fn write(&self, task: &Task) -> Result<(), LabError> {
        let path = self.folder.join(format!("{}.json", task.upid));
        let text = serde_json::to_vec(task).expect("a task is JSON");
        fs::write(&path, text).at("write", &path)
    }

    fn log_path(&self, upid: &str) -> Utf8PathBuf {
        self.folder.join(format!("{upid}.log"))
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<String, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self, upid: &str) -> Option<Value> {
        let task = self.tasks().get(upid)?.clone();
        let mut shown = self.row(&task);
        shown["status"] = json!(if task.end.is_some() { "stopped" } else { "running" });
        if let Some((_, status)) = task.end {
            shown["exitstatus"] = json!(status);
        }
        Some(shown)
    }

    /// A page of a task's lines, and how many there are.
    pub(super) fn log(&self, upid: &str, start: usize, limit: usize) -> Option<(Value, usize)> {
        self.tasks().get(upid)?;
        let text = fs::read_to_string(self.log_path(upid)).unwrap_or_default();
        let text = if text.is_empty() { "no content" } else { text.as_str() };
        let lines = text.lines().enumerate().skip(start).take(limit);
        let page = lines.map(|(i, line)| json!({ "n": i + 1, "t": line })).collect();
        Some((page, text.lines().count()))
    }

    /// Tasks, newest first.
    pub(super) fn list(&self, wanted: impl Fn(&str, bool, u64) -> bool) -> Vec<Value> {
        let tasks = self.tasks();
        let mut found: Vec<&Task> =
            tasks.values().filter(|t| wanted(&t.id, t.end.is_none(), t.starttime)).collect();
        found.sort_by_key(|t| std::cmp::Reverse((t.starttime, t.pstart, t.pid)));
        let rows = found.into_iter().map(|task| {
            let mut row = self.row(task);
            if let Some((at, status)) = &task.end {
                row["endtime"] = json!(at);
                row["status"] = json!(status);
            }
            row
        });
        rows.collect()
    }

    fn row(&self, task: &Task) -> Value {
        json!({
            "upid": task.upid, "node": self.node, "type": task.kind, "id": task.id, "user": USER, "tokenid": TOKEN_ID,
            "pid": task.pid, "pstart": task.pstart, "starttime": task.starttime,
        })
    }
}

/// Writes a task's last line and returns its exit status.
fn conclude(log: &TaskLog, done: Result<(), String>) -> String {
    let status = match (done, log.warnings.get()) {
        (Err(text), _) => {
            log.line(&format!("TASK ERROR: {text}"));
            return text.lines().next().unwrap_or("unexpected status").to_owned();
        }
        (Ok(()), 0) => "OK".to_owned(),
        (Ok(()), warnings) => format!("WARNINGS: {warnings}"),
    };
    log.line(&format!("TASK {status}"));
    status
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Hundredths of a second since the machine's boot, as `/proc/PID/stat` counts starts.
fn ticks_since_boot() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split('.').next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
    seconds * 100
}
