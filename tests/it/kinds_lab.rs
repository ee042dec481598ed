//! The built-in kinds that the demo leaves out, and databases of every engine, on real guests: made live, changed, broken,
//! taken back.

use crate::{activate_cli::stackc, fixture_lab::RealLab};
use camino::{Utf8Path, Utf8PathBuf};
use stackc::{
    activate::secret_names,
    compile::{Sources, compile},
    lab::workspace::{self, Change},
    store,
};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// The worked examples in a lab.
pub struct Examples {
    pub lab: RealLab,
    _dir: tempfile::TempDir,
    pub top: Utf8PathBuf,
}

impl Examples {
    pub fn start(name: &str) -> Option<Self> {
        let lab = RealLab::start(name)?;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let top = Utf8Path::from_path(dir.path()).expect("UTF-8").join("workspace");
        workspace::create(&top, &lab.info).expect("a workspace");
        Some(Self { lab, _dir: dir, top })
    }

    /// Values for every secret that the definitions name.
    pub fn write_secrets(&self) {
        let files = store::read_sources(self.top.as_std_path()).expect("its sources");
        let compiled = compile(&Sources { files }).unwrap_or_else(|report| panic!("{report}"));
        let names =
            compiled.guests.values().map(|bundle| secret_names(bundle).expect("it is whole"));
        workspace::write_secrets(&self.top, &self.lab.info, &names.flatten().collect())
            .expect("secrets");
    }

    /// A verb that must end with this code; what it said.
    pub fn stackc(&self, arguments: &[&str], code: i32) -> String {
        let (found, out, errors) = stackc(&self.top, arguments);
        eprintln!("{out}{errors}");
        assert_eq!(found, Some(code), "{arguments:?}: {out}{errors}");
        out + &errors
    }

    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let change = Change::Replace { path, from, to };
        workspace::edit(&self.top, &[change]).expect("the text is there");
    }

    /// A commit in an app's repository, pinned for its dev.
    fn commit(&self, project: &str, path: &str, from: &str, to: &str) {
        let repo = self.top.join("repos").join(project);
        workspace::commit(&repo, "a change", &[Change::Replace { path, from, to }])
            .expect("a commit");
        self.stackc(&["lock", &format!("{project}/dev")], 0);
    }

    /// Head and body of an answer of a guest.
    fn get(&self, vmid: u32, port: u16, path: &str) -> String {
        let mut stream = TcpStream::connect((self.lab.address(vmid), port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let request = format!("GET {path} HTTP/1.0\r\nHost: guest\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers with text");
        answer
    }
}

#[test]
fn a_static_site_is_served_changed_without_a_restart_and_rolled_back() {
    let Some(examples) = Examples::start("site") else { return };
    let get = |path: &str| examples.get(121, 80, path);
    examples.write_secrets();
    examples.stackc(&["activate", "manual/dev", "--yes"], 0);
    let page = get("/");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("Version 1 of"), "{page}");
    for header in ["X-Content-Type-Options: nosniff", "Content-Security-Policy: default-src 'self'"]
    {
        assert!(page.contains(header), "{header}: {page}");
    }
    assert!(get("/goods.html").contains("The list of goods"));
    assert!(get("/of/the/app").starts_with("HTTP/1.1 404 "));
    assert!(get("/.git/config").starts_with("HTTP/1.1 404 "));
    let own = "dpkg -V nginx-common nginx | grep /etc/; systemctl show -p MainPID nginx";
    let process = examples.lab.out("manual-dev", own);
    assert!(process.starts_with("MainPID=") && process != "MainPID=0", "{process}");

    examples.commit("manual", "VERSION", "1", "2");
    let one_page = "build = \"sh build.sh\"\nfallback = \"/index.html\"";
    examples.edit("stacks/manual.toml", "build = \"sh build.sh\"", one_page);
    let plan = examples.stackc(&["activate", "manual/dev", "--yes"], 0);
    assert!(plan.contains("reload     nginx.service"), "{plan}");
    assert!(get("/of/the/app").contains("Version 2 of"));
    assert_eq!(examples.lab.out("manual-dev", own), process, "nobody's connection was cut");

    // A configuration that nginx refuses is taken back, and the page stays.
    examples.edit("stacks/manual.toml", "\"/index.html\"", "\"/index.html; nonsense\"");
    let told = examples.stackc(&["activate", "manual/dev", "--yes"], 5);
    assert!(told.contains("nonsense"), "the evidence is nginx's own: {told}");
    assert!(get("/of/the/app").contains("Version 2 of"));

    examples.stackc(&["rollback", "manual/dev", "--yes"], 0);
    assert!(get("/").contains("Version 1 of"));
    assert!(get("/of/the/app").starts_with("HTTP/1.1 404 "));
    assert_eq!(examples.lab.out("manual-dev", own), process);
}

