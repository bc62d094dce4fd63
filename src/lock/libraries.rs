//! Which library has written a lock, by the form of its value.
//!
//! PURE. The values themselves are the tokens of their owners, and are never shown. Used by whoever
//! lists or shows locks.

use super::claim::holder_of;
use crate::node::Foreign;

/// A library that writes values of a known form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// This program.
    Redlock,
    /// 32 hexadecimal digits: node-redlock, the lock of redis-py.
    NodeRedlock,
    /// Sixteen bytes in base64.
    Redsync,
    /// A UUID: redlock-rb, pottery, aioredlock.
    RedlockRb,
    /// 20 bytes, which are no text.
    Rslock,
    /// `machine_pid_guid`
    DistributedLock,
}

impl Library {
    /// The one that has written `value`; `None` if it is none of these.
    #[must_use]
    pub fn of(value: &Foreign) -> Option<Self> {
        Self::of_string(&value.value).filter(|_| value.kind == "string")
    }

    /// The same for the value of a string.
    #[must_use]
    pub fn of_string(bytes: &[u8]) -> Option<Self> {
        if holder_of(bytes).is_some() {
            return Some(Self::Redlock);
        }
        // Chance hardly ever makes a text of twenty bytes.
        if bytes.len() == 20 && !bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Some(Self::Rslock);
        }
        let text = std::str::from_utf8(bytes).ok()?;
        [
            (is_hex(text, 32), Self::NodeRedlock),
            (is_base64(text), Self::Redsync),
            (is_uuid(text), Self::RedlockRb),
            (is_of_distributed_lock(text), Self::DistributedLock),
        ]
        .into_iter()
        .find_map(|(fits, library)| fits.then_some(library))
    }

    /// The library's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Redlock => "redlock",
            Self::NodeRedlock => "node-redlock or redis-py",
            Self::Redsync => "redsync",
            Self::RedlockRb => "redlock-rb, pottery or aioredlock",
            Self::Rslock => "rslock or redlock-rs",
            Self::DistributedLock => "DistributedLock",
        }
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_base64(text: &str) -> bool {
    let digits = text.strip_suffix("==").unwrap_or_default();
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    digits.len() == 22 && digits.bytes().all(is_digit)
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths = [8, 4, 4, 4, 12];
    groups.len() == 5
        && groups
            .iter()
            .zip(lengths)
            .all(|(group, n)| is_hex(group, n))
}

fn is_of_distributed_lock(text: &str) -> bool {
    let mut parts = text.rsplitn(3, '_');
    let (guid, pid, machine) = (parts.next(), parts.next(), parts.next());
    guid.is_some_and(|guid| is_hex(guid, 32) || is_uuid(guid))
        && pid.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()))
        && machine.is_some_and(|machine| !machine.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(value: &[u8]) -> Option<Library> {
        Library::of(&Foreign {
            key: "a".to_owned(),
            value: value.to_vec(),
            digest: String::new(),
            kind: "string".to_owned(),
            ttl: None,
        })
    }

    #[test]
    fn the_values_of_redlock_libraries_are_known() {
        let ours =
            br#"0123456789abcdef0123456789abcdef {"host":"h","pid":1,"user":"u","since":"x"}"#;
        for (value, expected) in [
            (&ours[..], Library::Redlock),
            (b"0123456789abcdef0123456789abcdef", Library::NodeRedlock),
            (b"VYWDZ5R3wQvA5sEbsn4mmw==", Library::Redsync),
            (b"4a2c5d3e-7ffb-4f0e-9d36-5a8c2d0f9a11", Library::RedlockRb),
            (&[0xf3; 20], Library::Rslock),
            (
                b"web_1_4123_0123456789abcdef0123456789abcdef",
                Library::DistributedLock,
            ),
        ] {
            assert_eq!(library(value), Some(expected), "{value:?}");
        }
    }

    #[test]
    fn what_else_an_application_keeps_is_not_taken_for_a_lock() {
        for value in [
            &b""[..],
            b"12345",
            b"twenty letters, text",
            b"0123456789abcdef0123456789abcdef {}",
            br#"{"session":"0123456789abcdef"}"#,
            b"_4123_0123456789abcdef0123456789abcdef",
            &[0xf3; 21],
        ] {
            assert_eq!(library(value), None, "{value:?}");
        }
    }
}
