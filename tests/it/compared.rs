//! Any two generations of a guest side by side, from wherever their bundles still are.

use crate::{
    activate_faults::{Operator, never, on_two},
    fake::operator::World,
};
use stackc::{
    activate::{Compared, Failed, Stage, compare, find},
    cli::compared::lines,
    model::{Bundle, Digest, GenerationId, Target},
};

fn between(
    operator: &Operator,
    world: &World,
    target: &Target,
    kept: Option<&Bundle>,
    numbers: [u64; 2],
) -> Result<Compared, Failed> {
    let kept = |digest: &Digest| kept.filter(|bundle| bundle.digest == *digest).cloned();
    operator.with_seams(world, &never(), |seams| {
        let mut found = find(seams, target, None)?;
        compare(target, &kept, &mut found, numbers.map(GenerationId))
    })
}

/// As it is printed, without the time.
fn text(target: &Target, compared: &Compared) -> String {
    let at = |line: String| compared.generations.iter().fold(line, |l, g| l.replace(&g.at, "THEN"));
    lines(target, compared).map(|(_, line)| at(line) + "\n").collect()
}

#[test]
fn two_generations_are_compared_in_both_directions_with_nothing_but_the_guest() {
    let (operator, world, one, _) = on_two();
    let target = &one.manifest.target;
    let told = [[1, 2], [2, 1], [2, 2]].map(|numbers| {
        let compared = between(&operator, &world, target, None, numbers);
        text(target, &compared.expect("the guest has both"))
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_collected_generation_is_compared_by_what_the_operator_kept_or_refused_by_its_number() {
    let (operator, world, one, _) = on_two();
    let target = &one.manifest.target;
    let before = between(&operator, &world, target, None, [1, 2]).expect("the guest has both");
    world.lose_tree(&one);
    let kept = between(&operator, &world, target, Some(&one), [1, 2]).expect("it is in out/");
    assert_eq!(text(target, &kept), text(target, &before));
    let failed = between(&operator, &world, target, None, [1, 2]).expect_err("nobody has it");
    assert_eq!((failed.stage, failed.exit_code()), (Stage::Refused, 3));
    let unknown = between(&operator, &world, target, None, [2, 9]).expect_err("there is no 9");
    let next = failed.error.next().expect("it says how");
    insta::assert_snapshot!(format!("{}\n{next}\n{}", failed.error, unknown.error));
}

#[test]
fn a_generation_is_compared_with_the_guest_as_it_was_found() {
    let (operator, world, one, _) = on_two();
    let target = &one.manifest.target;
    let back = crate::found_operator::go_to_found(&operator, &world, target);
    assert_eq!(back.generation, Some(GenerationId(3)));
    let compared = between(&operator, &world, target, None, [1, 3]).expect("1 has a bundle");
    assert!(compared.difference.files.iter().all(|file| file.path.as_str() != "proxmox.json"));
    insta::assert_snapshot!(text(target, &compared));
    let same = between(&operator, &world, target, None, [3, 3]).expect("neither has a bundle");
    assert!(same.is_empty());
}
