//! What other hosts wrote into a lock.

use std::time::Duration;

use redlock::lock::claim::holder_of;
use redlock::node::Foreign;
use redlock::report::{escape, holder};

use crate::{fuzz, mutate};

const OURS: &str = "0123456789abcdef0123456789abcdef {\"host\":\"web-2\",\"pid\":4123,\
    \"user\":\"root\",\"command\":\"backup.sh\",\"note\":\"deploying v42\",\
    \"since\":\"2026-11-24T03:00:00.000Z\"}";

#[test]
fn a_value_of_any_bytes_is_shown_in_one_line_that_cannot_touch_a_terminal() {
    let mut with_holder = 0;
    let inputs = fuzz(|rng| {
        let mut value = OURS.as_bytes().to_vec();
        mutate(rng, &mut value);
        with_holder += u64::from(holder_of(&value).is_some());
        let by = Foreign {
            key: "lock:job".to_owned(),
            value,
            digest: String::new(),
            kind: "string".to_owned(),
            ttl: rng.bool().then(|| Duration::from_millis(rng.u64(..))),
        };
        let line = escape(&holder(&by));
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains('\u{202e}'), "{line:?}");
    });
    // The inputs are neither all good nor all bad.
    assert!(
        inputs == 1 || (with_holder > 0 && with_holder < inputs),
        "{with_holder} of {inputs}"
    );
}
