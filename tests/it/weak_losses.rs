//! What a power cut loses of a disk's effects that were not durable.

use crate::dice::Dice;
use crate::fake::{Disk, Fate};

/// The losses of a disk's pending effects that are tried: all, or the plain ones and some by chance.
pub fn losses(disk: &Disk, most: usize, dice: &mut Dice) -> Vec<Vec<Fate>> {
    let ways: Vec<usize> = disk.pending().iter().map(|effect| effect.ways()).collect();
    let count = ways.iter().try_fold(1_usize, |count, ways| count.checked_mul(*ways));
    if let Some(count) = count.filter(|count| *count <= most) {
        return (0..count).map(|number| nth(&ways, number)).collect();
    }
    let all = |fate: Fate| vec![fate; ways.len()];
    let mut tried = Vec::new();
    for at in 0..ways.len() {
        let (mut but_one, mut one, mut first) = (all(Fate::Kept), all(Fate::Lost), all(Fate::Lost));
        but_one[at] = Fate::Lost;
        one[at] = if ways[at] == 3 { Fate::Half } else { Fate::Kept };
        first[..=at].fill(Fate::Kept);
        tried.extend([but_one, one, first]);
    }
    let mut tried = dice.shuffled(tried);
    tried.truncate(most.saturating_sub(1) / 2);
    tried.push(all(Fate::Lost));
    while tried.len() < most {
        tried.push(ways.iter().map(|ways| fate(dice.roll(*ways))).collect());
    }
    tried
}

fn nth(ways: &[usize], mut number: usize) -> Vec<Fate> {
    let mut digit = |ways: &usize| {
        let digit = number % ways;
        number /= ways;
        fate(digit)
    };
    ways.iter().map(&mut digit).collect()
}

fn fate(number: usize) -> Fate {
    [Fate::Lost, Fate::Kept, Fate::Half][number]
}

/// The effects that were lost, for people.
pub fn lost(disk: &Disk, fates: &[Fate]) -> String {
    let lines = disk.pending().iter().zip(fates).filter(|(_, fate)| **fate != Fate::Kept);
    let lines: Vec<String> =
        lines.map(|(effect, fate)| format!("\n  {fate:?}: {effect}")).collect();
    lines.concat()
}
