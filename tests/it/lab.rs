//! The lab, on real guests.

use crate::fixture_lab::RealLab;
use serde_json::json;
use stackc::{lab, model::Vmid};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

fn vmid(number: u32) -> Vmid {
    Vmid::try_from(number).expect("a guest's number")
}

#[test]
fn missing_programs_are_one_message_with_the_command_that_installs_them() {
    let error = lab::LabError::Missing {
        programs: vec!["lxc-start", "mmdebstrap"],
        packages: vec!["lxc", "mmdebstrap"],
    };
    assert_eq!(
        error.to_string(),
        "the lab needs programs that are not here (lxc-start, mmdebstrap); as root:\n  \
         apt-get update && apt-get install --no-install-recommends lxc mmdebstrap"
    );
}

#[test]
fn a_guest_serves_the_host_keys_that_its_create_log_named_and_boots_clean() {
    let Some(lab) = RealLab::start("boot") else { return };
    let log = lab.create(101, "web1");
    let named: Vec<&str> =
        log.iter().filter_map(|l| l.strip_prefix("done: ")?.strip_suffix(" root@web1")).collect();
    assert_eq!(named.len(), 3, "{log:#?}");
    assert!(log.contains(
        &"Creating SSH host key 'ssh_host_ed25519_key' - this may take some time ...".to_owned()
    ));
    assert_eq!(log.last().map(String::as_str), Some("TASK OK"));

    lab.done("POST", "/nodes/pve/lxc/101/status/start", &[]);
    lab.wait_for_ssh(101);
    let address = lab.address(101).to_string();
    let scan = format!("ssh-keyscan {address} 2>/dev/null | ssh-keygen -lf - | cut -d' ' -f2");
    let served = Command::new("sh").args(["-c", &scan]).output().expect("ssh-keyscan runs");
    let served = String::from_utf8_lossy(&served.stdout).into_owned();
    for fingerprint in named {
        assert!(served.contains(fingerprint), "{fingerprint} is not among\n{served}");
    }

    assert_eq!(lab.out("web1", "systemctl is-system-running --wait"), "running");
    assert_eq!(lab.out("101", "hostname; hostname -I"), format!("web1\n{address}"));
    let boots =
        lab.out("web1", "cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/boot_id");
    let (first, second) = boots.split_once('\n').expect("two lines");
    assert_eq!(first, second, "a boot has one id");
    assert!(
        lab.out("web1", "apt-get update -qq && apt-get install -y -qq jq && jq -n 40+2")
            .ends_with("42")
    );
}

