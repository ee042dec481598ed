//! Guests in Proxmox's own words: what is asked for, what is read back, and what a plan makes of a difference.

use crate::{
    compile::case,
    compile_laws::holds,
    handmade::{self, Stack, bundle, made, name, volume},
    plan::{container, guest, planned, tags},
};
use proptest::prelude::*;
use stackc::{
    model::{
        Bios, Bundle, Chipset, Container, CpuType, Disk, DiskSource, GuestKind, InterfaceName,
        MacAddr, MachineOptions, Mark, Mount, Network, Notes, ProxmoxDocument, Setting, Startup,
        StorageName, Target, creation, property,
    },
    plan::{Documents, Plan, PlanError, Step, setting_changes, text},
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

#[test]
fn guests_of_both_kinds_compile_to_these_calls_with_every_key() {
    case("guests");
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_filter_map("it is for many", |octets| {
        octets.map(|octet| format!("{octet:02x}")).join(":").parse().ok()
    })
}

fn network() -> impl Strategy<Value = Network> {
    let net4 = (any::<[u8; 4]>(), 0..=32_u8).prop_map(|(octets, length)| {
        format!("{}/{length}", Ipv4Addr::from(octets)).parse().expect("a network")
    });
    let net6 = (any::<[u8; 16]>(), 0..=128_u8).prop_map(|(octets, length)| {
        format!("{}/{length}", Ipv6Addr::from(octets)).parse().expect("a network")
    });
    let words = prop::collection::btree_map("rate|link_down|trunks", "[0-9;]{1,8}", 0..3);
    let numbers = (prop::option::of(1..=4094_u16), prop::option::of(576..=65_520_u16));
    let addresses = (prop::option::of(net4), prop::option::of(net6));
    let gateways = (any::<Option<[u8; 4]>>(), any::<Option<[u8; 16]>>());
    let rest = (prop::option::of(mac()), any::<bool>(), words);
    ("[a-zA-Z0-9._-]{1,15}", numbers, addresses, gateways, rest).prop_map(
        |(bridge, (vlan, mtu), (ip, ip6), (four, six), (mac, firewall, others))| Network {
            bridge,
            vlan,
            mtu,
            mac,
            ip,
            ip6,
            gateway: four.map(Ipv4Addr::from),
            gateway6: six.map(Ipv6Addr::from),
            firewall,
            others,
        },
    )
}

#[test]
fn laws_a_network_reads_back_as_it_was_written() {
    holds(500, &(network(), 1..=9_u8), |(network, n)| {
        let written = network.of_container(&format!("eth{n}"));
        prop_assert_eq!(&Network::read_of_container(&written), &network, "{}", written);
        // Proxmox adds a type, and may put the parts in any order.
        let mut parts: Vec<_> = written.split(',').collect();
        parts.reverse();
        let stored = format!("type=veth,{}", parts.join(","));
        prop_assert_eq!(Network::read_of_container(&stored), network, "{}", stored);
        Ok(())
    });
}

#[test]
fn laws_a_machine_has_every_part_of_its_network_in_one_option_or_the_other() {
    holds(200, &network(), |network| {
        let card = network.of_machine();
        let cloud = network.cloud_init().unwrap_or_default();
        let parts: BTreeMap<_, _> =
            property::parse(&card).into_iter().chain(property::parse(&cloud)).collect();
        let text = |value: Option<String>| value;
        let wanted = [
            ("bridge", Some(network.bridge.clone())),
            ("firewall", network.firewall.then(|| "1".to_owned())),
            ("gw", text(network.gateway.map(|ip| ip.to_string()))),
            ("gw6", text(network.gateway6.map(|ip| ip.to_string()))),
            ("ip", text(network.ip.map(|ip| ip.to_string()))),
            ("ip6", text(network.ip6.map(|ip| ip.to_string()))),
            ("mtu", text(network.mtu.map(|n| n.to_string()))),
            ("tag", text(network.vlan.map(|n| n.to_string()))),
            ("virtio", text(network.mac.map(|mac| mac.to_string()))),
        ];
        for (key, value) in wanted {
            prop_assert_eq!(
                parts.get(key).copied(),
                value.as_deref(),
                "{} of {} {}",
                key,
                card,
                cloud
            );
        }
        Ok(())
    });
}

#[test]
fn laws_a_mount_and_a_start_order_read_back_as_they_were_written() {
    let mount = (
        "(/[a-z0-9._+@-]{1,12}){1,4}",
        "[a-z][a-z0-9-]{0,8}[a-z0-9]",
        1..=65_536_u32,
        any::<bool>(),
    );
    holds(300, &mount, |(path, storage, size_gib, backup)| {
        let Ok(path) = path.parse() else { return Ok(()) };
        let storage = storage.parse::<StorageName>().expect("a storage");
        let mount = Mount { path, storage, size_gib, backup };
        prop_assert_eq!(Mount::read(&volume(&mount)), Some(mount.clone()));
        let asked = property::parse(&mount.allocation()).len();
        prop_assert_eq!(asked, 3, "no part of it is another one: {}", mount.allocation());
        Ok(())
    });
    let number = || prop::option::of(0..=86_400_u32);
    holds(200, &(number(), number(), number()), |(order, up_seconds, down_seconds)| {
        let startup = Startup { order, up_seconds, down_seconds };
        let wanted = (startup != Startup::default()).then_some(startup);
        prop_assert_eq!(Startup::read(&startup.to_string()), wanted);
        Ok(())
    });
}

#[test]
fn laws_notes_read_back_from_a_description_with_stackcs_own_lines_below() {
    holds(500, &"([a-z #:%-]{0,9}\n?){0,5}", |written| {
        let Ok(notes) = written.parse::<Notes>() else { return Ok(()) };
        let own =
            format!("stackc-hostkey SHA256:{}\nstackc shop/dev {}", "k".repeat(43), "0".repeat(32));
        let description = format!("{notes}\n\n{own}\n");
        prop_assert_eq!(Notes::in_description(&description), notes.as_str());
        Ok(())
    });
}

#[test]
fn an_order_without_its_key_is_read() {
    let startup = Startup { order: Some(7), up_seconds: Some(3), down_seconds: None };
    assert_eq!(Startup::read("7,up=3"), Some(startup));
    assert_eq!(Startup::read(""), None);
}

/// A bundle whose guest is another one.
fn with_guest(change: impl FnOnce(&mut ProxmoxDocument)) -> Bundle {
    handmade::with_guest(&Stack::default(), change)
}

/// A document in which every setting has a value.
fn full(wanted: &mut ProxmoxDocument) {
    wanted.cpu_limit = std::num::NonZeroU32::new(2);
    wanted.cpu_units = Some(50);
    wanted.nameservers = vec![[10, 0, 10, 2].into()];
    wanted.search_domain = Some(name("example.org"));
    wanted.startup = Some(Startup { order: Some(1), ..Startup::default() });
    wanted.description = Some(name("Orders.\nAsk first."));
    wanted.ip6 = Some(name("2001:db8::101/64"));
    wanted.gateway6 = Some(name("2001:db8::1"));
    wanted.vlan = Some(20);
    wanted
        .networks
        .insert(name("eth1"), Network { bridge: "vmbr1".to_owned(), ..Network::default() });
}

fn plan_for(wanted: &Bundle, there: &Container) -> Plan {
    let guest = guest(wanted, wanted, &tags("a"));
    planned(wanted, &tags("a"), Some(there), Some(&guest))
}

#[test]
fn every_setting_that_differs_is_changed_and_the_plan_of_the_result_is_empty() {
    let wanted = with_guest(full);
    let there = container(&Stack::default());
    let plan = plan_for(&wanted, &there);
    insta::assert_snapshot!(text(&plan));
    let document = Documents::of(&wanted).expect("the bundle is whole").proxmox;
    let Container { mark, host_key, running, .. } = there;
    let result = Container { mark, host_key, running, ..made(&document) };
    assert!(plan_for(&wanted, &result).is_empty(), "{}", text(&plan_for(&wanted, &result)));
}

#[test]
fn what_is_taken_out_of_a_definition_is_taken_from_the_guest_and_can_be_put_back() {
    let rich = Documents::of(&with_guest(full)).expect("the bundle is whole").proxmox;
    let there = Container { running: true, ..container(&Stack::default()) };
    let there =
        Container { mark: there.mark, host_key: there.host_key, running: true, ..made(&rich) };
    let wanted = bundle(&Stack::default());
    insta::assert_snapshot!(text(&plan_for(&wanted, &there)));
    let document = Documents::of(&wanted).expect("the bundle is whole").proxmox;
    let options = document.container().expect("a container");
    let changes = setting_changes(&document, options, &there);
    let back: Vec<_> = changes.iter().map(|change| change.before.clone()).collect();
    assert!(back.contains(&Setting::CpuLimit("2".to_owned())), "{back:?}");
    assert!(back.contains(&Setting::SearchDomain("example.org".to_owned())), "{back:?}");
    let eth1: InterfaceName = name("eth1");
    assert!(back.contains(&Setting::Interface(eth1.clone(), there.networks.get(&eth1).cloned())));
}

#[test]
fn what_no_definition_can_say_of_a_network_stays_and_an_address_by_dhcp_goes() {
    let wanted = with_guest(full);
    let document = Documents::of(&wanted).expect("the bundle is whole").proxmox;
    let mut there = made(&document);
    let found = "name=eth1,bridge=vmbr1,hwaddr=BC:24:11:00:00:02,ip=dhcp,rate=5";
    there.networks.insert(name("eth1"), Network::read_of_container(found));
    let changes = setting_changes(&document, document.container().expect("a container"), &there);
    let [change] = changes.as_slice() else { panic!("one differs: {changes:?}") };
    let Setting::Interface(_, Some(network)) = &change.setting else { panic!("{change:?}") };
    assert_eq!(
        network.of_container("eth1"),
        "name=eth1,bridge=vmbr1,hwaddr=BC:24:11:00:00:02,rate=5"
    );
    assert_eq!(change.from, "no address on vmbr1 without firewall ip=dhcp rate=5");
}

fn refused(wanted: &Bundle, there: Option<&Container>) -> PlanError {
    let documents = Documents::of(wanted).expect("the bundle is whole");
    let secrets = stackc::model::SecretsVersion::of(&tags("a"), &wanted.manifest);
    let tags = tags("a");
    let wanted = stackc::plan::Wanted {
        bundle: wanted,
        tags: &tags,
        secrets,
        release: None,
        goes_back: false,
    };
    stackc::plan::plan(&wanted, &documents, there, None).expect_err("it is refused")
}

#[test]
fn mounts_and_pools_that_differ_are_told_and_never_ignored() {
    let mount = |path: &str, size_gib| Mount {
        path: name(path),
        storage: name("local-lvm"),
        size_gib,
        backup: true,
    };
    let wanted = with_guest(|wanted| {
        let GuestKind::Lxc(options) = &mut wanted.kind else { panic!("it is a container") };
        options.mounts =
            (0..3).map(|n| (name(&format!("mp{n}")), mount(&format!("/srv/{n}"), 10))).collect();
        wanted.pool = Some("shop".to_owned());
    });
    let mut there = container(&Stack::default());
    there.mounts = BTreeMap::from([
        (name("mp1"), volume(&Mount { backup: false, ..mount("/srv/1", 20) })),
        (name("mp2"), "/mnt/data,mp=/srv/2".to_owned()),
        (name("mp7"), volume(&mount("/srv/old", 1))),
        (name("mp8"), "/dev/sdx,mp=/srv/device".to_owned()),
    ]);
    insta::assert_snapshot!(refused(&wanted, Some(&there)).to_string());
    let document = Documents::of(&wanted).expect("the bundle is whole").proxmox;
    let Container { mark, host_key, running, .. } = there;
    let same = Container { mark, host_key, running, ..made(&document) };
    assert!(plan_for(&wanted, &same).is_empty(), "{}", text(&plan_for(&wanted, &same)));
}

#[test]
fn a_virtual_machine_is_refused_by_the_plan_and_not_before() {
    let wanted = with_guest(|wanted| {
        wanted.kind = GuestKind::Qemu(MachineOptions {
            source: DiskSource::Image(name("local:import/debian.qcow2")),
            cpu_type: name::<CpuType>("host"),
            balloon_mib: None,
            disks: BTreeMap::from([(
                name("scsi1"),
                Disk { storage: name("local-lvm"), size_gib: 1, backup: true, ssd: false },
            )]),
            agent: true,
            bios: Bios::Seabios,
            machine: Chipset::Q35,
            user: name("root"),
        });
    });
    let Target { project, env } = &wanted.manifest.target;
    assert_eq!(
        refused(&wanted, None).to_string(),
        format!(
            "{project}/{env} is a virtual machine: this version of stackc compiles, shows and compares it, \
             and makes containers only"
        )
    );
}

#[test]
fn a_new_guest_with_everything_needs_no_further_change() {
    let wanted = with_guest(full);
    let plan = planned(&wanted, &tags("a"), None, None);
    let steps: Vec<_> = plan.steps.iter().map(|planned| &planned.step).take(2).collect();
    assert_eq!(steps, [&Step::Create, &Step::Start]);
}

#[test]
fn an_empty_description_leaves_the_mark_alone() {
    let wanted = with_guest(|wanted| wanted.description = Some(name("\n")));
    let document = Documents::of(&wanted).expect("the bundle is whole").proxmox;
    let target = wanted.manifest.target;
    let mark = Mark { target, uuid: "0".repeat(32) };
    let calls = creation(&document, &mark);
    let description = calls[0].parameters.iter().find(|(key, _)| key == "description");
    assert_eq!(description, Some(&("description".to_owned(), mark.to_string())));
}
