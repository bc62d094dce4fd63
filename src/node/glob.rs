//! Globs as Redis knows them: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that is meant.
//!
//! Pure. The embedded node matches with it what a server matches itself; `lock` escapes with it.

/// Whether `text` matches `glob`.
#[must_use]
pub fn matches(glob: &str, text: &str) -> bool {
    let glob: Vec<char> = glob.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut read) = (0, 0);
    // Where to go back to: behind the last star, with one character more taken by it.
    let mut star = None;
    while read < text.len() {
        if glob.get(at) == Some(&'*') {
            star = Some((at + 1, read));
            at += 1;
        } else if let Some(next) = one(&glob, at, text[read]) {
            at = next;
            read += 1;
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            (at, read) = (after, taken + 1);
        } else {
            return false;
        }
    }
    glob[at..].iter().all(|&rest| rest == '*')
}

/// Where the glob goes on if its part at `at` matches `character`.
fn one(glob: &[char], at: usize, character: char) -> Option<usize> {
    match glob.get(at)? {
        '?' => Some(at + 1),
        '[' => class(glob, at + 1, character),
        '\\' if at + 1 < glob.len() => (glob[at + 1] == character).then_some(at + 2),
        &literal => (literal == character).then_some(at + 1),
    }
}

/// The same for a class, whose first character is at `at`.
fn class(glob: &[char], mut at: usize, character: char) -> Option<usize> {
    let wanted = glob.get(at) != Some(&'^');
    if !wanted {
        at += 1;
    }
    let mut is_in = false;
    // As in Redis, a class that is not closed ends with the glob.
    while at < glob.len() && glob[at] != ']' {
        if glob[at] == '\\' && at + 1 < glob.len() {
            is_in |= glob[at + 1] == character;
            at += 2;
        } else if glob.get(at + 1) == Some(&'-') && at + 2 < glob.len() {
            let (first, last) = (glob[at].min(glob[at + 2]), glob[at].max(glob[at + 2]));
            is_in |= (first..=last).contains(&character);
            at += 3;
        } else {
            is_in |= glob[at] == character;
            at += 1;
        }
    }
    (is_in == wanted).then_some((at + 1).min(glob.len()))
}

/// `text` as a glob that matches nothing else.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if "*?[]^-\\".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_what_redis_says_it_does() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("daily-*", "daily-report", true),
            ("*-report", "daily-report", true),
            ("d*y-*t", "daily-report", true),
            ("d*y-*x", "daily-report", false),
            ("d?ily", "daily", true),
            ("d?ily", "dily", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            (r"[\]]", "]", true),
            ("[a", "a", true),
            ("ä?", "äö", true),
            ("a**", "a", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn an_escaped_text_matches_itself_alone() {
        for text in ["lock:*", "a[b]?", r"c:\d", "[^x-z]"] {
            assert!(matches(&escape(text), text), "{text}");
            assert!(!matches(&escape(text), "lock:a"), "{text}");
        }
    }
}