#[test]
fn wrong_calls_are_refused_in_proxmox_own_words() {
    let Some(lab) = RealLab::start("api") else { return };
    lab.create(101, "a1");
    let refused = |method, path, parameters: &[(&str, &str)]| {
        let answer = lab.call(method, path, parameters);
        assert_eq!(
            answer.reason,
            answer.body["message"].as_str().unwrap_or_default().trim_end(),
            "{answer:?}"
        );
        let errors = answer.body.get("errors").map(ToString::to_string).unwrap_or_default();
        format!("{} {} {errors}", answer.status, answer.reason)
    };
    let config = "/nodes/pve/lxc/101/config";
    let template = lab.info.template.as_str();
    let answers = [
        refused("GET", "/nope", &[]),
        refused("DELETE", "/version", &[]),
        refused("GET", "/nodes/pve/lxc/999/config", &[]),
        refused("GET", "/nodes/pve/lxc/99/config", &[]),
        refused("GET", "/cluster/nextid", &[("vmid", "101")]),
        refused("POST", "/nodes/pve/lxc", &[("vmid", "99"), ("memory", "1G"), ("foo", "1")]),
        refused(
            "POST",
            "/nodes/pve/lxc",
            &[("vmid", "101"), ("ostemplate", template), ("rootfs", "local-lvm:2")],
        ),
        refused(
            "POST",
            "/nodes/pve/lxc",
            &[("vmid", "102"), ("ostemplate", template), ("rootfs", "nost:2")],
        ),
        refused(
            "POST",
            "/nodes/pve/lxc",
            &[("vmid", "102"), ("ostemplate", template), ("ssh-public-keys", "no key")],
        ),
        refused("PUT", config, &[]),
        refused(
            "PUT",
            config,
            &[("memory", "200"), ("digest", "0000000000000000000000000000000000000000")],
        ),
        refused("PUT", config, &[("onboot", "true")]),
        refused("PUT", config, &[("net0", "bridge=vmbr0")]),
        refused("PUT", config, &[("delete", "memory")]),
        refused("PUT", config, &[("delete", "foo")]),
        refused("PUT", config, &[("unprivileged", "0")]),
        refused("PUT", config, &[("features", "keyctl=1")]),
        refused("PUT", "/nodes/pve/lxc/101/resize", &[("disk", "rootfs"), ("size", "8G")]),
        refused("PUT", "/nodes/pve/lxc/101/resize", &[("disk", "rootfs"), ("size", "1G")]),
        refused("POST", "/nodes/pve/lxc/101/status/stop", &[]),
        refused("POST", "/nodes/pve/lxc/101/status/reboot", &[]),
    ];
    insta::assert_snapshot!(answers.join("\n"));
    assert_eq!(
        lab.call("GET", "/nodes/pve/lxc/102/config", &[]).status,
        500,
        "nothing was made of refused calls"
    );
}

#[test]
fn a_call_without_the_token_gets_an_empty_401() {
    let Some(lab) = RealLab::start("auth") else { return };
    for (authorization, reason) in
        [(None, "No ticket"), (Some("PVEAPIToken=root@pam!stackc=0"), "Authentication failed!")]
    {
        let answer = lab.call_as(authorization, "GET", "/version", &[]);
        assert_eq!(
            (answer.status, answer.reason.as_str(), answer.body),
            (401, reason, json!(null))
        );
    }
}

#[test]
fn what_a_running_guest_cannot_take_waits_and_the_rest_takes_effect() {
    let Some(lab) = RealLab::start("conf") else { return };
    lab.boot(101, "a1");
    let config =
        || lab.call("GET", "/nodes/pve/lxc/101/config", &[("current", "1")]).body["data"].clone();
    let before = config();
    let digest = before["digest"].as_str().expect("a config has a digest").to_owned();
    let put = |parameters: &[(&str, &str)]| {
        let answer = lab.call("PUT", "/nodes/pve/lxc/101/config", parameters);
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    put(&[("memory", "1024"), ("digest", &digest)]);
    assert_eq!(config()["digest"], json!(digest), "nothing changed, so the digest did not");

    let moved = before["net0"].as_str().expect("it has a network").replace(".101/24", ".150/24");
    put(&[
        ("tags", "Zeta,alpha"),
        ("nameserver", "10.9.9.9"),
        ("net0", &moved),
        ("digest", &digest),
    ]);
    let after = config();
    assert_ne!(after["digest"], json!(digest));
    assert_eq!((&after["tags"], after.get("nameserver")), (&json!("alpha;zeta"), None));
    lab.wait_for_ssh(101);
    assert_eq!(lab.out("a1", "hostname -I"), lab.address(150).to_string());

    // A guest that reboots by itself keeps its new address.
    let boot = || lab.ssh("a1", "cat /proc/sys/kernel/random/boot_id").stdout;
    let first = boot();
    let _ = lab.ssh("a1", "systemctl reboot");
    let begun = Instant::now();
    while [Vec::new(), first.clone()].contains(&boot()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not come back");
    }
    assert_eq!(lab.out("a1", "hostname -I"), lab.address(150).to_string());

    lab.done("POST", "/nodes/pve/lxc/101/status/reboot", &[]);
    lab.wait_for_ssh(101);
    assert_eq!(config()["nameserver"], json!("10.9.9.9"));
    assert!(lab.out("a1", "cat /etc/resolv.conf").contains("nameserver 10.9.9.9"));
}

#[test]
fn guests_survive_their_daemon_and_the_next_one_goes_on() {
    let Some(lab) = RealLab::start("kill") else { return };
    lab.boot(101, "a1");
    let boot = lab.out("a1", "cat /proc/sys/kernel/random/boot_id");
    let pid = fs::read_to_string(lab.info.state.join("daemon.pid")).expect("the daemon has a pid");
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success());
    lab.up_again();
    let status = lab.call("GET", "/nodes/pve/lxc/101/status/current", &[]).body;
    assert_eq!(status["data"]["status"], json!("running"));
    assert_eq!(lab.out("a1", "cat /proc/sys/kernel/random/boot_id"), boot);
    let tasks = lab.call("GET", "/nodes/pve/tasks", &[("vmid", "101")]).body;
    let kinds: Vec<&str> =
        tasks["data"].as_array().into_iter().flatten().filter_map(|t| t["type"].as_str()).collect();
    assert_eq!(kinds, ["vzstart", "vzcreate"]);
}

