//! What stands in braces in the name of a resource: `report-{date}` is another lock every day.
//!
//! `{date}` is 2026-11-24, `{hour}` 03, `{minute}` 07, in local time or, as in `{date:utc}`, in
//! UTC; `{host}` and `{user}` are those that others see in the lock; `{{` is a brace. A name that
//! is unknown is refused: hosts that took it for different things would not exclude one another.

use std::ffi::OsStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Error, World};
use crate::clock;
use crate::exit::Exit;

/// What `TZ` may be for UTC, also with a colon or `Etc/` before it.
const UTC: [&str; 6] = ["UTC", "GMT", "UCT", "Universal", "Greenwich", "Zulu"];

const KNOWN: &str = "{date}, {hour}, {minute}, {date:utc}, {hour:utc}, {minute:utc}, {host}, {user}; \
                     {{ is a brace";

/// How the `name` of a resource is typed, so that it is taken as it is.
#[must_use]
pub fn typed(name: &str) -> String {
    name.replace('{', "{{")
}

/// What names begin with that are being typed and have got as far as `text`.
#[must_use]
pub fn beginning(text: &str) -> String {
    text.replace("{{", "{")
}

/// The moment at which one command line is read: all its names are of the same date.
pub struct Moment<'a> {
    world: &'a World,
    now: Timestamp,
}

impl<'a> Moment<'a> {
    /// The present moment in `world`.
    #[must_use]
    pub fn now(world: &'a World) -> Self {
        let ms = i64::try_from(clock::unix_ms()).unwrap_or(i64::MAX);
        let now = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
        Self { world, now }
    }

    /// `text` with everything in braces replaced.
    ///
    /// # Errors
    ///
    /// If what stands in braces is unknown, a brace is not closed, or the local time is not known.
    pub fn expand(&self, text: &str) -> Result<String, Error> {
        replace(text, |name| self.value(name))
    }

    /// What `text` is called at every moment: what tells the time in it stays as it is.
    ///
    /// # Errors
    ///
    /// If a brace is not closed.
    pub fn timeless(&self, text: &str) -> Result<String, Error> {
        replace(text, |name| match name {
            "host" | "user" => self.value(name),
            _ => Ok(format!("{{{name}}}")),
        })
    }

    fn value(&self, name: &str) -> Result<String, Error> {
        Ok(match name {
            "date" => date(self.local()?),
            "hour" => two_digits(self.local()?.hour()),
            "minute" => two_digits(self.local()?.minute()),
            "date:utc" => date(self.utc()),
            "hour:utc" => two_digits(self.utc().hour()),
            "minute:utc" => two_digits(self.utc().minute()),
            "host" => self.world.host(),
            "user" => self.world.user_name(),
            _ => {
                let message = format!("{{{name}}} is unknown; there are {KNOWN}");
                return Err(Error::usage(&message));
            }
        })
    }

    fn utc(&self) -> DateTime {
        TimeZone::UTC.to_datetime(self.now)
    }

    /// The zone is looked for only now: most names have no braces.
    fn local(&self) -> Result<DateTime, Error> {
        match TimeZone::try_system() {
            Ok(zone) => Ok(zone.to_datetime(self.now)),
            Err(_) => match self.world.variable("TZ") {
                // As the C library: a host that says nothing about its zone is in UTC. And this one
                // needs no file, which many an image of a container does not have.
                None => Ok(self.utc()),
                Some(zone) if is_utc(&zone) => Ok(self.utc()),
                // But not this one. With the wrong date in its name the job would run twice.
                Some(zone) => {
                    let message = format!(
                        "TZ: '{}' is no time zone that is known on this host; install tzdata, or \
                         write {{date:utc}}",
                        zone.to_string_lossy()
                    );
                    Err(Error::new(Exit::Configuration, message))
                }
            },
        }
    }
}

/// `text` with what `value` knows in place of each name in braces.
fn replace(text: &str, value: impl Fn(&str) -> Result<String, Error>) -> Result<String, Error> {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        replaced.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            replaced.push('{');
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else {
            let message = format!("'{text}' has a brace that is not closed; write {{{{ for one");
            return Err(Error::usage(&message));
        };
        replaced.push_str(&value(name)?);
        rest = after;
    }
    replaced.push_str(rest);
    Ok(replaced)
}

/// Whether this value of `TZ` stands for UTC, whatever files there are.
fn is_utc(zone: &OsStr) -> bool {
    let zone = zone.to_str().unwrap_or_default();
    let zone = zone.strip_prefix(':').unwrap_or(zone);
    UTC.contains(&zone.strip_prefix("Etc/").unwrap_or(zone))
}

fn date(time: DateTime) -> String {
    time.date().to_string()
}

fn two_digits(number: i8) -> String {
    format!("{number:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::User;

    fn world() -> World {
        World::new([("LOGNAME", "me")], User::Other)
    }

    fn moment(world: &World) -> Moment<'_> {
        let now = "2026-03-29T00:59:59.999Z".parse().expect("an instant");
        Moment { world, now }
    }

    fn expand(text: &str) -> Result<String, String> {
        let expanded = moment(&world()).expand(text);
        expanded.map_err(|error| error.message)
    }

    #[test]
    fn what_stands_in_braces_is_replaced_and_all_else_is_not() {
        for (text, expanded) in [
            ("report", "report"),
            ("report-{date:utc}", "report-2026-03-29"),
            ("{hour:utc}:{minute:utc}", "00:59"),
            ("a {user}} b", "a me} b"),
            ("{{date}", "{date}"),
            ("{{{user}", "{me"),
            ("}{{", "}{"),
            ("ä{user}ö", "ämeö"),
            ("", ""),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expanded), "{text}");
        }
    }

    #[test]
    fn any_name_can_be_typed() {
        for name in ["report", "{user}", "{{", "}{", "a{"] {
            assert_eq!(expand(&typed(name)).as_deref(), Ok(name));
            assert_eq!(beginning(&typed(name)), name);
        }
    }

    #[test]
    fn a_name_without_time_differs_between_users_but_not_between_moments() {
        let world = world();
        let timeless = |text| moment(&world).timeless(text).expect("a good name");
        assert_eq!(timeless("a-{date}-{hour:utc}"), "a-{date}-{hour:utc}");
        assert_eq!(timeless("{{-{user}"), "{-me");
        assert_eq!(timeless("{host}"), world.host());
    }

    #[test]
    fn what_is_unknown_is_refused_and_says_what_there_is() {
        for (text, said) in [
            ("{day}", "{day} is unknown; there are {date}, "),
            ("{}", "{} is unknown"),
            ("{date:berlin}", "{date:berlin} is unknown"),
            ("{host:utc}", "{host:utc} is unknown"),
            ("{ date }", "{ date } is unknown"),
            (
                "a{date",
                "'a{date' has a brace that is not closed; write {{ for one",
            ),
        ] {
            let message = expand(text).expect_err(text);
            assert!(message.contains(said), "{message}");
        }
    }
}
