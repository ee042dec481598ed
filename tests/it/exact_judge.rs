//! Whether a transition did what its plan says, line by line, and nothing else.

use crate::{
    exact_kept, exact_paths,
    exact_paths::Wanted,
    exact_picture::{Picture, differences},
    exact_rules, exact_units,
    exact_volatile::is_volatile,
};

/// Everything that the plan did not say, and everything that it said and that did not happen.
pub fn faults(wanted: &Wanted<'_>, before: &Picture, after: &Picture) -> Vec<String> {
    let expected = exact_paths::expected(wanted, before, after);
    let paths = differences(&expected, &after.lines());
    let paths = paths.into_iter().filter(|(path, _)| !is_volatile(path)).map(|(_, told)| told);
    let mut faults: Vec<String> = paths.collect();
    faults.extend(exact_kept::faults(wanted, before, after));
    faults.extend(exact_units::faults(wanted.said, &before.units, &after.units));
    faults.extend(exact_rules::faults(wanted, before, after));
    faults
}

mod tests {
    use super::*;
    use crate::{
        exact_picture::{KEPT, Seen, What},
        exact_said::Said,
        exact_units::Unit,
        handmade::{access, name, sealed},
    };
    use stackc::model::{
        Bundle, Bytes, Digest, Entry, EntryPath, FileClass, Manifest, Mode, Target,
    };
    use std::collections::BTreeMap;

    /// A file of class A, a copy, and a link; the first two say their version.
    fn bundle(version: &str) -> Bundle {
        let (mut entries, mut files) = (BTreeMap::new(), BTreeMap::new());
        let classes = [("note", FileClass::Linked), ("copy", FileClass::Copied)];
        for (file, class) in classes {
            let path: EntryPath = name(&format!("rootfs/etc/own/{file}"));
            let bytes = version.as_bytes().to_vec();
            let access = access(Mode::FILE);
            let entry = Entry::File { class, access, bytes: Bytes::of(&bytes), unit: None };
            entries.insert(path.clone(), entry);
            files.insert(path, bytes);
        }
        let target = "/usr/bin/true".to_owned();
        entries.insert(name("rootfs/etc/own/link"), Entry::Link { target });
        let target = Target { project: name("exact"), env: name("dev") };
        let (payload, units) = (Digest::of(b"exact"), BTreeMap::new());
        let manifest = Manifest { target, payload, entries, units };
        sealed(manifest, files)
    }

    fn seen(what: What, mode: u32) -> Seen {
        Seen { what, mode, uid: 0, gid: 0, attributes: BTreeMap::new() }
    }

    fn file(text: &str) -> Seen {
        seen(What::File { sha256: Digest::of(text.as_bytes()) }, 0o644)
    }

    fn link(target: &str) -> Seen {
        seen(What::Link { target: target.to_owned() }, 0)
    }

    fn unit(invocation: &str) -> Unit {
        let text = str::to_owned;
        let (active, sub, pid) = (text("active"), text("running"), text("7"));
        Unit { active, sub, pid, invocation: text(invocation), changed: text(invocation) }
    }

    /// A guest on the last of these versions, after the others.
    fn guest(versions: &[&str]) -> Picture {
        let mut paths = BTreeMap::new();
        for folder in ["/etc", "/etc/own", KEPT, "/var/lib/stackc/secrets/v"] {
            paths.insert(folder.to_owned(), seen(What::Directory, 0o755));
        }
        for (number, version) in (1..).zip(versions) {
            let digest = bundle(version).digest;
            let own = format!("{KEPT}/generations/{number}");
            paths.insert(own.clone(), seen(What::Directory, 0o755));
            for kept in ["generation.json", "ledger.json"] {
                paths.insert(format!("{own}/{kept}"), file(version));
            }
            paths.insert(format!("{own}/tree"), link(&format!("../../store/{digest}")));
            paths.insert(format!("{own}/secrets"), link("../../secrets/v"));
            paths.insert(format!("{KEPT}/history/{number}.json"), file(version));
            let tree = format!("{KEPT}/store/{digest}");
            paths.insert(format!("{tree}/manifest.json"), file(version));
            for one in ["note", "copy"] {
                paths.insert(format!("{tree}/rootfs/etc/own/{one}"), file(version));
            }
            paths.insert(format!("{tree}/rootfs/etc/own/link"), link("/usr/bin/true"));
            paths.insert("/etc/own/copy".to_owned(), file(version));
            paths.insert(format!("{KEPT}/current"), link(&format!("generations/{number}")));
        }
        let note = format!("{KEPT}/current/tree/rootfs/etc/own/note");
        paths.insert("/etc/own/note".to_owned(), link(&note));
        paths.insert("/etc/own/link".to_owned(), link("/usr/bin/true"));
        let units = [("own.service", versions.len()), ("other.service", 1)];
        let units = units.map(|(name, run)| (name.to_owned(), unit(&run.to_string())));
        let accounts = [("/etc/passwd", "root:x:0:0::/root:/bin/sh"), ("/etc/group", "root:x:0:")];
        let texts = accounts.map(|(path, line)| (path.to_owned(), format!("{line}\n"))).into();
        Picture { paths, texts, units: units.into(), ..Picture::default() }
    }

