//! What others' tools and Debian's own got wrong, each by the name of its report, asked of a real guest that an operator has
//! activated twice and gone back on. The numbers of ufw, cron and sshd are the lines of the list that they come from.

use crate::{activate_cli::stackc, faults_tiny::Tiny, fixture_lab::RealLab};
use camino::Utf8Path;
use std::fs::OpenOptions;
use std::io::Write as _;

/// What a version has besides the tiny project: a job, and in the first a file of sshd's.
fn besides(version: u32) -> String {
    let sshd = "[project.files.sshd]\npath = \"/etc/ssh/sshd_config.d/20-own.conf\"\nmode = \"0600\"\ntext = \"PrintMotd no\\n\"\n";
    format!(
        "[project.packages]\ncron = true\n[project.cron.job]\nschedule = \"1 1 1 1 *\"\nuser = \"root\"\nrun = \"true {version}\"\n{}",
        if version == 1 { sshd } else { "" }
    )
}

fn activate(tiny: &mut Tiny<'_>, version: u32) {
    let run = tiny.activate(version);
    let file = tiny.workspace(version).join("stacks/tiny.toml");
    let mut definitions = OpenOptions::new().append(true).open(file).expect("it was written");
    definitions.write_all(besides(version).as_bytes()).expect("there is room");
    run.finish(tiny).expect_done();
}

fn says(tiny: &Tiny<'_>, script: &str) -> String {
    tiny.on_guest(script, "").expect_done().lines.join("\n")
}

/// A process of the activation ran on, at 100 % of a processor.
fn deploy_rs_32_nothing_of_it_runs_when_an_activation_is_over(tiny: &Tiny<'_>) {
    let left = "pgrep -l stackc; systemctl list-units --plain --no-legend 'stackc-*' | grep -v stackc-recover; true";
    assert_eq!(says(tiny, left), "");
}

/// The confirmation went over a connection that was there before, which new rules still let through.
fn devenv_j_a_confirm_comes_over_a_connection_of_its_own(tiny: &Tiny<'_>) {
    // This look is a login itself: its port tells it apart.
    let log = says(
        tiny,
        "set -- $SSH_CONNECTION; journalctl -o cat | grep -E 'Accepted publickey|stackc-tx-' | grep -v \"port $2 \"",
    );
    let lines: Vec<&str> = log.lines().collect();
    let is_switch = |line: &&str| line.contains("stackc-tx-");
    let switched = lines.iter().rposition(is_switch).expect("it was switched");
    assert!(lines[switched..].iter().any(|line| line.starts_with("Accepted")), "{log}");
}

/// `systemctl enable` resolves links, which keeps a unit on an older generation.
fn systemd_3490_an_enabled_unit_is_reached_by_its_name_and_not_by_its_place(tiny: &Tiny<'_>) {
    let ask = "readlink /etc/systemd/system/multi-user.target.wants/tiny.service; systemctl is-enabled tiny";
    assert_eq!(says(tiny, ask), "../tiny.service\nenabled");
}

/// `systemctl disable` deletes the link that is the unit itself, and no other command brings it back.
fn systemd_20569_a_unit_that_was_disabled_by_hand_is_told_and_comes_back(tiny: &Tiny<'_>) {
    let link = "/etc/systemd/system/tiny.service";
    let is_there = format!("test -L {link} && echo there; systemctl is-enabled tiny; true");
    says(tiny, "systemctl disable tiny");
    assert!(!says(tiny, &is_there).contains("there"));
    let workspace = tiny.workspace(1);
    let workspace = Utf8Path::from_path(&workspace).expect("UTF-8");
    let (code, told, errors) = stackc(workspace, &["drift", &tiny.target(), "--exit-code"]);
    assert_eq!(code, Some(10), "{told}{errors}");
    assert!(told.contains(link), "{told}");
    let again = ["activate", &tiny.target(), "--overwrite-drift", "--yes"];
    let (code, told, errors) = stackc(workspace, &again);
    assert_eq!(code, Some(0), "{told}{errors}");
    assert_eq!(says(tiny, &is_there), "there\nenabled");
}

