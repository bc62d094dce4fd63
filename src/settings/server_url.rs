//! The URL of a server: `redis://`, `rediss://`, `redis+unix://` and the `valkey` spellings. An
//! error shows scheme and host at most, since the rest may be a password. Called by the table of
//! options.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::{Host, ParseError, Url};

use crate::node::endpoint::{Address, Credentials, Endpoint, Secret, TlsFiles};

const DEFAULT_PORT: u16 = 6379;

const SCHEMES: &str = "redis://, rediss://, redis+unix://, valkey://, valkeys:// or valkey+unix://";

const ESCAPES: &str = "write : as %3A, / as %2F, @ as %40, ? as %3F, # as %23 and , as %2C";

/// How to get to a server, as the scheme says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Tcp,
    Tls,
    Unix,
}

/// Reads a URL. TLS files, and credentials that are not in it, are for the caller to add.
///
/// # Errors
///
/// If it is none, or not one of a server. The message never shows a password.
pub fn parse(text: &str) -> Result<Endpoint, String> {
    read(text).map_err(|problem| format!("{}: {problem}", harmless_part(text)))
}

/// Whether a URL holds a password, as far as can be told also of one that makes no sense.
#[must_use]
pub fn holds_password(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let in_front = rest.rsplit_once('@').map(|(front, _)| front);
    let in_query = ["pass=", "password="]
        .iter()
        .any(|name| rest.contains(name));
    in_front.is_some_and(|front| front.contains(':')) || in_query
}

/// A URL with stars for its password, also one that makes no sense.
#[must_use]
pub fn masked(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let (user, host) = match rest.rsplit_once('@') {
        Some((front, host)) => match front.split_once(':') {
            Some((user, _)) => (format!("{user}:***@"), host),
            // A user by the rules; a password by those of redis-cli, and by mistake.
            None => ("***@".to_owned(), host),
        },
        None => (String::new(), rest),
    };
    let Some((host, query)) = host.split_once('?') else {
        return format!("{scheme}{user}{host}");
    };
    let query = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) if name.starts_with("pass") => format!("{name}=***"),
        _ => part.to_owned(),
    });
    let query = query.collect::<Vec<_>>().join("&");
    format!("{scheme}{user}{host}?{query}")
}

/// Whether `text` is meant as a server, and in the wrong place: `--server` takes one.
#[must_use]
pub fn is_one(text: &str) -> bool {
    split_scheme(text).is_some_and(|(scheme, _)| way(scheme).is_some())
}

/// Scheme and host: what is left when all is cut off that could be a password, also one that has
/// lost its `@host`.
fn harmless_part(text: &str) -> String {
    let Some((scheme, rest)) = split_scheme(text) else {
        return "this server".to_owned();
    };
    let host = rest.rsplit('@').next().unwrap_or_default();
    let end = if host.starts_with('[') {
        host.find(']').map_or(host.len(), |end| end + 1)
    } else {
        host.find([':', '/', '?', '#']).unwrap_or(host.len())
    };
    format!("{scheme}://{}", &host[..end])
}

/// The scheme, and what follows `://`; nothing if what stands before that could be anything else,
/// such as a password in the wrong place.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let may_be_a_scheme = |c: char| c.is_ascii_alphabetic() || c == '+';
    scheme
        .chars()
        .all(may_be_a_scheme)
        .then_some((scheme, rest))
}

fn way(scheme: &str) -> Option<Way> {
    match scheme {
        "redis" | "valkey" => Some(Way::Tcp),
        "rediss" | "valkeys" => Some(Way::Tls),
        "redis+unix" | "valkey+unix" => Some(Way::Unix),
        _ => None,
    }
}

fn read(text: &str) -> Result<Endpoint, String> {
    let Some((scheme, rest)) = split_scheme(text) else {
        return Err("a URL is wanted, as in redis://HOST:PORT".to_owned());
    };
    let way = way(scheme);
    let way = way.ok_or_else(|| format!("'{scheme}' is an unknown scheme; use {SCHEMES}"))?;
    if rest
        .split([',', ' '])
        .skip(1)
        .any(|more| more.contains("://"))
    {
        return Err(
            "this is more than one server; repeat --server for each, or write them all into \
                    REDLOCK_SERVERS"
                .to_owned(),
        );
    }
    if way != Way::Unix && has_raw_password(rest) {
        return Err(format!("in a user or password, {ESCAPES}"));
    }
    if way != Way::Unix && is_bare_ipv6(rest) {
        return Err("an IPv6 address stands in brackets, as in redis://[::1]:6379".to_owned());
    }
    let url = Url::parse(text).map_err(|error| explain(error, way))?;
    if url.fragment().is_some() {
        return Err("a # must be written as %23".to_owned());
    }
    if way == Way::Unix {
        unix(&url)
    } else {
        tcp(&url, way)
    }
}

