//! The scripts beside this folder, as they are sent: without comments and indentation.
//!
//! A server reads, hashes and looks up the whole text at each call: with comments that was 8 of 17
//! microseconds.

/// The functions that all scripts share, and the files that are named, as one script.
macro_rules! script {
    ($($name:literal),+) => {{
        const WRITTEN: &str = concat!(
            include_str!("../prelude.lua"),
            $(include_str!(concat!("../", $name, ".lua"))),+
        );
        const LEAN: &([u8; WRITTEN.len()], usize) = &$crate::node::redis::script::lean(WRITTEN);
        match str::from_utf8(LEAN.0.split_at(LEAN.1).0) {
            Ok(text) => text,
            Err(_) => panic!("only whole lines and blanks at their beginning were left out"),
        }
    }};
}
pub(super) use script;

/// What of `written` is sent, and how many bytes that is.
pub const fn lean<const N: usize>(written: &str) -> ([u8; N], usize) {
    let written = written.as_bytes();
    let (mut sent, mut length) = ([0; N], 0);
    let mut at = 0;
    while at < written.len() {
        while at < written.len() && (written[at] == b' ' || written[at] == b'\n') {
            at += 1;
        }
        let is_comment = at + 1 < written.len() && written[at] == b'-' && written[at + 1] == b'-';
        while at < written.len() {
            let byte = written[at];
            at += 1;
            if !is_comment {
                sent[length] = byte;
                length += 1;
            }
            if byte == b'\n' {
                break;
            }
        }
    }
    (sent, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_indentation_and_empty_lines_are_not_sent() {
        let written =
            "-- What it does.\nlocal a = 1\n\nif a - -1 == 2 then\n  -- Why.\n  return\nend\n";
        let (sent, length) = lean::<100>(written);
        assert_eq!(
            str::from_utf8(&sent[..length]),
            Ok("local a = 1\nif a - -1 == 2 then\nreturn\nend\n")
        );
    }

    #[test]
    fn a_clock_counts_as_far_as_everywhere_else() {
        let error = crate::node::CLOCK_ERROR_MS;
        for bound in [format!("now_ms - {error},"), format!("now_ms + {error})")] {
            assert!(super::super::ACQUIRE.contains(&bound), "{bound}");
        }
    }

    #[test]
    fn the_numbers_and_names_of_the_scripts_are_those_of_the_code() {
        use super::super::{ACQUIRE, EXTEND, RELEASE, by_hand, channel, history_key};

        let limit = crate::node::FOREIGN_VALUE_LIMIT;
        let life = crate::node::COUNTER_LIFE.as_millis();
        let token = crate::node::TOKEN_LEN;
        for (script, wanted) in [
            (ACQUIRE, format!("string.sub(value, 1, {limit})")),
            (EXTEND, format!("math.max({life}, ")),
            (by_hand::REMOVE, format!("#ARGV[2] == {token} and")),
            (RELEASE, format!("'{}'", history_key("' .. KEYS[i] .. '"))),
            (RELEASE, format!("'{},", channel("' .. KEYS[i]"))),
            (ACQUIRE, format!("'{})", channel("' .. key"))),
        ] {
            assert!(script.contains(&wanted), "{wanted}: {script}");
        }
    }

    #[test]
    fn the_scripts_have_no_comments_beside_code() {
        use super::super::{ACQUIRE, EXTEND, HEAL, RAISE, RELEASE, by_hand};

        let by_hand = [by_hand::INSPECT, by_hand::REMOVE, by_hand::PAGE];
        let by_us = [ACQUIRE, EXTEND, HEAL, RAISE, RELEASE];
        for script in by_us.into_iter().chain(by_hand) {
            assert!(script.starts_with("local n = #KEYS / 2\n"));
            assert!(!script.contains("--"), "{script}");
        }
    }
}
