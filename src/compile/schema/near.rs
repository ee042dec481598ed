//! The word that was meant, among those that there are.

/// The most similar of the known words, when one is similar enough to be meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let known: Vec<_> = known.collect();
    // `memory` is `memory_mib`: a key without its unit.
    let start = format!("{lower}_");
    let mut begun = known.iter().filter(|known| known.starts_with(&start));
    if let (Some(begun), None) = (begun.next(), begun.next()) {
        return Some(begun);
    }
    let letters = letters(&lower);
    known
        .into_iter()
        .filter(|known| may_be_near((&lower, letters), known))
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= near(known))
        .min()
        .map(|(_, known)| known)
}

/// The word that may have been meant, and all that there are.
pub fn did_you_mean(near: Option<&str>, all: &str) -> String {
    near.map_or_else(|| all.to_owned(), |near| format!("did you mean `{near}`? If not: {all}"))
}

/// How many edits a word may be away from a known one that was meant.
fn near(known: &str) -> usize {
    known.len().max(3) / 3
}

/// The characters of a word, a bit each; some share one.
fn letters(word: &str) -> u64 {
    word.chars().fold(0, |all, c| all | 1 << (c.to_ascii_lowercase() as u32 % 64))
}

/// Whether two words can be near at all: an edit changes the length by one, and takes or brings a character. With thousands
/// of words, hardly any are left to compare.
fn may_be_near((word, letters_of_word): (&str, u64), known: &str) -> bool {
    let edits = near(known);
    let is_ascii = word.is_ascii() && known.is_ascii();
    let differ = letters_of_word ^ letters(known);
    !is_ascii
        || word.len().abs_diff(known.len()) <= edits && differ.count_ones() as usize <= 2 * edits
}
