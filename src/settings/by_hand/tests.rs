//! What settings by hand decide: tokens, rights, ways to show.

use super::*;
use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::settings::User;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn world(variables: &[(&str, &str)]) -> World {
    let local = [("REDLOCK_LOCAL", "/tmp/redlock")];
    World::new(local.iter().chain(variables).copied(), User::Other).with_system_file("/nonexistent")
}

fn arguments(line: &str) -> ByHandArguments {
    let words = ["redlock"].into_iter().chain(line.split_whitespace());
    match Cli::parse(words.map(Into::into))
        .expect("a line of good form")
        .command
    {
        Command::Acquire(arguments)
        | Command::Extend(arguments)
        | Command::Release(arguments)
        | Command::Inspect(arguments)
        | Command::List(arguments)
        | Command::History(arguments) => arguments,
        other => panic!("{other:?} is not by hand"),
    }
}

fn extended(line: &str, variables: &[(&str, &str)], input: &str) -> Result<Token, Error> {
    let settings = extend(&arguments(line), &world(variables), input.as_bytes());
    settings.map(|settings| settings.token)
}

#[test]
fn every_option_that_can_be_typed_is_in_a_table_or_structure() {
    let structure = ["resource", "token", "force", "yes", "json", "watch"];
    for (name, table) in [
        ("acquire", &options::ACQUIRE[..]),
        ("extend", &options::EXTEND),
        ("release", &[]),
        ("inspect", &[]),
        ("list", &[]),
        ("history", &[]),
    ] {
        let definition = crate::cli::definition();
        let command = definition.find_subcommand(name).expect("there is one");
        let longs = command
            .get_arguments()
            .filter_map(|argument| argument.get_long());
        let mut typed: Vec<&str> = longs.filter(|long| !structure.contains(long)).collect();
        let mut known: Vec<&str> = table.iter().map(|setting| setting.row().name).collect();
        typed.sort_unstable();
        known.sort_unstable();
        assert_eq!(typed, known, "{name}");
    }
}

#[test]
fn a_token_comes_from_the_line_or_standard_input_or_the_environment() {
    let variable = [("REDLOCK_TOKEN", TOKEN)];
    let other = "f".repeat(32);
    let typed = format!("extend -r a --token {other}");
    for (token, expected) in [
        (extended(&typed, &variable, ""), &other[..]),
        (
            extended("extend -r a --token -", &variable, &format!(" {other}\r\n")),
            &other,
        ),
        (extended("extend -r a", &variable, &other), TOKEN),
    ] {
        assert_eq!(
            token.map(|token| token.as_str().to_owned()),
            Ok(expected.to_owned())
        );
    }
}

#[test]
fn a_token_that_is_none_is_a_usage_error_that_does_not_repeat_it() {
    for (line, input) in [
        ("extend -r a --token secret", ""),
        ("extend -r a --token -", "secret\n"),
        ("extend -r a --token -", ""),
        ("extend -r a", ""),
    ] {
        let error = extended(line, &[], input).expect_err(line);
        assert_eq!(error.exit, Exit::Usage);
        assert!(!error.message.contains("secret"), "{error}");
    }
}

#[test]
fn a_release_is_by_token_or_by_force() {
    let right = |line: &str, variables: &[(&str, &str)]| {
        let settings = release(&arguments(line), &world(variables), &b""[..]);
        settings
            .map(|settings| settings.right)
            .map_err(|error| error.exit)
    };
    let variable = [("REDLOCK_TOKEN", "any value, of any library")];
    let token = GivenToken(b"any value, of any library".to_vec());
    assert_eq!(right("release -r a", &variable), Ok(Right::Token(token)));
    assert_eq!(right("release -r a --force", &variable), Ok(Right::Ask));
    assert_eq!(right("release -r a --force --yes", &[]), Ok(Right::Force));
    for line in [
        "release -r a",
        "release -r a --yes",
        "release -r a --yes --token x",
        "release -r a --force --token x",
        "release --token x",
        "release -r a -r b --token x",
    ] {
        assert_eq!(right(line, &[]), Err(Exit::Usage), "{line}");
    }
}

#[test]
fn a_look_is_shown_in_one_way() {
    let show = |line: &str| {
        let settings = inspect(&arguments(line), &world(&[]));
        settings
            .map(|settings| settings.show)
            .map_err(|error| error.exit)
    };
    assert_eq!(show("inspect a b"), Ok(Show::Once(Format::Text)));
    assert_eq!(show("inspect a --json"), Ok(Show::Once(Format::Json)));
    assert_eq!(show("inspect -q a --json"), Ok(Show::Nothing));
    assert_eq!(show("inspect a --watch"), Ok(Show::Watch));
    let quiet = world(&[("REDLOCK_QUIET", "1")]);
    let settings = inspect(&arguments("inspect a"), &quiet).map(|settings| settings.show);
    let text = Show::Once(Format::Text);
    assert_eq!(settings.expect("it makes sense"), text, "nobody typed -q");
    for line in [
        "inspect",
        "inspect a --watch --json",
        "inspect a -q --watch",
    ] {
        assert_eq!(show(line), Err(Exit::Usage), "{line}");
    }
}

#[test]
fn no_settings_show_a_token() {
    let line = format!("release -r a --token {TOKEN}");
    let settings = release(&arguments(&line), &world(&[]), &b""[..]);
    assert!(!format!("{settings:?}").contains(TOKEN));
}

#[test]
fn what_is_typed_last_counts_and_what_is_typed_stands_against_the_environment() {
    let other = "f".repeat(32);
    let twice = format!("extend -r a --token {TOKEN} --token {other}");
    let token = extended(&twice, &[], "").expect("it is a token");
    assert_eq!(token.as_str(), other);
    let watch = world(&[("REDLOCK_WATCH", "1")]);
    let show = |line: &str| inspect(&arguments(line), &watch).map(|settings| settings.show);
    assert_eq!(show("inspect a"), Ok(Show::Watch));
    assert_eq!(show("inspect a --json"), Ok(Show::Once(Format::Json)));
}

#[test]
fn a_pattern_or_a_token_that_is_longer_than_any_is_refused() {
    let listed = |length: usize| {
        let line = format!("list {}", "a".repeat(length));
        list(&arguments(&line), &world(&[])).map_err(|error| error.exit)
    };
    assert!(listed(PATTERN_LIMIT).is_ok());
    assert_eq!(listed(PATTERN_LIMIT + 1).map(drop), Err(Exit::Usage));
    let released = |length: usize| {
        let input = "a".repeat(length);
        let line = arguments("release -r a --token -");
        release(&line, &world(&[]), input.as_bytes()).map_err(|error| error.exit)
    };
    let limit = usize::try_from(TOKEN_LIMIT).expect("it is small");
    assert!(released(limit).is_ok());
    assert_eq!(released(limit + 1).map(drop), Err(Exit::Usage));
}

#[test]
fn by_hand_as_well_a_section_of_the_file_goes_for_its_own_name() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("config.toml");
    std::fs::write(&file, "[resource.a]\nttl = '2m'\n").expect("the directory is ours");
    let world = world(&[]).with_system_file(file);
    let ttl = |line: &str| acquire(&arguments(line), &world).map(|settings| settings.ttl);
    assert_eq!(ttl("acquire -r a"), Ok(Duration::from_mins(2)));
    assert_eq!(ttl("acquire -r b"), Ok(Duration::from_secs(30)));
}
