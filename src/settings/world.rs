//! What settings depend on beside the command line: environment variables, who we are, and where
//! the system keeps its configuration. A snapshot, so that tests make one of their own and never
//! touch the process' environment.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, gethostname};

/// The file that is read if no other is named or found.
const SYSTEM_FILE: &str = "/etc/redlock/config.toml";

/// The users of this host, a line each: name, password, number, and more.
const USERS: &str = "/etc/passwd";

/// Whether we are the administrator, who has other default places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The effective user is 0.
    Root,
    /// Anybody else.
    Other,
}

/// The world around this process when it began.
#[derive(Clone)]
pub struct World {
    /// Not sorted: most of them are never asked for.
    variables: Vec<(OsString, OsString)>,
    user: User,
    /// The file of the users of this host, if there is one.
    users: Option<PathBuf>,
    system_file: PathBuf,
}

/// What a terminal can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TerminalKind {
    /// It can clear what it shows, and takes colours.
    #[default]
    Usual,
    /// It shows one line after the other and nothing else, as that of an editor's shell.
    Dumb,
}

impl World {
    /// The world as this process finds it.
    #[must_use]
    pub fn of_this_process() -> Self {
        let user = if Uid::effective().is_root() {
            User::Root
        } else {
            User::Other
        };
        Self {
            users: Some(USERS.into()),
            ..Self::new(std::env::vars_os(), user)
        }
    }

    /// A world with these variables and no others, on a host that knows no users.
    #[must_use]
    pub fn new<N, V>(variables: impl IntoIterator<Item = (N, V)>, user: User) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self {
            variables: variables.collect(),
            user,
            users: None,
            system_file: SYSTEM_FILE.into(),
        }
    }

    /// The same world with the system's configuration elsewhere.
    #[must_use]
    pub fn with_system_file(self, system_file: impl Into<PathBuf>) -> Self {
        Self {
            system_file: system_file.into(),
            ..self
        }
    }

    /// The value of an environment variable. An empty one counts as not set, as in
    /// `${NAME:-default}`.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<OsString> {
        self.variable_that(|other| other == name)
    }

    /// The value of the environment variable whose name `is` the one, likewise.
    #[must_use]
    pub fn variable_that(&self, is: impl Fn(&OsStr) -> bool) -> Option<OsString> {
        let mut variables = self.variables.iter().rev();
        let (_, value) = variables.find(|(name, _)| is(name))?;
        (!value.is_empty()).then(|| value.clone())
    }

    /// What a terminal can do, should there be one.
    #[must_use]
    pub fn terminal(&self) -> TerminalKind {
        match self.variable("TERM") {
            Some(term) if term == "dumb" => TerminalKind::Dumb,
            _ => TerminalKind::Usual,
        }
    }

    /// The host's name, as others see it in a lock.
    #[must_use]
    pub fn host(&self) -> String {
        let name = gethostname().unwrap_or_default();
        if name.is_empty() {
            return "?".to_owned();
        }
        name.to_string_lossy().into_owned()
    }

    /// The user's name without asking the system's directory of users, which may hang on a server:
    /// as the environment tells it, or the file of this host's users; else a number. Whoever has
    /// become another user and left the environment as it was is not taken for who he was.
    #[must_use]
    pub fn user_name(&self) -> String {
        if self.user == User::Root {
            return "root".to_owned();
        }
        let told = ["LOGNAME", "USER"]
            .into_iter()
            .filter_map(|name| self.variable(name));
        let told = told.map(|name| name.to_string_lossy().into_owned());
        let users = self.users.as_ref().and_then(|file| fs::read(file).ok());
        let users = users.unwrap_or_default();
        user_name(Uid::effective(), told, &String::from_utf8_lossy(&users))
    }

    /// Where a file of configuration is looked for, the first one that exists being read. Never in
    /// the working directory, which may be somebody else's.
    #[must_use]
    pub fn configuration_files(&self) -> Vec<PathBuf> {
        let of_user = match self.user {
            User::Root => None,
            User::Other => self.xdg("XDG_CONFIG_HOME", ".config"),
        };
        let of_user = of_user.map(|directory| directory.join("redlock/config.toml"));
        of_user
            .into_iter()
            .chain([self.system_file.clone()])
            .collect()
    }

    /// The directory of the embedded node, if the user names none; `None` if there is no home.
    #[must_use]
    pub fn state_directory(&self) -> Option<PathBuf> {
        if self.user == User::Root && self.variable("XDG_STATE_HOME").is_none() {
            return Some("/var/lib/redlock".into());
        }
        let state = self.xdg("XDG_STATE_HOME", ".local/state")?;
        Some(state.join("redlock"))
    }

    /// A base directory as the XDG specification defines them: relative paths are ignored.
    fn xdg(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let absolute = |name: &str| {
            let path = PathBuf::from(self.variable(name)?);
            path.is_absolute().then_some(path)
        };
        absolute(name).or_else(|| Some(absolute("HOME")?.join(Path::new(below_home))))
    }
}

