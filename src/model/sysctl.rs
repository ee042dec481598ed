//! Files of sysctl.d: which kernel parameters they set. Source: sysctl.d(5).

use std::collections::BTreeSet;

/// The parameters that a file sets, as paths below `/proc/sys`. Those that a pattern names depend on the guest, and are left out.
pub fn sysctl_keys(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(key_of).collect()
}

fn key_of(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let key = line.split_once('=')?.0.trim().trim_start_matches('-');
    let path = with_slashes(key);
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    (path.split('/').all(plain) && !path.contains(['*', '?', '['])).then_some(path)
}

/// A path below `/proc/sys` as people write it, with dots.
pub fn sysctl_name(path: &str) -> String {
    let swapped = |c| match c {
        '/' => '.',
        '.' => '/',
        c => c,
    };
    path.chars().map(swapped).collect()
}

/// Where the first separator is a dot, slashes are part of names.
fn with_slashes(key: &str) -> String {
    match key.find(['.', '/']).map(|at| &key[at..=at]) {
        Some(".") => sysctl_name(key),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::sysctl_keys;

    #[test]
    fn parameters_are_known_however_they_are_written_and_patterns_are_not() {
        let text = "# net.a = 1\n;net.b = 1\n\nnet.core.somaxconn = 1\n -net/ipv4/conf/eth0.1/forwarding=1\n\
                    net.ipv4.conf.eth0/2.forwarding = 1\nnet.ipv4.conf.*.rp_filter = 1\n-net.c\nnet..d = 1\n../x = 1\n";
        let keys: Vec<String> = sysctl_keys(text).into_iter().collect();
        assert_eq!(
            keys,
            [
                "net/core/somaxconn",
                "net/ipv4/conf/eth0.1/forwarding",
                "net/ipv4/conf/eth0.2/forwarding"
            ]
        );
    }
}
