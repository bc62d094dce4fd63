//! Sorts what the library calls an error into a [`NodeError`], in words that help and that never
//! contain a password.

use redis::{ErrorKind, RedisError};

use crate::errno;
use crate::node::{NO_ROOM, NodeError};

/// The longest text of a server that we repeat, in characters.
const TEXT_LIMIT: usize = 200;

/// Codes of a server that will say the same next time.
const REFUSALS: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "DENIED"];

/// What a server says to a script that may not do something: to run a command, to touch a key, to
/// publish.
const DENIALS: [&str; 4] = [
    "NOPERM",
    "ACL failure in script",
    "The user executing the script can't",
    "can't run this command",
];

/// What `error` means for a vote. `password` is taken out of the text, should a server repeat it.
pub fn of(error: &RedisError, password: Option<&str>) -> NodeError {
    let mut text = text(error);
    if let Some(password) = password
        && !password.is_empty()
    {
        text = text.replace(password, "***");
    }
    if error.kind() == ErrorKind::Io {
        return of_connection(text);
    }
    if is_refusal(error, &text) {
        NodeError::Refused(text)
    } else if error.kind() == ErrorKind::Parse && error.to_string().contains("end of input") {
        let text = "the connection was closed in the middle of an answer";
        NodeError::Unreachable(text.to_owned())
    } else if error.kind() == ErrorKind::Parse {
        NodeError::Failed("answered something that is not Redis' protocol".to_owned())
    } else {
        NodeError::Failed(text)
    }
}

/// The same for the text of an error that a script has caught.
pub fn of_text(said: &str) -> NodeError {
    let detail = said.strip_prefix("ERR ").unwrap_or(said);
    let text = shorten(detail);
    if is_denial(detail) {
        NodeError::Refused(text)
    } else {
        NodeError::Failed(text)
    }
}

fn of_connection(text: String) -> NodeError {
    if text.contains("invalid peer certificate") {
        let advice = if text.contains("not valid for name") {
            "; name the server in its URL as its certificate does"
        } else if text.contains("UnknownIssuer") {
            "; if it is right, name its authority with --tls-ca"
        } else if text.contains("CaUsedAsEndEntity") {
            "; it is an authority's (CA:TRUE): give the server one that the authority has signed"
        } else if text.contains("UnsupportedCertVersion") {
            "; it must be of X.509 version 3, which openssl x509 makes with -extfile"
        } else {
            ""
        };
        return NodeError::Refused(format!("{text}{advice}"));
    }
    // A server that wants to know who we are says so in an alert, whose name is about certificates.
    if text.contains("fatal alert") && (text.contains("Certificate") || text.contains("UnknownCA"))
    {
        return NodeError::Refused(format!(
            "{text}; it wants a certificate that it trusts, see --tls-cert and --tls-key"
        ));
    }
    // TLS 1.2 has no alert of its own for that.
    if text.contains("fatal alert: HandshakeFailure") {
        return NodeError::Unreachable(format!(
            "{text}; it may want a certificate, see --tls-cert"
        ));
    }
    NodeError::Unreachable(text)
}

/// Whether the server has as many clients as it takes.
pub fn is_full(error: &RedisError) -> bool {
    error.to_string().contains(NO_ROOM)
}

fn is_denial(said: &str) -> bool {
    DENIALS.iter().any(|denial| said.contains(denial))
}

fn is_refusal(error: &RedisError, text: &str) -> bool {
    // A script that may not run a command answers ERR, and only the text tells why.
    REFUSALS.iter().any(|refusal| text.starts_with(refusal))
        || is_denial(text)
        || error.kind() == ErrorKind::AuthenticationFailed
}

/// What a server or the system said, in one short line.
pub fn text(error: &RedisError) -> String {
    if error.kind() == ErrorKind::AuthenticationFailed && error.code().is_none() {
        // The library says no more than that it failed.
        return "WRONGPASS wrong user or password, or the server has no password".to_owned();
    }
    // Who has not said its password may send no more than ten words at once, and not all of a
    // script.
    if error.to_string().contains("unauthenticated") {
        return "NOAUTH authentication required".to_owned();
    }
    // It says so in five lines.
    if error.code() == Some("DENIED") && error.to_string().contains("protected mode") {
        return "DENIED it is in protected mode, for clients of its own host: give it a password"
            .to_owned();
    }
    let said = match (error.code(), error.detail()) {
        (Some("ERR") | None, Some(detail)) => detail.to_owned(),
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, None) => error.to_string(),
    };
    // A server that does not know AUTH repeats its arguments: the password.
    let said = said
        .split(", with args beginning with")
        .next()
        .unwrap_or_default();
    shorten(said)
}

fn shorten(said: &str) -> String {
    let said = said.split(" (os error").next().unwrap_or_default();
    // The script's place in the server is no help to anybody.
    let said = said.split(" script: ").next().unwrap_or_default();
    let said = said.trim().trim_end_matches('.');
    if said.is_empty() {
        return "failed without a reason".to_owned();
    }
    let line: String = said.chars().take(TEXT_LIMIT).collect();
    errno::in_a_sentence(&line)
}
