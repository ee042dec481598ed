//! The Proxmox client against an API that misbehaves as the real one does (pve-http-server, pve-common, pve-container).

use crate::{
    activate_cli::empty_cluster,
    fake::pve::{Answer, Call, Pve},
    handmade::{Stack, bundle, name},
};
use serde_json::{Value, json};
use stackc::{
    model::{
        Container, GuestAccess, GuestKind, Mark, Mount, Network, ProxmoxDocument, SecretValue,
        Setting, Site, Trust, Vmid,
    },
    plan::Documents,
    proxmox::{Proxmox, ProxmoxClient, ProxmoxError},
};
use std::{
    error::Error,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::watch;

const TOKEN: &str = "ops@pve!stackc=00000000-0000-0000-0000-000000000000";
pub const MARK: &str = "stackc shop/dev 0123456789abcdef0123456789abcdef";
pub const UPID: &str = "UPID:pve:0000AAAA:000BBBBB:65000000:vzstart:101:ops@pve!stackc:";

/// Far below the client's own limits, and far above what a call takes.
const SOON: Duration = Duration::from_secs(5);

pub fn client(pve: &Pve) -> ProxmoxClient {
    client_trusting(pve, pve.ca.clone())
}

fn client_trusting(pve: &Pve, ca: String) -> ProxmoxClient {
    let site = Site {
        url: pve.url.clone(),
        token: name("proxmox/token"),
        trust: Trust::Ca(ca),
        access: GuestAccess { user: name("root"), identity: None, management: Vec::new() },
    };
    let token = SecretValue::new(TOKEN.to_owned());
    ProxmoxClient::new(&site, &token, pve.runtime.handle().clone()).expect("it is set up")
}

fn wanted() -> ProxmoxDocument {
    Documents::of(&bundle(&Stack::default())).expect("the bundle is whole").proxmox
}

fn mark() -> Mark {
    Mark::in_description(MARK).expect("it is a mark")
}

pub fn vmid() -> Vmid {
    Vmid::try_from(101).expect("in range")
}

pub fn is_task(call: &Call, leaf: &str) -> bool {
    call.path.starts_with("/nodes/pve/tasks/UPID")
        && call.path.split('?').next().is_some_and(|path| path.ends_with(leaf))
}

fn config(description: &str) -> Value {
    json!({
        "hostname": "shop-dev", "memory": "512", "swap": 0, "cores": "1", "digest": "abcd",
        "rootfs": "local-lvm:vm-101-disk-0,size=2G", "description": format!("{description}\n"),
        "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=10.0.10.101/24",
    })
}

/// A node on which guest 101 is, or not, and nothing else is asked for.
pub fn node(call: &Call, there: Option<&str>) -> Answer {
    let guest = json!({"type": "lxc", "vmid": 101, "node": "pve", "name": "shop-dev"});
    match (call.path.split('?').next().unwrap_or_default(), there) {
        ("/cluster/resources", None) => Answer::Data(json!([])),
        ("/cluster/resources", Some(_)) => Answer::Data(json!([guest])),
        ("/cluster/nextid", None) => Answer::Data(json!("101")),
        ("/nodes/pve/tasks", _) | ("/nodes/pve/lxc/101/pending", Some(_)) => {
            Answer::Data(json!([]))
        }
        ("/nodes/pve/lxc/101/config", Some(description)) => Answer::Data(config(description)),
        ("/nodes/pve/lxc/101/status/current", Some(_)) => {
            Answer::Data(json!({"status": "stopped"}))
        }
        _ => Answer::Reason(501, "Method not implemented"),
    }
}

#[test]
fn an_error_that_stands_only_in_the_reason_phrase_is_told() {
    let pve = Pve::start(|_| Answer::Reason(500, "CT 101 already running on another node"));
    let error = client(&pve).container(vmid()).expect_err("it is refused");
    assert_eq!(
        error.to_string(),
        "Proxmox refused GET /cluster/resources?type=vm: CT 101 already running on another node (status 500)"
    );
    assert_eq!(pve.calls().len(), 1, "a refusal is an answer, and is not asked for again");
}

#[test]
fn a_refusal_names_the_parameters_at_fault() {
    let body = json!({
        "data": null, "message": "Parameter verification failed.\n",
        "errors": {"cores": "value must have a minimum value of 1\n"},
    });
    let pve = Pve::start(move |_| Answer::Error(400, body.clone()));
    let error = client(&pve).start(&name("pve"), vmid()).expect_err("it is refused");
    let text = error.to_string();
    assert!(text.contains("Parameter verification failed. cores: value must have"), "{text}");
}

/// A node that creates the guest, and does not say so.
fn creating_in_silence() -> Pve {
    let is_created = AtomicBool::new(false);
    Pve::start(move |call| {
        if call.is("POST", "/nodes/pve/lxc") {
            is_created.store(true, Ordering::SeqCst);
            return Answer::Silence;
        }
        node(call, is_created.load(Ordering::SeqCst).then_some(MARK))
    })
}

#[test]
fn a_guest_whose_create_call_got_no_reply_is_adopted_by_its_mark() {
    let pve = creating_in_silence();
    client(&pve).create(&wanted(), &mark()).expect("it is ours");
    assert_eq!(pve.count("POST", "/nodes/pve/lxc"), 1, "it is created once");
    let calls = pve.calls();
    let create = calls.iter().find(|call| call.method == "POST").expect("it was created");
    for part in ["unprivileged=1", "vmid=101", "description=stackc+shop%2Fdev+0123456789abcdef"] {
        assert!(create.form.contains(part), "{part} is not in {}", create.form);
    }
    assert!(!create.form.contains("start="), "a guest starts in a step of its own");
}

/// "can't lock file" may come after the guest was made; whoever tries again finds its number taken, by itself.
#[test]
fn telmate_1069_and_danitso_40_a_guest_that_was_made_though_its_lock_timed_out_is_ours() {
    let is_created = AtomicBool::new(false);
    let pve = Pve::start(move |call| {
        if !call.is("POST", "/nodes/pve/lxc") {
            return node(call, is_created.load(Ordering::SeqCst).then_some(MARK));
        }
        let message = if is_created.swap(true, Ordering::SeqCst) {
            "unable to create CT 101 - CT 101 already exists on node 'pve'"
        } else {
            "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout"
        };
        Answer::Error(500, json!({"data": null, "message": message}))
    });
    client(&pve).create(&wanted(), &mark()).expect("it is ours");
    assert_eq!(pve.count("POST", "/nodes/pve/lxc"), 2, "a lock that is held is waited for");
}

#[test]
fn a_create_call_that_never_arrived_is_an_error_and_is_not_made_again() {
    let pve =
        Pve::start(|call| if call.method == "POST" { Answer::Silence } else { node(call, None) });
    let error = client(&pve).create(&wanted(), &mark()).expect_err("there is no guest");
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(pve.changes(), 1);
}

#[test]
fn a_number_that_is_somebody_elses_is_refused_before_anything_is_created() {
    for other in ["our wiki", "stackc shop/qa 0123456789abcdef0123456789abcdef"] {
        let pve = Pve::start(move |call| node(call, Some(other)));
        let error = client(&pve).create(&wanted(), &mark()).expect_err("it is taken");
        assert!(matches!(error, ProxmoxError::Taken { .. }), "{error}");
        assert_eq!(pve.changes(), 0);
    }
}

#[test]
fn a_number_that_the_token_may_not_see_is_taken_too() {
    let pve = Pve::start(|call| match call {
        call if call.is("GET", "/cluster/nextid") => {
            Answer::Error(400, json!({"data": null, "message": "VM 101 already exists\n"}))
        }
        call => node(call, None),
    });
    let error = client(&pve).container(vmid()).expect_err("it is taken");
    assert!(matches!(error, ProxmoxError::Taken { .. }), "{error}");
}

#[test]
fn a_wrong_token_is_told_at_once() {
    let pve = Pve::start(|_| Answer::Reason(401, "Authentication failed!"));
    let error = client(&pve).container(vmid()).expect_err("it is refused");
    assert!(error.to_string().contains("Authentication failed! (status 401); "), "{error}");
    assert!(!error.to_string().contains("00000000-0000"), "a token is never shown");
    assert_eq!(pve.calls().len(), 1);
}

/// Drops the first request of this method, then is a node with our guest.
fn dropping(method: &'static str) -> Pve {
    let dropped = AtomicUsize::new(0);
    Pve::start(move |call| {
        if call.method == method && dropped.fetch_add(1, Ordering::SeqCst) == 0 {
            return Answer::Silence;
        }
        if call.method == "PUT" { Answer::Data(Value::Null) } else { node(call, Some(MARK)) }
    })
}

fn read(client: &mut ProxmoxClient) -> Container {
    client.container(vmid()).expect("Proxmox answers").expect("the guest is there")
}

#[test]
fn a_question_whose_connection_broke_is_asked_again() {
    let pve = dropping("GET");
    assert_eq!(read(&mut client(&pve)).mark, Some(mark()));
    assert_eq!(pve.count("GET", "/cluster/resources"), 2);
}

#[test]
fn a_change_whose_connection_broke_is_not_made_again() {
    let pve = dropping("PUT");
    let mut client = client(&pve);
    let container = read(&mut client);
    let error = client.set(&container, &[Setting::Cores(2)]).expect_err("nobody answered");
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(pve.changes(), 1);
}

#[test]
fn every_change_carries_the_digest_that_was_read_and_one_list_of_what_goes() {
    let pve = Pve::start(|call| {
        if call.method == "PUT" { Answer::Data(Value::Null) } else { node(call, Some(MARK)) }
    });
    let mut client = client(&pve);
    let container = read(&mut client);
    let settings =
        [Setting::Unset("cores"), Setting::MemoryMib(64), Setting::Nameservers(Vec::new())];
    client.set(&container, &settings).expect("it is changed");
    let calls = pve.calls();
    let put = calls.iter().find(|call| call.method == "PUT").expect("it was changed");
    assert_eq!(put.form, "memory=64&delete=cores%2Cnameserver&digest=abcd");
}

#[test]
fn a_server_of_another_ca_gets_no_token() {
    let (pve, other) = (Pve::start(|_| Answer::Silence), Pve::start(|_| Answer::Silence));
    let error = client_trusting(&pve, other.ca.clone()).container(vmid()).expect_err("no trust");
    assert!(matches!(error, ProxmoxError::Silent { .. }), "{error}");
    assert!(error.source().is_some(), "it says why");
    assert!(pve.calls().is_empty(), "it was asked nothing");
    assert_eq!(pve.connections(), 1, "it will not be trusted a second later either");
}

#[test]
fn a_description_keeps_the_host_key_and_the_mark_below_the_notes() {
    let key = format!("stackc-hostkey SHA256:{}", "k".repeat(43));
    let found: &'static str = Box::leak(format!("old notes\n\n{key}\n{MARK}").into_boxed_str());
    let pve = Pve::start(move |call| {
        if call.method == "PUT" { Answer::Data(Value::Null) } else { node(call, Some(found)) }
    });
    let mut client = client(&pve);
    let container = read(&mut client);
    assert_eq!(container.notes, "old notes");
    client.set(&container, &[Setting::Description("a\nb".to_owned())]).expect("it is changed");
    client.set(&container, &[Setting::Description(String::new())]).expect("it is changed");
    let put: Vec<_> =
        pve.calls().iter().filter(|call| call.method == "PUT").map(|c| c.form.clone()).collect();
    let form = |text: &str| {
        text.replace(' ', "+").replace('\n', "%0A").replace('/', "%2F").replace(':', "%3A")
    };
    let wanted =
        |notes: &str| format!("description={}&digest=abcd", form(&format!("{notes}{key}\n{MARK}")));
    assert_eq!(put, [wanted("a\nb\n\n"), wanted("")]);
}

#[test]
fn a_created_guest_carries_everything_that_its_document_says() {
    let pve = creating_in_silence();
    let mut document = wanted();
    document.cpu_units = Some(50);
    document.ip6 = Some(name("2001:db8::101/64"));
    document.search_domain = Some(name("example.org"));
    document.description = Some(name("Orders."));
    document
        .networks
        .insert(name("eth1"), Network { bridge: "vmbr1".to_owned(), ..Network::default() });
    client(&pve).create(&document, &mark()).expect("it is ours");
    let calls = pve.calls();
    let create = calls.iter().find(|call| call.method == "POST").expect("it was created");
    for part in [
        "cpuunits=50",
        "searchdomain=example.org",
        "description=Orders.%0A%0Astackc+shop%2Fdev",
        "net0=name%3Deth0%2Cbridge%3Dvmbr0%2Cfirewall%3D1%2Cip%3D10.0.10.101%2F24%2Cip6%3D2001%3Adb8%3A%3A101%2F64",
        "net1=name%3Deth1%2Cbridge%3Dvmbr1",
    ] {
        assert!(create.form.contains(part), "{part} is not in {}", create.form);
    }
}

#[test]
fn what_a_new_guest_needs_and_the_cluster_lacks_is_told_in_one_list() {
    let pve = Pve::start(|call| match call.path.as_str() {
        "/pools" => Answer::Data(json!([{"poolid": "other"}])),
        _ => empty_cluster(call),
    });
    let mut document = wanted();
    document.pool = Some("apps".to_owned());
    for (interface, bridge) in [("eth1", "vmbr0"), ("eth2", "vmbr7")] {
        let network = Network { bridge: bridge.to_owned(), ..Network::default() };
        document.networks.insert(name(interface), network);
    }
    let GuestKind::Lxc(options) = &mut document.kind else { panic!("it is a container") };
    options.template = "local:vztmpl/debian-12.tar.zst".to_owned();
    for (slot, storage) in [("mp0", "local-lvm"), ("mp1", "slow"), ("mp2", "slow")] {
        let path = name(&format!("/srv/{slot}"));
        let mount = Mount { path, storage: name(storage), size_gib: 1, backup: true };
        options.mounts.insert(name(slot), mount);
    }
    assert_eq!(
        client(&pve).obstacles(&document).expect("it is answered"),
        [
            "node `pve` has no storage `slow`; it has local-lvm, local",
            "node `pve` has no bridge `vmbr7`",
            "there is no pool `apps` that the API token may see",
        ]
    );
}

/// The operator speaks as soon as a call has come that `of` picks.
fn interrupted(
    of: fn(&Call) -> bool,
    answers: impl Fn(&Call) -> Answer + Send + Sync + 'static,
) -> (Pve, ProxmoxClient) {
    let (stop, says) = watch::channel(false);
    let pve = Pve::start(move |call| {
        if of(call) {
            stop.send_replace(true);
        }
        answers(call)
    });
    let client = client(&pve).until(says);
    (pve, client)
}

#[test]
fn a_call_without_an_answer_ends_with_an_interrupt_and_what_is_asked_after_it_does_not() {
    let (pve, mut client) = interrupted(
        |call| call.method == "PUT",
        |call| if call.method == "PUT" { Answer::Never } else { node(call, Some(MARK)) },
    );
    let found = client.container(vmid()).expect("it answers").expect("it is there");
    let (memory, started) = ([Setting::MemoryMib(1024)], Instant::now());
    let error = client.set(&found, &memory).expect_err("nobody wants the answer any more");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(error.is_interrupted() && !error.outcome_unknown(), "{error}");
    assert_eq!(
        error.to_string(),
        "interrupted while Proxmox was to answer PUT /nodes/pve/lxc/101/config; it may still"
    );
    assert_eq!(pve.changes(), 1, "a change is not made again");
    // What brings the guest to an end that can be told.
    client.container(vmid()).expect("it still answers");
}

#[test]
fn a_silent_proxmox_is_not_asked_again_after_an_interrupt() {
    let (pve, mut client) = interrupted(|_| true, |_| Answer::Silence);
    let (silent, started) = (client.container(vmid()), Instant::now());
    assert!(silent.expect_err("nobody answers").is_interrupted());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert_eq!(pve.calls().len(), 1);
}

#[test]
fn a_task_is_followed_no_further_after_an_interrupt() {
    let (pve, mut client) = interrupted(
        |call| is_task(call, "/status"),
        |call| {
            let running = json!({"status": "running"});
            Answer::Data(if is_task(call, "/status") { running } else { json!(UPID) })
        },
    );
    let started = Instant::now();
    let error = client.start(&name("pve"), vmid()).expect_err("nobody waits for it");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    // While the task is asked about, or between two questions.
    assert!(error.is_interrupted(), "{error}");
    assert_eq!(pve.count("POST", "/nodes/pve/lxc/101/status/start"), 1);
}
