//! Effects of the guest's code that make no difference when they are left out, each with its reason.

use crate::fake::Site;
use regex::Regex;

/// Patterns for `verb: effect path`, and why nobody can find out.
const EQUIVALENT: [(&str, &str); 15] = [
    (
        r"^(receive|packages|accounts|secrets|begin|gc): one step of the rename /var/lib/stackc/lease$",
        "a lease from before a power cut is another boot's, which does not count",
    ),
    (
        r"^(packages|accounts|secrets|begin): rename /var/lib/stackc/lease$",
        "it renews what the call before took, for longer than a call is apart from the next",
    ),
    (
        r"^(receive|packages|accounts|secrets|begin|gc): sync_dir (/|/var|/var/lib|/var/lib/stackc)$",
        "`begin` makes everything durable before anything depends on it; the lease need not be",
    ),
    (
        r"^receive: rename /var/lib/stackc/identity$",
        "the next call writes the identity that it does not find",
    ),
    (
        r"^(receive: sync_(all|dir) /var/lib/stackc/store|accounts: sync_all /var/lib/stackc/store|secrets: (sync_dir|fsync) /var/lib/stackc/secrets)",
        "`begin` makes everything durable before a generation needs it; a tree is verified before",
    ),
    (
        r"^packages: .*(stackc-recover|/etc/systemd/system)",
        "`begin` installs the same unit before a switch can need it",
    ),
    (
        r"^begin: (fsync|sync_dir) (/etc|/usr|/var/lib/stackc/found|/var/lib/stackc/(store|secrets))",
        "the preparation ends with a sync of everything, before anything changes",
    ),
    (
        r"^begin: (fsync|write) /var/lib/stackc/(tx/.tmp-TX/(phase|reserve)|generations/.tmp-0-TX/ledger.json)$",
        "nobody reads it after a power cut: the reserve counts by its blocks, recovery goes by the decision, and the generation that was found owns nothing",
    ),
    (
        r"^begin: (fsync|write) /var/lib/stackc/tx/.tmp-TX/way-in-texts$",
        "it is read when somebody else has changed the way in, which no story does: door_kept and lockouts_real have those",
    ),
    (
        r"^(switch|undo|recover): (fsync|rename|one step of the rename) /var/lib/stackc/tx/TX/(phase|state.json)(.new)?$",
        "recovery goes by the decision and by what was there before, and notes its own reason",
    ),
    (
        r"^(undo|recover|switch): sync_(all|dir) (/etc|/usr|/var/lib/stackc$|/var/lib/stackc/tx/TX$)",
        "each folder is synced, and then everything: either alone would do; in some folders nothing changes",
    ),
    (
        r"^confirm: sync_dir /var/lib/stackc(/tx/TX)?$",
        "it answers when the transaction's folder has left its place durably, with the record of how it ended",
    ),
    (
        r"^recover: (rename|one step of the rename) /var/lib/stackc/tx/TX/recoveries$",
        "boots are counted for guests that cannot recover: guest_life has one",
    ),
    (
        r"^recover: one step of the rename /var/lib/stackc/history/TX.json$",
        "while it is missing the transaction is open, and recovery writes it again",
    ),
    (
        r"^gc: sync_dir /var/lib/stackc/(store|secrets)$",
        "what is torn is sent again: trees and secrets are verified before they count as there",
    ),
];

/// Why a site makes no difference; none when it should.
pub fn why_equivalent(site: &Site) -> Option<&'static str> {
    let text = site.to_string();
    let is_it = |pattern: &str| {
        Regex::new(pattern).expect("the patterns of the table are regular").is_match(&text)
    };
    EQUIVALENT.iter().find(|(pattern, _)| is_it(pattern)).map(|(_, why)| *why)
}
