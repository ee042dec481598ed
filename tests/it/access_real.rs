//! Who comes in, and becomes root how: root at first, then the operators' own user by sudo, with and without a password.

use crate::fixture_lab::RealLab;
use crate::guest_fixture::{identity, name};
use stackc::model::protocol::{ConfirmRequest, ObserveRequest, ObservedGuest};
use stackc::model::{GuestAccess, Nonce, SecretValue};
use stackc::remote::{Connection, Door, RemoteError, SshConnection};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

const GUEST: &str = "door";
const PASSWORD: &str = "it is 'quoted' $HOME";
const PROGRAMS: &str = "/usr/local/lib/stackc";

struct Guest<'lab> {
    lab: &'lab RealLab,
    host_key: String,
    /// The file with the operator's private key.
    key: String,
    runtime: tokio::runtime::Runtime,
}

impl<'lab> Guest<'lab> {
    /// The guest as an operator knows it who has this key, and this one for the guest's.
    fn new(lab: &'lab RealLab, host_key: String, key: String) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Self { lab, host_key, key, runtime }
    }

    fn says(&self, script: &str) -> String {
        self.lab.out(GUEST, script).trim().to_owned()
    }

    fn door(&self, password: Option<&str>) -> SshConnection {
        let door = Door {
            address: self.lab.address(101),
            uuid: "0123456789abcdef0123456789abcdef".to_owned(),
            host_key: self.host_key.parse().expect("ssh-keygen prints one"),
            access: GuestAccess {
                user: name("ops"),
                identity: Some(self.key.clone()),
                management: Vec::new(),
            },
            sudo_password: password.map(|text| SecretValue::new(text.to_owned())),
            workspace: "/".into(),
        };
        SshConnection::new(door, self.runtime.handle().clone(), Box::new(|_| {}))
    }

    fn observe(&self, password: Option<&str>) -> Result<ObservedGuest, RemoteError> {
        let (units, packages) = (BTreeSet::new(), BTreeSet::new());
        let request = ObserveRequest {
            identity: identity(),
            digest: None,
            units,
            packages,
            paths: BTreeSet::new(),
        };
        self.door(password).observe(&request)
    }

    /// How a confirm ends of which the guest knows nothing.
    fn confirm(&self) -> RemoteError {
        let tx = name("00000000000000e1");
        let nonce = Nonce("n".to_owned());
        let request = ConfirmRequest { identity: identity(), tx, nonce };
        self.door(None).confirm(&request, Duration::from_secs(20)).expect_err("it is unknown")
    }
}

fn what_no_second_try_mends_is_told_at_once(guest: &Guest<'_>) {
    let started = Instant::now();
    let another = format!("SHA256:{}", "k".repeat(43));
    let wrong = Guest::new(guest.lab, another, guest.key.clone());
    let wrong = wrong.observe(None).expect_err("it is another machine, as far as anybody knows");
    assert!(matches!(wrong, RemoteError::HostKey { .. }), "{wrong}");
    assert!(wrong.next().is_some_and(|next| next.contains("stackc-hostkey")), "{wrong}");
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key").display().to_string();
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &key]);
    assert!(keygen.status().expect("ssh-keygen runs").success());
    let stranger = Guest::new(guest.lab, guest.host_key.clone(), key);
    let denied = stranger.observe(None).expect_err("this key lets nobody in");
    assert!(matches!(denied, RemoteError::Denied { .. }), "{denied}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn operators_come_as_root_at_first_and_then_as_their_own_user_by_sudo() {
    let Some(lab) = RealLab::start("door") else { return };
    lab.boot(101, GUEST);
    let fingerprint = lab.out(GUEST, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub");
    let host_key = fingerprint.split(' ').nth(1).expect("a fingerprint").to_owned();
    let guest = Guest::new(&lab, host_key, lab.info.admin_key.to_string());

    // The guest is new: nobody but root is there. What keeps a switch is the user that operators will come as.
    assert!(guest.observe(None).is_ok(), "{:?}", guest.observe(None));
    assert!(matches!(guest.confirm(), RemoteError::Denied { .. }), "{:?}", guest.confirm());
    what_no_second_try_mends_is_told_at_once(&guest);

    let user = "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends sudo && useradd -m -s /bin/bash ops && install -d -m 700 -o ops -g ops ~ops/.ssh && install -m 600 -o ops -g ops ~root/.ssh/authorized_keys ~ops/.ssh/ && echo 'ops ALL=(ALL) ALL' >/etc/sudoers.d/ops && echo there";
    assert!(guest.says(user).ends_with("there"));
    let set = format!(
        "cat >/root/p <<'E'\nops:{PASSWORD}\nE\nchpasswd </root/p && rm -r /root/p {PROGRAMS} && echo set"
    );
    assert_eq!(guest.says(&set), "set");
    let asked = guest.observe(None).expect_err("sudo asks");
    assert!(matches!(asked, RemoteError::SudoAsks { .. }), "{asked}");
    let wrong = guest.observe(Some("wrong")).expect_err("it is not the password");
    assert!(matches!(wrong, RemoteError::SudoPassword { .. }), "{wrong}");
    // The program is installed on the way.
    guest.observe(Some(PASSWORD)).expect("it is the password");
    assert_ne!(guest.says(&format!("ls {PROGRAMS}")), "");
    assert_eq!(guest.says("grep -rlF \"it is 'quoted'\" /var/log /run/log /tmp /root 2>/dev/null; journalctl -q | grep -F \"it is 'quoted'\"; true"), "");

    assert_eq!(
        guest.says("echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops && echo set"),
        "set"
    );
    guest.observe(Some(PASSWORD)).expect("a password that nobody asks for is no request");
    guest.observe(None).expect("sudo does not ask");
    assert!(guest.confirm().is_unknown(), "{:?}", guest.confirm());
}
