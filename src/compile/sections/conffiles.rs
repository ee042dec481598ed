//! Configuration files of the packages that a guest declares: dpkg would fight over them.

use super::{overlay::Overlay, units::Packages};
use crate::compile::{
    report::{Code, Mistake},
    view::View,
};
use std::{collections::BTreeMap, sync::LazyLock};

/// Conffiles with the packages that bring them, themselves or by what they depend on. Source: `dpkg-deb --info` of Debian
/// 12's packages. Those of a minimal guest are in `place`.
static OF_PACKAGES: LazyLock<BTreeMap<&str, Vec<&str>>> = LazyLock::new(|| {
    let lines = include_str!("package_conffiles.txt").lines();
    let entry = |line: &'static str| {
        let (path, packages) = line.split_once(' ')?;
        Some((path, packages.split(' ').collect()))
    };
    lines.filter_map(entry).collect()
});

/// Whether a package that a guest declares brings a file.
pub fn brings(path: &str, packages: &Packages) -> Option<&'static str> {
    let bring = OF_PACKAGES.get(path)?;
    bring.iter().copied().find(|package| packages.declare(package))
}

pub fn check(stack: &View<'_>, overlay: &Overlay, packages: &Packages) {
    for (path, (_, at)) in &overlay.items {
        if let Some(package) = brings(path.as_str(), packages) {
            let title = format!(
                "`{path}` is a configuration file of the package `{package}`, which dpkg would fight over"
            );
            let help =
                "use the package's `.d` folder, or a drop-in by which its unit reads another file";
            stack.report(Mistake::new(Code::ForeignPath, *at, title).help(help));
        }
    }
}
