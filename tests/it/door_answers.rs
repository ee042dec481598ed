//! Programs that lead the way back of the network and of nftables' tables, and come to no answer, or refuse one of many.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, identity, name};
use stackc::model::protocol::{Refusal, UndoRequest};
use stackc::model::{Phase, Switch, TxState};
use std::collections::BTreeSet;
use std::fs;

const TX: &str = "00000000000000a2";
/// The kernel that the programs speak for: a folder. What is in `kill` ends the first call that begins with it.
const KERNEL: &str = "/kernel";
const KILLED: &str =
    "if [ -e kill ]; then case \"$*\" in \"$(cat kill)\"*) rm kill; kill -KILL $$;; esac; fi";
const ADDRESS: &str = "2: eth0    inet 10.0.0.5/24 scope global eth0\\       valid_lft forever\n";
const IP: &str = "case \"$*\" in
    '-o link show') echo '2: eth0: <BROADCAST,UP,LOWER_UP> mtu 1500' ;;
    '-o address show scope global') cat addresses ;;
    'address replace 10.0.0.5/24 dev eth0') cat address >addresses ;;
    '-4 rule show') echo '32766: from all lookup main' ;;
    '-o -4 route show table main') cat routes ;;
    *replace*) echo \"$*\" >>orders ;;
esac";
/// Somebody is logged in by an address, and reads pages by two.
const SS: &str = "echo 0 0 10.0.0.8:22 192.0.2.7:40000
echo 0 0 10.0.0.7:443 192.0.2.7:40001";
/// Takes tables away, but for one that is held, and makes none whose device is gone. Of one that came back a unit may make
/// `theirs` at once.
const NFT: &str =
    "if [ \"$*\" = '--stateless list ruleset' ]; then cat tables/* /dev/null; exit; fi
script=$(cat)
case \"$script\" in
    *gone0*|*held*) echo 'Error: Operation not permitted'; exit 1 ;;
    'delete table inet out') rm tables/out ;;
    *) echo \"$script\" >>loaded; echo \"$script\" | sed 1,2d >tables/made
        if [ -e theirs ]; then cp theirs tables/made; fi ;;
esac";
const OUT: &str = "table inet out {\n\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";
const WEB: &str = "table netdev web {\n\tchain in {\n\t\ttype filter hook ingress device \"gone0\" priority 0;\n\t}\n}\n";
const BANS: &str =
    "table inet bans {\n\tchain in {\n\t\ttype filter hook input priority 0;\n\t}\n}\n";

fn table(name: &str) -> String {
    format!("{KERNEL}/tables/{name}")
}

/// A guest with both programs and two tables, on whose second generation a switch waits for its confirm.
fn waiting() -> Folder {
    waiting_with("", "")
}

/// The same with these addresses and routes beside.
fn waiting_with(addresses: &str, routes: &str) -> Folder {
    let (folder, first, _): (Folder, Made, Switch) = Folder::on_first();
    let kernel = folder.at(KERNEL).display().to_string();
    for (program, answers) in [("ip", IP), ("nft", NFT), ("ss", SS)] {
        let text = format!("#!/bin/sh\ncd {kernel} || exit 1\n{KILLED}\n{answers}\n");
        folder.put_program(&format!("/usr/sbin/{program}"), &text);
    }
    folder.put(&format!("{KERNEL}/address"), ADDRESS);
    folder.put(&format!("{KERNEL}/addresses"), &format!("{ADDRESS}{addresses}"));
    folder.put(&format!("{KERNEL}/routes"), routes);
    folder.put(&table("web"), WEB);
    folder.put(&table("bans"), BANS);
    let second = make(2, 60);
    folder.switch_over(&second, &second.switch(TX, 1, 2, &first.ledger()));
    assert_eq!(folder.result(TX).phase, Phase::AwaitingConfirm);
    folder
}

fn assert_undone(folder: &Folder, what: &str) -> TxState {
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{what}: {state:?}");
    state
}