/// Notes each call of ufw's two programs, which unload all rules before they load any.
const UFW_IS_WATCHED: &str = "for it in /usr/sbin/ufw /usr/lib/ufw/ufw-init; do mv $it $it.real; \
    printf '#!/bin/sh\necho %s \"$@\" >>/run/ufw-calls\nexec %s.real \"$@\"\n' $it $it >$it; chmod 755 $it; done; \
    ufw status >/dev/null; cat /run/ufw-calls";

/// `ufw reload` leaves no rules when a line of any file of its own is bad, or when it is killed.
fn ufw_1_no_switch_reloads_ufw(tiny: &Tiny<'_>) {
    assert_eq!(says(tiny, "cat /run/ufw-calls"), "/usr/sbin/ufw status", "a switch called it");
    let unwatched = "for it in /usr/sbin/ufw /usr/lib/ufw/ufw-init; do mv $it.real $it; done";
    says(tiny, unwatched);
}

/// A reload says that it did well when it did not.
fn ufw_1_what_is_loaded_is_what_a_reload_would_load(tiny: &Tiny<'_>) {
    let rules = "for it in iptables ip6tables; do $it-save -t filter | grep -E '^(-A|:)' | sed 's/ \\[.*//'; done";
    let loaded = says(tiny, rules);
    assert!(loaded.contains("--dport 22 -j ACCEPT"), "{loaded}");
    assert!(says(tiny, "ufw status; grep ENABLED= /etc/ufw/ufw.conf").contains("ENABLED=yes"));
    says(tiny, "ufw reload");
    assert_eq!(says(tiny, rules), loaded);
}

/// A link that leads nowhere keeps sshd from starting.
fn sshd_3_nothing_among_sshds_files_leads_nowhere(tiny: &Tiny<'_>) {
    assert_eq!(says(tiny, "find /etc/ssh -type l; sshd -t && echo fine"), "fine");
    says(tiny, "systemctl restart ssh");
    assert_eq!(says(tiny, "systemctl is-active ssh"), "active");
}

/// cron goes by the times of files, and runs the older job.
fn cron_4_a_changed_job_is_read_at_once(tiny: &Tiny<'_>, runs: [&str; 2]) {
    assert_ne!(runs[0], runs[1], "cron was not started again");
    assert!(says(tiny, "cat /etc/cron.d/*").contains("true 1"), "the older version's job is back");
}

#[test]
fn reports_about_others_are_none_about_this() {
    let Some(lab) = RealLab::start("others") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    activate(&mut tiny, 1);
    let first = tiny.look().generation.expect("it is live");
    sshd_3_nothing_among_sshds_files_leads_nowhere(&tiny);
    let cron = "systemctl show cron -p InvocationID";
    let before = says(&tiny, cron);
    assert_eq!(says(&tiny, UFW_IS_WATCHED), "/usr/sbin/ufw status");
    // A reload would stumble over it, and leave the door shut.
    says(&tiny, "echo 'no rule' >>/etc/ufw/after.rules");
    activate(&mut tiny, 2);
    devenv_j_a_confirm_comes_over_a_connection_of_its_own(&tiny);
    let between = says(&tiny, cron);
    assert_ne!(before, between, "cron was not started again");
    tiny.rollback(2, first).finish(&tiny).expect_done();
    cron_4_a_changed_job_is_read_at_once(&tiny, [&between, &says(&tiny, cron)]);
    deploy_rs_32_nothing_of_it_runs_when_an_activation_is_over(&tiny);
    systemd_3490_an_enabled_unit_is_reached_by_its_name_and_not_by_its_place(&tiny);
    sshd_3_nothing_among_sshds_files_leads_nowhere(&tiny);
    ufw_1_no_switch_reloads_ufw(&tiny);
    says(&tiny, "sed -i '/^no rule$/d' /etc/ufw/after.rules");
    ufw_1_what_is_loaded_is_what_a_reload_would_load(&tiny);
    systemd_20569_a_unit_that_was_disabled_by_hand_is_told_and_comes_back(&tiny);
}
