//! What is claimed, by whom, and how that is written into a key.
//!
//! Plain data but for a token, which the kernel draws, and the time in what is written. Used by
//! everybody above the nodes.

use std::fmt;
use std::time::Duration;

use rustix::rand::GetRandomFlags;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::node::{Entry, FOREIGN_VALUE_LIMIT, MarkerKind, TOKEN_LEN, glob};

/// The longest name of a resource, in bytes.
pub const RESOURCE_LIMIT: usize = 512;

/// The longest TTL that is not a mistake.
pub const TTL_LIMIT: Duration = Duration::from_hours(24);

/// The name of what a lock protects: not empty, at most [`RESOURCE_LIMIT`] bytes, no control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(String);

/// Why a name is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// It has no characters.
    #[error("the name of a resource is empty; give one, such as daily-report")]
    Empty,
    /// It has too many bytes.
    #[error("the name of a resource has {0} bytes; at most {RESOURCE_LIMIT} are allowed")]
    TooLong(usize),
    /// It has a control character, shown escaped.
    #[error("the name of a resource contains the control character {0}; use printable characters")]
    ControlCharacter(String),
}

impl Resource {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// If the name is empty, too long, or contains a control character.
    pub fn new(name: &str) -> Result<Self, ResourceError> {
        if name.is_empty() {
            return Err(ResourceError::Empty);
        }
        if name.len() > RESOURCE_LIMIT {
            return Err(ResourceError::TooLong(name.len()));
        }
        if let Some(control) = name.chars().find(|c| c.is_control()) {
            return Err(ResourceError::ControlCharacter(
                control.escape_default().to_string(),
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The Redis key of a resource: a text with one `{}` in it, where the name goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFormat(String);

impl KeyFormat {
    /// Our own layout, and that of the applications we share locks with.
    pub const DEFAULT: &'static str = "lock:{}";

    /// Checks `format`, or answers `None` if it has not exactly one `{}`.
    #[must_use]
    pub fn new(format: &str) -> Option<Self> {
        (format.matches("{}").count() == 1).then(|| Self(format.to_owned()))
    }

    /// The key of `resource`.
    #[must_use]
    pub fn key(&self, resource: &Resource) -> String {
        self.0.replacen("{}", resource.as_str(), 1)
    }

    /// What stands before and after the name.
    #[must_use]
    pub fn around(&self) -> (&str, &str) {
        self.0.split_once("{}").unwrap_or((&self.0, ""))
    }

    /// The keys of the resources whose names match `pattern`, as a glob.
    #[must_use]
    pub fn glob(&self, pattern: &str) -> String {
        let (before, after) = self.around();
        format!("{}{pattern}{}", glob::escape(before), glob::escape(after))
    }

    /// Whether keys are the names themselves, so that any key may be a lock or something else.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        self.0 == "{}"
    }

    /// The resource of `key`, if `key` is of this format.
    #[must_use]
    pub fn resource<'k>(&self, key: &'k str) -> Option<&'k str> {
        let (before, after) = self.0.split_once("{}")?;
        key.strip_prefix(before)?.strip_suffix(after)
    }
}

/// The proof of ownership: 128 random bits, as 32 hexadecimal digits. Not a [`FencingToken`].
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A fresh token.
    ///
    /// # Panics
    ///
    /// If the kernel gives no random numbers.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; TOKEN_LEN / 2];
        // The crate getrandom looks for the call in the C library at run time, which a static
        // program cannot: it always opens two files instead. So it is asked only where the call is
        // forbidden.
        if rustix::rand::getrandom(&mut bytes[..], GetRandomFlags::empty()) != Ok(bytes.len()) {
            getrandom::fill(&mut bytes).expect("the kernel gives random numbers as a file");
        }
        Self(format!("{:0TOKEN_LEN$x}", u128::from_be_bytes(bytes)))
    }

    /// The token that a user was given before; `None` if it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (text.len() == TOKEN_LEN && digits).then(|| Self(text.to_owned()))
    }

    /// The 32 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    /// A token is as good as a password for its lock, so it is not shown by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// A number that only grows from holder to holder of a resource; for the database, which refuses a
/// smaller one than it has seen. Not a [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FencingToken(pub u64);

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who holds a lock, as told to whoever looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The host's name.
    pub host: String,
    /// The process that keeps the lock.
    pub pid: u32,
    /// The user's name, or number.
    pub user: String,
    /// The file name of the command, never its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What the holder wants to be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When the lock was taken, by the holder's wall clock, in RFC 3339. Each attempt writes its
    /// own time; nothing before the first.
    pub since: String,
}

impl Holder {
    /// The holder as JSON, short enough for a node to hand back whole: its longest text is cut as
    /// far as it takes.
    fn json(&self) -> String {
        let mut fitting = self.clone();
        for text in fitting.texts() {
            // So that what follows is short, whatever we were told.
            text.truncate(text.floor_char_boundary(FOREIGN_VALUE_LIMIT));
        }
        loop {
            let json = serde_json::to_string(&fitting).expect("a holder is text and numbers");
            if TOKEN_LEN + 1 + json.len() <= FOREIGN_VALUE_LIMIT {
                return json;
            }
            // One character at a time: this is rare, and short.
            if let Some(longest) = fitting.texts().max_by_key(|text| text.len()) {
                longest.pop();
            }
        }
    }

