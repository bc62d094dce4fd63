//! The embedded node: the same story without a server.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use redlock::clock;
use tempfile::TempDir;

use crate::support::process::is_alive;
use crate::support::{Nobody, Process, Redlock, eventually};

fn redlock<'a>(directory: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Redlock {
    Redlock::new(arguments).env("REDLOCK_LOCAL", directory)
}

fn holder(directory: &Path) -> Process {
    let job = [
        "run",
        "-t",
        "2s",
        "-r",
        "job",
        "sh",
        "-c",
        "echo ready; read _; exit 6",
    ];
    redlock(directory, job).start_ready()
}

#[test]
fn a_job_runs_and_a_second_one_is_skipped_meanwhile() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut run = holder(directory.path());
    let second = ["run", "-v", "-r", "job", "echo", "never"];
    let pid = format!("pid {}", run.pid());
    redlock(directory.path(), second)
        .end()
        .assert_code(75)
        .assert_says(&["job is held by", &pid]);
    let other = ["run", "-r", "another name", "echo", "ran"];
    assert_eq!(
        redlock(directory.path(), other).end().assert_code(0).stdout,
        "ran\n"
    );
    run.write_line("");
    run.end().assert_code(6).assert_silent();
    let next = ["run", "-r", "job", "echo", "my turn"];
    assert_eq!(
        redlock(directory.path(), next).end().assert_code(0).stdout,
        "my turn\n"
    );
}

#[test]
fn the_lock_is_extended_and_a_waiter_gets_it_right_after() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut run = holder(directory.path());
    // Twice the TTL.
    let skipped = redlock(
        directory.path(),
        ["run", "-w4s", "-r", "job", "echo", "never"],
    )
    .end();
    skipped.assert_code(75);
    let waiter = redlock(
        directory.path(),
        ["run", "-w", "-r", "job", "echo", "my turn"],
    )
    .start();
    run.write_line("");
    run.end().assert_code(6);
    assert_eq!(waiter.end().assert_code(0).stdout, "my turn\n");
}

/// How many descriptors of the kernel's notices of changed files a process has.
fn watches(process: Pid) -> usize {
    let open = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter(|target| target == Path::new("anon_inode:inotify"))
        .count()
}

#[test]
fn who_waited_keeps_its_descriptors_to_itself_or_the_command_would_wait_for_the_kernel_to_close_them()
 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut first = holder(directory.path());
    let wait = [
        "run",
        "-w",
        "-r",
        "job",
        "sh",
        "-c",
        "echo $$; echo ready; read _",
    ];
    let mut waiter = redlock(directory.path(), wait).start();
    eventually("it watches", || watches(waiter.pid()) > 0);
    first.write_line("");
    first.end().assert_code(6);
    let command = waiter.next_line().parse().map(Pid::from_raw);
    waiter.wait_for("ready");
    assert!(watches(waiter.pid()) > 0);
    assert_eq!(watches(command.expect("a pid")), 0);
    waiter.write_line("");
    waiter.end().assert_code(0);
}

#[test]
fn who_waits_in_vain_for_long_watches_no_more_than_in_the_beginning() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut holder = holder(directory.path());
    let waiter = waiter(directory.path());
    eventually("it waits", || is_first(&waiter));
    waiter.signal(Signal::SIGSTOP);
    holder.write_line("");
    holder.end().assert_code(6);
    // The lock is free, and nobody comes to it: whoever is first in the queue makes way, again and
    // again, after 200 ms and for 2 s.
    let boots = fs::read_dir(directory.path()).expect("it is ours");
    let mut boots = boots.map(|entry| entry.expect("it is ours").path());
    let boot = boots.find(|path| path.join("turns").exists());
    let folders = fs::read_dir(boot.expect("a boot")).expect("it is ours");
    let in_the_way: Vec<fs::File> = folders
        .filter_map(|folder| fs::File::open(folder.expect("it is ours").path().join("lock")).ok())
        .collect();
    assert_eq!(in_the_way.len(), 1);
    in_the_way[0].lock().expect("nobody has it");
    waiter.signal(Signal::SIGCONT);
    let mut most = 0;
    let until = clock::now() + Duration::from_secs(5);
    while !until.has_passed() {
        most = most.max(watches(waiter.pid()));
        thread::sleep(Duration::from_millis(20));
    }
    drop(in_the_way);
    assert_eq!(most, 2, "an instance, and a copy of its descriptor");
}

