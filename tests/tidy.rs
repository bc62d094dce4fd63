//! The layers of the design, as a test: who may use whom, and which library is known where.
//!
//! Reads the source as text. A rule that is broken names the file and the line.

use std::fs;
use std::path::{Path, PathBuf};

/// What each part of the crate may use of the others. `commands` is where all meet, and `main`
/// calls it.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("cli", &[]),
    ("clock", &[]),
    ("errno", &[]),
    ("exit", &[]),
    (
        "settings",
        &["cli", "clock", "errno", "exit", "lock", "node"],
    ),
    ("report", &["clock", "errno", "lock", "node", "settings"]),
    ("node", &["clock", "errno"]),
    ("lock", &["clock", "node"]),
    ("job", &["clock", "errno"]),
    (
        "commands",
        &[
            "cli", "clock", "errno", "exit", "job", "lock", "node", "report", "settings",
        ],
    ),
];

/// Of these parts only the plain data may be used: part, user, modules.
const ONLY_DATA: [(&str, &str, &[&str]); 2] = [
    ("lock", "settings", &["claim", "restart"]),
    ("node", "settings", &["endpoint"]),
];

/// Libraries that only one part may know: path in source, where.
const ONLY_IN: [(&str, &str); 3] = [
    ("clap::", "src/cli"),
    ("clap_complete::", "src/cli/"),
    ("redis::", "src/node/"),
];

/// Whether `line` names the `library`, which ends with two colons: at the beginning of a path, and
/// not as a module of ours or the end of another word.
fn names(line: &str, library: &str) -> bool {
    line.match_indices(library).any(|(at, _)| {
        let before = &line[..at];
        let before = before.strip_suffix("::").unwrap_or(before);
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(directory).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("source is UTF-8");
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("src"), &mut found);
    assert!(found.len() > 10, "run from the package's root");
    found
}

/// The part a file belongs to: `src/lock/quorum.rs` is of `lock`, `src/clock.rs` is `clock`.
fn part(path: &Path) -> String {
    let inside = path.strip_prefix("src").expect("all of it is in src");
    let first = inside.iter().next().expect("a file has a name");
    Path::new(first).with_extension("").display().to_string()
}

/// The lines of code, with their numbers: no comments, and nothing from the unit tests at the end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .take_while(|(_, line)| *line != "#[cfg(test)]")
        .filter(|(_, line)| !line.starts_with("//"))
}

#[test]
fn parts_use_only_the_parts_below_them() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let user = part(&path);
        if user == "lib" || user == "main" {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == user)
            .unwrap_or_else(|| panic!("{} is of no part that the design knows", path.display()));
        for (number, line) in code(&text) {
            for used in line.split("crate::").skip(1) {
                let mut modules =
                    used.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                let names: Vec<&str> = modules.next().unwrap_or_default().split("::").collect();
                let fine = names[0] == user
                    || allowed.contains(&names[0])
                        && ONLY_DATA.iter().all(|(part, by, modules)| {
                            (*part, *by) != (names[0], user.as_str())
                                || names.get(1).is_some_and(|module| modules.contains(module))
                        });
                if !fine {
                    broken.push(format!(
                        "{}:{number}: {user} may not use {used}",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_library_is_known_where_it_belongs_and_nowhere_else() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (number, line) in code(&text) {
            for (library, place) in ONLY_IN {
                let is_there = path.to_string_lossy().starts_with(place);
                if names(line, library) && !is_there {
                    broken.push(format!(
                        "{}:{number}: {library} belongs into {place}",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn unsafe_stays_in_job_and_says_why() {
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            // An attribute gives a name to the linker.
            let is_code = ["//", "#["]
                .iter()
                .all(|other| !line.trim_start().starts_with(other));
            if is_code && words.any(|word| word == "unsafe") {
                let place = format!("{}:{}", path.display(), index + 1);
                // C's `main` is called with pointers.
                let may_be = path.starts_with("src/job") || path.ends_with("src/main.rs");
                assert!(may_be, "{place}: unsafe belongs into src/job");
                let before = &lines[index.saturating_sub(6)..=index];
                let said = |line: &&str| line.contains("SAFETY:") || line.contains("# Safety");
                let reason = before.iter().any(said);
                assert!(reason, "{place}: what is unsafe needs a SAFETY: comment");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_lines_are_short() {
    let mut long = Vec::new();
    for (path, text) in sources() {
        let path = path.display();
        assert!(text.starts_with("//! "), "{path} has no opening comment");
        for (index, line) in text.lines().enumerate() {
            let length = line.chars().count();
            // A long text in a string is better than one that is broken in odd places.
            let is_text = line.contains('"');
            if length > 100 && !is_text {
                long.push(format!("{path}:{}: {length} columns", index + 1));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_invariant_that_is_named_is_told_in_the_front_matter() {
    let sources = sources();
    let front = sources.iter().find(|(path, _)| path.ends_with("lib.rs"));
    let (_, front) = front.expect("it is there");
    let mut named = 0;
    for (path, text) in &sources {
        let places = text.to_lowercase().replace('\n', " ");
        for (at, word) in places.match_indices("invariant i") {
            let digit = &places[at + word.len()..=at + word.len()];
            let told = front.contains(&format!("//! - I{digit}: "));
            assert!(told, "{}: invariant I{digit}", path.display());
            named += 1;
        }
    }
    assert!(named > 10, "they are looked for: {named}");
}

/// What follows them is not looked at by the tests above, nor by the one of `acl.rs`.
#[test]
fn unit_tests_stand_at_the_end_of_a_file() {
    for (path, text) in sources() {
        let Some((_, tests)) = text.split_once("\n#[cfg(test)]\n") else {
            continue;
        };
        let (_, tests) = tests
            .split_once("mod tests")
            .expect("a module of that name");
        let is_last = tests == ";\n" || tests.find("\n}\n") == Some(tests.len() - 3);
        assert!(is_last, "{}: something follows its tests", path.display());
    }
}

#[test]
fn main_has_no_logic() {
    let main = fs::read_to_string("src/main.rs").expect("there is a main");
    assert!(
        main.lines().count() <= 30,
        "main.rs is for parsing, handing over and leaving"
    );
}
