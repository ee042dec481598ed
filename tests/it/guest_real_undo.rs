//! Going back when going back itself does not go well, on a real guest: recovery that dies or hangs at boot, a unit that does
//! not end.

use crate::fixture_lab::RealLab;
use crate::guest_bundle::Made;
use crate::guest_fixture::{caller, name};
use crate::guest_real::{APP, RealGuest, bundle, wait_until};
use stackc::model::protocol::{BeginRequest, Done};
use stackc::model::{GenerationId, Ledger, Phase, Switch, UnitName};
use std::time::Duration;

const DROP_IN: &str = "/etc/systemd/system/stackc-recover.service.d/10-test.conf";

/// A guest on its first generation, and what it looks like.
struct Story<'lab> {
    lab: &'lab RealLab,
    guest: RealGuest,
    first: Made,
    picture: String,
    last: u64,
}

impl<'lab> Story<'lab> {
    fn new(lab: &'lab RealLab, guest: &str) -> Self {
        lab.boot(101, guest);
        let mut guest = RealGuest::new(lab, guest);
        guest.install_ufw();
        let first = bundle(&guest, 1, APP, &[22, 3001], 20);
        let switch = first.switch("00000000000000c1", 0, 1, &Ledger::default());
        guest.prepare("00000000000000c1", &first);
        assert_eq!(guest.begin(&switch).phase, Phase::AwaitingConfirm);
        assert_eq!(guest.confirm(&switch).phase, Phase::Confirmed);
        let picture = guest.picture();
        Self { lab, guest, first, picture, last: 1 }
    }

    /// The switch from the first generation to another bundle.
    fn switch_to(&mut self, made: &Made) -> Switch {
        self.last += 1;
        let tx = format!("00000000000000c{:x}", self.last);
        self.guest.prepare(&tx, made);
        made.switch(&tx, 1, self.last, &self.first.ledger())
    }

    /// Begins a switch, and cuts the power while it waits for its confirm. Its firewall may shut us out: whoever is in already
    /// sees the switch, and then does this.
    fn cut_off(&self, switch: &Switch, last: &str) {
        let phase = format!("/var/lib/stackc/tx/{}/phase", switch.tx);
        let watch = format!(
            "for _ in $(seq 300); do grep -qs awaiting-confirm {phase} && {{ {last}; exit; }}; sleep 0.1; done; exit 1"
        );
        let mut watcher = self.guest.command(&watch).spawn().expect("ssh can be run");
        let request = BeginRequest { caller: caller(switch.tx.as_str()), switch: switch.clone() };
        self.guest.call::<Done>("begin", &request).expect("it begins");
        assert!(watcher.wait().expect("it ends").success(), "it does not switch");
        self.power_cut();
        self.lab.wait_for_ssh(101);
    }

    fn power_cut(&self) {
        self.lab.done("POST", "/nodes/pve/lxc/101/status/stop", &[]);
        self.lab.done("POST", "/nodes/pve/lxc/101/status/start", &[]);
    }

    /// # Panics
    /// When the guest is not, within this time, what it was on its first generation.
    fn expect_back(&self, switch: &Switch, limit: Duration) {
        wait_until(limit, "the way back", || {
            self.guest.picture() == self.picture && self.guest.result(switch).phase == Phase::Undone
        });
        let timers = "systemctl list-timers --all --no-legend 'stackc-*'";
        wait_until(Duration::from_secs(20), "the end of its timers", || {
            self.guest.says(timers).is_empty()
        });
    }

    /// Has recovery run this at the next boot before it does anything, and the boot after as usual.
    fn disturb_recovery(&self, script: &str, more: &str) {
        let text = format!(
            "[Service]\\n{more}ExecStartPre=/bin/sh -c 'test -e /root/disturbed || {{ touch /root/disturbed; {script}; }}'\\n"
        );
        let write = format!(
            "rm -f /root/disturbed; mkdir -p $(dirname {DROP_IN}) && printf \"{text}\" >{DROP_IN} && echo written"
        );
        assert_eq!(self.guest.says(&write), "written");
    }
}

#[test]
fn guest_whose_recovery_dies_or_hangs_at_boot_opens_its_door_and_goes_back_when_it_is_up() {
    let Some(lab) = RealLab::start("bad") else { return };
    let mut story = Story::new(&lab, "bad1");
    // Nobody gets in through the new generation's firewall.
    let shut = bundle(&story.guest, 2, APP, &[3001], 60);
    for (script, more) in [("exit 1", ""), ("exec sleep 1000", "TimeoutStartSec=3\\n")] {
        let switch = story.switch_to(&shut);
        story.disturb_recovery(script, more);
        story.cut_off(&switch, "true");
        assert_eq!(story.guest.says("ls /root/disturbed"), "/root/disturbed", "{script}");
        story.expect_back(&switch, Duration::from_secs(60));
    }
}