/// Waits for the lock, and holds it as long as nothing is written to it.
fn waiter(directory: &Path) -> Process {
    let script = "echo ready; read _";
    redlock(directory, ["run", "-w", "-r", "job", "sh", "-c", script]).start()
}

fn is_first(waiter: &Process) -> bool {
    watches(waiter.pid()) > 0
}

/// Whether it has come to the queue, where a thread of its own stands.
fn stands_behind(waiter: &Process) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", waiter.pid()));
    threads.expect("it runs").count() == 2 && !is_first(waiter)
}

#[test]
fn who_waits_is_woken_in_turn_and_who_dies_waiting_costs_the_next_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut holder = holder(directory.path());
    let mut killed = waiter(directory.path());
    eventually("it waits", || is_first(&killed));
    let mut second = waiter(directory.path());
    eventually("it queues", || stands_behind(&second));
    let mut third = waiter(directory.path());
    eventually("it queues", || stands_behind(&third));
    killed.signal(Signal::SIGKILL);
    killed.wait();
    eventually("it is its turn", || is_first(&second));
    holder.write_line("");
    second.wait_for("ready");
    // While the second has the lock, and a command and a guard besides.
    eventually("it is its turn", || is_first(&third));
    second.write_line("");
    third.wait_for("ready");
    third.write_line("");
    for run in [holder, second, third] {
        run.end().assert_silent();
    }
}

#[test]
fn who_is_stopped_while_it_is_the_first_to_wait_keeps_nobody_from_the_lock() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut holder = holder(directory.path());
    let mut stopped = waiter(directory.path());
    eventually("it waits", || is_first(&stopped));
    let mut second = waiter(directory.path());
    eventually("it queues", || stands_behind(&second));
    stopped.signal(Signal::SIGSTOP);
    holder.write_line("");
    second.wait_for("ready");
    second.write_line("");
    second.end().assert_code(0);
    stopped.signal(Signal::SIGCONT);
    stopped.wait_for("ready");
    stopped.write_line("");
    stopped.end().assert_code(0);
    holder.end().assert_code(6);
}

#[test]
fn the_lock_of_a_redlock_that_was_killed_is_free_after_its_ttl() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let job = [
        "run",
        "-t",
        "2s",
        "-r",
        "job",
        "sh",
        "-c",
        "echo $$; sleep 60",
    ];
    let mut run = redlock(directory.path(), job).start();
    let job = Pid::from_raw(run.next_line().parse().expect("a pid"));
    run.signal(Signal::SIGKILL);
    run.wait();
    eventually("the command dies with redlock", || !is_alive(job));
    redlock(directory.path(), ["run", "-r", "job", "echo", "never"])
        .end()
        .assert_code(75);
    let next = redlock(
        directory.path(),
        ["run", "-w10s", "-r", "job", "echo", "my turn"],
    )
    .end();
    assert_eq!(next.assert_code(0).stdout, "my turn\n");
    assert!(next.took < Duration::from_secs(5), "{next:?}");
}

#[test]
fn a_time_namespace_whose_clock_is_ahead_does_not_see_the_lock_expired() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut run = holder(directory.path());
    // As a checkpoint leaves it that was restored on this host.
    let ahead = [
        "unshare",
        "--user",
        "--map-root-user",
        "--fork",
        "--time",
        "--boottime=100000",
    ];
    let contend = || {
        Redlock::under(&ahead, ["run", "-v", "-r", "job", "echo", "my turn"])
            .env("REDLOCK_LOCAL", directory.path())
            .end()
    };
    contend().assert_code(75).assert_says(&["job is held by"]);
    run.write_line("");
    run.end().assert_code(6).assert_silent();
    assert_eq!(contend().assert_code(0).stdout, "my turn\n");
}

