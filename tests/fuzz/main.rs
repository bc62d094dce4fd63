//! Seeded fuzzing, on stable Rust, of what comes from outside: replies of servers, values in keys,
//! files of settings, URLs.
//!
//! Each test makes inputs for `REDLOCK_FUZZ_SECONDS` (2 unless set) from seeds that count up from a
//! fixed one, so that a run repeats itself. A failure names its seed; `REDLOCK_FUZZ_SEED=N` runs
//! that input alone. Inputs are mostly well-formed, with a few bytes changed: pure noise is refused
//! at the door and finds nothing.

mod replies;
mod settings;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use fastrand::Rng;
use redlock::clock;

/// Runs `check` on one input after the other until the time is over; answers how many there were.
fn fuzz(mut check: impl FnMut(&mut Rng)) -> u64 {
    let variable = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name} is a number")),
        )
    };
    if let Some(seed) = variable("REDLOCK_FUZZ_SEED") {
        check(&mut Rng::with_seed(seed));
        return 1;
    }
    let limit = Duration::from_secs(variable("REDLOCK_FUZZ_SECONDS").unwrap_or(2));
    let began = clock::now();
    let mut seed = 0;
    while clock::now().since(began) < limit {
        let checked = catch_unwind(AssertUnwindSafe(|| check(&mut Rng::with_seed(seed))));
        if let Err(panic) = checked {
            eprintln!("failed with REDLOCK_FUZZ_SEED={seed}");
            resume_unwind(panic);
        }
        seed += 1;
    }
    println!("{seed} inputs");
    seed
}

/// Changes a few bytes of `bytes`: replaced, removed, repeated, or put in from what is known to
/// hurt.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    const NASTY: [&[u8]; 14] = [
        b"\r\n",
        b"\x1b[2J",
        b"\0",
        b"\xff\xfe",
        b"-1",
        b"99999999999999999999",
        b"$-1\r\n",
        b"*1000000000\r\n",
        b"$1000000000\r\n",
        b"\"",
        b"\\u0000",
        b"{}",
        "\u{202e}".as_bytes(),
        b"'''",
    ];
    for _ in 0..rng.usize(..4) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(..8)).min(bytes.len());
        match rng.u8(..5) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, NASTY[rng.usize(..NASTY.len())].iter().copied())),
            2 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            3 => bytes[at..end]
                .iter_mut()
                .for_each(|byte| *byte = rng.u8(..)),
            _ => bytes.truncate(at.max(1)),
        }
    }
}