    fn said() -> Said {
        Said::read(
            "exact/dev  guest 150  generation 1 (aaaaaaaaaaaa) → bbbbbbbbbbbb
  send       the guest does not have this bundle
  accounts   users, folders and owners of the new files
  switch     the bundle differs  [restarts]
             ~ /etc/own/copy
             ~ /etc/own/note
             restart    own.service: /etc/own/copy changed
",
        )
    }

    /// What the judge says of the way from the first version to the second, with something changed about it.
    fn judged(change: impl FnOnce(&mut Said, &mut Picture)) -> String {
        let (mut said, before, mut after) = (said(), guest(&["one"]), guest(&["one", "two"]));
        change(&mut said, &mut after);
        let bundle = bundle("two");
        let wanted = Wanted { said: &said, bundle: Some(&bundle), secret: "" };
        faults(&wanted, &before, &after).join("\n")
    }

    #[test]
    fn a_transition_that_did_what_its_plan_says_has_no_fault() {
        assert_eq!(judged(|_, _| {}), "");
    }

    #[test]
    fn a_line_that_is_taken_from_a_plan_is_missed() {
        type Cut = (fn(&mut Said), &'static str);
        let cuts: [Cut; 4] = [
            (
                |said| {
                    said.files.remove("/etc/own/note");
                },
                "/etc/own/note: ",
            ),
            (
                |said| {
                    said.files.remove("/etc/own/copy");
                },
                "/etc/own/copy: ",
            ),
            (
                |said| {
                    said.units.remove("own.service");
                },
                "own.service was to be left alone",
            ),
            (
                |said| {
                    said.steps.remove("send");
                },
                "nobody planned /var/lib/stackc/store/",
            ),
        ];
        for (cut, told) in cuts {
            let found = judged(|said, _| cut(said));
            assert!(found.contains(told), "{told}: {found}");
        }
        assert!(
            judged(|said, _| said.steps.clear()).contains("current was link to generations/1"),
            "no plan"
        );
    }

    #[test]
    fn a_line_of_a_plan_that_did_not_happen_is_found() {
        type Add = (fn(&mut Said), &'static str);
        let adds: [Add; 4] = [
            (
                |said| {
                    said.files.insert("/etc/own/link".into(), '-');
                },
                "/etc/own/link: nothing",
            ),
            (
                |said| {
                    said.units.insert("other.service".into(), "reload".into());
                },
                "other.service was to be reloaded",
            ),
            (
                |said| {
                    said.firewall.insert("+ firewall enabled = true".into());
                },
                "it did not happen: + firewall",
            ),
            (
                |said| {
                    said.steps.insert("secrets".into(), String::new());
                },
                "/secrets/ got {}",
            ),
        ];
        for (add, told) in adds {
            let found = judged(|said, _| add(said));
            assert!(found.contains(told), "{told}: {found}");
        }
    }

    #[test]
    fn whatever_else_changes_is_found() {
        type Change = (fn(&mut Picture), &'static str);
        let changes: [Change; 11] = [
            (
                |after| {
                    after.paths.insert("/etc/more".into(), file(""));
                },
                "/etc/more: nothing",
            ),
            (
                |after| {
                    after.paths.remove("/etc/own/link");
                },
                "/etc/own/link: link to",
            ),
            (
                |after| after.paths.get_mut("/etc/own").expect("there").mode = 0o700,
                "/etc/own: 0755",
            ),
            (
                |after| after.paths.get_mut("/etc/own/copy").expect("there").uid = 1,
                "/etc/own/copy: 0644 0:0",
            ),
            (
                |after| {
                    after
                        .paths
                        .get_mut("/etc")
                        .expect("there")
                        .attributes
                        .insert("user.a".into(), Digest::of(b""));
                },
                "/etc: 0755 0:0 folder was to be there",
            ),
            (
                |after| {
                    after.paths.insert("/etc/own/copy".into(), file("hand"));
                },
                "/etc/own/copy: ",
            ),
            (
                |after| {
                    let tree = format!("{KEPT}/store/{}/rootfs/etc/own/note", bundle("two").digest);
                    after.paths.insert(tree, file("hand"));
                },
                "/etc/own/note: ",
            ),
            (
                |after| {
                    after.paths.insert(format!("{KEPT}/left"), file(""));
                },
                "nobody planned /var/lib/stackc/left",
            ),
            (
                |after| {
                    after.paths.remove(&format!("{KEPT}/generations/1/ledger.json"));
                },
                "generations/1/ledger.json was",
            ),
            (
                |after| {
                    after.units.insert("other.service".into(), unit("9"));
                },
                "other.service was to be left alone",
            ),
            (
                |after| after.rules.kernel.push("-A INPUT -j DROP".to_owned()),
                "the kernel has other rules",
            ),
        ];
        for (change, told) in changes {
            let found = judged(|_, after| change(after));
            assert!(found.contains(told), "{told}: {found}");
        }
    }
}
