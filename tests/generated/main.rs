//! `completions/` and `man/` are what the definition of the command line makes of them, and
//! programs that read them are content.
//!
//! After a change to the command line: `REGENERATE=1 cargo test --test generated`.

mod manual;
mod shells;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use redlock::cli::completions::{SHELLS, script};

/// Every file, with what must stand in it.
fn files() -> Vec<(PathBuf, String)> {
    let scripts = SHELLS.map(|shell| {
        // The names that the shells look for.
        let name = match shell {
            "bash" => "redlock",
            "fish" => "redlock.fish",
            "zsh" => "_redlock",
            "elvish" => "redlock.elv",
            "powershell" => "_redlock.ps1",
            other => panic!("{other} needs a file name"),
        };
        (Path::new("completions").join(name), script(shell))
    });
    let pages = manual::pages();
    let pages = pages
        .into_iter()
        .map(|(name, text)| (Path::new("man").join(name), text));
    scripts.into_iter().chain(pages).collect()
}

#[test]
fn completions_and_man_pages_are_current() {
    let regenerate = std::env::var_os("REGENERATE").is_some();
    let mut stale = Vec::new();
    for (path, wanted) in files() {
        if fs::read_to_string(&path).is_ok_and(|found| found == wanted) {
            continue;
        }
        if regenerate {
            fs::create_dir_all(path.parent().expect("in a directory")).expect("it can be made");
            fs::write(&path, wanted).expect("it can be written");
        } else {
            stale.push(path.display().to_string());
        }
    }
    let known: Vec<PathBuf> = files().into_iter().map(|(path, _)| path).collect();
    for directory in ["completions", "man"] {
        for entry in fs::read_dir(directory).expect("it is committed") {
            let path = entry.expect("it can be listed").path();
            if !known.contains(&path) && regenerate {
                fs::remove_file(&path).expect("it can be removed");
            } else if !known.contains(&path) {
                stale.push(format!("{} (of no command)", path.display()));
            }
        }
    }
    assert!(
        stale.is_empty(),
        "not current: {}; run: REGENERATE=1 cargo test --test generated",
        stale.join(", ")
    );
}

#[test]
fn every_command_tells_its_exit_codes_and_an_example() {
    for command in redlock::cli::definition().get_subcommands_mut() {
        let name = command.get_name().to_owned();
        let help = command.render_long_help().to_string();
        if name != redlock::cli::completions::NAMES {
            assert!(help.contains("\nExit codes:\n"), "{name}");
            assert!(help.contains("\nExample"), "{name}");
        }
    }
}

/// What a program says about a page; fails if it is not installed.
fn said(program: &str, arguments: &[&str], page: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(page)
        .env("LC_ALL", "C.UTF-8")
        .env("MANWIDTH", "80")
        .env("MANROFFSEQ", "")
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; see tests/run"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() || program == "mandoc",
        "{program}: {errors}"
    );
    match program {
        "mandoc" => String::from_utf8_lossy(&output.stdout).into_owned() + &errors,
        _ => errors,
    }
}

#[test]
fn man_and_mandoc_are_content_with_the_pages() {
    for entry in fs::read_dir("man").expect("it is committed") {
        let page = entry.expect("it can be listed").path();
        let complaints = said(
            "man",
            &["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"],
            &page,
        );
        assert_eq!(complaints, "", "{}", page.display());
        let complaints = said("mandoc", &["-Tlint", "-Wwarning"], &page);
        assert_eq!(complaints, "", "{}", page.display());
    }
}

#[test]
fn every_page_says_how_it_ends_and_what_else_to_read() {
    for (name, text) in manual::pages() {
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "EXIT STATUS",
            "EXAMPLES",
            "FILES",
            "SEE ALSO",
        ] {
            assert!(
                text.contains(&format!(".SH {section}"))
                    || text.contains(&format!(".SH \"{section}\"")),
                "{name}: {section}"
            );
        }
        let lines = text.lines();
        let reference = |page: &str| format!("{page}(1)");
        let own = name.trim_end_matches(".1");
        let see = lines
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        assert!(
            !see.contains(&reference(own)),
            "{name} refers to itself: {see}"
        );
    }
}
