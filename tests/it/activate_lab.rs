//! An activation's whole life on a real guest of a real lab: created, changed, undone, rolled back, left alone.

use crate::handmade::{self, Stack, name};
use camino::{Utf8Path, Utf8PathBuf};
use stackc::{
    activate::{
        ActivateError, Activated, Back, Failed, Job, Seams, Stage, activate, look, way_back,
    },
    lab::{self, Lab, Place},
    model::{
        Bundle, GenerationId, GuestAccess, ProxmoxDocument, SecretValue, Site, Startup, Trust,
        protocol::{FetchRequest, Identity, News},
    },
    plan::text,
    proxmox::ProxmoxClient,
    remote::{Connection, Door, SshConnection},
    vault::{Secrets, VaultError},
};
use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt, path::PathBuf};
use tokio::runtime::Runtime;

/// A lab of this test's own; gone with it.
struct OwnLab {
    place: Place,
    lab: Lab,
}

impl OwnLab {
    fn up(name: &str) -> Self {
        let place = Place::usual(name.parse().expect("a lab's name"));
        let up = lab::Up {
            place: &place,
            subnet: None,
            port: None,
            debians: &[],
            disk_mib: None,
            mirror: None,
            program: Utf8Path::new(env!("CARGO_BIN_EXE_stackc")),
        };
        let lab = lab::up(&up, &mut |line| eprintln!("{line}")).expect("the lab comes up");
        Self { place, lab }
    }

    fn address(&self, host: u8) -> IpAddr {
        let mut octets = self.lab.subnet.network().octets();
        octets[3] = host;
        IpAddr::from(octets)
    }
}

impl Drop for OwnLab {
    fn drop(&mut self) {
        if let Err(error) = lab::down(&self.place) {
            eprintln!("{error}");
        }
    }
}

/// An operator with a workspace of files.
struct Operator {
    runtime: Runtime,
    client: ProxmoxClient,
    access: GuestAccess,
    folder: tempfile::TempDir,
}

impl Operator {
    fn of(lab: &Lab) -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let access = GuestAccess {
            user: "root".parse().expect("a user"),
            identity: Some(lab.admin_key.to_string()),
            management: Vec::new(),
        };
        let site = Site {
            url: lab.url.clone(),
            token: "proxmox/token".parse().expect("a name"),
            trust: Trust::Ca(fs::read_to_string(&lab.ca_file).expect("the CA is there")),
            access: access.clone(),
        };
        let token = SecretValue::new(lab.token.clone());
        let client = ProxmoxClient::new(&site, &token, runtime.handle().clone());
        let folder = tempfile::tempdir().expect("a folder");
        Self { runtime, client: client.expect("the client is set up"), access, folder }
    }

    fn secrets(&self, password: &str) -> PathBuf {
        let path = self.folder.path().join("secrets.local.toml");
        let key = "5a".repeat(32);
        let text = format!("tag_key = \"{key}\"\n[shop.dev]\npassword = \"{password}\"\n");
        fs::write(&path, text).expect("the file is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        path
    }

    fn open(&self, door: Door) -> Box<dyn Connection> {
        let progress = Box::new(|news: News<'_>| eprintln!("    {news:?}"));
        Box::new(SshConnection::new(door, self.runtime.handle().clone(), progress))
    }

    fn with_seams<T>(&self, work: impl FnOnce(&mut Seams<'_>) -> T) -> T {
        let mut client = self.client.clone();
        let mut seams = Seams {
            proxmox: &mut client,
            open: &|door| self.open(door),
            fetch: &|_| Err("this stack has no release".into()),
            access: self.access.clone(),
            sudo_password: None,
            workspace: self.folder.path().to_owned(),
            progress: &|step, text| eprintln!("  {step}: {text}"),
            stopped: &|| false,
            answers: &|_| false,
        };
        work(&mut seams)
    }

    fn run(&self, job: &Job<'_>) -> Result<Activated, Failed> {
        self.with_seams(|seams| {
            let found = look(seams, job)?;
            let plan = found.plan(job).map_err(Failed::refused)?;
            eprint!("{}", text(&plan));
            activate(seams, job, found, &plan)
        })
    }

    fn activate(&self, bundle: &Bundle, password: &str) -> Result<Activated, Failed> {
        let path = self.secrets(password);
        let job = Job::activate(bundle, &|| Secrets::load(&path), "tester@lab".to_owned());
        self.run(&job.expect("the job is whole"))
    }

    fn plan_is_empty(&self, bundle: &Bundle, password: &str) -> bool {
        let path = self.secrets(password);
        let job = Job::activate(bundle, &|| Secrets::load(&path), "tester@lab".to_owned());
        let job = job.expect("the job is whole");
        self.with_seams(|seams| {
            let plan = look(seams, &job).expect("the guest answers").plan(&job);
            let plan = plan.expect("it can be planned");
            eprint!("{}", text(&plan));
            plan.is_empty()
        })
    }

    fn connection(&self, bundle: &Bundle) -> (Box<dyn Connection>, Identity) {
        let documents = stackc::plan::Documents::of(bundle).expect("they are whole");
        let mut client = self.client.clone();
        let container = stackc::proxmox::Proxmox::container(&mut client, documents.proxmox.vmid);
        let container = container.expect("Proxmox answers").expect("the guest is there");
        let mark = container.mark.expect("it is marked");
        let door = Door {
            sudo_password: None,
            address: documents.proxmox.ip.addr().into(),
            uuid: mark.uuid.clone(),
            host_key: container.host_key.expect("its key is pinned"),
            access: self.access.clone(),
            workspace: self.folder.path().to_owned(),
        };
        let (project, env) = (mark.target.project, mark.target.env);
        (self.open(door), Identity { project, env, uuid: mark.uuid })
    }
}

/// What a guest has at a path, as root sees it.
fn read(lab: &Lab, vmid: u32, path: &str) -> String {
    let place =
        Place { name: lab.name.clone(), state: lab.state.clone(), cache: Utf8PathBuf::new() };
    let arguments = lab::ssh_arguments(&place, &vmid.to_string()).expect("it can be logged in to");
    let output =
        std::process::Command::new("ssh").args(arguments).arg(format!("cat {path}")).output();
    String::from_utf8_lossy(&output.expect("ssh runs").stdout).into_owned()
}

#[test]
fn a_stack_is_created_changed_undone_rolled_back_and_left_alone() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a lab needs root");
        return;
    }
    let own = OwnLab::up(&format!("act{}", std::process::id() % 10_000));
    let operator = Operator::of(&own.lab);
    let stack = Stack { lab: Some(own.lab.clone()), address: own.address(101), ..Stack::default() };
    let (one, two) = (handmade::bundle(&stack), handmade::bundle(&stack.version("two")));

    let first = operator.activate(&one, "first").expect("version one becomes live");
    assert_eq!(first.generation, Some(GenerationId(1)));
    assert!(read(&own.lab, 101, "/etc/web.env").contains("VERSION=one\nPASSWORD=first\n"));
    assert!(operator.plan_is_empty(&one, "first"), "what is live needs nothing");

    let second = operator.activate(&two, "first").expect("version two becomes live");
    assert_eq!(second.generation, Some(GenerationId(2)));
    assert!(read(&own.lab, 101, "/etc/web.env").contains("VERSION=two"));

    let broken = handmade::bundle(&stack.version("three").broken());
    let failed = operator.activate(&broken, "first").expect_err("a broken unit is undone");
    assert_eq!((failed.stage, failed.exit_code()), (Stage::Undone, 5), "{:?}", failed.error);
    assert!(matches!(failed.error, ActivateError::Undone { .. }));
    assert!(!failed.error.evidence().is_empty(), "it says why");
    assert!(read(&own.lab, 101, "/etc/web.env").contains("VERSION=two"));
    assert!(operator.plan_is_empty(&two, "first"), "undone means as before");

    let (mut connection, identity) = operator.connection(&two);
    let request = FetchRequest { identity, digest: one.digest, after: None };
    let fetched = connection.fetch(&request).expect("what was live is still there");
    let manifest = fetched.manifest.expect("it comes first");
    assert_eq!(Bundle::prove(one.digest, manifest, fetched.files), Some(one.clone()));

    let back = Back {
        target: &two.manifest.target,
        vmid: None,
        to: None,
        who: "tester@lab".to_owned(),
        kept: &|_| None,
    };
    let way = operator.with_seams(|seams| way_back(seams, &back)).expect("there is one before");
    assert_eq!(
        (way.generation.number, &way.bundle),
        (GenerationId(1), &one),
        "all is on the guest"
    );
    let no_secrets = || Err(VaultError::Absent { path: "secrets.local.toml".into() });
    let job = Job::rollback(&way, &no_secrets, "tester@lab".to_owned());
    let rolled = operator.run(&job.expect("the job is whole")).expect("version one is back");
    assert!(rolled.generation > Some(GenerationId(2)), "a rollback is a new generation");
    assert!(read(&own.lab, 101, "/etc/web.env").contains("VERSION=one"));

    let rotated = operator.activate(&one, "second").expect("a new secret is a new generation");
    assert!(rotated.generation > rolled.generation);
    assert!(read(&own.lab, 101, "/etc/web.env").contains("PASSWORD=second"));
}

