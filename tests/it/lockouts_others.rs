//! Lock-outs on a real guest beside the rules of somebody else: these are there when it is reachable again.

use crate::{
    fixture_lab::RealLab,
    guest_fixture::caller,
    guest_real::wait_until,
    lockouts_real::{NEVER, OTHERS, THEIRS, Trial, bundle, on_first_after, tx},
};
use stackc::model::{
    FirewallAction, Phase,
    protocol::{BeginRequest, Done},
};

/// Tables of nftables' own: bans, and a filter for what somebody serves.
const TABLES: &str = "apt-get -qy install --no-install-recommends nftables && nft -f - <<'END'
table inet theirs {
    set bans { type ipv4_addr; elements = { 203.0.113.9 } }
    chain in { type filter hook input priority -1; ip saddr @bans drop; }
}
table inet web {
    chain in { type filter hook input priority -1; tcp dport 8080 accept; }
}
END";
/// Shuts everybody out, while a ban comes and a table is emptied.
const OUT: &str = "nft add table inet out; nft 'add chain inet out in { type filter hook input priority -5; }'; \
    nft add rule inet out in tcp dport 22 drop; \
    nft 'add element inet theirs bans { 203.0.113.10 }'; nft flush table inet web";

#[test]
fn a_table_of_nftables_that_shuts_out_goes_and_those_of_others_stay_with_their_bans() {
    let Some(lab) = RealLab::start("nft") else { return };
    let (guest, first) = on_first_after(&lab, 101, TABLES);
    let tables = || guest.says("nft --stateless list ruleset | sed -n '/^table inet/,/^}/p'");
    let before = tables();
    assert_eq!(before.matches("table inet").count(), 2, "{before}");
    let trial = Trial { lab: &lab, vmid: 101, guest: &guest, first: &first, number: 2 };
    let done = trial.attempt(OUT, false);
    assert!(done.is_ok(), "{done:?}");
    assert_eq!(tables(), before.replace("203.0.113.9", "203.0.113.9, 203.0.113.10"));
}

/// A set and a rule that asks it, as fail2ban has them.
const SET: &str = "apt-get -qy install --no-install-recommends ipset && ipset create f2b hash:ip && \
    iptables -I INPUT -p tcp -m set --match-set f2b src -j REJECT";

#[test]
fn a_rule_whose_set_is_gone_keeps_nobody_out_when_a_switch_is_undone() {
    let Some(lab) = RealLab::start("sets") else { return };
    let (guest, first) = on_first_after(&lab, 101, SET);
    assert_eq!(guest.says("iptables-save | grep -c 'match-set f2b'"), "1");
    let made = bundle(&guest, 2, Some("iptables -F INPUT; ipset destroy f2b"));
    let mut switch = made.switch(&tx(2), 1, 2, &first.ledger());
    switch.firewall = FirewallAction::Keep;
    guest.prepare(&tx(2), &made);
    let request = BeginRequest { caller: caller(switch.tx.as_str()), switch: switch.clone() };
    guest.call::<Done>("begin", &request).expect("it begins");
    wait_until(NEVER, "a way in", || guest.lets_in());
    wait_until(NEVER, "the undo", || guest.result(&switch).phase == Phase::Undone);
    let evidence = guest.result(&switch).failure.expect("it is told").evidence;
    let lost = "without IPv4 filter: -A INPUT -p tcp -m set --match-set f2b src";
    assert!(evidence.iter().any(|line| line.contains(lost)), "{evidence:?}");
    assert_eq!(guest.says("iptables-save | grep -c 'match-set f2b'"), "0");
    assert_eq!(guest.says("iptables-save | grep -c -- '-A INPUT -j ufw-before-input'"), "1");
}

#[test]
fn a_first_switch_beside_half_a_frame_of_ufws_keeps_the_rules_of_others() {
    let Some(lab) = RealLab::start("half") else { return };
    let half = format!(
        "iptables -N ufw-user-input; {OTHERS}; ip6tables -N f2b6; {THEIRS}; ip6tables-save"
    );
    let (guest, _) = on_first_after(&lab, 101, &half);
    let theirs = guest.says(THEIRS);
    assert_eq!(theirs.lines().count(), 10, "{theirs}");
    assert_eq!(guest.says("ip6tables-save | grep -c f2b6"), "1");
    assert_eq!(guest.says("ufw status | head -1"), "Status: active");
}