impl fmt::Debug for World {
    /// Names only: variables may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("World")
            .field("variables", &names)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The name of the user `uid` on a host with `users`, the lines of [`USERS`]: of those that he has
/// there, one that is `told`, else the first; if he has none there, one that is told and nobody
/// else's there.
fn user_name(uid: Uid, told: impl IntoIterator<Item = String>, users: &str) -> String {
    let known = users.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        Some((name, number.parse().ok().map(Uid::from_raw)?))
    });
    let known: Vec<(&str, Uid)> = known.collect();
    let his = known.iter().filter(|(_, number)| *number == uid);
    let his: Vec<&str> = his.map(|(name, _)| *name).collect();
    let can_be_his = |told: &String| {
        if his.is_empty() {
            known.iter().all(|(name, _)| name != told)
        } else {
            his.contains(&told.as_str())
        }
    };
    let mut told = told.into_iter();
    match (told.find(can_be_his), his.first()) {
        (Some(name), _) => name,
        (None, Some(name)) => (*name).to_owned(),
        (None, None) => uid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(variables: &[(&str, &str)], user: User) -> Option<PathBuf> {
        World::new(variables.iter().copied(), user).state_directory()
    }

    #[test]
    fn whoever_became_another_user_is_not_called_as_before() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nnobody:x:65534:65534::/:/bin/false\n\
                     other:x:65534:65534::/:/bin/false\n";
        for (uid, told, name) in [
            (65_534, &["nobody"][..], "nobody"),
            (65_534, &["other"], "other"),
            (65_534, &["root"], "nobody"),
            (65_534, &["alice", "other"], "other"),
            (65_534, &[], "nobody"),
            // Those of a directory on a server are not in the file.
            (7_000, &["alice"], "alice"),
            (7_000, &["root", "alice"], "alice"),
            (7_000, &["root"], "7000"),
            (7_000, &[], "7000"),
        ] {
            let told = told.iter().map(|&name| name.to_owned());
            assert_eq!(user_name(Uid::from_raw(uid), told, users), name);
        }
    }

    #[test]
    fn the_embedded_node_is_kept_where_state_belongs() {
        let home = ("HOME", "/home/me");
        assert_eq!(
            state(&[home], User::Other),
            Some("/home/me/.local/state/redlock".into())
        );
        assert_eq!(
            state(&[home, ("XDG_STATE_HOME", "/s")], User::Other),
            Some("/s/redlock".into())
        );
        assert_eq!(state(&[home], User::Root), Some("/var/lib/redlock".into()));
        assert_eq!(
            state(&[home, ("XDG_STATE_HOME", "/s")], User::Root),
            Some("/s/redlock".into())
        );
        assert_eq!(state(&[], User::Other), None);
    }

    #[test]
    fn root_reads_no_configuration_of_a_user() {
        let variables = [("HOME", "/home/me"), ("XDG_CONFIG_HOME", "/c")];
        let files = |user| World::new(variables, user).configuration_files();
        let system = PathBuf::from("/etc/redlock/config.toml");
        let own = PathBuf::from("/c/redlock/config.toml");
        assert_eq!(files(User::Root), std::slice::from_ref(&system));
        assert_eq!(files(User::Other), [own, system]);
    }

    #[test]
    fn the_world_shows_no_values() {
        let world = World::new([("REDLOCK_SERVERS", "redis://:hunter2@h")], User::Other);
        assert!(!format!("{world:?}").contains("hunter2"));
    }

    #[test]
    fn a_directory_that_is_relative_is_none_and_of_two_values_the_last_counts() {
        let home = ("HOME", "/home/me");
        assert_eq!(
            state(&[home, ("XDG_STATE_HOME", "s")], User::Other),
            Some("/home/me/.local/state/redlock".into())
        );
        let world = World::new([("A", "1"), ("A", "2")], User::Other);
        assert_eq!(world.variable("A"), Some("2".into()));
    }
}