#[test]
fn guest_loads_the_rules_that_were_saved_before_a_switch_when_it_boots_in_the_middle_of_that() {
    let Some(lab) = RealLab::start("saved") else { return };
    let mut story = Story::new(&lab, "saved1");
    // The unit of Debian's netfilter-persistent, which here tells what it would load.
    let unit = "[Unit]\\nDefaultDependencies=no\\nWants=network-pre.target systemd-modules-load.service local-fs.target\\n\
        Before=network-pre.target shutdown.target\\nAfter=systemd-modules-load.service local-fs.target\\n\
        Conflicts=shutdown.target\\n[Service]\\nType=oneshot\\nRemainAfterExit=yes\\n\
        ExecStart=/bin/cp /etc/iptables/rules.v4 /run/loaded\\n[Install]\\nWantedBy=multi-user.target\\n";
    let install = format!(
        "mkdir -p /etc/iptables; echo open >/etc/iptables/rules.v4; \
         printf '{unit}' >/etc/systemd/system/netfilter-persistent.service; \
         systemctl -q enable --now netfilter-persistent 2>/dev/null; cat /run/loaded"
    );
    assert_eq!(story.guest.says(&install), "open");
    story.picture = story.guest.picture();
    let second = bundle(&story.guest, 2, APP, &[22, 3001], 60);
    let switch = story.switch_to(&second);
    // However slow the disk is.
    story.disturb_recovery("sleep 2", "");
    story.cut_off(&switch, "echo shut >/etc/iptables/rules.v4; sync");
    story.expect_back(&switch, Duration::from_secs(60));
    assert_eq!(story.guest.says("cat /etc/iptables/rules.v4 /run/loaded"), "open\nopen");
}

#[test]
fn guest_goes_back_though_a_unit_of_the_new_generation_does_not_end() {
    let Some(lab) = RealLab::start("hang") else { return };
    let mut story = Story::new(&lab, "hang1");
    // It ignores every polite signal, for longer than anybody waits.
    let deaf = "/bin/sh -c 'trap \"\" TERM HUP INT; /usr/local/bin/app & while :; do sleep 1; done'\nTimeoutStopSec=infinity\nSendSIGKILL=no";
    let deaf = bundle(&story.guest, 2, deaf, &[22, 3001], 20);
    let switch = story.switch_to(&deaf);
    assert_eq!(switch.from, GenerationId(1));
    assert_eq!(story.guest.begin(&switch).phase, Phase::AwaitingConfirm);
    let unit: UnitName = name("app.service");
    assert!(switch.undo_units.restart.contains(&unit) || switch.undo_units.stop.contains(&unit));
    story.expect_back(&switch, Duration::from_secs(300));
}

#[test]
fn guest_goes_back_to_a_unit_that_takes_two_minutes_to_start() {
    let Some(lab) = RealLab::start("slow") else { return };
    let mut story = Story::new(&lab, "slow1");
    // It takes so long only when it starts again.
    let slow = format!(
        "{APP}\nExecStartPre=/bin/sh -c '[ ! -e /run/slow ] || exec sleep 125'\nTimeoutStartSec=170"
    );
    let slow = bundle(&story.guest, 1, &slow, &[22, 3001], 20);
    let switch = story.switch_to(&slow);
    assert_eq!(story.guest.begin(&switch).phase, Phase::AwaitingConfirm);
    assert_eq!(story.guest.confirm(&switch).phase, Phase::Confirmed);
    story.picture = story.guest.picture();
    story.guest.says("touch /run/slow");
    let broken = bundle(&story.guest, 3, "/bin/false", &[22, 3001], 20);
    let tx = "00000000000000ca";
    story.guest.prepare(tx, &broken);
    let switch = broken.switch(tx, 2, 3, &slow.ledger());
    story.guest.begin(&switch);
    story.expect_back(&switch, Duration::from_secs(200));
    let failure = story.guest.result(&switch).failure.expect("it says why");
    let unit = |line: &&String| line.contains("app.service") && line.contains("after ");
    assert_eq!(failure.evidence.iter().find(unit), None, "{failure:?}");
}

#[test]
fn guest_goes_back_though_its_alarm_is_killed_in_the_middle_of_that() {
    let Some(lab) = RealLab::start("oom") else { return };
    let mut story = Story::new(&lab, "oom1");
    let silent = bundle(&story.guest, 2, APP, &[22, 3001], 10);
    // On a busy machine the kill may come when all is over.
    let is_in_time = (0..5).any(|_| {
        let switch = story.switch_to(&silent);
        assert_eq!(story.guest.begin(&switch).phase, Phase::AwaitingConfirm);
        let unit = format!("stackc-undo-{}-confirm.service", switch.tx);
        let kill = format!(
            "for _ in $(seq 3000); do systemctl -q is-active {unit} && systemctl kill -s KILL {unit} && echo killed && exit; sleep 0.01; done"
        );
        assert_eq!(story.guest.says(&kill), "killed");
        let phase = story.guest.result(&switch).phase;
        // The alarm of the switch itself rings minutes later.
        story.expect_back(&switch, Duration::from_secs(60));
        phase != Phase::Undone
    });
    assert!(is_in_time, "it was too late each time");
}
