//! The whole life of a guest whose operators are root only until they have their own user: made, changed, undone at a
//! deadline, taken back, let go; with sudo that does not ask, and with sudo that does.

use crate::{activate_cli::stackc_with, kinds_lab::Examples};
use std::{fs, fs::File};

const STACK: &str = r#"
[project]
kind = "base"
[project.apt]
may_start = ["cron", "logrotate", "logrotate.timer", "unattended-upgrades"]
[project.files.note]
path = "/etc/life/note"
text = "NOTE\n"
[project.health]
confirm_seconds = 15
[project.users.ops]
keys = ["keys/ops.pub"]
SUDO

[envs.dev]
name = "life-dev"
vmid = 154
ip = "SUBNET.154/24"
"#;
const LOCK_OUT: &str = "\n[project.hooks.out]\nwhen = \"after_switch\"\n\
    run = [\"/bin/sh\", \"-c\", \"iptables -I INPUT -p tcp --dport 22 -j DROP\"]\n";
const GUEST: &str = "life-dev";
const TARGET: &str = "life/dev";
const PASSWORD: &str = "it is 'quoted' $HOME";
const NOTE: &str = "cat /etc/life/note";

struct Life {
    examples: Examples,
    /// What lets `ops` become root.
    sudo: &'static str,
    asks: bool,
}

impl Life {
    fn start(lab: &str, sudo: &'static str, asks: bool) -> Option<Self> {
        let life = Self { examples: Examples::start(lab)?, sudo, asks };
        fs::write(life.examples.top.join("password"), format!("{PASSWORD}\n")).expect("it is ours");
        life.write("one", "");
        life.examples.write_secrets();
        Some(life)
    }

    fn write(&self, note: &str, more: &str) {
        let address = self.examples.lab.address(154).to_string();
        let text = STACK.replace("SUBNET", address.trim_end_matches(".154"));
        let text = text.replace("SUDO", self.sudo).replace("NOTE", note) + more;
        fs::write(self.examples.top.join("stacks/life.toml"), text).expect("the folder is ours");
    }

    fn out(&self, command: &str) -> String {
        self.examples.lab.out(GUEST, command)
    }

    /// How often somebody has logged in as root.
    fn roots(&self) -> u32 {
        // This very login is in it, once the journal has written down what it was told.
        let count =
            "journalctl --sync; journalctl -q -u ssh | grep -c 'Accepted publickey for root'";
        let count = self.out(count);
        count.parse().expect("it is a number")
    }

    /// A verb that must end with this code; what it said.
    fn run(&self, arguments: &[&str], code: i32) -> String {
        let mut arguments = arguments.to_vec();
        if self.asks {
            arguments.push("--ask-sudo-password");
        }
        let password = self.examples.top.join("password");
        let (found, told, errors) = stackc_with(&self.examples.top, &arguments, |command| {
            command.stdin(File::open(&password).expect("it was written"));
        });
        assert_eq!(found, Some(code), "{arguments:?}: {told}{errors}");
        assert!(!(told.clone() + &errors).contains("it is 'quoted'"), "{told}{errors}");
        told + &errors
    }

    /// The same, by which nobody logs in as root.
    fn run_as_ops(&self, arguments: &[&str], code: i32) -> String {
        let before = self.roots();
        let told = self.run(arguments, code);
        assert_eq!(self.roots(), before + 1, "the one login is this test's own: {told}");
        told
    }

    fn comes_as_ops(&self) {
        self.examples.edit("stacks/site.toml", "user = \"root\"", "user = \"ops\"");
    }

    /// Nobody but root is there yet.
    fn is_made(&self) {
        if !self.asks {
            self.comes_as_ops();
            self.run(&["activate", TARGET, "--yes"], 0);
            return;
        }
        // A password is no part of any bundle: until somebody has set it, sudo lets nobody confirm.
        self.run(&["activate", TARGET, "--yes"], 0);
        let set = format!("cat >/root/p <<'E'\nops:{PASSWORD}\nE\nchpasswd </root/p; rm /root/p");
        self.out(&set);
        self.comes_as_ops();
    }

    fn is_lived(&self) {
        self.is_made();
        self.write("two", "");
        self.run_as_ops(&["activate", TARGET, "--yes"], 0);
        assert_eq!(self.out(NOTE), "two");

        // Nobody gets in to confirm: the guest goes back by itself, and its own users are let in again.
        self.write("three", LOCK_OUT);
        let told = self.run_as_ops(&["activate", TARGET, "--yes"], 5);
        assert!(told.contains("nobody confirmed the switch in time"), "{told}");
        assert_eq!(self.out(NOTE), "two");

        self.run_as_ops(&["rollback", TARGET, "--yes"], 0);
        assert_eq!(self.out(NOTE), "one");
        let history = self.run_as_ops(&["history", TARGET], 0);
        assert!(history.contains("rollback to 1"), "{history}");
        self.run_as_ops(&["drift", TARGET], 0);
        self.run_as_ops(&["gc", TARGET, "--keep", "0", "--yes"], 0);

        // With the bundle its users' keys leave, so that root confirms; and root lets go.
        self.run(&["detach", TARGET, "--yes"], 0);
        assert_eq!(
            self.out(
                "find / -xdev -name '*stackc*' | head -3; ls /etc/life 2>&1 | grep -c 'No such'"
            ),
            "1"
        );
        let traces = "grep -rlF \"it is 'quoted'\" /var/log /run/log /tmp /root /etc 2>/dev/null; journalctl -q | grep -F \"it is 'quoted'\"; true";
        assert_eq!(self.out(traces), "");
    }
}

#[test]
fn a_guest_lives_its_whole_life_with_operators_that_are_root_only_by_sudo() {
    let Some(life) = Life::start("sudo", "sudo = true", false) else { return };
    life.is_lived();
}

#[test]
fn a_guest_lives_its_whole_life_with_operators_whom_sudo_asks_for_a_password() {
    let Some(life) = Life::start("asks", "groups = [\"sudo\"]", true) else { return };
    life.is_lived();
}
