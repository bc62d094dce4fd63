//! Properties of the merged settings, whatever was said where.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use proptest::option;
use proptest::prelude::*;
use redlock::cli::{Cli, Command};
use redlock::settings::{self, RunSettings, User, World};

/// What `redlock run` makes of `flags`, `variables` and a file with this `text`.
fn run(
    flags: &[String],
    variables: &[(&str, String)],
    text: &str,
) -> Result<RunSettings, settings::Error> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("config.toml");
    fs::write(&file, text).expect("the directory is ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    let words = ["redlock", "run", "--local=/d", "-r", "job"].map(OsString::from);
    let words = words.into_iter().chain(flags.iter().map(OsString::from));
    let cli = Cli::parse(words.chain(["--".into(), "true".into()])).expect("a good command line");
    let Command::Run(arguments) = &cli.command else {
        panic!("it is a run")
    };
    let config = [("REDLOCK_CONFIG", file.into_os_string())];
    let variables = variables.iter().map(|(name, value)| (*name, value.into()));
    let world = World::new(variables.chain(config).collect::<Vec<_>>(), User::Root);
    settings::run(arguments, &world)
}

fn ttl_ms() -> impl Strategy<Value = Option<u64>> {
    option::of(500_u64..86_400_000)
}

proptest! {
    #[test]
    fn the_nearest_origin_counts(
        flag in ttl_ms(),
        variable in ttl_ms(),
        section in ttl_ms(),
        defaults in ttl_ms(),
    ) {
        let flags = flag.map(|ms| format!("--ttl={ms}ms"));
        let variables = variable.map(|ms| ("REDLOCK_TTL", format!("{ms}ms")));
        let line = |ms: Option<u64>| ms.map_or(String::new(), |ms| format!("ttl = '{ms}ms'\n"));
        let text = format!("[defaults]\n{}[resource.job]\n{}", line(defaults), line(section));
        let flags: Vec<String> = flags.into_iter().collect();
        let variables: Vec<_> = variables.into_iter().collect();
        let settings = run(&flags, &variables, &text).expect("good settings");
        let nearest = flag.or(variable).or(section).or(defaults).unwrap_or(30_000);
        prop_assert_eq!(settings.ttl, Duration::from_millis(nearest));
    }

    #[test]
    fn a_command_can_always_be_stopped_before_the_lock_is_over(
        ttl in 1_u64..90_000_000,
        kill_after in option::of(0_u64..50_000_000),
    ) {
        let mut flags = vec![format!("--ttl={ttl}ms")];
        flags.extend(kill_after.map(|ms| format!("--kill-after={ms}ms")));
        match run(&flags, &[], "") {
            Ok(settings) => {
                let needed = (settings.kill_after + settings.margin) * 2;
                prop_assert!(settings.ttl > needed, "{:?}", settings);
                prop_assert!((500..=86_400_000).contains(&ttl));
            }
            Err(error) => {
                // The one or the other is named.
                prop_assert!(error.message.starts_with("--ttl: ") || error.message.starts_with("--kill-after: "), "{}", error);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(value in "\\PC{0,40}") {
        for name in ["REDLOCK_TTL", "REDLOCK_WAIT", "REDLOCK_SIGNAL", "REDLOCK_KEY_FORMAT", "REDLOCK_SERVERS"] {
            let settings = run(&[], &[(name, value.clone())], "");
            if let Err(error) = settings {
                prop_assert!(!error.message.is_empty());
            }
        }
    }
}
