//! Forms of texts in the schema, and the readers that they stand for: a form refuses nothing that its reader takes.

use crate::compile_laws::holds;
use proptest::{prelude::*, string::string_regex};
use regex::Regex;
use stackc::model::{
    AccountName, BranchName, BridgeName, CpuType, DatabaseName, DiskSlot, DomainName, EntryPath,
    EnvName, GuestName, GuestPath, ImageVolume, InterfaceName, KindName, MacAddr, Mode, MountSlot,
    NodeName, Owner, PackageName, PoolName, ProjectName, SecretName, ServiceName, StartableUnit,
    StorageName, TemplateVolume, UnitName,
};
use std::str::FromStr;

/// Texts that are nearly of many forms.
const NEARLY: &str = r"[a-zA-Z0-9_./:@+ -]{0,12}|eth[0-9]{1,3}|mp[0-9]{1,4}|scsi[0-9]{1,3}|[0-7]{3,5}|([0-9A-F]{2}:){4,6}[0-9A-F]{2}|[a-z]{1,3}:(vztmpl|import)/[a-z.]{0,4}\.raw|[a-z@\\-]{0,4}\.(service|timer|mount|device|x)|/?([a-z.]{0,3}/){0,3}[a-z.\x00-\x20é]{0,3}";

fn takes<T: FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

#[test]
fn the_form_of_a_type_takes_what_its_reader_takes_and_where_it_can_no_more() {
    type Reader = fn(&str) -> bool;
    let exact: [(&str, Reader); 21] = [
        (EnvName::FORM, takes::<EnvName>),
        (KindName::FORM, takes::<KindName>),
        (GuestName::FORM, takes::<GuestName>),
        (NodeName::FORM, takes::<NodeName>),
        (StorageName::FORM, takes::<StorageName>),
        (TemplateVolume::FORM, takes::<TemplateVolume>),
        (ImageVolume::FORM, takes::<ImageVolume>),
        (InterfaceName::FORM, takes::<InterfaceName>),
        (MountSlot::FORM, takes::<MountSlot>),
        (DiskSlot::FORM, takes::<DiskSlot>),
        (CpuType::FORM, takes::<CpuType>),
        (BridgeName::FORM, takes::<BridgeName>),
        (PoolName::FORM, takes::<PoolName>),
        (Owner::FORM, takes::<Owner>),
        (AccountName::FORM, takes::<AccountName>),
        (PackageName::FORM, takes::<PackageName>),
        (UnitName::FORM, takes::<UnitName>),
        (StartableUnit::FORM, takes::<StartableUnit>),
        (ServiceName::FORM, takes::<ServiceName>),
        (DatabaseName::FORM, takes::<DatabaseName>),
        (Mode::FORM, takes::<Mode>),
    ];
    let over: [(&str, Reader); 7] = [
        (ProjectName::FORM, takes::<ProjectName>),
        (BranchName::FORM, takes::<BranchName>),
        (DomainName::FORM, takes::<DomainName>),
        (SecretName::FORM, takes::<SecretName>),
        (MacAddr::FORM, takes::<MacAddr>),
        (GuestPath::FORM, takes::<GuestPath>),
        (EntryPath::FORM, takes::<EntryPath>),
    ];
    let all = exact.map(|form| (form, true)).into_iter().chain(over.map(|form| (form, false)));
    for ((form, reader), is_exact) in all {
        let whole = Regex::new(&format!("^(?:{form})$")).expect("it is a regular expression");
        let texts = prop_oneof![
            string_regex(form).expect("it makes texts"),
            string_regex(NEARLY).expect("it makes texts"),
        ];
        holds(256, &texts, |text: String| {
            let (fits, is_taken) = (whole.is_match(&text), reader(&text));
            prop_assert!(fits || !is_taken, "{form} refuses {text:?}");
            prop_assert!(is_taken || !fits || !is_exact, "{form} takes {text:?}");
            Ok(())
        });
    }
}