/// Every setting that a lab's guests can have.
fn with_settings(wanted: &mut ProxmoxDocument) {
    wanted.cpu_limit = std::num::NonZeroU32::new(1);
    wanted.cpu_units = Some(50);
    wanted.nameservers = vec![[192, 0, 2, 53].into(), [192, 0, 2, 54].into()];
    wanted.search_domain = Some(name("example.org"));
    wanted.onboot = false;
    wanted.startup = Some(Startup { order: Some(2), up_seconds: Some(5), down_seconds: None });
    wanted.description = Some(name("Orders.\n\nAsk first."));
    wanted.mtu = Some(1400);
    wanted.mac = Some(name("BC:24:11:0A:0B:0C"));
    wanted.tags = ["shop".to_owned(), "dev".to_owned()].into();
}

#[test]
fn a_container_has_its_settings_from_the_start_and_loses_them_by_a_change() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a lab needs root");
        return;
    }
    let own = OwnLab::up(&format!("set{}", std::process::id() % 10_000));
    let operator = Operator::of(&own.lab);
    let stack = Stack { lab: Some(own.lab.clone()), address: own.address(101), ..Stack::default() };
    let (rich, plain) = (handmade::with_guest(&stack, with_settings), handmade::bundle(&stack));

    operator.activate(&rich, "first").expect("the guest is made");
    assert!(operator.plan_is_empty(&rich, "first"), "all was sent when it was made");
    let resolver = read(&own.lab, 101, "/etc/resolv.conf");
    assert!(
        resolver.contains("search example.org\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n"),
        "{resolver}"
    );
    assert_eq!(read(&own.lab, 101, "/sys/class/net/eth0/address"), "bc:24:11:0a:0b:0c\n");

    operator.activate(&plain, "first").expect("its settings are taken away");
    assert!(operator.plan_is_empty(&plain, "first"), "none is left, and the card is the same");
    operator.activate(&rich, "first").expect("its settings come back");
    assert!(operator.plan_is_empty(&rich, "first"), "all was sent to the guest that is there");
}
