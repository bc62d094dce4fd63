//! Durations as people write them: `500ms`, `30s`, `1h 30m`, and as `timeout` reads them: `10`,
//! `1.5`, `0.5h`. Called by the table of options.

use std::time::Duration;

/// The units that may follow a decimal fraction, in seconds.
const UNITS: [(&str, f64); 6] = [
    ("", 1.0),
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
];

/// Reads a duration; a bare number counts seconds.
///
/// # Errors
///
/// If `text` is none, or longer than a [`Duration`] can be. The message quotes `text`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Some(seconds) = decimal(text) {
        return Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("'{text}' is too long a duration"));
    }
    // Months, to `humantime`. Who lets go of the shift key too late means minutes.
    if text.contains('M') {
        return Err(format!(
            "'{text}' could be minutes or months; write m for minutes, d for days"
        ));
    }
    match humantime::parse_duration(text) {
        Ok(duration) => Ok(duration),
        Err(humantime::DurationError::NumberOverflow) => {
            Err(format!("'{text}' is too long a duration"))
        }
        Err(_) => Err(format!(
            "'{text}' is no duration; write it as in 500ms, 30s, 10m or 1h30m"
        )),
    }
}

/// The seconds of a number that is bare or has a fraction; all else is `humantime`'s.
fn decimal(text: &str) -> Option<f64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    if !unit.is_empty() && !number.contains('.') {
        return None;
    }
    Some(number.parse::<f64>().ok()? * seconds)
}

/// A duration as a message shows it.
#[must_use]
pub fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_and_timeout_write_them() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("10", 10_000),
            ("0.5", 500),
            (".5", 500),
            ("1.5s", 1_500),
            ("0.5h", 1_800_000),
            ("1h30m", 5_400_000),
            (" 1h 30m ", 5_400_000),
            ("2d", 172_800_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_quoted_and_an_example_given() {
        for text in [
            "", "sleep", "5x", "-5", "1.5.5", ".", "1,5s", "inf", "nan", "5 s s",
        ] {
            let message = parse(text).expect_err(text);
            assert!(
                message.starts_with(&format!("'{text}' is no duration; write")),
                "{message}"
            );
        }
    }

    #[test]
    fn minutes_are_never_taken_for_months() {
        for text in ["5M", "1h 5M", "1M"] {
            let message = parse(text).expect_err(text);
            assert!(message.contains("write m for minutes"), "{message}");
        }
    }

    #[test]
    fn an_endless_number_is_too_long_rather_than_a_panic() {
        for text in [
            "99999999999999999999",
            "99999999999999999999h",
            "1e",
            &"9".repeat(400),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
