//! Shells of users: sshd refuses whoever has one that is not there. Source: `allowed_user` in OpenSSH's auth.c.

use super::units::Makers;
use crate::{
    compile::report::{Code, Mistake},
    model::GuestPath,
};

/// Shells by their name in `/usr/bin`, the package that has them, and others that bring it along. Source: file lists,
/// alternatives and dependencies of Debian 12's packages.
const SHELLS: [(&str, &str, &[&str]); 8] = [
    ("csh", "csh", &["bedops", "qflow", "sptk", "tcsh"]),
    ("fish", "fish", &[]),
    ("ksh", "ksh", &["ecflow-server", "ksh93u+m", "kwalletcli", "libncarg", "mksh"]),
    ("ksh93", "ksh", &["ecflow-server", "libncarg"]),
    ("lksh", "mksh", &["kwalletcli"]),
    ("mksh", "mksh", &["kwalletcli"]),
    ("tcsh", "tcsh", &["bedops", "qflow"]),
    (
        "zsh",
        "zsh",
        &[
            "draai",
            "ecflow-server",
            "libeccodes-tools",
            "libncarg",
            "libpetsc",
            "shellex",
            "staden-common",
            "tomb",
            "zec",
            "zgen",
            "zomg",
            "zplug",
        ],
    ),
];

/// Reports shells that nobody brings, where that is certain.
pub fn check(makers: &Makers<'_>) {
    for (user, view) in makers.stack.tables("users") {
        let Some(shell) = view.text("shell") else { continue };
        let Ok(path) = shell.value.parse::<GuestPath>() else { continue };
        let (code, why, help) = if let Some(package) = missing_package(makers, &path) {
            let table = view.lowering.files.layer_table(shell.at, "packages");
            let help = format!("add `{package} = true` to `[{table}]`, or name another shell");
            (Code::PackageNotDeclared, "no package of the guest brings", help)
        } else if !makers.has_hooks() && makers.is_unmade(&path) {
            let help = "declare the file in `files`, or name another shell".to_owned();
            (Code::UnmadeFile, "nobody makes", help)
        } else {
            continue;
        };
        let title = format!("`{user}` could not log in: {why} the shell `{path}`");
        view.report(Mistake::new(code, shell.at, title).help(help));
    }
}

/// The package that a shell needs, when neither it nor another of the guest's can bring it.
fn missing_package(makers: &Makers<'_>, path: &GuestPath) -> Option<&'static str> {
    let name = path.as_str().strip_prefix("/usr").unwrap_or(path.as_str()).strip_prefix("/bin/")?;
    let (_, package, others) = SHELLS.iter().find(|(shell, ..)| *shell == name)?;
    let brings = |declared: &str| {
        declared.contains(package) || others.iter().any(|other| declared.starts_with(other))
    };
    let is_certain = makers.packages.are_debians() && !makers.has_hooks();
    (is_certain && !makers.packages.any(brings)).then_some(*package)
}
