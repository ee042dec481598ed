//! Random numbers whose seed a failure names, so that it can be repeated: `STACKC_SEED=… cargo test NAME`.

use std::time::SystemTime;

/// The seed that was asked for, else another one each time.
pub fn seed() -> u128 {
    let given = std::env::var("STACKC_SEED").ok();
    given.map_or_else(
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos(),
        |text| text.parse().expect("STACKC_SEED is a number"),
    )
}

/// Splitmix64: enough to shuffle with.
pub struct Dice(pub u64);

impl Dice {
    /// Dice of a seed that is printed now; a test's output is shown when it fails.
    pub fn seeded() -> Self {
        let seed = u64::try_from(seed() % u128::from(u64::MAX)).expect("it is smaller");
        eprintln!("STACKC_SEED={seed}");
        Self(seed)
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)) >> 33;
        usize::try_from(mixed).expect("31 bits") % sides
    }

    /// Whether one of so many rolls hit.
    pub fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.roll(items.len())]
    }

    pub fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for n in (1..items.len()).rev() {
            items.swap(n, self.roll(n + 1));
        }
        items
    }
}