#[test]
fn of_fifty_contenders_exactly_one_runs_at_a_time_and_all_do() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let inside = directory.path().join("inside");
    let state = directory.path().join("state");
    let script = format!(
        "mkdir {0} || echo overlap; sleep 0.005; rmdir {0}; echo ran $REDLOCK_FENCING_TOKEN",
        inside.display()
    );
    let run = ["run", "-w", "-r", "job", "sh", "-c", &script];
    let runs: Vec<Process> = (0..50).map(|_| redlock(&state, run).start()).collect();
    let mut tokens: Vec<u64> = runs
        .into_iter()
        .map(|run| {
            let end = run.end();
            let token = end
                .assert_code(0)
                .stdout
                .strip_prefix("ran ")
                .map(str::trim);
            token
                .and_then(|token| token.parse().ok())
                .unwrap_or_else(|| panic!("{end:?}"))
        })
        .collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(
        tokens.len(),
        50,
        "each holder has a fencing token of its own"
    );
}

#[test]
fn of_fifty_contenders_who_do_not_wait_exactly_one_runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let state = directory.path().join("state");
    let over = directory.path().join("over");
    let script = format!(
        "echo ran; while [ ! -e {} ]; do sleep 0.02; done",
        over.display()
    );
    let run = ["run", "-r", "job", "sh", "-c", &script];
    let mut runs: Vec<Process> = (0..50).map(|_| redlock(&state, run).start()).collect();
    eventually("all but one have ended", || {
        runs.iter_mut()
            .map(|run| usize::from(!run.has_ended()))
            .sum::<usize>()
            == 1
    });
    fs::write(&over, "").expect("the directory is ours");
    let ends: Vec<_> = runs.into_iter().map(Process::end).collect();
    assert_eq!(ends.iter().filter(|end| end.code() == Some(75)).count(), 49);
    assert_eq!(ends.iter().filter(|end| end.stdout == "ran\n").count(), 1);
}

/// What `REDLOCK_LOCAL` names is a disk of its own.
const SMALL_DISK: [&str; 7] = [
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs -o size=256k none \"$REDLOCK_LOCAL\" && exec \"$0\" \"$@\"",
];

#[test]
fn on_a_full_disk_a_lock_is_extended_and_given_back_but_none_is_taken() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let then = "\"$0\" \"$@\" && \"$0\" inspect job; \"$0\" run -r other echo never";
    let disk: Vec<&str> = SMALL_DISK.into_iter().chain(["sh", "-c", then]).collect();
    // For longer than the TTL.
    let job = "cat /dev/zero >\"$REDLOCK_LOCAL/rest\" 2>/dev/null; sleep 1.6; echo done";
    let run = ["run", "-t", "1s", "-r", "job", "sh", "-c", job];
    let end = Redlock::under(&disk, run)
        .env("REDLOCK_LOCAL", directory.path())
        .end();
    assert!(end.stdout.starts_with("done\njob is free\n"), "{end:?}");
    assert!(!end.stdout.contains("never"), "{end:?}");
    end.assert_code(69)
        .assert_says(&["no quorum for other", "no space left on device"]);
}

#[test]
fn why_a_success_could_not_be_noted_is_told_although_its_lock_has_expired_meanwhile() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let job = "cat /dev/zero >\"$REDLOCK_LOCAL/rest\" 2>/dev/null; true";
    let run = [
        "run",
        "-q",
        "-t",
        "1s",
        "--once-per",
        "1h",
        "-r",
        "job",
        "sh",
        "-c",
        job,
    ];
    Redlock::under(&SMALL_DISK, run)
        .env("REDLOCK_LOCAL", directory.path())
        .end()
        .assert_code(0)
        .assert_says(&["it may run again in this period", "no space left on device"]);
}

#[test]
fn a_lock_that_is_taken_away_by_hand_is_lost() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = holder(directory.path());
    fs::remove_dir_all(directory.path().join("locks"))
        .or_else(|_| remove_all(directory.path()))
        .expect("ours");
    run.end().assert_code(76).assert_says(&["lost job"]);
}