/// Whether the host is an IPv6 address, perhaps with a port, without its brackets.
fn is_bare_ipv6(rest: &str) -> bool {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next().unwrap_or_default();
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().is_ok();
    address(host) || host.rsplit_once(':').is_some_and(|(host, _)| address(host))
}

/// Whether the `@` in front of the host comes after what ends all that stands before a path: a
/// password with a `/`, a `?` or a `#` in it.
fn has_raw_password(rest: &str) -> bool {
    let end = rest.find(['/', '?', '#']);
    end.is_some_and(|end| rest[end..].contains('@'))
}

fn explain(error: ParseError, way: Way) -> String {
    match error {
        ParseError::InvalidPort => {
            format!("the port must be a number from 1 to 65535; in a password, {ESCAPES}")
        }
        ParseError::EmptyHost if way != Way::Unix => no_host(),
        error => error.to_string(),
    }
}

fn no_host() -> String {
    "the host is missing, as in redis://HOST:PORT".to_owned()
}

fn tcp(url: &Url, way: Way) -> Result<Endpoint, String> {
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(no_host()),
    };
    let port = match url.port() {
        Some(0) => return Err(explain(ParseError::InvalidPort, way)),
        port => port.unwrap_or(DEFAULT_PORT),
    };
    if url.query().is_some() {
        return Err("nothing may follow a ?; in a password, write it as %3F".to_owned());
    }
    let address = match way {
        Way::Tls => {
            let files = TlsFiles::default();
            Address::Tls { host, port, files }
        }
        _ => Address::Tcp { host, port },
    };
    Ok(Endpoint {
        address,
        database: database(url.path().trim_start_matches('/'))?,
        credentials: credentials(url.username(), url.password().unwrap_or_default())?,
    })
}

/// The path is that of the socket, so database and credentials stand in the query.
fn unix(url: &Url) -> Result<Endpoint, String> {
    if url.host_str().is_some_and(|host| !host.is_empty()) || url.path().len() < 2 {
        return Err("a path is wanted, as in redis+unix:///run/redis.sock".to_owned());
    }
    let (mut number, mut user, mut password) = ("", "", "");
    for pair in url
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        match pair.split_once('=') {
            Some(("db", value)) => number = value,
            Some(("user", value)) => user = value,
            Some(("pass" | "password", value)) => password = value,
            _ => return Err("only db=, user= and password= may follow the ?".to_owned()),
        }
    }
    let path: Vec<u8> = percent_decode_str(url.path()).collect();
    Ok(Endpoint {
        address: Address::Unix(PathBuf::from(OsString::from_vec(path))),
        database: database(number)?,
        credentials: credentials(user, password)?,
    })
}

fn database(text: &str) -> Result<u32, String> {
    match text {
        "" => Ok(0),
        text => text
            .parse()
            .map_err(|_| "the database must be a number, as in redis://HOST/0".to_owned()),
    }
}

