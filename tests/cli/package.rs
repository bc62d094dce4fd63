//! What a package brings beside the binary: the file of settings in `.packaging/`.

use std::fs;

use crate::support::Redlock;

const PACKAGED: &str = ".packaging/config.toml";

#[test]
fn the_packaged_file_of_settings_sets_nothing() {
    Redlock::new(["run", "-r", "job", "true"])
        .env("REDLOCK_CONFIG", PACKAGED)
        .end()
        .assert_code(78)
        .assert_says(&["no servers", "--server", "--local"]);
}

#[test]
fn every_setting_of_the_packaged_file_makes_sense_once_it_is_wanted() {
    let text = fs::read_to_string(PACKAGED).expect("it is committed");
    // Prose is behind a hash and a blank, settings right behind a hash.
    let wanted = text.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    let wanted = wanted.collect::<Vec<_>>().join("\n");
    assert!(
        wanted.contains("\nservers = ") && wanted.contains("\n[defaults]"),
        "{wanted}"
    );
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("config.toml");
    fs::write(&file, wanted).expect("the directory is ours");
    let end = Redlock::new([
        "run",
        "-r",
        "daily-report",
        "sh",
        "-c",
        "echo $REDLOCK_TTL_MS",
    ])
    .env("REDLOCK_CONFIG", file)
    .env("REDLOCK_LOCAL", directory.path().join("state"))
    .end();
    assert_eq!(end.assert_code(0).stdout, "600000\n");
}