#[test]
fn a_guest_whose_making_was_cut_short_is_gone_afterwards() {
    let Some(lab) = RealLab::start("half") else { return };
    let created = lab.call(
        "POST",
        "/nodes/pve/lxc",
        &[
            ("vmid", "101"),
            ("ostemplate", &lab.info.template),
            ("rootfs", "local-lvm:1"),
            ("hostname", "half"),
        ],
    );
    lab.wait_for_log(&created, "ssh_host_rsa_key");
    let pid = fs::read_to_string(lab.info.state.join("daemon.pid")).expect("the daemon has a pid");
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success());
    lab.up_again();
    assert_eq!(programs_in(lab.info.state.as_str()), Vec::<String>::new());
    let (exit, _) = lab.task(&created);
    assert_eq!(exit, "unexpected status");
    assert_eq!(lab.call("GET", "/cluster/nextid", &[("vmid", "101")]).status, 200);
    lab.create(101, "whole");
}

/// What runs of the programs that a daemon calls, by their place on disk; one that outlived its daemon would write into
/// what the next one makes there.
fn programs_in(folder: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("processes are listed").flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains("ssh-keygen") && line.contains(folder)).collect()
}

#[test]
fn power_and_network_go_and_come_back() {
    let Some(lab) = RealLab::start("cut") else { return };
    lab.boot(101, "a1");
    lab.out("a1", "echo kept > /root/note");
    lab::power_cut(&lab.info, vmid(101)).expect("power can be cut");
    let status =
        || lab.call("GET", "/nodes/pve/lxc/101/status/current", &[]).body["data"]["status"].clone();
    assert_eq!(status(), json!("stopped"));
    lab::start_again(&lab.info, vmid(101)).expect("power comes back");
    lab.wait_for_ssh(101);
    assert_eq!(
        lab.out("a1", "cat /root/note; systemctl is-system-running --wait"),
        "kept\nrunning"
    );

    lab::cut_network(&lab.info, vmid(101)).expect("the network can be cut");
    assert!(!lab.ssh("a1", "true").status.success());
    lab::mend_network(&lab.info, vmid(101)).expect("the network can be mended");
    lab.wait_for_ssh(101);
}

#[test]
fn a_lab_that_went_down_left_nothing() {
    let Some(lab) = RealLab::start("down") else { return };
    lab.boot(101, "a1");
    lab.create(102, "never-started");
    let (name, place) = (lab.place.name.to_string(), lab.place.clone());
    let traces = traces(&name);
    for kind in ["mount", "link", "process", "group", "file"] {
        assert!(traces.iter().any(|trace| trace.starts_with(kind)), "no {kind} among {traces:#?}");
    }
    let pid = fs::read_to_string(lab.info.state.join("daemon.pid")).expect("the daemon has a pid");
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success());
    drop(lab);
    assert_eq!(self::traces(&name), Vec::<String>::new());
    assert!(!lab::down(&place).expect("a second time does nothing"), "and says so");
}