#[test]
fn an_address_that_was_removed_is_back_though_the_first_question_or_order_was_killed() {
    for killed in ["-o link show", "-o address show", "address replace"] {
        let folder = waiting();
        folder.put(&format!("{KERNEL}/addresses"), "");
        folder.put(&format!("{KERNEL}/kill"), killed);
        assert_undone(&folder, killed);
        assert!(!folder.at(&format!("{KERNEL}/kill")).exists(), "{killed}: it was never asked");
        assert_eq!(folder.text(&format!("{KERNEL}/addresses")), ADDRESS, "{killed}");
    }
}

#[test]
fn what_may_be_anothers_by_now_is_not_brought_back_unless_somebody_is_in_by_it() {
    let shared = "2: eth0    inet 10.0.0.7/32 scope global eth0\n";
    let addresses = format!("{shared}{}", shared.replace(".7/", ".8/"));
    let told = "10.7.0.0/16 via 10.0.0.1 dev eth0 proto bird";
    let own = "10.8.0.0/16 via 10.0.0.1 dev eth0 proto static";
    let folder = waiting_with(&addresses, &format!("{told}\n{own}\n"));
    folder.put(&format!("{KERNEL}/addresses"), ADDRESS);
    folder.put(&format!("{KERNEL}/routes"), "");
    assert_undone(&folder, "shared");
    let orders = folder.text(&format!("{KERNEL}/orders"));
    let orders: BTreeSet<&str> = orders.lines().collect();
    let back = ["address replace 10.0.0.8/32 dev eth0", &format!("-4 route replace {own}")];
    assert_eq!(orders, back.into());
}

#[test]
fn a_table_that_shuts_out_goes_though_the_first_question_or_order_was_killed() {
    for killed in ["--stateless", "--file"] {
        let folder = waiting();
        folder.put(&table("out"), OUT);
        folder.put(&format!("{KERNEL}/kill"), killed);
        assert_undone(&folder, killed);
        assert!(!folder.at(&format!("{KERNEL}/kill")).exists(), "{killed}: it was never asked");
        assert!(!folder.at(&table("out")).exists(), "{killed}");
    }
}

#[test]
fn a_table_that_the_kernel_does_not_take_again_is_told_and_keeps_nobody_out() {
    let folder = waiting();
    for gone in ["web", "bans"] {
        fs::remove_file(folder.at(&table(gone))).expect("it is there");
    }
    folder.put(&table("out"), OUT);
    let state = assert_undone(&folder, "web");
    assert!(!folder.at(&table("out")).exists());
    assert_eq!(folder.text(&table("made")), BANS);
    let told = state.failure.expect("it is told").evidence.join("\n");
    assert!(told.contains("not put back: nftables' table netdev web"), "{told}");
    assert!(told.contains("no part of the bundle: nftables' table inet out"), "{told}");
    assert!(folder.text(&format!("/var/lib/stackc/drift/{TX}/nft-ruleset")).contains(OUT));
}

#[test]
fn what_a_unit_that_came_back_has_made_of_its_table_is_not_taken_from_it_again() {
    let folder = waiting();
    let theirs = BANS.replace("priority 0", "priority 0; ip daddr 10.1.0.3 accept");
    folder.put(&format!("{KERNEL}/theirs"), &theirs);
    fs::remove_file(folder.at(&table("bans"))).expect("it is there");
    assert_undone(&folder, "theirs");
    assert_eq!(folder.text(&table("made")), theirs);
    let loaded = folder.text(&format!("{KERNEL}/loaded"));
    assert_eq!(loaded.matches("delete table inet bans").count(), 1, "{loaded}");
}

#[test]
fn a_guest_whose_table_that_shuts_out_does_not_go_is_not_said_to_be_whole() {
    let folder = waiting();
    folder.put(&table("out"), &OUT.replace("inet out", "inet held"));
    let request = UndoRequest { identity: identity(), tx: name(TX), who: "ops@desk".to_owned() };
    let refusal: Result<TxState, Refusal> = folder.call(&["undo"], &request, &[]);
    let message = refusal.expect_err("it keeps everybody out").message;
    assert!(message.contains("nft --file -"), "{message}");
    assert_eq!(folder.result(TX).phase, Phase::Inconsistent);
}
