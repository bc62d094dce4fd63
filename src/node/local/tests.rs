//! The embedded node on real files: exclusion, expiry, boots, crashes, damage, and who may use it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::AtomicU32;

use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::*;
use crate::node::{ByHand as _, Fences, Marker, MarkerKind, NodeError, Values, Wanted};

const LIMIT: Duration = Duration::from_secs(5);
const TTL: Duration = Duration::from_secs(30);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A directory, and boots that can be changed.
struct Host {
    root: TempDir,
}

impl Host {
    /// One where a lock was held and released, and the file in which that is kept.
    fn with_a_record() -> (Self, PathBuf) {
        let host = Self::new();
        let node = host.node();
        acquire(&node, &entry(1)).expect("it is free");
        release(&node, &entry(1));
        let [record] = &host.records()[..] else {
            panic!("one record");
        };
        let record = record.clone();
        (host, record)
    }

    fn new() -> Self {
        let host = Self {
            root: tempfile::tempdir().expect("there is room for tests"),
        };
        host.boot("1111-aaaa");
        host
    }

    /// Boots again: nodes that are made from now on see `id`.
    fn boot(&self, id: &str) {
        fs::write(self.root.path().join("boot_id"), format!("{id}\n")).expect("written");
    }

    fn directory(&self) -> PathBuf {
        self.root.path().join("state/redlock")
    }

    fn node(&self) -> LocalNode {
        self.node_in(self.directory())
    }

    fn node_in(&self, directory: PathBuf) -> LocalNode {
        LocalNode::over(
            NodeName("test".to_owned()),
            Store::with_boot_id(directory, self.root.path().join("boot_id")),
        )
    }

    /// The files below the directory whose names are as long as a record's.
    fn records(&self) -> Vec<PathBuf> {
        let mut files = all_files(&self.directory());
        files.retain(|file| file.file_name().is_some_and(|name| name.len() == 40));
        files
    }
}

