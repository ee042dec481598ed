//! What stackc has brought: every package that an installation of its own added, with what asked for it.

use super::status::Installed;
use crate::guest::error::GuestError;
use crate::guest::fs::{GuestFs, mkdir_all};
use crate::guest::kept;
use crate::model::layout::STATE;
use crate::model::{Digest, PackageName, UnitName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const RECORD: &str = "/var/lib/stackc/packages.json";

/// `packages.json`. What was on the guest before is not in it, nor what others installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub packages: BTreeMap<PackageName, Brought>,
}

/// A package that stackc has brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brought {
    /// The bundle whose installation brought it.
    pub digest: Digest,
    /// Its units that run by themselves.
    pub units: BTreeSet<UnitName>,
}

impl Record {
    pub fn read(fs: &mut dyn GuestFs) -> Result<Self, GuestError> {
        match fs.stat(RECORD)? {
            Some(_) => kept::read(fs, RECORD),
            None => Ok(Self::default()),
        }
    }

    pub fn write(&self, fs: &mut dyn GuestFs) -> Result<(), GuestError> {
        mkdir_all(fs, STATE, 0o755)?;
        Ok(kept::put(fs, RECORD, self, 0o644)?)
    }

    /// Notes what an installation is about to bring: noted afterwards, a call that died would have brought it unseen.
    pub fn expect(&mut self, names: impl Iterator<Item = PackageName>, digest: Digest) {
        let brought = |name| (name, Brought { digest, units: BTreeSet::new() });
        self.packages.extend(names.map(brought));
    }

    /// Lets go of what is not there: it never came, or somebody has removed it since.
    pub fn settle(&mut self, installed: &Installed) {
        self.packages.retain(|name, _| installed.knows(name.as_str()));
    }

    /// Every unit, with the package that it is of.
    pub fn units(&self) -> impl Iterator<Item = (&UnitName, &PackageName)> {
        let packages = self.packages.iter();
        packages.flat_map(|(name, brought)| brought.units.iter().map(move |unit| (unit, name)))
    }

    /// Of what stackc has brought, what is needed: what is declared, what is mentioned, what others than stackc brought,
    /// and all that these depend on.
    pub fn needed<'a>(
        &'a self,
        installed: &'a Installed,
        declared: impl Iterator<Item = &'a str>,
        is_mentioned: impl Fn(&UnitName) -> bool,
    ) -> BTreeSet<PackageName> {
        let own: BTreeSet<&str> = self.packages.keys().map(PackageName::as_str).collect();
        let others = installed.names().filter(|name| !own.contains(name));
        let mentioned = self.units().filter(|(unit, _)| is_mentioned(unit));
        let mentioned = mentioned.map(|(_, package)| package.as_str());
        let needed = installed.closure(others.chain(declared).chain(mentioned));
        let own = self.packages.keys().filter(|name| needed.contains(name.as_str()));
        own.cloned().collect()
    }
}
