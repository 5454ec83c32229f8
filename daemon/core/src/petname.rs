//! Names for grids that nobody named.

const ADJECTIVES: [&str; 32] = [
    "amber",
    "autumn",
    "billowing",
    "bold",
    "brave",
    "bright",
    "calm",
    "clear",
    "cool",
    "crimson",
    "dawn",
    "deep",
    "early",
    "fair",
    "fresh",
    "gentle",
    "golden",
    "hidden",
    "icy",
    "kind",
    "late",
    "lively",
    "long",
    "misty",
    "pale",
    "proud",
    "quiet",
    "rapid",
    "silent",
    "silver",
    "still",
    "warm",
];
const NOUNS: [&str; 32] = [
    "bay", "birch", "bird", "breeze", "brook", "cloud", "dew", "dune", "field", "fjord", "forest", "frost",
    "glade", "grove", "harbor", "haze", "hill", "island", "lake", "leaf", "meadow", "moon", "oak", "pine",
    "pond", "rain", "reef", "river", "shore", "star", "surf", "wave",
];

/// An adjective and a noun, chosen by a random number.
#[must_use]
pub fn petname(random: u32) -> String {
    let [low, high, ..] = random.to_le_bytes();
    let pick = |words: &[&'static str; 32], byte: u8| words[usize::from(byte) % words.len()];
    format!("{}-{}", pick(&ADJECTIVES, low), pick(&NOUNS, high))
}

#[cfg(test)]
mod tests {
    use super::petname;

    #[test]
    fn another_number_is_another_name() {
        assert_eq!(petname(0), "amber-bay");
        assert_eq!(petname(0x0100), "amber-birch");
        assert_eq!(petname(u32::MAX), "warm-wave");
    }
}