    /// What others chose the length of.
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let optional = [&mut self.note, &mut self.command].into_iter().flatten();
        [&mut self.host, &mut self.user].into_iter().chain(optional)
    }
}

/// Everything one holder asks for: which resources, for how long, and what others shall see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The keys of the resources, sorted and without repetition.
    pub keys: Vec<String>,
    /// For how long the keys live when nobody extends them.
    pub ttl: Duration,
    /// The longest time for which others may be kept out, by the lock or by a marker left in its
    /// place.
    pub stay: Duration,
    /// What others shall see.
    pub holder: Holder,
}

impl Claim {
    /// A claim on all of `resources` at once.
    #[must_use]
    pub fn new(resources: &[Resource], format: &KeyFormat, ttl: Duration, holder: Holder) -> Self {
        let mut keys: Vec<String> = resources
            .iter()
            .map(|resource| format.key(resource))
            .collect();
        // One order for all contenders, and each key once.
        keys.sort_unstable();
        keys.dedup();
        Self {
            keys,
            ttl,
            stay: ttl,
            holder,
        }
    }

    /// The same claim by somebody who may leave a marker for `stay`.
    #[must_use]
    pub fn staying(self, stay: Duration) -> Self {
        Self {
            stay: self.stay.max(stay),
            ..self
        }
    }

    /// What an attempt under `token` that begins now writes: `TOKEN {json}`, the blank being the
    /// state "held". Whoever waited holds the lock since then, and not since he began to wait.
    #[must_use]
    pub fn entry(&self, token: &Token) -> Entry {
        let holder = Holder {
            since: clock::rfc3339(clock::wall()),
            ..self.holder.clone()
        };
        let value = format!("{} {}", token.as_str(), holder.json()).into_bytes();
        Entry {
            keys: self.keys.clone(),
            value,
            ttl: self.ttl,
            stay: self.stay,
        }
    }
}

/// Reads the holder out of a key's value; `None` if another program wrote it.
#[must_use]
pub fn holder_of(value: &[u8]) -> Option<Holder> {
    let (_, json) = take_apart(value)?;
    serde_json::from_slice(json).ok()
}

/// Reads out of a key's value whether its job is over, and why others are still kept out; `None` if
/// somebody holds it, as another program does whatever it wrote.
#[must_use]
pub fn marker_of(value: &[u8]) -> Option<MarkerKind> {
    let (state, _) = take_apart(value)?;
    MarkerKind::of_state(state).filter(|_| holder_of(value).is_some())
}

/// The state and the JSON of a value that a redlock wrote.
fn take_apart(value: &[u8]) -> Option<(u8, &[u8])> {
    let (token, rest) = value.split_at_checked(TOKEN_LEN)?;
    let (state, json) = rest.split_first()?;
    let is_state = *state == b' ' || MarkerKind::of_state(*state).is_some();
    let ours = token.iter().all(u8::is_ascii_hexdigit) && is_state;
    ours.then_some((*state, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(note: &str) -> Holder {
        Holder {
            host: "web-2".to_owned(),
            pid: 4123,
            user: "root".to_owned(),
            command: Some("backup.sh".to_owned()),
            note: Some(note.to_owned()),
            since: "2026-11-24T03:00:00Z".to_owned(),
        }
    }

    #[test]
    fn a_value_is_short_enough_to_be_read_back_whole_whatever_the_note() {
        let claim = Claim {
            keys: vec!["lock:a".to_owned()],
            ttl: Duration::from_secs(1),
            stay: Duration::from_secs(1),
            holder: holder(&"\"\\ä".repeat(200_000)),
        };
        let entry = claim.entry(&Token::random());
        assert!(entry.value.len() <= FOREIGN_VALUE_LIMIT);
        let read = holder_of(&entry.value).expect("the value is ours");
        assert_eq!(read.command.as_deref(), Some("backup.sh"));
        assert!(read.note.is_some_and(|note| note.len() > 100));
    }

    #[test]
    fn a_value_of_another_program_has_no_holder() {
        assert_eq!(holder_of(&[0xff; 20]), None);
        assert_eq!(holder_of(b"0123456789abcdef0123456789abcdef"), None);
        assert_eq!(holder_of(b"0123456789abcdef0123456789abcdef {}"), None);
        assert_eq!(
            marker_of(b"0123456789abcdef0123456789abcdef! not ours"),
            None
        );
    }

    #[test]
    fn a_key_format_names_keys_and_finds_the_name_again() {
        let format = KeyFormat::new("redlock:{}").expect("one pair of braces");
        let resource = Resource::new("a{}b").expect("a good name");
        assert_eq!(format.key(&resource), "redlock:a{}b");
        assert_eq!(format.resource("redlock:a{}b"), Some("a{}b"));
        assert_eq!(KeyFormat::new("lock"), None);
        assert_eq!(KeyFormat::new("{}{}"), None);
    }
}
