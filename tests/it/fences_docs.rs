//! README.md and src/ARCHITECTURE.md: short, and true where a machine can tell.

use crate::tree;

/// Neither may be longer than one sitting (style.md §8).
const LONGEST: usize = 150;

#[test]
fn readme_and_architecture_are_short() {
    for path in ["README.md", "src/ARCHITECTURE.md"] {
        let lines = tree::read(path).lines().count();
        assert!(lines <= LONGEST, "{path} has {lines} lines; {LONGEST} are enough");
    }
}

#[test]
fn architecture_has_its_seven_sections_in_order() {
    let text = tree::read("src/ARCHITECTURE.md");
    let titles: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let expected = [
        "1. Purpose",
        "2. The flow of data",
        "3. Entry points",
        "4. Map",
        "5. Invariants",
        "6. Decisions",
        "7. Formats",
    ];
    assert_eq!(titles, expected);
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let text = tree::read("src/ARCHITECTURE.md");
    let section = text.split("## 5. Invariants").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().expect("split gives one part at least");
    let invariants: Vec<&str> = section.split("\n- ").skip(1).collect();
    assert!(invariants.len() >= 6, "the invariants are a list");
    let functions: Vec<String> = tree::files()
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(|file| tests_of(&file.text))
        .collect();
    for invariant in invariants {
        let named =
            invariant.split('`').skip(1).step_by(2).filter_map(|code| code.rsplit_once("::"));
        let kept = named.filter(|(_, test)| functions.iter().any(|name| name == test)).count();
        assert!(kept > 0, "no test keeps this: {invariant}");
    }
}

#[test]
fn architecture_has_a_line_for_every_folder_of_the_sources() {
    let text = tree::read("src/ARCHITECTURE.md");
    let map = text.split("## 4. Map").nth(1).and_then(|rest| rest.split("\n## ").next());
    let map = map.expect("the section is there");
    for file in tree::files() {
        let Some(folder) = file.source_folder() else { continue };
        assert!(map.contains(&format!("`{folder}/`")), "`{folder}/` is not on the map");
    }
}

/// The names of the functions marked as tests.
fn tests_of(text: &str) -> Vec<String> {
    text.split("#[test]")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("fn ")?.1.split_once('(')?.0.to_owned()))
        .collect()
}
