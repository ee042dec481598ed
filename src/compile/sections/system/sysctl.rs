//! `system.sysctl`: one file of `/etc/sysctl.d`. Source: sysctl.d(5).

use super::Overlay;
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::variables,
        source::At,
        view::View,
    },
    model::Mode,
};
use std::{collections::BTreeMap, fmt::Write as _};

pub fn add(stack: &View<'_>, view: &View<'_>, overlay: &mut Overlay) {
    let is_vm = stack.table("guest").text("kind").is_some_and(|kind| kind.value == "qemu");
    let mut lines: BTreeMap<String, (String, At)> = BTreeMap::new();
    for (key, at, node) in view.entries("sysctl") {
        let Some(value) = variables::plain(view.lowering, node) else { continue };
        if !is_key(key) {
            let title = format!("`{key}` is no kernel parameter");
            let help = "write it as `sysctl -a` shows it, such as \"net.core.somaxconn\"";
            view.report(Mistake::new(Code::BadSysctl, at, title).help(help));
        } else if !is_vm && !with_dots(key).starts_with("net.") {
            let title =
                format!("a container cannot set `{key}`: its node's kernel has one for all");
            let help = "set it on the node, or make the guest a virtual machine";
            view.report(Mistake::new(Code::BadSysctl, at, title).help(help));
        } else if value.trim().is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
            let title = format!("the value of `{key}` is not one line");
            let help = "write what `sysctl -n` shows, numbers with blanks between them";
            view.report(Mistake::new(Code::BadSysctl, node.at, title).help(help));
        } else if let Some((_, first)) = lines.get(&with_dots(key)) {
            let title = format!("the kernel parameter `{key}` is set twice");
            let mistake =
                Mistake::new(Code::DeclaredTwice, at, title).also(*first, "the other one");
            view.report(mistake.help("`.` and `/` mean the same: keep one of the two"));
        } else {
            lines.insert(with_dots(key), (format!("{key} = {}\n", value.trim()), at));
        }
    }
    let Some(at) = view.node("sysctl").map(|node| node.at).filter(|_| !lines.is_empty()) else {
        return;
    };
    let mut text = String::new();
    for (line, _) in lines.values() {
        write!(text, "{line}").expect("text takes all");
    }
    overlay.add_text("/etc/sysctl.d/60-stackc.conf", Mode::FILE, text, at, view);
}

fn is_key(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    key.contains(['.', '/'])
        && key.split(['.', '/']).all(|part| !part.is_empty() && part.chars().all(plain))
}

/// Where the first separator is a `/`, dots are part of names, and the other way round.
fn with_dots(key: &str) -> String {
    let swapped = |c| match c {
        '/' => '.',
        '.' => '/',
        c => c,
    };
    match key.find(['.', '/']).map(|n| &key[n..=n]) {
        Some("/") => key.chars().map(swapped).collect(),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_a_parameter_are_known_as_one() {
        assert_eq!(with_dots("net/ipv4/conf/eth0.1/forwarding"), "net.ipv4.conf.eth0/1.forwarding");
        assert_eq!(with_dots("net.ipv4.conf.eth0/1.forwarding"), "net.ipv4.conf.eth0/1.forwarding");
        for key in ["vm.swappiness", "net/ipv4/ip_forward", "kernel.yama.ptrace_scope"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "swappiness", "-vm.swappiness", "vm..x", "vm.x=", "vm.*", ".vm", "a b.c"] {
            assert_eq!(is_key(key), key == "-vm.swappiness", "{key}");
        }
    }
}