#[test]
fn a_single_program_is_built_watched_by_its_hooks_and_rolled_back() {
    let Some(examples) = Examples::start("bin") else { return };
    let get = |path: &str| examples.get(131, 8080, path);
    examples.write_secrets();
    let told = examples.stackc(&["activate", "rates/dev", "--yes"], 0);
    assert!(told.contains("hook       check: /srv/app/bin/rates --check as appuser"), "{told}");
    assert!(get("/healthz").contains(r#"{"app_env": "dev", "version": "1"}"#));
    assert!(get("/rates/usd").contains("1.08"));

    // The hook of the switch finds what the probe cannot see.
    examples.commit("rates", "src/rates/rates.json", "1.08", "0");
    let told = examples.stackc(&["activate", "rates/dev", "--yes"], 5);
    assert!(told.contains("hook check") && told.contains("usd is worth 0"), "{told}");
    assert!(get("/rates/usd").contains("1.08"), "the old program is back");

    examples.commit("rates", "src/rates/rates.json", "\"usd\": 0", "\"usd\": 1.2");
    examples.commit("rates", "src/rates/VERSION", "1", "2");
    let refusing = "[project.hooks.ask]\nwhen = \"before_switch\"\nrun = [\"/bin/sh\", \"-c\", \"echo not now; exit 9\"]\n\n[envs.dev]\n";
    examples.edit("stacks/rates.toml", "[envs.dev]\n", refusing);
    let told = examples.stackc(&["activate", "rates/dev", "--yes"], 4);
    assert!(told.contains("hook ask") && told.contains("not now"), "{told}");
    assert!(get("/healthz").contains(r#""version": "1""#), "nothing was switched");

    examples.edit("stacks/rates.toml", "exit 9", "id -un >/run/asked");
    examples.stackc(&["activate", "rates/dev", "--yes"], 0);
    assert!(get("/healthz").contains(r#""version": "2""#) && get("/rates/usd").contains("1.2"));
    assert_eq!(examples.lab.out("rates-dev", "cat /run/asked"), "root");
    examples.stackc(&["rollback", "rates/dev", "--yes"], 0);
    assert!(get("/healthz").contains(r#""version": "1""#));
    killed_in_a_hook(&examples);
    assert!(get("/healthz").contains(r#""version": "1""#));
}

/// The guest's own part of the switch is killed while a hook of it runs.
fn killed_in_a_hook(examples: &Examples) {
    let slow = "[\"/bin/sh\", \"-c\", \"touch /var/tmp/slow; exec sleep 97\"]";
    examples.edit("stacks/rates.toml", "[\"/srv/app/bin/rates\", \"--check\"]", slow);
    examples.edit("stacks/rates.toml", "timeout_seconds = 10", "timeout_seconds = 120");
    let kill = "timeout 120 sh -c 'until test -e /var/tmp/slow; do sleep 0.1; done' && \
                systemctl kill --signal=KILL --kill-whom=main 'stackc-tx-*.service'";
    std::thread::scope(|scope| {
        let killed = scope.spawn(|| examples.lab.ssh("rates-dev", kill));
        examples.stackc(&["activate", "rates/dev", "--yes"], 5);
        assert!(killed.join().expect("it does not panic").status.success());
    });
    let left = examples.lab.ssh("rates-dev", "pgrep -f 'sleep 97$'");
    assert!(!left.status.success(), "the hook went with its switch");
}

/// Databases of every engine but PostgreSQL, which the worked examples have.
const DATA: &str = r#"
[project]
kind = "base"

[project.packages]
mariadb-server = true
redis-server = true

[project.databases.wiki_pages]
engine = "mariadb"
owner = "wiki"
password = { secret = "data/dev/wiki" }

[project.databases.plain]
engine = "mariadb"
owner = "backup"

[project.databases.cache]
engine = "redis"
memory_mib = 16
eviction = "allkeys-lru"
persistent = false

[project.databases.sessions]
engine = "redis"
port = 6380
password = { secret = "data/dev/sessions" }

[project.probes.cache]
tcp = { port = 6379, local = true }

[envs.dev]
name = "data-dev"
vmid = 151
ip = "SUBNET.151/24"
"#;

/// What quoting rules of three languages would stumble over.
const WIKI: &str = r"it's a \'";
const SESSIONS: &str = r#"say \"x\" #1 ö"#;

#[test]
fn mariadb_and_redis_are_ensured_with_passwords_that_no_quoting_breaks() {
    let Some(examples) = Examples::start("data") else { return };
    let address = examples.lab.address(151).to_string();
    let subnet = address.trim_end_matches(".151");
    let path = examples.top.join("stacks/data.toml");
    fs::write(&path, DATA.replace("SUBNET", subnet)).expect("the folder is ours");
    examples.write_secrets();
    set_secrets(&examples.top.join("stacks/secrets.local.toml"));
    let told = examples.stackc(&["activate", "data/dev", "--yes"], 0);
    assert!(told.contains("mariadb plain of backup, mariadb wiki_pages of wiki"), "{told}");

    let out = |command: &str| examples.lab.out("data-dev", command);
    let password = WIKI.replace('\'', "'\\''");
    let wiki = |sql: &str| {
        format!("mariadb -h 127.0.0.1 -u wiki '-p{password}' wiki_pages -BNe \"{sql}\" 2>&1")
    };
    assert_eq!(
        out(&wiki("CREATE TABLE t (x TEXT); SHOW TABLES; SELECT @@character_set_database")),
        "t\nutf8mb4"
    );
    let other = wiki("CREATE DATABASE wikiXpages; SELECT 1");
    assert!(!examples.lab.ssh("data-dev", &other).status.success(), "`_` stands for itself only");
    let peer = "runuser -u backup -- mariadb plain -BNe 'SELECT CURRENT_USER()'";
    assert_eq!(out(peer), "backup@localhost");
    assert_eq!(out("redis-cli -p 6379 config get maxmemory | tail -1"), (16 << 20).to_string());
    let sessions = format!("REDISCLI_AUTH='{SESSIONS}' redis-cli -p 6380 ");
    assert_eq!(out(&format!("{sessions} set k v")), "OK");
    assert!(out("redis-cli -p 6380 get k 2>&1").contains("NOAUTH"));
    let states =
        "systemctl is-active redis-server redis-server@cache redis-server@sessions | tr '\\n' ' '";
    assert_eq!(out(states), "inactive active active");
    assert_eq!(out("stat -Lc '%a %U:%G' /etc/redis-sessions.conf"), "640 root:redis");
    let listening =
        out("ss -tlnH 'sport = :6379 or sport = :6380 or sport = :3306' | awk '{print $4}'");
    let is_own = |at: &str| at.starts_with("127.0.0.1:") || at.starts_with("[::1]:");
    assert!(listening.lines().count() >= 3 && listening.lines().all(is_own), "{listening}");
    assert!(examples.stackc(&["activate", "data/dev", "--yes"], 0).contains("nothing to do"));

    // One instance changes and one goes: records of the first outlive its restart, and the second is stopped.
    let text = fs::read_to_string(&path).expect("it is there");
    let from = text.find("[project.databases.cache]").expect("it is there");
    let to = text.find("[project.databases.sessions]").expect("it is there");
    let changed = text.replace(&text[from..to], "").replace("port = 6380", "port = 6379");
    fs::write(&path, changed).expect("the folder is ours");
    examples.stackc(&["activate", "data/dev", "--yes"], 0);
    assert_eq!(out(states), "inactive inactive active");
    assert_eq!(out(&sessions.replace("6380", "6379").replace("-p 6379 ", "-p 6379 get k")), "v");
    examples.stackc(&["rollback", "data/dev", "--yes"], 0);
    assert_eq!(out(states), "inactive active active");
    assert_eq!(out(&format!("{sessions} get k")), "v");
    assert_eq!(out(&wiki("SHOW TABLES")), "t");
}

/// The two passwords that are hard to quote, in place of random ones.
fn set_secrets(path: &Utf8Path) {
    let text = fs::read_to_string(path).expect("it was written");
    let mut secrets: toml::Table = text.parse().expect("it is TOML");
    let dev = secrets["data"]["dev"].as_table_mut().expect("it has secrets");
    dev.insert("wiki".to_owned(), WIKI.into());
    dev.insert("sessions".to_owned(), SESSIONS.into());
    fs::write(path, secrets.to_string()).expect("it is ours");
}