fn remove_all(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("file");
    fs::write(&file, "").expect("the directory is ours");
    let end = redlock(&file, ["run", "-r", "job", "echo", "never"]).end();
    let named = file.to_str().expect("a plain path");
    end.assert_code(78)
        .assert_says(&[named, "must name a directory"]);
    assert_eq!(end.stdout, "");
}

#[test]
fn what_another_user_keeps_to_himself_is_named_by_doctor_as_by_a_run() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = ["run", "-r", "job", "true"];
    redlock(directory.path(), run).end().assert_code(0);
    // Too late: what is in it was made for root alone.
    let for_all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(directory.path(), for_all).expect("it is ours");
    let nobody = Nobody::new();
    let as_nobody = |words: &[&'static str]| {
        let redlock = nobody.redlock("", words.iter().copied());
        redlock.env("REDLOCK_LOCAL", directory.path()).end()
    };
    let told = "permission denied; name a directory that you may write to with --local=DIR";
    let end = as_nobody(&run);
    end.assert_code(77).assert_says(&[told]);
    assert!(!end.stderr.contains("password"), "{end:?}");
    let end = as_nobody(&["acquire", "-r", "job"]);
    end.assert_code(77).assert_says(&[told]);
    assert!(!end.stderr.contains("password"), "{end:?}");
    let end = as_nobody(&["release", "-r", "job", "--token", "x"]);
    end.assert_code(77).assert_says(&[told]);
    assert!(!end.stderr.contains("password"), "{end:?}");
    let end = as_nobody(&["doctor"]);
    end.assert_code(69);
    assert!(end.stdout.contains("permission denied"), "{end:?}");
}

/// A directory of nobody's, in which nobody holds `job`, and the folder of its record.
fn held_by_nobody(nobody: &Nobody) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::os::unix::fs::chown(directory.path(), Some(65_534), None).expect("we are root");
    let acquire = nobody.redlock("", ["acquire", "-r", "job"]);
    let acquire = acquire.env("REDLOCK_LOCAL", directory.path());
    acquire.end().assert_code(0);
    let record = walk(directory.path())
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name.len() == 40))
        .expect("it has a record");
    let folder = record.parent().expect("it is in a folder").to_owned();
    (directory, folder)
}

/// All files below `directory`.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("we are root");
    let paths = entries.map(|entry| entry.expect("it is there").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn locks_that_cannot_be_read_are_not_told_as_none() {
    let nobody = Nobody::new();
    let (directory, folder) = held_by_nobody(&nobody);
    let list = || {
        let list = nobody.redlock("", ["list"]);
        list.env("REDLOCK_LOCAL", directory.path()).end()
    };
    let record = walk(&folder)
        .into_iter()
        .find(|path| !path.ends_with("lock"));
    let record = record.expect("it has a record");
    assert!(list().assert_code(0).stdout.contains("job"));
    for path in [&folder, &record] {
        let mode = fs::metadata(path).expect("it is there").permissions();
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).expect("we are root");
        list().assert_code(77).assert_says(&["permission denied"]);
        fs::set_permissions(path, mode).expect("we are root");
    }
    // What somebody else has put there is none.
    symlink("/etc/passwd", folder.join("0".repeat(40))).expect("we are root");
    list().assert_code(0);
}

#[test]
fn a_history_that_cannot_be_read_now_is_not_begun_anew() {
    let nobody = Nobody::new();
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::os::unix::fs::chown(directory.path(), Some(65_534), None).expect("we are root");
    let redlock = |words: &[&'static str]| {
        let redlock = nobody.redlock("", words.iter().copied());
        redlock.env("REDLOCK_LOCAL", directory.path()).end()
    };
    let run = ["run", "-r", "job", "true"];
    redlock(&run).assert_code(0);
    let history = walk(&directory.path().join("history"));
    let mode = |mode| fs::set_permissions(&history[0], fs::Permissions::from_mode(mode));
    mode(0o000).expect("we are root");
    redlock(&run).assert_code(0);
    mode(0o600).expect("we are root");
    redlock(&run).assert_code(0);
    let told = redlock(&["history", "job"]);
    // A headline, and the first and the third.
    assert_eq!(told.stdout.lines().count(), 3, "{told:?}");
}

