//! The unit decision table for units of packages.

use crate::{
    handmade::name,
    plan_units::{drop_in, expect, files},
};
use stackc::model::{Digest, GuestPath, UnitInputs};

#[test]
fn a_packages_unit_takes_its_drop_ins_like_a_unit_of_the_bundle_and_is_never_stopped() {
    let (one, two) = ("[Service]\nNice=1\n", "[Service]\nNice=2\n");
    expect(&[
        ("it changes", vec![drop_in(one, two)], "restart nginx.service"),
        ("it is the same", vec![drop_in(one, one)], ""),
        ("it comes", vec![drop_in(one, two).comes()], "restart nginx.service"),
        ("it comes while the unit is down", vec![drop_in(one, two).comes().state("inactive")], ""),
        ("it goes", vec![drop_in(one, two).goes()], "restart nginx.service"),
        ("it goes while the unit is down", vec![drop_in(one, two).goes().state("failed")], ""),
        (
            "of the login that carries stackc",
            vec![drop_in(one, two).goes().named("ssh.service")],
            "reload ssh.service",
        ),
    ]);
}

#[test]
fn a_packages_unit_takes_the_files_that_are_declared_for_it() {
    let path: GuestPath = name("/etc/nginx/conf.d/page.conf");
    let of = |text: &str| [(path.clone(), Digest::of(text.as_bytes()))].into();
    let restart = |text: &str| UnitInputs { restart: of(text), ..UnitInputs::default() };
    let reload = |text: &str| UnitInputs { reload: of(text), ..UnitInputs::default() };
    expect(&[
        ("a restart", vec![files(restart("1"), restart("2"))], "restart nginx.service"),
        ("a reload", vec![files(reload("1"), reload("2"))], "reload nginx.service"),
        ("the same", vec![files(reload("1"), reload("1"))], ""),
        ("they come", vec![files(reload("1"), reload("1")).comes()], "reload nginx.service"),
        (
            "they come for a restart",
            vec![files(restart("1"), restart("1")).comes()],
            "restart nginx.service",
        ),
        (
            "they come, and the package's start was held back",
            vec![files(reload("1"), reload("1")).comes().state("inactive")],
            "start nginx.service",
        ),
        ("they go", vec![files(reload("1"), reload("1")).goes()], "restart nginx.service"),
        (
            "a change while it is down",
            vec![files(restart("1"), restart("2")).state("inactive")],
            "",
        ),
    ]);
}
