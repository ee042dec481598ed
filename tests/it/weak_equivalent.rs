//! Effects of the guest's code that make no difference when they are left out, each with its reason.

/// A reason, and the very effects that it holds for, as `Site` prints them: what the guest's code does from now on is in no
/// row until somebody has thought of it. One that a call has several times is in it by its number, or as `(each time)` where the
/// reason holds for all of them.
type Row = (&'static str, &'static [&'static str]);

const EQUIVALENT: [Row; 15] = [
    (
        "gc holds the lock for as long as it works, and gives the lease back when it is done: nobody else looks at it",
        &["gc: one step of the rename /var/lib/stackc/lease", "gc: rename /var/lib/stackc/lease"],
    ),
    (
        "it is for the lease, which another boot does not count; all else in that folder is made durable before it is needed",
        &[
            "accounts: sync_dir /var/lib/stackc",
            "begin: sync_dir /var/lib/stackc",
            "gc: sync_dir /var/lib/stackc",
            "packages: sync_dir /var/lib/stackc",
            "receive: sync_dir /",
            "receive: sync_dir /var",
            "receive: sync_dir /var/lib",
            "receive: sync_dir /var/lib/stackc",
            "secrets: sync_dir /var/lib/stackc",
        ],
    ),
    (
        "the next call writes the identity that it does not find",
        &["receive: rename /var/lib/stackc/identity"],
    ),
    (
        "the tree that is sent again is made durable by a sync of everything before it changes places with the damaged one, and copies of that with it",
        &[
            "receive: fsync /var/lib/stackc/drift/.tmp-TX",
            "receive: sync_dir /var/lib/stackc/drift",
            "receive: sync_dir /var/lib/stackc/drift/TX",
            "receive: sync_dir /var/lib/stackc/drift/TX/usr",
            "receive: sync_dir /var/lib/stackc/drift/TX/usr/local",
            "receive: sync_dir /var/lib/stackc/drift/TX/usr/local/bin",
        ],
    ),
    (
        "`begin` makes everything durable before a generation needs it; a tree, and a set of secrets, is verified before",
        &[
            "accounts: sync_all /var/lib/stackc/store/DIGEST",
            "secrets: fsync /var/lib/stackc/secrets/.tmp-DIGEST-TX/.ledger.json",
            "secrets: fsync /var/lib/stackc/secrets/.tmp-DIGEST-TX/etc/app/env",
            "secrets: sync_all /var/lib/stackc/secrets/.tmp-DIGEST-TX",
            "secrets: sync_dir /var/lib/stackc/secrets",
        ],
    ),
    (
        "`begin` installs the same unit before a switch can need it",
        &[
            "packages: fsync /etc/systemd/system/stackc-recover.service.new",
            "packages: rename /etc/systemd/system/stackc-recover.service",
            "packages: sync_dir /etc/systemd/system",
            "packages: sync_dir /etc/systemd/system/sysinit.target.wants",
        ],
    ),
    (
        "the reserve is room, which counts by its blocks: it has no content, and is made anew for each transaction",
        &[
            "begin: fsync /var/lib/stackc/tx/.tmp-TX/reserve-to-end/0",
            "begin: fsync /var/lib/stackc/tx/.tmp-TX/reserve/0",
            "begin: sync_dir /var/lib/stackc/tx/.tmp-TX/reserve",
            "begin: sync_dir /var/lib/stackc/tx/.tmp-TX/reserve-to-end",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve-to-end/0",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve-to-end/1",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve-to-end/2",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve-to-end/3",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve-to-end/4",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve-to-end/5",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve-to-end/6",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve-to-end/7",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve/0",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve/1",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve/2",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve/3",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve/4",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve/5",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve/6",
            "begin: write /var/lib/stackc/tx/.tmp-TX/reserve/7",
        ],
    ),
    (
        "nobody reads it after a power cut: recovery goes by the decision, and the generation that was found owns nothing",
        &[
            "begin: fsync /var/lib/stackc/generations/.tmp-0-TX/ledger.json",
            "begin: fsync /var/lib/stackc/tx/.tmp-TX/phase",
            "begin: write /var/lib/stackc/generations/.tmp-0-TX/ledger.json",
        ],
    ),
    (
        "the preparation ends with a sync of everything, before anything changes",
        &[
            "begin: fsync /etc/ssh/sshd_config.d/.stackc-TX-47ec7a16bcc2.tmp",
            "begin: fsync /etc/ufw/.stackc-TX-1645b8226342.tmp",
            "begin: fsync /etc/ufw/.stackc-TX-44bed9bea523.tmp",
            "begin: fsync /etc/ufw/.stackc-TX-a0744818c3f1.tmp",
            "begin: sync_dir /etc",
            "begin: sync_dir /etc/app",
            "begin: sync_dir /etc/app-data",
            "begin: sync_dir /etc/profile.d",
            "begin: sync_dir /etc/ssh/sshd_config.d",
            "begin: sync_dir /etc/systemd/system",
            "begin: sync_dir /etc/systemd/system/multi-user.target.wants",
            "begin: sync_dir /etc/ufw",
            "begin: sync_dir /usr",
            "begin: sync_dir /usr/local",
            "begin: sync_dir /usr/local/bin",
            "begin: sync_dir /var/lib/stackc/found",
            "begin: sync_dir /var/lib/stackc/generations/0",
            "begin: sync_dir /var/lib/stackc/found/etc",
            "begin: sync_dir /var/lib/stackc/found/etc/ssh",
            "begin: sync_dir /var/lib/stackc/found/etc/ssh/sshd_config.d",
            "begin: sync_dir /var/lib/stackc/found/etc/ufw",
        ],
    ),
    (
        "recovery goes by the decision and by what was there before, and notes its own reason",
        &[
            "recover: fsync /var/lib/stackc/tx/TX/phase.new (each time)",
            "recover: one step of the rename /var/lib/stackc/tx/TX/phase",
            "recover: one step of the rename /var/lib/stackc/tx/TX/state.json",
            "recover: rename /var/lib/stackc/tx/TX/phase",
            "switch: fsync /var/lib/stackc/tx/TX/phase.new (each time)",
            "switch: one step of the rename /var/lib/stackc/tx/TX/state.json",
            "timer-undo: fsync /var/lib/stackc/tx/TX/phase.new (each time)",
            "timer-undo: one step of the rename /var/lib/stackc/tx/TX/state.json",
            "timer-undo: rename /var/lib/stackc/tx/TX/phase",
            "undo: fsync /var/lib/stackc/tx/TX/phase.new (each time)",
            "undo: one step of the rename /var/lib/stackc/tx/TX/state.json",
            "undo: rename /var/lib/stackc/tx/TX/phase",
        ],
    ),
    (
        "going back looks at every path when it is done, and what is not as before is brought back by the next try",
        &[
            "switch: rename /var/lib/stackc/current #2",
            "timer-undo: rename /var/lib/stackc/current",
            "undo: rename /var/lib/stackc/current",
        ],
    ),
    (
        "while it is missing the transaction is open, and recovery writes it again",
        &["recover: one step of the rename /var/lib/stackc/history/TX.json"],
    ),
    (
        "each folder is synced, and then everything: either alone would do; in some folders nothing changes",
        &[
            "recover: sync_all /var/lib/stackc",
            "recover: sync_dir /etc",
            "recover: sync_dir /etc/app-data",
            "recover: sync_dir /etc/profile.d",
            "recover: sync_dir /etc/ssh/sshd_config.d",
            "recover: sync_dir /etc/ufw",
            "recover: sync_dir /var/lib/stackc",
            "recover: sync_dir /var/lib/stackc/tx/TX",
            "switch: sync_all /var/lib/stackc",
            "switch: sync_dir /etc",
            "switch: sync_dir /var/lib/stackc",
            "switch: sync_dir /var/lib/stackc/tx/TX",
            "timer-undo: sync_all /var/lib/stackc",
            "timer-undo: sync_dir /etc",
            "timer-undo: sync_dir /etc/app-data",
            "timer-undo: sync_dir /etc/profile.d",
            "timer-undo: sync_dir /etc/ssh/sshd_config.d",
            "timer-undo: sync_dir /etc/ufw",
            "timer-undo: sync_dir /var/lib/stackc",
            "timer-undo: sync_dir /var/lib/stackc/tx/TX",
            "undo: sync_all /var/lib/stackc",
            "undo: sync_dir /etc",
            "undo: sync_dir /etc/app-data",
            "undo: sync_dir /etc/profile.d",
            "undo: sync_dir /etc/ssh/sshd_config.d",
            "undo: sync_dir /etc/ufw",
            "undo: sync_dir /var/lib/stackc",
            "undo: sync_dir /var/lib/stackc/tx/TX",
        ],
    ),
    (
        "it answers when the transaction's folder has left its place durably, with the record of how it ended",
        &["confirm: sync_dir /var/lib/stackc", "confirm: sync_dir /var/lib/stackc/tx/TX"],
    ),
    (
        "what is torn is sent again: trees and secrets are verified before they count as there",
        &["gc: sync_dir /var/lib/stackc/secrets", "gc: sync_dir /var/lib/stackc/store"],
    ),
];

/// Why a site makes no difference; none when it should.
pub fn why_equivalent(site: &str) -> Option<&'static str> {
    let has = |sites: &[&str]| sites.iter().any(|row| is_of_row(site, row));
    EQUIVALENT.iter().find(|(_, sites)| has(sites)).map(|(why, _)| *why)
}

/// Whether a site is what a row of the table means.
pub fn is_of_row(site: &str, row: &str) -> bool {
    match row.strip_suffix(" (each time)") {
        Some(row) => site.split(" #").next() == Some(row),
        None => site == row,
    }
}

/// Every effect of the table.
pub fn equivalent_sites() -> impl Iterator<Item = &'static str> {
    EQUIVALENT.iter().flat_map(|(_, sites)| sites.iter().copied())
}

#[test]
fn an_effect_that_makes_no_difference_is_in_the_table_once() {
    let sites: std::collections::BTreeSet<_> = equivalent_sites().collect();
    assert_eq!(sites.len(), equivalent_sites().count());
}