fn all_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(all_files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn entry_of(keys: &[&str], token: u32, ttl: Duration) -> Arc<Entry> {
    let mut keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    keys.sort();
    Arc::new(Entry {
        keys,
        value: format!("{token:032x} {{}}").into_bytes(),
        ttl,
        stay: ttl,
    })
}

fn entry(token: u32) -> Arc<Entry> {
    entry_of(&["lock:daily"], token, TTL)
}

fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn ballot(unix_ms: u64) -> Ballot {
    Ballot {
        unix_ms,
        min_uptime: Duration::ZERO,
    }
}

/// Acquires with `unix_ms`, and answers the fencing token, or `None` if it is taken.
fn acquire_at(node: &LocalNode, entry: &Arc<Entry>, unix_ms: u64) -> Option<u64> {
    match in_runtime(node.acquire(entry.clone(), ballot(unix_ms), LIMIT)).expect("an answer") {
        Vote::Granted { fence, run_id } => {
            assert_eq!(run_id, None);
            Some(fence)
        }
        Vote::Taken { .. } | Vote::Young { .. } | Vote::Twin { .. } => None,
    }
}

fn acquire(node: &LocalNode, entry: &Arc<Entry>) -> Option<u64> {
    acquire_at(node, entry, clock::unix_ms())
}

fn release(node: &LocalNode, entry: &Arc<Entry>) -> Release {
    in_runtime(node.release(entry.clone(), Arc::default(), LIMIT)).expect("an answer")
}

fn extend(node: &LocalNode, entry: &Arc<Entry>) -> Extension {
    in_runtime(node.extend(entry.clone(), 0, LIMIT)).expect("an answer")
}

fn failure(node: &LocalNode, entry: &Arc<Entry>) -> NodeError {
    in_runtime(node.acquire(entry.clone(), ballot(1), LIMIT)).expect_err("it cannot answer")
}

/// Makes `path` and all in it look as if nobody had touched it for a year.
fn age(path: &Path) {
    let long_ago = std::time::UNIX_EPOCH + Duration::from_hours(400_000);
    for file in all_files(path).iter().map(PathBuf::as_path).chain([path]) {
        let opened = File::open(file).expect("it is there");
        opened.set_modified(long_ago).expect("it is ours");
    }
}

#[test]
fn whoever_cleans_up_by_age_does_not_find_a_lock_file_in_use() {
    let host = Host::new();
    acquire(&host.node(), &entry(1)).expect("it is free");
    age(host.root.path());
    assert_eq!(acquire(&host.node(), &entry(2)), None);
    let is_young = |path: &PathBuf| {
        let modified = fs::metadata(path).and_then(|file| file.modified());
        let age = modified.expect("it is there").elapsed();
        age.unwrap_or_default() < Duration::from_hours(1)
    };
    let files = all_files(host.root.path());
    let mut locks = files.iter().filter(|path| path.ends_with("lock"));
    assert!(locks.any(is_young));
}

#[test]
fn one_excludes_the_other_until_it_lets_go() {
    let host = Host::new();
    let (first, second) = (host.node(), host.node());
    assert!(!first.may_hold_a_key());
    let began = clock::now();
    let token = acquire(&first, &entry(1)).expect("it is free");
    assert!(first.may_hold_a_key());
    let vote = in_runtime(second.acquire(entry(2), ballot(1), LIMIT));
    let Ok(Vote::Taken { by, .. }) = vote else {
        panic!("{vote:?}");
    };
    assert_eq!(by.key, "lock:daily");
    assert_eq!(by.value, entry(1).value);
    // A record ends with a whole millisecond: the next one.
    let most = TTL + Duration::from_millis(1);
    let is_right = |left| left >= TTL.saturating_sub(clock::now().since(began)) && left < most;
    assert!(by.ttl.is_some_and(is_right), "{:?}", by.ttl);
    assert!(!second.may_hold_a_key());
    assert_eq!(release(&second, &entry(2)), Release::NotOurs);
    assert_eq!(
        extend(&first, &entry(1)),
        Extension::Extended { run_id: None }
    );
    assert_eq!(
        release(&first, &entry(1)),
        Release::Released { run_id: None }
    );
    assert_eq!(release(&first, &entry(1)), Release::NotOurs);
    assert!(acquire(&second, &entry(2)).expect("it is free again") > token);
}

#[test]
fn what_one_operation_wrote_the_next_one_reads() {
    let host = Host::new();
    let node = host.node();
    let keys = &["lock:a", "lock:b"];
    let both = entry_of(keys, 1, TTL);
    let token = acquire(&node, &both).expect("they are free");
    let raised = in_runtime(node.raise(both.clone(), token + 5, LIMIT));
    assert_eq!(raised, Ok(Raised::To(token + 5)));
    release(&node, &entry_of(&["lock:b"], 1, TTL));
    assert_eq!(extend(&node, &both), Extension::Missing);
    let healed = in_runtime(node.heal(both.clone(), token + 9, LIMIT));
    assert_eq!(healed, Ok(Extension::Extended { run_id: None }));
    assert_eq!(
        extend(&host.node(), &both),
        Extension::Extended { run_id: None }
    );
    let foreign = extend(&node, &entry_of(keys, 2, TTL));
    assert!(matches!(foreign, Extension::Foreign(by) if by.key == "lock:a"));
    assert_eq!(release(&node, &both), Release::Released { run_id: None });
    assert!(acquire(&node, &both).expect("they are free") > token + 9);
}

#[test]
fn several_keys_are_taken_all_or_none() {
    let host = Host::new();
    let node = host.node();
    let keys: Vec<String> = (0..600).map(|number| format!("lock:{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    acquire(&node, &entry_of(&keys[300..301], 1, TTL)).expect("it is free");
    // More keys than folders, so some share one.
    assert_eq!(acquire(&node, &entry_of(&keys, 2, TTL)), None);
    assert!(acquire(&node, &entry_of(&keys[..300], 3, TTL)).is_some());
    assert!(acquire(&node, &entry_of(&keys[301..], 4, TTL)).is_some());
}

#[test]
fn of_twenty_contenders_exactly_one_wins_each_round() {
    const CONTENDERS: u32 = 20;
    const ROUNDS: u32 = 50;
    let host = Host::new();
    let barrier = Barrier::new(CONTENDERS as usize);
    let grants: Vec<AtomicU32> = (0..ROUNDS).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for contender in 0..CONTENDERS {
            let (host, barrier, grants) = (&host, &barrier, &grants);
            scope.spawn(move || {
                let node = host.node();
                for (round, granted) in (0..ROUNDS).zip(grants) {
                    let names = [format!("lock:x{round}"), format!("lock:y{round}")];
                    let names = names.each_ref().map(String::as_str);
                    let entry = entry_of(&names, contender, TTL);
                    barrier.wait();
                    if acquire(&node, &entry).is_some() {
                        granted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    for granted in &grants {
        assert_eq!(granted.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn under_contention_tokens_grow_in_the_order_of_holding() {
    let host = Host::new();
    let last = AtomicU32::new(0);
    let tokens = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for contender in 1..=8 {
            let (host, last, tokens) = (&host, &last, &tokens);
            scope.spawn(move || {
                let node = host.node();
                for _ in 0..25 {
                    let token = loop {
                        if let Some(token) = acquire(&node, &entry(contender)) {
                            break token;
                        }
                    };
                    last.store(contender, Ordering::SeqCst);
                    tokens.lock().expect("no panic").push(token);
                    std::thread::yield_now();
                    assert_eq!(last.load(Ordering::SeqCst), contender, "two at once");
                    assert_eq!(
                        release(&node, &entry(contender)),
                        Release::Released { run_id: None }
                    );
                }
            });
        }
    });
    let tokens = tokens.into_inner().expect("no panic");
    assert_eq!(tokens.len(), 200);
    assert!(tokens.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_lock_expires_by_itself_and_not_before() {
    let host = Host::new();
    let node = host.node();
    let short = entry_of(&["lock:daily"], 1, Duration::from_millis(80));
    let before = clock::now();
    let token = acquire(&node, &short).expect("it is free");
    let next = loop {
        if let Some(next) = acquire(&node, &entry(2)) {
            break next;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(clock::now().since(before) >= short.ttl);
    assert!(next > token);
    assert!(matches!(extend(&node, &short), Extension::Foreign(_)));
}

#[test]
fn a_lock_of_another_boot_is_free() {
    let host = Host::new();
    acquire(&host.node(), &entry(1)).expect("it is free");
    host.boot("2222-bbbb");
    let node = host.node();
    assert_eq!(extend(&node, &entry(1)), Extension::Missing);
    assert!(acquire(&node, &entry(2)).is_some());
}

#[test]
fn tokens_grow_over_boots_even_when_the_clock_starts_in_the_past() {
    let host = Host::new();
    let mut last = acquire(&host.node(), &entry(1)).expect("it is free");
    for boot in 2..12 {
        host.boot(&format!("{boot}"));
        let node = host.node();
        for round in 0..3 {
            let token = acquire_at(&node, &entry(boot), 5).expect("free");
            assert!(token > last, "boot {boot}, round {round}");
            last = token;
            release(&node, &entry(boot));
        }
    }
}

#[test]
fn tokens_grow_when_a_power_cut_takes_all_that_was_not_synced() {
    let host = Host::new();
    let node = host.node();
    let mut last = 0;
    for round in 0..50 {
        last = acquire(&node, &entry(round)).expect("it is free");
        release(&node, &entry(round));
    }
    let first_boot = host.directory().join("boot-1111-aaaa");
    fs::remove_dir_all(first_boot).expect("it is there");
    host.boot("2222-bbbb");
    let token = acquire_at(&host.node(), &entry(1), 0).expect("it is free");
    assert!(token > last);
}

#[test]
fn the_reservation_is_raised_before_a_token_reaches_it() {
    let host = Host::new();
    let node = host.node();
    let reserved = || {
        let text = fs::read_to_string(host.directory().join("fence/reserved"));
        let number = text.expect("it is there").trim().parse::<u64>();
        number.expect("a number")
    };
    let token = acquire(&node, &entry(1)).expect("it is free");
    assert_eq!(reserved(), token + DAY_MS);
    in_runtime(node.raise(entry(1), token + DAY_MS - 1, LIMIT)).expect("it is ours");
    assert_eq!(reserved(), token + DAY_MS);
    in_runtime(node.raise(entry(1), token + DAY_MS, LIMIT)).expect("it is ours");
    assert_eq!(reserved(), token + 2 * DAY_MS);
    // Another resource finds it raised, and a clock far ahead counts for half a second only.
    let other = entry_of(&["lock:other"], 1, TTL);
    let other = acquire_at(&node, &other, u64::MAX).expect("it is free");
    assert!(other <= clock::unix_ms() + CLOCK_ERROR_MS);
    assert_eq!(reserved(), token + 2 * DAY_MS);
}

#[test]
fn a_reservation_on_the_disk_is_never_lowered() {
    let host = Host::new();
    let node = host.node();
    let token = acquire(&node, &entry(1)).expect("it is free");
    // As another boot left it, of which the record here does not know.
    let far = token + 10 * DAY_MS;
    let reserved = host.directory().join("fence/reserved");
    fs::write(&reserved, format!("{far}\n")).expect("ours");
    in_runtime(node.raise(entry(1), token + DAY_MS, LIMIT)).expect("it is ours");
    let text = fs::read_to_string(reserved).expect("it is there");
    assert_eq!(text, format!("{far}\n"));
}

#[test]
fn a_damaged_file_is_an_answer_that_names_it() {
    let host = Host::new();
    let node = host.node();
    acquire(&node, &entry(1)).expect("it is free");
    let [file] = &host.records()[..] else {
        panic!("one record");
    };
    let whole = fs::read(file).expect("it is there");
    for damage in [&b""[..], b"\0\0\0", &whole[..whole.len() - 1]] {
        fs::write(file, damage).expect("it is ours");
        let error = failure(&node, &entry(2));
        let NodeError::Failed(text) = &error else {
            panic!("{error:?}");
        };
        assert!(text.contains(&file.display().to_string()), "{text}");
    }
    let boot = host.directory().join("boot-1111-aaaa");
    fs::write(boot.join("fences"), "x").expect("it is ours");
    let text = failure(&node, &entry_of(&["lock:new"], 1, TTL)).to_string();
    assert!(text.contains("fences is damaged"), "{text}");
}

#[test]
fn a_process_that_hangs_while_it_holds_the_file_lock_costs_no_more_than_the_limit() {
    const SHORT: Duration = Duration::from_millis(80);
    let host = Host::new();
    let node = host.node();
    acquire(&node, &entry(1)).expect("it is free");
    let folder = host.records()[0].parent().expect("a folder").to_owned();
    for lock in [folder.join("lock"), host.directory().join("fence/lock")] {
        let hung = File::open(&lock).expect("it is there");
        hung.lock().expect("nobody is at it");
        let before = clock::now();
        let far = clock::unix_ms() + 2 * DAY_MS;
        let answer = in_runtime(node.raise(entry(1), far, SHORT));
        let Err(NodeError::Failed(text)) = &answer else {
            panic!("{answer:?}");
        };
        assert!(
            text.contains(&format!("fuser -v {}", lock.display())),
            "{text}"
        );
        assert!(clock::now().since(before) >= SHORT);
        assert!(clock::now().since(before) < 5 * SHORT);
        drop(hung);
        assert_eq!(
            extend(&node, &entry(1)),
            Extension::Extended { run_id: None }
        );
    }
}

#[test]
fn a_resource_may_have_any_name() {
    let host = Host::new();
    let node = host.node();
    let long = "x".repeat(600);
    for key in [&long, "../../etc/passwd", "a/b", "..", "ä\n", ""] {
        assert!(acquire(&node, &entry_of(&[key], 1, TTL)).is_some());
        assert_eq!(acquire(&node, &entry_of(&[key], 2, TTL)), None);
    }
    assert_eq!(host.records().len(), 6);
}

#[test]
fn what_is_created_is_for_those_who_may_use_the_directory() {
    let host = Host::new();
    let shared = |mode: u32| {
        let directory = host.root.path().join(format!("{mode:o}"));
        fs::create_dir(&directory).expect("it is new");
        fs::set_permissions(&directory, Permissions::from_mode(mode)).expect("it is ours");
        directory
    };
    let (private, group, all) = (host.directory(), shared(0o770), shared(0o1777));
    for (directory, folder, file) in [
        (private, 0o700, 0o600),
        (group, 0o2770, 0o660),
        (all, 0o2777, 0o666),
    ] {
        acquire(&host.node_in(directory.clone()), &entry(1)).expect("it is free");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o7777;
        let files = all_files(&directory);
        assert_eq!(
            files.len(),
            6,
            "two locks, a record, two reservations, the queues"
        );
        for path in files {
            assert_eq!(mode(&path), file, "{}", path.display());
            let parent = path.parent().expect("a folder");
            assert_eq!(mode(parent), folder, "{}", parent.display());
        }
    }
    let made = |path| fs::metadata(path).expect("it is there").mode() & 0o7777;
    assert_eq!(made(host.directory()), 0o700);
    assert_eq!(made(host.root.path().join("state")), 0o700);
}

#[test]
fn a_place_that_cannot_be_used_is_named_and_says_what_to_do() {
    let host = Host::new();
    let file = host.root.path().join("file");
    fs::write(&file, "").expect("written");
    for place in [file.clone(), file.join("below")] {
        let error = failure(&host.node_in(place.clone()), &entry(1));
        let NodeError::Refused(text) = &error else {
            panic!("{error:?}");
        };
        assert!(text.contains(&place.display().to_string()), "{text}");
        assert!(text.contains("--local=DIR must name a directory"), "{text}");
    }
    let text = failure(&host.node_in(PathBuf::from("/proc/nowhere")), &entry(1)).to_string();
    assert!(
        text.starts_with("cannot create /proc/nowhere: no such file"),
        "{text}"
    );
}

#[test]
fn what_a_crash_leaves_behind_does_no_harm() {
    let host = Host::new();
    let node = host.node();
    acquire(&node, &entry(1)).expect("it is free");
    let folder = host.records()[0].parent().expect("a folder").to_owned();
    let half = folder.join("new");
    fs::write(&half, "redlock 1 half").expect("written");
    fs::set_permissions(&half, Permissions::from_mode(0o000)).expect("it is ours");
    assert_eq!(
        extend(&node, &entry(1)),
        Extension::Extended { run_id: None }
    );
    assert!(!half.exists());
    // A folder that was not finished is swept by who adds one, once it is old.
    let unfinished = host.directory().join(".new-0123456789abcdef");
    let recent = host.directory().join(".new-fedcba9876543210");
    for directory in [&unfinished, &recent] {
        fs::create_dir(directory).expect("it is new");
        fs::write(directory.join("lock"), "").expect("written");
    }
    age(&unfinished);
    acquire(&node, &entry_of(&["lock:other"], 1, TTL)).expect("it is free");
    assert!(!unfinished.exists());
    assert!(recent.exists());
}

#[test]
fn spent_records_are_swept_by_those_who_add_new_ones() {
    let host = Host::new();
    let node = host.node();
    acquire(&node, &entry(1)).expect("it is free");
    let folder = host.records()[0].parent().expect("a folder").to_owned();
    let mut spent = Record::new("lock:2001-01-01", 5, 100);
    for number in 0..200 {
        fs::write(folder.join(format!("{number:040}")), spent.encode()).expect("written");
    }
    // These must stay: a living counter, a counter ahead of the clock, a living lock, a damaged
    // one.
    let now_ms = u64::try_from(clock::host_uptime().as_millis()).expect("not that long");
    let mut stay = Vec::new();
    spent.keep_until_ms = now_ms + 100_000;
    stay.push(spent.encode());
    spent.keep_until_ms = 0;
    spent.fence = clock::unix_ms() + 100_000;
    stay.push(spent.encode());
    spent.fence = 5;
    spent.lock = Some(record::Lock {
        value: entry(1).value.clone(),
        until_ms: now_ms + 100_000,
    });
    stay.push(spent.encode());
    stay.push(b"damaged".to_vec());
    for (number, bytes) in (1000..).zip(&stay) {
        fs::write(folder.join(format!("{number:040}")), bytes).expect("written");
    }
    for _ in 0..500 {
        sweep::folder(&folder);
    }
    assert_eq!(host.records().len(), 1 + stay.len());
    assert_eq!(
        acquire(&node, &entry(2)),
        None,
        "the living lock is still there"
    );
}

#[test]
fn who_adds_a_record_sweeps_and_who_does_not_pays_nothing() {
    let host = Host::new();
    let node = host.node();
    acquire(&node, &entry(1)).expect("it is free");
    let folder = host.records()[0].parent().expect("a folder").to_owned();
    let spent = folder.join("0".repeat(40));
    fs::write(&spent, Record::new("lock:old", 5, 100).encode()).expect("written");
    extend(&node, &entry(1));
    assert!(spent.exists());
    acquire(&node, &neighbour(&folder)).expect("it is free");
    assert!(!spent.exists());
}

/// An entry of another key, whose file stands in the same folder.
fn neighbour(folder: &Path) -> Arc<Entry> {
    let name = folder.file_name().expect("a name").to_string_lossy();
    let hash = |key: &String| sha1_smol::Sha1::from(key).digest().to_string();
    let mut keys = (0..).map(|number| format!("lock:{number}"));
    let key = keys.find(|key| hash(key).starts_with(&*name));
    entry_of(&[&key.expect("one of 256")], 1, TTL)
}

#[test]
fn folders_of_former_boots_are_swept_when_nobody_touched_them_for_long() {
    let host = Host::new();
    acquire(&host.node(), &entry(1)).expect("it is free");
    let former = host.directory().join("boot-1111-aaaa");
    host.boot("2222-bbbb");
    acquire(&host.node(), &entry(2)).expect("it is free");
    assert!(former.exists(), "it may be the boot of another host");
    age(&former);
    host.boot("3333-cccc");
    acquire(&host.node(), &entry(3)).expect("it is free");
    assert!(!former.exists());
    assert!(host.directory().join("boot-2222-bbbb").exists());
    assert_eq!(acquire(&host.node(), &entry(4)), None);
}

#[test]
fn a_folder_of_another_boot_stays_if_anything_in_it_is_young_and_what_is_no_boots_stays() {
    let host = Host::new();
    acquire(&host.node(), &entry(1)).expect("it is free");
    let [record] = &host.records()[..] else {
        panic!("one record");
    };
    age(&host.directory());
    // As an extension leaves it: it may be another host's, who holds that lock.
    let file = File::options().append(true).open(record);
    let young = file.and_then(|file| file.set_modified(clock::wall()));
    young.expect("it is ours");
    acquire(&host.node(), &entry_of(&["lock:other"], 1, TTL)).expect("it is free");
    assert!(host.directory().join("fence/reserved").exists());
    host.boot("2222-bbbb");
    acquire(&host.node(), &entry(2)).expect("it is free");
    assert!(record.exists());
}

#[test]
fn names_of_which_one_was_not_used_for_days_are_taken_together() {
    let host = Host::new();
    let node = host.node();
    let later = clock::unix_ms() + 2 * 86_400_000;
    for (key, fence) in [("lock:a", 0), ("lock:b", later)] {
        let entry = entry_of(&[key], 1, TTL);
        acquire(&node, &entry).expect("it is free");
        in_runtime(node.extend(entry.clone(), fence, LIMIT)).expect("an answer");
        release(&node, &entry);
    }
    let both = entry_of(&["lock:a", "lock:b"], 2, TTL);
    assert_eq!(acquire(&node, &both), Some(later + 1));
}

/// A release that leaves a marker of `kind` for a minute, and is a run for the history.
fn release_as(node: &LocalNode, entry: &Arc<Entry>, kind: MarkerKind, run: &str) -> Release {
    let until = clock::now() + Duration::from_mins(1);
    let parting = Parting {
        marker: Some(Marker { kind, until }),
        run: Some(run.to_owned()),
        quiet: false,
    };
    in_runtime(node.release(entry.clone(), Arc::new(parting), LIMIT)).expect("an answer")
}

#[test]
fn what_is_done_outlives_the_boot_and_what_is_kept_does_not() {
    for (kind, is_free) in [(MarkerKind::Done, false), (MarkerKind::Kept, true)] {
        let host = Host::new();
        let node = host.node();
        acquire(&node, &entry(1)).expect("it is free");
        assert_eq!(
            release_as(&node, &entry(1), kind, "run"),
            Release::Released { run_id: None }
        );
        assert_eq!(acquire(&node, &entry(2)), None);
        host.boot("2222-bbbb");
        let vote = in_runtime(host.node().acquire(entry(3), ballot(1), LIMIT)).expect("an answer");
        match vote {
            Vote::Taken { by, .. } => {
                assert!(!is_free, "{kind:?}");
                let rest = by.ttl.expect("it ends");
                assert!(rest > Duration::from_secs(50) && rest <= Duration::from_mins(1));
            }
            Vote::Granted { .. } => assert!(is_free, "{kind:?}"),
            Vote::Young { .. } | Vote::Twin { .. } => panic!("no file restarts, or has two names"),
        }
    }
}

#[test]
fn who_notes_that_a_job_is_done_takes_away_what_was_noted_for_a_time_that_is_over_and_no_more() {
    let host = Host::new();
    let node = host.node();
    acquire(&node, &entry(1)).expect("it is free");
    release_as(&node, &entry(1), MarkerKind::Done, "run");
    let [marker] = &all_files(&host.directory().join("done"))[..] else {
        panic!("one marker");
    };
    let folder = marker.parent().expect("a folder");
    let (over, damaged) = (folder.join("0".repeat(40)), folder.join("1".repeat(40)));
    fs::write(&over, "1 1 8\nlock:old\nvalue").expect("written");
    fs::write(&damaged, "damaged").expect("written");
    let neighbour = neighbour(folder);
    acquire(&node, &neighbour).expect("it is free");
    release_as(&node, &neighbour, MarkerKind::Done, "run");
    assert!(!over.exists());
    assert!(damaged.exists(), "somebody has to look at it");
    host.boot("2222-bbbb");
    assert_eq!(acquire(&host.node(), &entry(2)), None);
}

/// What a list shows: each value and its fencing counter, by its key.
fn listed(node: &LocalNode) -> Vec<(String, Vec<u8>, Option<u64>)> {
    let wanted = Arc::new(Wanted {
        glob: "lock:*".to_owned(),
        values: Values::Any,
        fences: Fences::Read,
    });
    let mut found = Vec::new();
    let mut cursor = Some(0);
    while let Some(page) = cursor {
        let page = in_runtime(node.page(Arc::clone(&wanted), page, LIMIT)).expect("a page");
        let locks = page.locks.into_iter();
        found.extend(locks.map(|lock| (lock.value.key, lock.value.value, lock.fence)));
        cursor = page.next;
    }
    found.sort();
    found
}

#[test]
fn what_is_done_is_listed_once_in_this_boot_and_the_next() {
    let host = Host::new();
    let node = host.node();
    let keys = ["lock:done", "lock:ended", "lock:kept"];
    let [done, ended, kept] = keys.map(|key| entry_of(&[key], 1, TTL));
    let token = acquire(&node, &done).expect("it is free");
    for entry in [&ended, &kept] {
        acquire(&node, entry).expect("it is free");
    }
    release_as(&node, &done, MarkerKind::Done, "run");
    release_as(&node, &kept, MarkerKind::Kept, "run");
    release(&node, &ended);
    let before = listed(&node);
    assert_eq!(before.len(), 2);
    assert_eq!((&*before[0].0, before[0].2), ("lock:done", Some(token)));
    host.boot("2222-bbbb");
    let node = host.node();
    let (key, value, _) = before[0].clone();
    assert_eq!(listed(&node), [(key, value, None)]);
    // Now there is a record as well.
    acquire(&node, &entry_of(&["lock:done"], 2, TTL));
    acquire(&node, &ended).expect("it is free");
    let keys: Vec<String> = listed(&node).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, ["lock:done", "lock:ended"]);
}

#[test]
fn a_marker_of_another_boot_does_not_grow_when_the_clock_is_set_back() {
    let host = Host::new();
    let node = host.node();
    acquire(&node, &entry(1)).expect("it is free");
    release_as(&node, &entry(1), MarkerKind::Done, "run");
    let mut done = all_files(&host.directory().join("done"));
    let done = done.pop().expect("a marker on the disk");
    let text = fs::read_to_string(&done).expect("it is text here");
    let (head, value) = text.split_once('\n').expect("a head");
    let (until, rest) = head.split_once(' ').expect("numbers");
    let far: u64 = until.parse::<u64>().expect("a number") + DAY_MS;
    fs::write(&done, format!("{far} {rest}\n{value}")).expect("ours");
    host.boot("2222-bbbb");
    let vote = in_runtime(host.node().acquire(entry(3), ballot(1), LIMIT)).expect("an answer");
    let Vote::Taken { by, .. } = vote else {
        panic!("{vote:?}");
    };
    assert!(
        by.ttl.is_some_and(|rest| rest <= Duration::from_mins(1)),
        "{by:?}"
    );
    // Who cannot tell whether it is done must not do it again.
    fs::write(&done, "x").expect("ours");
    let text = failure(&host.node(), &entry(4)).to_string();
    assert!(
        text.contains(&format!("{} is damaged", done.display())),
        "{text}"
    );
    fs::remove_file(&done).expect("ours");
    acquire(&host.node(), &entry(4)).expect("it is free");
}

#[test]
fn whoever_may_write_to_the_directory_makes_nobody_touch_anything_else() {
    let (host, ref record) = Host::with_a_record();
    let node = host.node();
    let folder = record.parent().expect("a folder").to_owned();
    let elsewhere = host.root.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("ours");
    let victim = elsewhere.join(record.file_name().expect("a name"));
    let secret = fs::read(record).expect("ours");
    fs::write(&victim, &secret).expect("ours");
    let untouched = || {
        assert_eq!(all_files(&elsewhere), std::slice::from_ref(&victim));
        assert_eq!(fs::read(&victim).expect("ours"), secret);
    };
    // A record that is a link, and one that would keep its reader waiting for ever.
    fs::remove_file(record).expect("ours");
    symlink(&victim, record).expect("ours");
    let text = failure(&node, &entry(2)).to_string();
    assert!(text.contains("it is a link, and none of ours"), "{text}");
    untouched();
    fs::remove_file(record).expect("ours");
    nix::unistd::mkfifo(record, Mode::S_IRWXU).expect("ours");
    let text = failure(&node, &entry(2)).to_string();
    assert!(text.contains("is damaged"), "{text}");
    fs::remove_file(record).expect("ours");
    // The file that is locked, a folder, and a whole boot.
    let boot = folder.parent().expect("a boot");
    let lock = folder.join("lock");
    for (path, target) in [(&lock, &victim), (&folder, &elsewhere)] {
        let aside = host.root.path().join("aside");
        fs::rename(path, &aside).expect("ours");
        symlink(target, path).expect("ours");
        let text = failure(&node, &entry(2)).to_string();
        assert!(text.contains("it is a link, and none of ours"), "{text}");
        untouched();
        fs::remove_file(path).expect("ours");
        fs::rename(&aside, path).expect("ours");
    }
    symlink(&elsewhere, boot.join("ff")).expect("ours");
    let text = node.examine().expect_err("a link is there");
    assert!(text.contains("it is a link, and none of ours"), "{text}");
    fs::remove_file(boot.join("ff")).expect("ours");
    let aside = host.root.path().join("aside");
    fs::rename(boot, &aside).expect("ours");
    symlink(&aside, boot).expect("ours");
    let text = failure(&node, &entry(2)).to_string();
    assert!(text.contains("it is a link, and none of ours"), "{text}");
    fs::remove_file(boot).expect("ours");
    fs::rename(&aside, boot).expect("ours");
}

#[test]
fn a_link_in_the_place_of_the_history_is_left_out() {
    let (host, ref record) = Host::with_a_record();
    let node = host.node();
    let name = record.file_name().expect("a name");
    let folder = record.parent().and_then(Path::file_name).expect("a name");
    let elsewhere = host.root.path().join("elsewhere");
    let of_folder = elsewhere.join(folder);
    fs::create_dir_all(&of_folder).expect("ours");
    // Each has a file that could be added to.
    let victims = [elsewhere.join(name), of_folder.join(name)];
    let history = host.directory().join("history");
    let links = [
        (history.join(folder), &elsewhere),
        (history.clone(), &elsewhere),
    ];
    for (link, target) in links {
        let _ = fs::remove_dir_all(&history);
        fs::create_dir_all(link.parent().expect("a parent")).expect("ours");
        symlink(target, &link).expect("ours");
        for victim in &victims {
            fs::write(victim, "a line\n").expect("ours");
        }
        acquire(&node, &entry(2)).expect("it is free");
        let parting = Parting {
            run: Some("a run".to_owned()),
            ..Parting::default()
        };
        let released = in_runtime(node.release(entry(2), Arc::new(parting), LIMIT));
        assert_eq!(released, Ok(Release::Released { run_id: None }));
        for victim in &victims {
            assert_eq!(fs::read(victim).expect("ours"), b"a line\n");
        }
        assert_eq!(all_files(&elsewhere).len(), 2);
    }
}

#[test]
fn what_somebody_has_cleaned_up_is_made_again() {
    let host = Host::new();
    let node = host.node();
    let first = acquire(&node, &entry(1)).expect("it is free");
    let boot = host.directory().join("boot-1111-aaaa");
    for file in ["fences", "turns"] {
        fs::remove_file(boot.join(file)).expect("it is there");
    }
    for lock in all_files(&host.directory()) {
        if lock.ends_with("lock") {
            fs::remove_file(lock).expect("it is there");
        }
    }
    let other = entry_of(&["lock:other"], 1, TTL);
    let second = acquire(&node, &other).expect("it is free");
    // Beyond all that may have been given out, and not only by the clock.
    assert!(second > first + DAY_MS / 2);
    assert_eq!(acquire(&node, &entry(2)), None, "it is still held");
    // Nobody knows any more what was given out.
    fs::remove_file(boot.join("fences")).expect("it is there");
    fs::remove_file(host.directory().join("fence/reserved")).expect("it is there");
    let text = failure(&node, &entry_of(&["lock:new"], 1, TTL)).to_string();
    assert!(text.contains("reserved was removed by hand"), "{text}");
}

#[test]
fn the_last_runs_are_kept_over_boots_and_are_bounded() {
    let host = Host::new();
    let history = |host: &Host| in_runtime(host.node().history("lock:daily".into(), LIMIT));
    assert_eq!(history(&host), Ok(Vec::new()));
    for number in 0..30 {
        let node = host.node();
        acquire(&node, &entry(number)).expect("it is free");
        let parting = Arc::new(Parting {
            marker: None,
            run: Some(format!("run {number}")),
            quiet: false,
        });
        for _ in 0..2 {
            // Once, also if the answer was lost and it is sent again.
            in_runtime(node.release(entry(number), parting.clone(), LIMIT)).expect("an answer");
        }
    }
    host.boot("2222-bbbb");
    let runs = history(&host).expect("an answer");
    assert_eq!(runs.len(), 20);
    assert_eq!((runs[0].as_str(), runs[19].as_str()), ("run 29", "run 10"));
    age(&host.directory().join("history"));
    assert_eq!(history(&host), Ok(Vec::new()));
}

#[test]
fn the_file_of_a_history_stays_small_and_what_is_not_its_own_is_left_alone() {
    let host = Host::new();
    let run = |number: u32| {
        let node = host.node();
        acquire(&node, &entry(number)).expect("it is free");
        let parting = Arc::new(Parting {
            run: Some(format!("run {number} {}", "x".repeat(400))),
            ..Parting::default()
        });
        in_runtime(node.release(entry(number), parting, LIMIT)).expect("an answer");
    };
    let last = || {
        let runs = in_runtime(host.node().history("lock:daily".into(), LIMIT));
        let runs = runs.expect("an answer").into_iter();
        let number = |run: String| run.split(' ').nth(1).and_then(|word| word.parse().ok());
        runs.filter_map(number).collect::<Vec<u32>>()
    };
    let mut largest = 0;
    let file = || all_files(&host.directory().join("history")).remove(0);
    for number in 0..100 {
        run(number);
        largest = largest.max(fs::metadata(file()).expect("ours").len());
    }
    assert!(largest > 12_000 && largest < 20_000, "{largest}");
    assert_eq!(last(), (80..100).rev().collect::<Vec<_>>());
    // Another name of the same file, which may be something else's.
    let victim = host.root.path().join("victim");
    fs::hard_link(file(), &victim).expect("ours");
    let before = fs::read(&victim).expect("ours");
    run(100);
    assert_eq!(fs::read(&victim).expect("ours"), before);
    assert_eq!(last()[0], 100);
    // A power cut has torn the last line.
    let torn = [&fs::read(file()).expect("ours")[..], b"run 1"].concat();
    fs::write(file(), torn).expect("ours");
    run(101);
    assert_eq!(last()[0], 101);
    assert!(last().contains(&100));
}

#[test]
fn a_release_needs_no_room_and_keeps_the_counter() {
    let host = Host::new();
    let node = host.node();
    let token = acquire(&node, &entry(1)).expect("it is free");
    let file = host.records().remove(0);
    let before = fs::metadata(&file).expect("it is there");
    release(&node, &entry(1));
    let after = fs::metadata(&file).expect("it is there");
    assert_eq!(before.ino(), after.ino());
    assert!(after.len() < before.len());
    let record = store::peek(&file)
        .expect("it can be read")
        .expect("it is whole");
    assert_eq!((record.fence, record.lock), (token, None));
}

/// What `node` is told of releases from now on.
async fn listen(node: &LocalNode) -> Notices {
    let keys = entry(0).keys.clone().into();
    let notices = node.listen(keys, LIMIT).await.expect("it can be watched");
    // It stands in the queue, and watches if it is the first.
    tokio::task::yield_now().await;
    notices
}

/// Whether anything is told within some time in which it would be.
async fn is_told(notices: &mut Notices) -> bool {
    let next = tokio::time::timeout(Duration::from_millis(50), notices.next());
    matches!(next.await, Ok(Some(_)))
}

async fn wait_for(notices: &mut Notices) {
    let next = tokio::time::timeout(LIMIT, notices.next()).await;
    assert!(matches!(next, Ok(Some(_))), "{next:?}");
}

/// Takes the free lock for `token`.
async fn take(node: &LocalNode, token: u32) {
    let vote = node.acquire(entry(token), ballot(1), LIMIT).await;
    assert!(matches!(vote, Ok(Vote::Granted { .. })), "{vote:?}");
}

/// Gives it back.
async fn let_go(node: &LocalNode, token: u32) {
    let released = node.release(entry(token), Arc::default(), LIMIT).await;
    assert_eq!(released, Ok(Release::Released { run_id: None }));
}

#[test]
fn of_those_who_wait_one_after_the_other_is_told_in_the_order_in_which_they_came() {
    let host = Host::new();
    let (holder, first, second) = (host.node(), host.node(), host.node());
    in_runtime(async {
        take(&holder, 1).await;
        let mut first_hears = listen(&first).await;
        let mut second_hears = listen(&second).await;
        let_go(&holder, 1).await;
        wait_for(&mut first_hears).await;
        assert!(!is_told(&mut second_hears).await);
        take(&first, 2).await;
        drop(first_hears);
        // It is its turn, and the lock is held.
        assert!(!is_told(&mut second_hears).await);
        let_go(&first, 2).await;
        wait_for(&mut second_hears).await;
    });
}

#[test]
fn whose_turn_comes_when_the_lock_is_free_already_is_told() {
    let host = Host::new();
    let (holder, first, second) = (host.node(), host.node(), host.node());
    in_runtime(async {
        take(&holder, 1).await;
        let first_hears = listen(&first).await;
        let mut second_hears = listen(&second).await;
        let_go(&holder, 1).await;
        assert!(!is_told(&mut second_hears).await);
        // As when it gives up waiting.
        drop(first_hears);
        wait_for(&mut second_hears).await;
    });
}

#[test]
fn who_leaves_a_free_lock_lets_the_next_try() {
    let host = Host::new();
    let (holder, broken, next) = (host.node(), host.node(), host.node());
    in_runtime(async {
        take(&holder, 1).await;
        let mut broken_hears = listen(&broken).await;
        let mut next_hears = listen(&next).await;
        let_go(&holder, 1).await;
        wait_for(&mut broken_hears).await;
        wait_for(&mut next_hears).await;
    });
}

#[test]
fn who_waits_is_told_also_if_somebody_had_the_lock_only_in_between() {
    let host = Host::new();
    let (holder, waiter) = (host.node(), host.node());
    in_runtime(async {
        take(&holder, 1).await;
        let mut waiter_hears = listen(&waiter).await;
        let_go(&holder, 1).await;
        wait_for(&mut waiter_hears).await;
        // Neither has to wait, so nobody looks in between.
        take(&holder, 2).await;
        let_go(&holder, 2).await;
        wait_for(&mut waiter_hears).await;
    });
}

#[test]
fn that_the_job_is_done_is_told_one_after_the_other() {
    let host = Host::new();
    let (holder, first, second) = (host.node(), host.node(), host.node());
    in_runtime(async {
        take(&holder, 1).await;
        let mut first_hears = listen(&first).await;
        let mut second_hears = listen(&second).await;
        let done = Parting {
            marker: Some(Marker {
                kind: MarkerKind::Done,
                until: clock::now() + LIMIT,
            }),
            ..Parting::default()
        };
        let released = holder.release(entry(1), Arc::new(done), LIMIT).await;
        released.expect("an answer");
        wait_for(&mut first_hears).await;
        assert!(!is_told(&mut second_hears).await);
        drop(first_hears);
        wait_for(&mut second_hears).await;
    });
}

#[test]
fn whoever_holds_a_lock_is_told_at_once_whoever_waits() {
    let host = Host::new();
    let (holder, waiter) = (host.node(), host.node());
    in_runtime(async {
        take(&holder, 1).await;
        let mut waiter_hears = listen(&waiter).await;
        let mut holder_hears = listen(&holder).await;
        fs::remove_file(&host.records()[0]).expect("ours");
        wait_for(&mut holder_hears).await;
        wait_for(&mut waiter_hears).await;
    });
}

#[test]
fn who_sees_another_boot_since_this_one_is_noticed() {
    let host = Host::new();
    let others = |host: &Host| host.node().examine().expect("it is fine").has_other_users;
    acquire(&host.node(), &entry(1)).expect("it is free");
    assert!(!others(&host));
    host.boot("2222-bbbb");
    assert!(others(&host), "1111-aaaa was here a moment ago");
    age(&host.directory());
    age(host.records()[0].parent().expect("a folder"));
    assert!(!others(&host), "that was before this host booted");
}