#[test]
fn what_another_boot_has_is_not_swept_away_where_it_cannot_be_looked_at() {
    let nobody = Nobody::new();
    let (directory, folder) = held_by_nobody(&nobody);
    // As on a directory that is shared with a container, which has a boot id of its own.
    let boot = folder.parent().expect("a boot's");
    let other = boot.with_file_name("boot-00000000-0000-0000-0000-000000000000");
    fs::rename(boot, &other).expect("we are root");
    let folder = other.join(folder.file_name().expect("it has a name"));
    let before = walk(&folder);
    for unreadable in [&folder, &other] {
        let mode = fs::Permissions::from_mode(0o300);
        fs::set_permissions(unreadable, mode).expect("we are root");
        let run = nobody.redlock("", ["run", "-r", "job", "true"]);
        let run = run.env("REDLOCK_LOCAL", directory.path());
        run.end().assert_code(0);
        assert_eq!(walk(&folder), before);
        // So that the next one has to make it again, and looks around.
        fs::remove_dir_all(boot).expect("we are root");
    }
}

#[test]
fn doctor_sees_what_no_lock_can_be_taken_with() {
    for damage in ["fences", "folder", "link"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let run = ["run", "-r", "job", "true"];
        redlock(directory.path(), run).end().assert_code(0);
        let mut files = walk(directory.path()).into_iter();
        let fences = files.find(|path| path.ends_with("fences"));
        let fences = fences.expect("a boot has one");
        // What a crash has left in the middle of a write is no harm.
        fs::write(fences.with_file_name("new"), "").expect("it is ours");
        redlock(directory.path(), ["doctor"]).end().assert_code(0);
        if damage == "fences" {
            fs::write(fences, "").expect("it is ours");
        } else if damage == "link" {
            symlink("elsewhere", directory.path().join("done")).expect("it is ours");
        } else {
            let boot = fences.parent().expect("a boot's");
            let mut files = walk(boot).into_iter();
            let lock = files
                .find(|path| path.ends_with("lock"))
                .expect("it was locked");
            let folder = lock.parent().expect("it is in a folder");
            fs::remove_dir_all(folder).expect("it is ours");
            fs::write(folder, "").expect("it is ours");
        }
        let doctor = redlock(directory.path(), ["doctor"]).end();
        doctor.assert_code(69);
        // The lock of another name, and of the same.
        let name = if damage == "folder" { "job" } else { "other" };
        let end = redlock(directory.path(), ["run", "-r", name, "true"]).end();
        assert_ne!(end.code(), Some(0), "{end:?}");
    }
}

#[test]
fn root_does_not_lock_the_owner_of_a_directory_out() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::os::unix::fs::chown(directory.path(), Some(65_534), None).expect("we are root");
    for words in [
        &["inspect", "looked-at"][..],
        &["run", "-r", "job", "--once-per", "1ms", "true"],
    ] {
        let end = redlock(directory.path(), words.iter().copied()).end();
        end.assert_silent();
    }
    let nobody = Nobody::new();
    for name in ["looked-at", "job", "job"] {
        let run = ["run", "-r", name, "--once-per", "1ms", "true"];
        let redlock = nobody.redlock("", run);
        let end = redlock.env("REDLOCK_LOCAL", directory.path()).end();
        end.assert_code(0).assert_silent();
    }
}

#[test]
fn without_a_directory_it_is_the_users_state_directory() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let run = ["run", "--local", "-r", "job", "echo", "ran"];
    let end = Redlock::new(run).env("XDG_STATE_HOME", home.path()).end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");
    assert!(home.path().join("redlock").is_dir());
}

#[test]
fn who_only_looks_creates_no_directory() {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let directory = parent.path().join("locks");
    let looks: [&[&str]; 5] = [
        &["inspect", "job"],
        &["inspect", "--json", "job"],
        &["list"],
        &["history", "job"],
        &["complete-names", "--", "run", "-r", ""],
    ];
    for look in looks {
        let end = redlock(&directory, look.iter().copied()).end();
        let code = if look[0] == "inspect" { 3 } else { 0 };
        end.assert_code(code).assert_silent();
        assert!(!directory.exists(), "{look:?}");
    }
}
