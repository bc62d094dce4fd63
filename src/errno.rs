//! The system's words for its errors.

use std::io;

/// Why the system refused, as it reads in the middle of a sentence: without the number, which
/// helps nobody.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().unwrap_or_default();
    let text = text.trim_end_matches(&format!(" (os error {number})"));
    if number == libc::EMFILE {
        return "too many open files (ulimit -n)".to_owned();
    }
    in_a_sentence(text)
}

/// `text` as it reads in the middle of a sentence: "Input/output error" with a small letter, but not
/// what somebody called "ERR".
#[must_use]
pub fn in_a_sentence(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            let rest = &text[first.len_utf8()..];
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_reads_in_a_sentence() {
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(reason(&full), "no space left on device");
        let many = io::Error::from_raw_os_error(libc::EMFILE);
        assert_eq!(reason(&many), "too many open files (ulimit -n)");
        assert_eq!(reason(&io::Error::other("It broke")), "it broke");
        assert_eq!(reason(&io::Error::other("URL")), "URL");
        assert_eq!(reason(&io::Error::other("")), "");
    }
}
