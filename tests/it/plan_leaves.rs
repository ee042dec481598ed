//! What goes with files that leave the definitions, and what stays behind: a plan says both.

use crate::{
    handmade::{Stack, bundle, put_file},
    plan::{container, guest, planned, recorded, tags},
};
use stackc::{
    model::{Bundle, FileClass},
    plan::text,
};

/// The bundle of shop/dev with these files besides.
fn with(files: &[(&str, &str)]) -> Bundle {
    let mut made = bundle(&Stack::default());
    for (path, content) in files {
        put_file(&mut made, path, FileClass::Linked, content);
    }
    made
}

/// The plan from one bundle to the other, on a guest that knows the value of one parameter.
fn told(live: &Bundle, wanted: &Bundle) -> String {
    let mut observed = guest(live, wanted, &tags("a"));
    let mut known = recorded(live);
    known.found.sysctls.insert("net/core/somaxconn".to_owned(), "4096".to_owned());
    observed.recorded = Some(known);
    let there = container(&Stack::default());
    text(&planned(wanted, &tags("a"), Some(&there), Some(&observed)))
}

const FILES: [(&str, &str); 5] = [
    ("/etc/sysctl.d/a.conf", "net.core.somaxconn = 1\nnet.ipv4.ip_forward = 1\n"),
    ("/etc/tmpfiles.d/a.conf", "d /srv/a 0755 root root -\nd /run/a 0755 root root -\n"),
    ("/etc/sysusers.d/a.conf", "u a - -\n"),
    ("/etc/modules-load.d/a.conf", "tun\n"),
    ("/etc/security/limits.d/a.conf", "* soft nofile 1\n"),
];

#[test]
fn what_leaves_is_told_with_what_it_leaves_behind() {
    insta::assert_snapshot!(told(&with(&FILES), &with(&[])));
}

#[test]
fn what_moves_to_another_file_or_comes_leaves_nothing_behind() {
    let moved = with(&FILES);
    let mut files = FILES;
    files[0].0 = "/etc/sysctl.d/b.conf";
    files[1].0 = "/etc/tmpfiles.d/b.conf";
    for (live, wanted) in [(&moved, &with(&files)), (&with(&[]), &moved)] {
        let told = told(live, wanted);
        for words in ["again", "stays", "stay "] {
            let found = told.lines().find(|line| line.contains(words));
            assert!(found.is_none_or(|line| line.contains("Not undone: users stay.")), "{told}");
        }
    }
}

#[test]
fn one_parameter_that_leaves_its_file_is_told_and_the_others_are_not() {
    let kept = "net.ipv4.ip_forward = 1\n";
    let told = told(&with(&FILES[..1]), &with(&[("/etc/sysctl.d/a.conf", kept)]));
    assert!(told.contains("~ sysctl net.core.somaxconn is 4096 again"), "{told}");
    assert!(!told.contains("ip_forward"), "{told}");
}
