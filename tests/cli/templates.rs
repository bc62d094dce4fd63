//! Names with something in braces: a lock of its own for each day, hour or host.

use std::process::Command;

use crate::support::{Place, Redlock};

/// What `date` says, in the zone of `tz`.
fn date(tz: &str, format: &str) -> String {
    let output = Command::new("date").env("TZ", tz).arg(format).output();
    let text = String::from_utf8(output.expect("date runs").stdout).expect("text");
    text.trim().to_owned()
}

/// The name that the command is told for `typed`.
#[track_caller]
fn name(place: &Place, typed: &str, tz: Option<&str>) -> String {
    let run = place.redlock(["run", "-r", typed, "printenv", "REDLOCK_RESOURCE"]);
    let run = match tz {
        Some(tz) => run.env("TZ", tz),
        None => run,
    };
    run.end().assert_code(0).stdout.trim().to_owned()
}

#[test]
fn date_hour_and_minute_are_local_or_utc_as_date_tells_them() {
    let place = &Place::each()[1];
    for tz in [
        "Europe/Berlin",
        "America/St_Johns",
        "Pacific/Kiritimati",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "UTC",
        ":Asia/Tokyo",
    ] {
        for (typed, format) in [
            ("{date}", "+%F"),
            ("{date} {hour}", "+%F %H"),
            ("{hour}h{minute}m", "+%Hh%Mm"),
        ] {
            let utc = typed.replace('}', ":utc}");
            // The minute may end in between: then once more.
            let agrees = |typed: &str, tz: &str, zone: &str| {
                (0..3).any(|_| {
                    let before = date(zone, format);
                    name(place, typed, Some(tz)) == before
                })
            };
            assert!(agrees(typed, tz, tz), "{typed} in {tz}");
            assert!(agrees(&utc, tz, "UTC0"), "{utc} in {tz}");
        }
    }
}

#[test]
fn host_and_user_are_those_of_the_lock_and_a_doubled_brace_is_one() {
    let place = &Place::each()[1];
    let host = Command::new("uname").arg("-n").output().expect("it runs");
    let host = String::from_utf8(host.stdout).expect("text");
    assert_eq!(name(place, "a-{host}", None), format!("a-{}", host.trim()));
    assert_eq!(name(place, "{{date}", None), "{date}");
    let user = Command::new("id").arg("-un").output().expect("it runs");
    let user = String::from_utf8(user.stdout).expect("text");
    let run = place.redlock(["run", "-r", "{user}", "printenv", "REDLOCK_RESOURCE"]);
    let end = run.env("LOGNAME", user.trim()).end();
    assert_eq!(end.assert_code(0).stdout, user);
}

#[test]
fn the_lock_is_that_of_the_expanded_name_and_the_section_that_of_the_typed_one() {
    for place in Place::each() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("config.toml");
        let text = "[resource.\"report-{date:utc}\"]\nmin-hold = \"1h\"\n";
        std::fs::write(&file, text).expect("ours");
        let run = |name: &str, job: &str| {
            let run = place.redlock(["run", "-v", "-r", name, job]);
            run.env("REDLOCK_CONFIG", &file).end()
        };
        run("report-{date:utc}", "true").assert_code(0);
        let today = format!("report-{}", date("UTC0", "+%F"));
        let end = run(&today, "true");
        end.assert_code(75)
            .assert_says(&[&today, "is kept by", "free in 59m"]);
        let history = place.redlock(["history", "report-{date:utc}", "--json"]);
        assert!(history.end().assert_code(0).stdout.contains(&today));
    }
}

#[test]
fn what_is_unknown_is_a_usage_error_and_an_unknown_zone_is_not_taken_for_utc() {
    let run =
        |name: &str| Redlock::new(["run", "--local=/proc/nowhere", "-r", name, "echo", "never"]);
    run("a-{day}").end().assert_code(64).assert_says(&[
        "--resource: {day} is unknown",
        "{date}",
        "{date:utc}",
    ]);
    run("a-{date")
        .end()
        .assert_code(64)
        .assert_says(&["'a-{date' has a brace that is not closed"]);
    let history = Redlock::new(["history", "--local=/proc/nowhere", "{day}"]).end();
    history.assert_code(64).assert_says(&["{day} is unknown"]);
    run("a-{date}")
        .env("TZ", "Europe/Nowhere")
        .end()
        .assert_code(78)
        .assert_says(&["TZ", "Europe/Nowhere", "{date:utc}"]);
}

#[test]
fn utc_needs_no_file_of_time_zones() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = "mount -t tmpfs none /usr/share/zoneinfo; exec \"$0\" \"$@\"";
    for tz in ["UTC", "GMT", ":Etc/UTC"] {
        let run = [
            "run",
            "-r",
            "a-{hour}-{hour:utc}",
            "printenv",
            "REDLOCK_RESOURCE",
        ];
        let end = Redlock::under(&["unshare", "-m", "sh", "-c", script], run)
            .env("REDLOCK_LOCAL", directory.path())
            .env("TZ", tz)
            .end();
        let name = end.assert_code(0).stdout.trim_end();
        let hours = name
            .strip_prefix("a-")
            .and_then(|hours| hours.split_once('-'));
        assert!(hours.is_some_and(|(local, utc)| local == utc), "{name}");
    }
}
