//! A real lab for a test, gone when the test ends, also by a panic.
#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

use crate::cut_redirect::remove_rules_of_the_dead;
use camino::Utf8Path;
use reqwest::Method;
use serde_json::Value;
use stackc::{
    lab::{self, Debian, Lab, LabName, Place, Up},
    model::Vmid,
};
use std::{
    net::IpAddr,
    process::{Command, Output},
    time::{Duration, Instant},
};

/// For the tests' own logins, on this machine's bridge: the usual key exchange, which no quantum computer breaks, takes a
/// processor for 50 ms.
pub const CHEAP: [&str; 2] = ["-o", "KexAlgorithms=curve25519-sha256"];

/// A task of the lab takes about a second; the machine may be busy with other tests.
const TASK: Duration = Duration::from_secs(60);

pub struct RealLab {
    /// Where the API is, its token, its subnet.
    pub info: Lab,
    pub place: Place,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

/// What the API answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The reason phrase, which holds the error text of older versions of Proxmox.
    pub reason: String,
    pub body: Value,
}

impl RealLab {
    /// A lab of its own for this test; nothing when the test does not run as root. `name` has at most 4 letters.
    pub fn start(name: &str) -> Option<Self> {
        Self::of(name, Debian::Twelve)
    }

    /// The same, with guests of this Debian.
    pub fn of(name: &str, debian: Debian) -> Option<Self> {
        Self::with(name, debian, None)
    }