#[test]
fn a_bridge_of_the_same_name_that_the_lab_did_not_make_is_left_alone() {
    let Some(lab) = RealLab::start("br") else { return };
    // Another lab of this name, as it would be made from another folder.
    let place = lab::Place { state: "/var/lib/stackc-lab/elsewhere".into(), ..lab.place.clone() };
    let wanted = lab::Up {
        place: &place,
        subnet: None,
        port: None,
        debians: &[],
        disk_mib: None,
        mirror: None,
        program: env!("CARGO_BIN_EXE_stackc").into(),
    };
    let refused = lab::up(&wanted, &mut |_| {}).map(|_| ());
    assert!(matches!(refused, Err(lab::LabError::ForeignBridge { .. })), "{refused:?}");
    assert!(!place.state.exists(), "refused before anything was made");
    assert!(!lab::down(&place).expect("there is nothing to remove"));
    lab.boot(101, "a1");
}

#[test]
fn a_lab_lets_more_guests_boot_than_the_kernels_limit_for_one_user_would() {
    let Some(_lab) = RealLab::start("many") else { return };
    for (name, least) in
        [("fs/inotify/max_user_instances", 65_536), ("kernel/keys/maxkeys", 20_000)]
    {
        let limit = fs::read_to_string(format!("/proc/sys/{name}")).expect("Linux has it");
        assert!(limit.trim().parse::<u32>().expect("a number") >= least, "{name}: {limit}");
    }
}

/// Everything on this machine that bears the lab's name.
fn traces(name: &str) -> Vec<String> {
    let script = format!(
        "grep -F '{name}' /proc/mounts | sed 's/^/mount /'; \
         ip -o link | grep -F '{name}' | sed 's/^/link /'; \
         for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -F 'stackc-lab/{name}' | sed 's/^/process /'; done; \
         find /sys/fs/cgroup -maxdepth 2 -type d -name '*{name}*' | sed 's/^/group /'; \
         find /var/lib/stackc-lab /run/lxc /run/lock /tmp -maxdepth 6 -xdev -name '*{name}*' 2>/dev/null | sed 's/^/file /'"
    );
    let found = Command::new("sh").args(["-c", &script]).output().expect("sh runs");
    let mine = |line: &&str| !line.contains("grep -F");
    String::from_utf8_lossy(&found.stdout).lines().filter(mine).map(str::to_owned).collect()
}

#[test]
fn an_idle_connection_is_closed_after_five_seconds() {
    let Some(lab) = RealLab::start("idle") else { return };
    let address = lab.info.url.strip_prefix("https://").expect("an https URL");
    let ca = rustls::pki_types::pem::PemObject::from_pem_file(&lab.info.ca_file).expect("a CA");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).expect("the CA can be trusted");
    let configured =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "127.0.0.1".try_into().expect("an address is a name");
    let session =
        rustls::ClientConnection::new(std::sync::Arc::new(configured), name).expect("a session");
    let stream = TcpStream::connect(address).expect("the API listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut connection = rustls::StreamOwned::new(session, stream);
    let request = format!(
        "GET /api2/json/version HTTP/1.1\r\nHost: lab\r\nAuthorization: PVEAPIToken={}\r\n\r\n",
        lab.info.token
    );
    connection.write_all(request.as_bytes()).expect("a request goes out");
    let begun = Instant::now();
    let mut answer = Vec::new();
    // The server may end without TLS's own goodbye, as Proxmox's does.
    let _ = connection.read_to_end(&mut answer);
    let open = begun.elapsed();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert!((4..=8).contains(&open.as_secs()), "closed after {open:?}");
}
