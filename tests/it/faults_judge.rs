//! The judge of the fault tests sees each sort of tear: otherwise "whole" would mean nothing.

use crate::{
    faults_tiny::{State, Tiny},
    fixture_lab::RealLab,
};

/// What tears a guest that is on generation 2, what mends it, and what the judge must say in between.
const TEARS: [(&str, &str, &str); 9] = [
    (
        "mv /srv/app/.env /root/kept",
        "mv /root/kept /srv/app/.env",
        "/srv/app/.env is not what the ledger says",
    ),
    ("systemctl stop tiny", "systemctl start tiny", "tiny.service is inactive"),
    (
        "iptables -D ufw-user-input -p tcp --dport 8102 -j ACCEPT",
        "iptables-restore -n < /etc/ufw/user.rules",
        "iptables: the kernel has",
    ),
    (
        "ip6tables -A ufw6-user-input -p tcp --dport 8101 -j ACCEPT",
        "ip6tables-restore -n < /etc/ufw/user6.rules",
        "ip6tables: the kernel has",
    ),
    (
        "cp -a /etc/ufw/user.rules /root/kept; echo >> /etc/ufw/user.rules",
        "mv /root/kept /etc/ufw/user.rules",
        "/etc/ufw/user.rules is not what the ledger says",
    ),
    (
        "touch /etc/systemd/system/.stackc-0123456789abcdef-0123456789ab.tmp",
        "rm /etc/systemd/system/.stackc-*.tmp",
        "holds half-placed files",
    ),
    ("mkdir /var/lib/stackc/tx/x", "rmdir /var/lib/stackc/tx/x", "a transaction is not over"),
    (
        "ln -sfn generations/1 /var/lib/stackc/current",
        "ln -sfn generations/2 /var/lib/stackc/current",
        "tiny.service runs without WORD",
    ),
    (
        "ln -sfn ../../store /var/lib/stackc/current/tree",
        "ln -sfn ../../store/$(sha256sum < /root/manifest | cut -c-64) /var/lib/stackc/current/tree",
        "`tree` is another bundle's",
    ),
];

/// The same of a guest on which nothing is live: what a first activation may leave of itself.
const LEFT: [(&str, &str, &str); 5] = [
    (
        "ln -s /var/lib/stackc/current/tree/rootfs/usr/local/bin/deploy_app.sh /usr/local/bin/",
        "rm /usr/local/bin/deploy_app.sh",
        "/usr/local/bin/deploy_app.sh is placed",
    ),
    (
        "ln -s ../tiny.service /etc/systemd/system/multi-user.target.wants/tiny.service",
        "rm /etc/systemd/system/multi-user.target.wants/tiny.service",
        "/etc/systemd/system/multi-user.target.wants/tiny.service is placed",
    ),
    (
        "cp /var/lib/stackc/store/*/rootfs/usr/local/bin/deploy_app.sh /usr/local/bin/",
        "rm /usr/local/bin/deploy_app.sh",
        "/usr/local/bin/deploy_app.sh is placed",
    ),
    (
        "sed -i s/ENABLED=no/ENABLED=yes/ /etc/ufw/ufw.conf",
        "sed -i s/ENABLED=yes/ENABLED=no/ /etc/ufw/ufw.conf",
        "the firewall would be on",
    ),
    (
        "ip6tables -N ufw6-before-input; ip6tables -A INPUT -j ufw6-before-input",
        "ip6tables -D INPUT -j ufw6-before-input; ip6tables -X ufw6-before-input",
        "ip6tables-save: the firewall is on",
    ),
];

/// On a guest with nothing live.
pub fn sees_what_is_left(tiny: &Tiny<'_>) {
    see_all(tiny, &LEFT, State::Untouched);
}

fn see_all(tiny: &Tiny<'_>, tears: &[(&str, &str, &str)], whole: State) {
    for (tear, mend, said) in tears {
        tiny.on_guest(tear, "").expect_done();
        let problems = tiny.look().problems;
        assert!(problems.iter().any(|p| p.contains(said)), "`{tear}` goes unseen: {problems:?}");
        tiny.on_guest(mend, "").expect_done();
        assert_eq!(tiny.settle(), whole, "after `{mend}`");
    }
}

#[test]
fn judge_of_the_fault_tests_sees_every_sort_of_tear() {
    let Some(lab) = RealLab::start("fjdg") else { return };
    let mut tiny = Tiny::new(&lab, 100);
    for version in [1, 2] {
        tiny.activate(version).finish(&tiny).expect_done();
    }
    tiny.on_guest("cp /var/lib/stackc/current/tree/manifest.json /root/manifest", "").expect_done();
    see_all(&tiny, &TEARS, State::Live(2));
}