fn credentials(user: &str, password: &str) -> Result<Credentials, String> {
    let decoded = |text: &str, what: &str| match percent_decode_str(text).decode_utf8() {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text.into_owned())),
        Err(_) => Err(format!("the {what} is not UTF-8")),
    };
    Ok(Credentials {
        user: decoded(user, "user")?,
        password: decoded(password, "password")?.map(Secret::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> Endpoint {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_spelling_leads_to_its_server() {
        for (text, shown) in [
            ("redis://h", "h:6379"),
            ("valkey://h:1/", "h:1"),
            ("rediss://h:7000/3", "h:7000"),
            ("valkeys://h", "h:6379"),
            ("redis://10.0.0.1:6380", "10.0.0.1:6380"),
            ("redis://[::1]:6380/2", "[::1]:6380"),
            (
                "redis+unix:///run/my%20redis.sock?db=2",
                "/run/my redis.sock",
            ),
            ("valkey+unix:///run/valkey.sock", "/run/valkey.sock"),
        ] {
            assert_eq!(good(text).to_string(), shown, "{text}");
        }
        assert!(matches!(good("valkeys://h").address, Address::Tls { .. }));
        assert_eq!(good("redis://h/7").database, 7);
        assert_eq!(good("redis+unix:///s?db=7").database, 7);
    }

    #[test]
    fn credentials_are_decoded() {
        let credentials = good("redis://m%40e:p%3A%2Fw@h").credentials;
        assert_eq!(credentials.user.as_deref(), Some("m@e"));
        assert_eq!(credentials.password, Some(Secret::new("p:/w".to_owned())));
        let credentials = good("redis+unix:///s?user=me&password=p%26w").credentials;
        assert_eq!(credentials.user.as_deref(), Some("me"));
        assert_eq!(credentials.password, Some(Secret::new("p&w".to_owned())));
        assert_eq!(good("redis://:pw@h").credentials.user, None);
        assert_eq!(good("redis://me:@h").credentials.password, None);
    }

    #[test]
    fn a_mistake_is_named_and_what_to_do() {
        for (text, expected) in [
            (
                "h:6379",
                "this server: a URL is wanted, as in redis://HOST:PORT",
            ),
            (
                "redis:pw@h://",
                "this server: a URL is wanted, as in redis://HOST:PORT",
            ),
            (
                "http://h",
                "http://h: 'http' is an unknown scheme; use redis://",
            ),
            (
                "redis://h:66000",
                "redis://h: the port must be a number from 1 to 65535",
            ),
            ("redis://h:x", "redis://h: the port must be"),
            ("redis://h:0", "redis://h: the port must be"),
            ("redis://", "redis://: the host is missing"),
            ("redis://:6379", "redis://: the host is missing"),
            ("redis://me:pw@", "redis://: the host is missing"),
            ("redis://h/x", "redis://h: the database must be a number"),
            ("redis://h?db=1", "redis://h: nothing may follow a ?"),
            ("redis://[::1", "redis://[::1: invalid IPv6 address"),
            (
                "redis://me:pw@::1:7001/2",
                "redis://: an IPv6 address stands in brackets",
            ),
            (
                "redis://a,redis://b",
                "redis://a,redis: this is more than one server",
            ),
            ("redis://a:7 b://c", "redis://a: this is more than one"),
            (
                "redis://:a/b@h",
                "redis://h: in a user or password, write : as %3A, / as %2F",
            ),
            (
                "redis://me:a#b@h",
                "redis://h: in a user or password, write",
            ),
            ("redis+unix://run/s", "redis+unix://run: a path is wanted"),
            ("redis+unix:///s?x=1", "redis+unix://: only db="),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.starts_with(expected), "{text}: {message}");
        }
    }

    #[test]
    fn no_message_shows_a_password_however_broken_the_url() {
        for text in [
            "redis://me:hunter2@h:x",
            "redis://me:hunter2",
            "redis://:hunter2",
            "redis://:hun/hunter2@h",
            "redis://:hun@hunter2@h:x",
            "redis://:hun?hunter2@h",
            "redis://:hun#hunter2@h",
            "foo://me:hunter2@h",
            "me:hunter2@h:6379",
            "redis+unix://me:hunter2@/s",
            "redis+unix:///s?pass=hunter2&x=1",
            "redis+unix:///s?db=x&pass=hunter2",
        ] {
            let message = parse(text).expect_err(text);
            assert!(!message.contains("hunter2"), "{text}: {message}");
            assert!(holds_password(text) || !text.contains('@'), "{text}");
        }
        assert!(!format!("{:?}", good("redis://me:hunter2@h")).contains("hunter2"));
    }

    #[test]
    fn a_password_behind_a_socket_is_one_and_is_masked() {
        let url = "redis+unix:///s?db=1&pass=hunter2";
        assert!(holds_password(url));
        assert_eq!(masked(url), "redis+unix:///s?db=1&pass=***");
        assert_eq!(masked("redis://hunter2@h"), "redis://***@h");
        assert_eq!(masked("redis://me:hunter2@h"), "redis://me:***@h");
    }
}