    /// The same, with a disk of so many MiB for each guest.
    pub fn with(name: &str, debian: Debian, disk_mib: Option<u32>) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: real guests need root");
            return None;
        }
        sweep(name);
        remove_rules_of_the_dead();
        let name = format!("{name}-{:x}", std::process::id());
        let place =
            Place::usual(name.parse::<LabName>().expect("the test's name for its lab is short"));
        let info = up(&place, &[debian], disk_mib);
        let ca = std::fs::read(&info.ca_file).expect("the lab wrote its CA");
        let ca = reqwest::Certificate::from_pem(&ca).expect("the CA is PEM");
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([ca]).build().expect("a client");
        Some(Self {
            info,
            place,
            runtime: tokio::runtime::Runtime::new().expect("a runtime"),
            client,
        })
    }

    /// Brings the lab up again after something ended its daemon.
    pub fn up_again(&self) {
        up(&self.place, &[], None);
    }

    /// One call, with these parameters in the query or the form.
    pub fn call(&self, method: &str, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let token = format!("PVEAPIToken={}", self.info.token);
        self.call_as(Some(&token), method, path, parameters)
    }

    pub fn call_as(
        &self,
        authorization: Option<&str>,
        method: &str,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Answer {
        let url = format!("{}/api2/json{path}", self.info.url);
        let method: Method = method.parse().expect("a method");
        let request = self.client.request(method.clone(), url).timeout(TASK);
        let request = match authorization {
            Some(value) => request.header("Authorization", value),
            None => request,
        };
        // The server reads no body of these.
        let in_query = method == Method::GET || method == Method::DELETE;
        let request = if in_query { request.query(parameters) } else { request.form(parameters) };
        self.runtime.block_on(async {
            let response = request.send().await.expect("the API answers");
            let status = response.status().as_u16();
            let phrase = response.extensions().get::<hyper::ext::ReasonPhrase>();
            let reason = phrase
                .map(|p| String::from_utf8_lossy(p.as_bytes()).into_owned())
                .unwrap_or_default();
            let body = response.bytes().await.expect("the answer is whole");
            Answer { status, reason, body: serde_json::from_slice(&body).unwrap_or_default() }
        })
    }

    /// Waits for the task that a call started; returns its exit status and its log.
    pub fn task(&self, started: &Answer) -> (String, Vec<String>) {
        let upid = started.body["data"].as_str().unwrap_or_else(|| panic!("no task: {started:?}"));
        let path = format!("/nodes/pve/tasks/{upid}");
        let deadline = Instant::now() + TASK;
        loop {
            let status = self.call("GET", &format!("{path}/status"), &[]).body;
            if let Some(exit) = status["data"]["exitstatus"].as_str() {
                let log = self.call("GET", &format!("{path}/log"), &[("limit", "500")]).body;
                let lines = log["data"].as_array().into_iter().flatten();
                return (
                    exit.to_owned(),
                    lines.filter_map(|l| l["t"].as_str().map(str::to_owned)).collect(),
                );
            }
            assert!(Instant::now() < deadline, "{upid} does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a task's log says `text`.
    pub fn wait_for_log(&self, started: &Answer, text: &str) {
        let upid = started.body["data"].as_str().unwrap_or_else(|| panic!("no task: {started:?}"));
        let path = format!("/nodes/pve/tasks/{upid}/log");
        let deadline = Instant::now() + TASK;
        while !self.call("GET", &path, &[("limit", "500")]).body.to_string().contains(text) {
            assert!(Instant::now() < deadline, "{upid} does not say {text}");
        }
    }

    /// Runs a call to the end of its task, which must be well.
    pub fn done(&self, method: &str, path: &str, parameters: &[(&str, &str)]) -> Vec<String> {
        let (exit, log) = self.task(&self.call(method, path, parameters));
        assert_eq!(exit, "OK", "{log:?}");
        log
    }

    /// The guest's address in the lab's subnet: its last octet is the number's, so numbers are 100 to 254.
    pub fn address(&self, vmid: u32) -> IpAddr {
        let network = u32::from(self.info.subnet.network());
        IpAddr::from(std::net::Ipv4Addr::from(network + vmid))
    }

    /// Creates a guest; returns the create task's log.
    pub fn create(&self, vmid: u32, name: &str) -> Vec<String> {
        let net =
            format!("name=eth0,bridge=vmbr0,ip={}/24,gw={}", self.address(vmid), self.info.gateway);
        let (vmid, disk) = (vmid.to_string(), format!("{}:8", self.info.storage));
        self.done(
            "POST",
            "/nodes/pve/lxc",
            &[
                ("vmid", &vmid),
                ("ostemplate", &self.info.template),
                ("hostname", name),
                ("rootfs", &disk),
                ("net0", &net),
                ("features", "nesting=1"),
                ("unprivileged", "1"),
                ("memory", "1024"),
            ],
        )
    }

    /// Creates and boots a guest, and waits until ssh lets in.
    pub fn boot(&self, vmid: u32, name: &str) {
        self.create(vmid, name);
        self.done("POST", &format!("/nodes/pve/lxc/{vmid}/status/start"), &[]);
        self.wait_for_ssh(vmid);
    }

    pub fn wait_for_ssh(&self, vmid: u32) {
        let vmid = Vmid::try_from(vmid).expect("a guest's number");
        lab::wait_for_ssh(&self.info, vmid, TASK).expect("the guest lets its lab in");
    }

    /// Runs a command as root in a guest.
    pub fn ssh(&self, guest: &str, command: &str) -> Output {
        let arguments = lab::ssh_arguments(&self.place, guest).expect("the guest exists");
        Command::new("ssh").args(CHEAP).args(arguments).arg(command).output().expect("ssh runs")
    }

    /// What a command printed that must succeed.
    pub fn out(&self, guest: &str, command: &str) -> String {
        let output = self.ssh(guest, command);
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for RealLab {
    fn drop(&mut self) {
        if let Err(error) = lab::down(&self.place) {
            eprintln!("the lab `{}` is not gone: {error}", self.place.name);
        }
    }
}

fn up(place: &Place, debians: &[Debian], disk_mib: Option<u32>) -> Lab {
    let program = Utf8Path::new(env!("CARGO_BIN_EXE_stackc"));
    let wanted = Up { place, subnet: None, port: None, debians, disk_mib, mirror: None, program };
    lab::up(&wanted, &mut |line| eprintln!("lab: {line}"))
        .unwrap_or_else(|error| panic!("no lab: {error}"))
}

/// Takes down what a killed run of the same test left.
fn sweep(name: &str) {
    for entry in std::fs::read_dir("/var/lib/stackc-lab").into_iter().flatten().flatten() {
        let left = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = left.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')) else {
            continue;
        };
        let gone = u32::from_str_radix(pid, 16)
            .is_ok_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists());
        if let (true, Ok(name)) = (gone, left.parse::<LabName>()) {
            let _ = lab::down(&Place::usual(name));
        }
    }
}
