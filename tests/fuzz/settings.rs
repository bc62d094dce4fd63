//! Files of settings and variables: whatever stands there, the answer is settings or one line that
//! says where and what, and shows no password.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;

use redlock::cli::{Cli, Command};
use redlock::exit::Exit;
use redlock::settings::{self, User, World};

use crate::{fuzz, mutate};

const FILE: &str = r#"
servers = ["redis://:open-sesame@10.0.0.1:6379/3", "rediss://h", "redis+unix:///run/r.sock?db=1"]
key-format = "lock:{}"
node-timeout = "80ms"

[defaults]
ttl = "30s"
wait = true
signal = 15
no-command = false

[resource."daily-report"]
ttl = "10m"
note = "every night"
conflict-exit-code = 0
"#;

/// The settings of `redlock run -r daily-report true` in this world.
fn judge(world: &World, written: &[u8]) {
    let words = ["redlock", "run", "-r", "daily-report", "true"].map(OsString::from);
    let cli = Cli::parse(words).expect("a good command line");
    let Command::Run(arguments) = &cli.command else {
        panic!("it is a run")
    };
    let _ = settings::output_of(&cli, world);
    match settings::run(arguments, world) {
        Ok(settings) => {
            // What holds for every run whatever was said.
            let times = (settings.kill_after + settings.margin) * 2;
            assert!(settings.ttl > times, "{settings:?}");
            // Without its colon it would be the name of a user.
            assert!(!format!("{settings:?}").contains(":open-sesame@"));
        }
        Err(error) => {
            assert!(
                matches!(error.exit, Exit::Usage | Exit::Configuration),
                "{error:?}"
            );
            assert!(!error.message.is_empty());
            // A password that lost what makes it one, as in redis://open-sesame, is a host.
            let is_password = written.windows(8).any(|part| part == b"-sesame@");
            let shown = error.message.contains("sesame");
            assert!(!(is_password && shown), "{}", error.message);
        }
    }
}

#[test]
fn a_file_of_any_bytes_gives_settings_or_an_error_that_keeps_the_password() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("config.toml");
    fs::write(&path, "").expect("the directory is ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    fuzz(|rng| {
        let mut text = FILE.as_bytes().to_vec();
        mutate(rng, &mut text);
        fs::write(&path, &text).expect("the directory is ours");
        let world = World::new([("REDLOCK_CONFIG", path.as_os_str())], User::Root);
        judge(&world, &text);
    });
}

#[test]
fn variables_of_any_bytes_give_settings_or_an_error_that_keeps_the_password() {
    const VARIABLES: [(&str, &str); 8] = [
        (
            "REDLOCK_SERVERS",
            "redis://:open-sesame@[::1]:6379/3,redis://h:1 redis://h:2",
        ),
        ("REDLOCK_TTL", "1h30m"),
        ("REDLOCK_WAIT", "forever"),
        ("REDLOCK_KILL_AFTER", "2.5s"),
        ("REDLOCK_KEY_FORMAT", "lock:{}"),
        ("REDLOCK_SIGNAL", "SIGUSR1"),
        ("REDLOCK_LOCAL", "0"),
        ("REDLOCK_VERBOSE", "1"),
    ];
    fuzz(|rng| {
        let chosen = rng.usize(..VARIABLES.len());
        let mut servers = Vec::new();
        let variables = VARIABLES.iter().enumerate().map(|(index, (name, value))| {
            let mut bytes = value.as_bytes().to_vec();
            if index == chosen {
                mutate(rng, &mut bytes);
            }
            // The system allows no NUL in a variable.
            bytes.retain(|byte| *byte != 0);
            if *name == "REDLOCK_SERVERS" {
                servers.clone_from(&bytes);
            }
            (OsString::from(name), OsString::from_vec(bytes))
        });
        let no_file = (
            OsString::from("REDLOCK_CONFIG"),
            OsString::from("/dev/null"),
        );
        let world = World::new(variables.chain([no_file]).collect::<Vec<_>>(), User::Root);
        judge(&world, &servers);
    });
}

#[test]
fn a_name_of_any_characters_gives_a_resource_or_a_usage_error() {
    let mut accepted = 0;
    let inputs = fuzz(|rng| {
        let mut name = b"report-{date}-{hour:utc}-{{x}}-{host}".to_vec();
        mutate(rng, &mut name);
        name.retain(|byte| *byte != 0);
        let name = OsString::from_vec(name);
        let words = ["redlock", "run", "--local=/d", "-r"].map(OsString::from);
        let words = words.into_iter().chain([name, "true".into()]);
        let Ok(cli) = Cli::parse(words) else {
            // A name that begins with a dash is taken for an option.
            return;
        };
        let Command::Run(arguments) = &cli.command else {
            panic!("it is a run")
        };
        let no_file = [("REDLOCK_CONFIG", "/dev/null"), ("TZ", "UTC")];
        match settings::run(arguments, &World::new(no_file, User::Root)) {
            Ok(settings) => {
                accepted += 1;
                for resource in &settings.resources {
                    let name = resource.as_str();
                    assert!(
                        !name.is_empty() && !name.chars().any(char::is_control),
                        "{name:?}"
                    );
                    assert!(name.len() <= 512, "{name:?}");
                }
            }
            Err(error) => assert_eq!(error.exit, Exit::Usage, "{error:?}"),
        }
    });
    assert!(
        inputs == 1 || (accepted > 0 && accepted < inputs),
        "{accepted} of {inputs}"
    );
}
