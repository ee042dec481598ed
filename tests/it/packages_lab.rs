//! Packages whose generation goes and comes back, with `stackc`'s own verbs on a real guest.

use crate::kinds_lab::Examples;
use serde_json::Value;
use std::fs;

/// A guest of its own, with what every guest of the examples has.
const STACK: &str = r#"
[project]
kind = "base"

[project.apt]
may_start = ["cron", "logrotate", "logrotate.timer", "unattended-upgrades", "redis-server", "nginx"]

[envs.dev]
name = "rest-dev"
vmid = 153
ip = "SUBNET.153/24"
"#;
const REDIS: &str = "\n[project.packages]\nredis-server = true\n";
const NGINX: &str = "nginx = true\n\n[project.probes.nobody]\ntcp = { port = 9, local = true }\n\n[project.health]\nstart_seconds = 2\n";
const GUEST: &str = "rest-dev";

struct Story {
    examples: Examples,
    first: String,
}

impl Story {
    fn write(&self, more: &str) {
        fs::write(self.examples.top.join("stacks/rest.toml"), self.first.clone() + more)
            .expect("the folder is ours");
    }

    fn stackc(&self, arguments: &[&str], code: i32) -> String {
        self.examples.stackc(arguments, code)
    }

    fn activate(&self, code: i32) -> String {
        self.stackc(&["activate", "rest/dev", "--yes"], code)
    }

    fn power_cycle(&self) {
        let lab = &self.examples.lab;
        lab.done("POST", "/nodes/pve/lxc/153/status/stop", &[]);
        lab.done("POST", "/nodes/pve/lxc/153/status/start", &[]);
        lab.wait_for_ssh(153);
        lab.out(GUEST, "systemctl is-system-running --wait; true");
    }

    fn active(&self) -> String {
        self.out("systemctl is-active redis-server nginx cron ssh | tr '\\n' ' '")
    }

    fn out(&self, command: &str) -> String {
        self.examples.lab.out(GUEST, &format!("{command}; true"))
    }

    /// What `gc --packages` would remove.
    fn packages(&self) -> Vec<String> {
        let arguments = ["gc", "rest/dev", "--packages", "--keep", "0", "--json"];
        let (code, told, errors) = crate::activate_cli::stackc(&self.examples.top, &arguments);
        assert_eq!(code, Some(0), "{told}{errors}");
        let told: Value = serde_json::from_str(&told).expect("it is JSON");
        let guest = &told["guests"][0];
        assert_eq!(guest["removed"], false, "{told}");
        guest["packages"].as_object().expect("by name").keys().cloned().collect()
    }
}

#[test]
fn services_rest_while_no_live_generation_needs_their_package_and_gc_removes_those_of_none() {
    let Some(examples) = Examples::start("rest") else { return };
    let address = examples.lab.address(153).to_string();
    let first = STACK.replace("SUBNET", address.trim_end_matches(".153"));
    let story = Story { examples, first };
    story.write("");
    story.examples.write_secrets();
    story.activate(0);
    // Somebody's own package: stackc has nothing to do with it.
    story.out("apt-get -qy install jq");
    assert!(story.packages().is_empty(), "all that was brought is declared");

    story.write(REDIS);
    story.activate(0);
    assert_eq!(story.active(), "active inactive active active");
    let record = story.out("cat /var/lib/stackc/packages.json");
    for (name, there) in [("redis-server", true), ("redis-tools", true), ("jq", false)] {
        assert_eq!(record.contains(&format!("\"{name}\":")), there, "{name}: {record}");
    }
    assert!(record.starts_with("{\"format\":1,"), "{record}");
    story.power_cycle();
    assert_eq!(story.active(), "active inactive active active");
    assert_eq!(story.out("systemctl is-active ufw unattended-upgrades"), "active\nactive");

    // Back: the package stays, and nothing of it runs, at boot neither.
    let told = story.stackc(&["rollback", "rest/dev", "--yes"], 0);
    let stops = "stop       redis-server.service: its package redis-server is no longer declared";
    assert!(told.contains(stops), "{told}");
    assert_eq!(story.active(), "inactive inactive active active");
    assert!(
        story.out("systemctl start redis-server; systemctl is-active redis-server") == "inactive"
    );
    story.power_cycle();
    assert_eq!(story.active(), "inactive inactive active active");
    assert_eq!(story.out("dpkg-query -Wf '${db:Status-Status}' redis-server"), "installed");

    // Forth again: what started by itself when it came starts again.
    let told = story.activate(0);
    assert!(
        told.contains(
            "start      redis-server.service: its package redis-server is declared again"
        ),
        "{told}"
    );
    assert_eq!(story.active(), "active inactive active active");
    story.power_cycle();
    assert_eq!(story.active(), "active inactive active active");

    // An undone switch leaves its packages, and stops what they have started.
    story.write(&format!("{REDIS}{NGINX}"));
    story.activate(5);
    assert_eq!(story.active(), "active inactive active active");
    let nginx = story.out("journalctl -b -o cat -u nginx");
    assert!(nginx.contains("Started nginx") && nginx.contains("Stopped nginx"), "{nginx}");
    story.power_cycle();
    assert_eq!(story.active(), "active inactive active active");
    collects(&story);
}

fn collects(story: &Story) {
    let listed = story.packages();
    assert!(listed.contains(&"nginx".to_owned()), "{listed:?}");
    assert!(listed.iter().all(|name| !name.contains("redis") && name != "jq"), "{listed:?}");
    let gone = story.stackc(&["gc", "rest/dev", "--packages", "--keep", "0", "--yes"], 0);
    assert!(gone.contains("package nginx") && gone.contains(" freed"), "{gone}");
    assert!(story.packages().is_empty());
    assert_eq!(story.active(), "active inactive active active");
    assert_eq!(story.out("dpkg-query -Wf '${db:Status-Status}' nginx-common"), "config-files");
    assert_eq!(
        story.out("ls -d /etc/systemd/system/nginx.service.d 2>&1 | grep -c 'No such'"),
        "1"
    );
    assert_eq!(
        story.out("jq --version; ls /usr/sbin/policy-rc.d 2>&1 | grep -c 'No such'"),
        "jq-1.6\n1"
    );

    // A pinned generation keeps its package.
    let pinned = story.stackc(&["pin", "rest/dev", "2"], 0);
    assert!(pinned.contains("generation 2 is pinned"), "{pinned}");
    assert!(story.stackc(&["history", "rest/dev"], 0).contains("confirmed, pinned"));
    story.write("");
    story.activate(0);
    assert_eq!(story.active(), "inactive inactive active active");
    assert!(
        story.packages().is_empty(),
        "generation 2 declares it, and so does where a rollback goes"
    );
}
