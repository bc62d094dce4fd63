//! On a terminal everything behaves as without redlock in front.

use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::support::process::is_alive;
use crate::support::{Cluster, Session, eventually};

const SHELLS: [&[&str]; 2] = [
    &["bash", "--norc", "--noprofile", "--noediting", "-i"],
    &["dash", "-i"],
];

/// Neither is pressed while dash starts something: it loses them then, also without redlock in
/// front.
const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";
const CTRL_D: &str = "\x04";

/// A shell at a terminal, with `$R` to run something under the lock.
fn shell(cluster: &Cluster, words: &[&str]) -> Session {
    let mut shell = Session::start(words, &[("REDLOCK_SERVERS", &cluster.urls())]);
    shell.expect("> ");
    shell.enter("R=\"$REDLOCK run -t 3s -k 500ms -r job\"; echo do''ne");
    shell.expect("done");
    shell
}

#[test]
fn a_job_reads_what_is_typed() {
    let cluster = Cluster::start(3);
    for words in SHELLS {
        let mut shell = shell(&cluster, words);
        shell.enter("$R sh -c 'read a; read b; echo \"got $a-$b\"; exit 7'; echo code=$?");
        shell.enter("one");
        shell.enter("two");
        shell.expect("got one-two");
        shell.expect("code=7");
        // And the shell has the terminal again.
        shell.enter("read c; echo \"mine $c\"");
        shell.enter("three");
        shell.expect("mine three");
        // In there bash has the job ignore what would stop it for reading.
        shell.enter("x=$($R sh -c 'read a; echo \"got $a\"'); echo \"code=$? x=$x\"");
        shell.enter("four");
        shell.expect("code=0 x=got four");
    }
}

#[test]
fn a_job_reads_what_is_typed_where_the_terminal_has_no_name() {
    let cluster = Cluster::start(3);
    // As in a chroot without a whole /dev.
    let script = "mount --bind /dev/null /dev/tty; exec bash --norc --noprofile --noediting -i";
    let mut shell = shell(&cluster, &["unshare", "-m", "sh", "-c", script]);
    shell.enter("$R sh -c 'read a; echo \"got $a\"'; echo code=$?");
    shell.enter("one");
    shell.expect("got one");
    shell.expect("code=0");
}

#[test]
fn one_after_the_other_has_the_terminal_in_a_substitution() {
    let cluster = Cluster::start(3);
    let mut shell = shell(&cluster, SHELLS[0]);
    let first = "$REDLOCK run -r one -- sh -c 'read a </dev/tty; echo A$a'";
    // The second begins beside the first, or when that has the terminal.
    for line in [
        format!(
            "x=$({first} | \
             $REDLOCK run -r two -- sh -c 'sleep 1; read b </dev/tty; cat; echo B$b')"
        ),
        format!(
            "x=$({first} | \
             (sleep 0.5; exec $REDLOCK run -r two -- sh -c 'read b </dev/tty; cat; echo B$b'))"
        ),
    ] {
        shell.enter(&format!("{line}; echo \"code=$? x=\"$x"));
        eventually("both run", || cluster.locks().len() == 6);
        thread::sleep(Duration::from_millis(1500));
        shell.enter("one");
        eventually("one is over", || cluster.locks().len() == 3);
        shell.enter("two");
        shell.expect("code=0 x=Aone Btwo");
        shell.enter(&line);
        eventually("both run", || cluster.locks().len() == 6);
        thread::sleep(Duration::from_millis(1500));
        shell.press(CTRL_C);
        shell.expect("> ");
        eventually("both are over", || cluster.locks().is_empty());
    }
}

#[test]
fn redlock_is_not_stopped_for_what_it_says_in_the_background() {
    let cluster = Cluster::start(3);
    let mut shell = shell(&cluster, SHELLS[0]);
    shell.enter("stty tostop; $R -v sh -c 'exit 7' & wait $!; echo code=$?");
    shell.expect("acquired job");
    shell.expect("code=7");
}

#[test]
fn a_waiter_in_the_background_leaves_the_line_alone_that_is_typed() {
    let cluster = Cluster::start(3);
    for server in &cluster.servers {
        let _: () = server.ask(&["SET", "lock:job", "mine", "PX", "60000"]);
    }
    let mut shell = shell(&cluster, SHELLS[0]);
    shell.enter("$R -w -- true & echo go''es on");
    shell.expect("goes on");
    // Twice as long as until it would show a line.
    thread::sleep(Duration::from_secs(2));
    assert!(
        !shell.screen().contains("waiting for"),
        "{}",
        shell.screen()
    );
    shell.enter("fg");
    shell.expect("waiting for");
    shell.press(CTRL_C);
    shell.expect("> ");
}

#[test]
fn a_watched_lock_makes_way_for_ctrl_z() {
    let cluster = Cluster::start(3);
    let mut shell = shell(&cluster, SHELLS[0]);
    shell.enter("$REDLOCK inspect --watch job");
    for key in [CTRL_Z, "q"] {
        shell.expect("\x1b[?1049h");
        shell.expect("job is free");
        shell.press(key);
        shell.expect("\x1b[?1049l");
        shell.expect("> ");
        shell.enter(if key == "q" { "echo code=$?" } else { "fg" });
    }
    shell.expect("code=3");
}

#[test]
fn a_watched_lock_in_the_background_ends_when_it_is_told_to() {
    let cluster = Cluster::start(3);
    let mut shell = shell(&cluster, SHELLS[0]);
    shell.enter("$REDLOCK inspect --watch job");
    shell.expect("job is free");
    shell.press(CTRL_Z);
    shell.expect("\x1b[?1049l");
    shell.expect("> ");
    let told = "kill %1; while jobs %1; do sleep 0.1; done >/dev/null 2>&1";
    shell.enter(&format!("{told}; echo en''ded"));
    shell.expect("ended");
    // It has never been in front.
    let behind = "$REDLOCK inspect --watch job & sleep 0.3";
    shell.enter(&format!("{behind}; {told}; echo ended aga''in"));
    shell.expect("ended again");
    assert_eq!(shell.screen().matches("job is free").count(), 1);
}

#[test]
fn a_watched_lock_that_was_stopped_unheard_has_its_keyboard_again_and_ends_in_the_background() {
    let cluster = Cluster::start(3);
    let mut shell = shell(&cluster, SHELLS[0]);
    let stop = |shell: &mut Session, next: &str| {
        shell.enter("sh -c 'echo pi\"\"d=$$; exec $REDLOCK inspect --watch job'");
        shell.expect("pid=");
        let watch = shell.pid_shown();
        shell.expect("job is free");
        kill(watch, Signal::SIGSTOP).expect("it is ours");
        shell.expect("Stopped");
        shell.enter(next);
    };
    stop(&mut shell, "fg");
    shell.expect("job is free");
    // Without enter.
    shell.press("q");
    shell.expect("> ");
    stop(
        &mut shell,
        "bg; kill %1; while jobs %1; do sleep 0.1; done >/dev/null 2>&1; echo en''ded",
    );
    shell.expect("ended");
}

#[test]
fn a_terminal_is_in_order_after_a_job_that_redlock_has_killed() {
    let cluster = Cluster::start(3);
    for words in SHELLS {
        let mut shell = shell(&cluster, words);
        let job = "trap \"\" TERM; stty raw -echo; echo rea''dy; while :; do sleep 0.05; done";
        shell.enter(&format!("b=$(stty -a); $R --max-runtime 1s sh -c '{job}'"));
        shell.expect("ready");
        shell.expect("> ");
        shell.enter("echo code=$?; [ \"$b\" = \"$(stty -a)\" ] && echo sa''me");
        shell.expect("code=124");
        shell.expect("same");
    }
}

#[test]
fn ctrl_c_ends_a_job_that_has_the_terminal_and_one_that_has_not() {
    let cluster = Cluster::start(3);
    for words in SHELLS {
        let mut shell = shell(&cluster, words);
        shell.enter("$R sh -c 'echo rea''dy; exec sleep 100'");
        shell.expect("ready");
        shell.press(CTRL_C);
        shell.expect("> ");
        shell.enter("echo code=$?");
        shell.expect("code=130");
        shell.enter("$R sh -c 'read a; echo rea''dy; read b; echo \"not $b\"'");
        shell.enter("one");
        shell.expect("ready");
        shell.press(CTRL_C);
        shell.expect("> ");
        shell.enter("echo code=$?");
        shell.expect("code=130");
        eventually("the lock is free", || cluster.locks().is_empty());
    }
}

#[test]
fn a_script_around_redlock_ends_by_ctrl_c_and_has_the_terminal_back_otherwise() {
    let cluster = Cluster::start(3);
    for words in SHELLS {
        let name = words[0];
        let mut shell = shell(&cluster, words);
        shell.enter(&format!(
            "{name} -c \"$R sh -c 'read a; echo rea''dy; read b'; echo af''ter\""
        ));
        shell.enter("one");
        shell.expect("ready");
        shell.press(CTRL_C);
        shell.expect("> ");
        shell.enter("echo code=$?");
        shell.expect("code=130");
        assert!(
            !shell.screen().contains("\nafter"),
            "{name}: {:?}",
            shell.screen()
        );
        shell.enter(&format!(
            "{name} -c \"$R sh -c 'read a; echo \\\"job \\$a\\\"'; read b; echo \\\"script \\$b\\\"\""
        ));
        shell.enter("one");
        shell.expect("job one");
        shell.enter("two");
        shell.expect("script two");
    }
}

#[test]
fn ctrl_z_stops_a_job_and_fg_or_bg_lets_it_go_on() {
    let cluster = Cluster::start(3);
    for words in SHELLS {
        let mut shell = shell(&cluster, words);
        // Without the terminal.
        shell.enter("$R sh -c 'sleep 1 & echo rea''dy; wait; echo go''ne on'");
        shell.expect("ready");
        shell.press(CTRL_Z);
        shell.expect("> ");
        shell.enter("jobs; echo li''sted");
        shell.expect("topped");
        shell.expect("listed");
        shell.enter("bg");
        shell.expect("gone on");
        shell.enter("wait; echo wai''ted");
        shell.expect("waited");
        // With it.
        shell.enter("$R sh -c 'read a; echo rea''dy; read b; echo \"got $a-$b\"'; echo code=$?");
        shell.enter("one");
        shell.expect("ready");
        shell.press(CTRL_Z);
        shell.expect("> ");
        shell.enter("echo sh''ell");
        shell.expect("shell");
        shell.enter("fg");
        shell.enter("two");
        shell.expect("got one-two");
        shell.enter("echo bac''k");
        shell.expect("back");
        eventually("the lock is free", || cluster.locks().is_empty());
    }
}

#[test]
fn a_job_in_the_background_that_reads_waits_for_fg() {
    let cluster = Cluster::start(3);
    for words in SHELLS {
        let mut shell = shell(&cluster, words);
        shell.enter("$R sh -c 'echo rea''dy; read a; echo \"got $a\"' &");
        shell.expect("ready");
        thread::sleep(Duration::from_millis(300));
        shell.enter("jobs; echo li''sted");
        shell.expect("topped");
        shell.expect("listed");
        shell.enter("fg");
        shell.enter("one");
        shell.expect("got one");
        shell.enter("echo bac''k");
        shell.expect("back");
    }
}

#[test]
fn a_job_that_was_stopped_for_too_long_is_dead_when_it_is_to_go_on() {
    let cluster = Cluster::start(3);
    for words in SHELLS {
        let mut shell = shell(&cluster, words);
        shell.enter("$R sh -c 'echo pi\"\"d=$$; exec sleep 100'");
        shell.expect("pid=");
        let job = shell.pid_shown();
        shell.press(CTRL_Z);
        shell.expect("> ");
        // Nobody extends: the guard kills it, and the lock passes on.
        eventually("the job is dead", || !is_alive(job));
        let next = cluster
            .redlock(["run", "-w", "10s", "-r", "job", "true"])
            .end();
        next.assert_code(0);
        shell.enter("fg");
        shell.expect("lost job");
        shell.enter("echo code=$?");
        shell.expect("code=76");
    }
}

#[test]
fn a_stopped_job_whose_lock_was_taken_away_is_not_continued() {
    let cluster = Cluster::start(3);
    let mut shell = shell(&cluster, SHELLS[0]);
    let job = "trap 'echo te''rm; exit' TERM; sleep 100 & echo rea''dy; wait";
    shell.enter(&format!("$R sh -c '{}'", job.replace('\'', "'\\''")));
    shell.expect("ready");
    shell.press(CTRL_Z);
    shell.expect("> ");
    for server in &cluster.servers {
        let _: () = server.ask(&["DEL", "lock:job"]);
    }
    shell.enter("fg");
    shell.expect("lost job");
    shell.enter("echo code=$?");
    shell.expect("code=76");
}

#[test]
fn a_pager_works_behind_a_pipe_and_as_the_job() {
    let cluster = Cluster::start(3);
    let mut shell = shell(&cluster, SHELLS[0]);
    shell.enter("$R seq 1000 1999 | less; echo le''ft");
    shell.expect("1010");
    shell.press("q");
    shell.expect("left");
    shell.enter("seq 1000 1999 >/tmp/redlock-less.$$; $R less /tmp/redlock-less.$$; echo le''ft");
    shell.expect("1010");
    shell.press("G");
    shell.expect("1999");
    shell.press("q");
    shell.expect("left");
    shell.enter("rm /tmp/redlock-less.$$; echo cle''an");
    shell.expect("clean");
}

#[test]
fn a_job_that_has_had_the_terminal_leaves_it_to_its_neighbour_in_a_pipe() {
    let cluster = Cluster::start(3);
    // Not dash, which never hears that what was stopped goes on.
    let mut shell = shell(&cluster, SHELLS[0]);
    // As a job that asks for a password, and what it prints goes to a pager.
    let job = "$R sh -c 'read a </dev/tty; echo \"got $a\"; read c </dev/tty; echo \"and $c\"'";
    let neighbour = "sh -c 'read x; stty -echo </dev/tty; read b </dev/tty; echo \"$x, $b\"; \
                     stty echo </dev/tty; cat'";
    shell.enter(&format!("{job} | {neighbour}; echo code=$?"));
    eventually("the job runs", || cluster.locks().len() == 3);
    shell.enter("one");
    // Longer than the TTL: it is extended, whoever has the terminal.
    thread::sleep(Duration::from_millis(3_500));
    shell.enter("two");
    shell.enter("three");
    shell.expect("got one, ");
    shell.expect("and ");
    shell.expect("code=0");
    // The job ends in the moment in which its neighbour wants the terminal.
    let job = "$R sh -c 'read a </dev/tty; echo \"got $a\"'";
    let neighbour = "sh -c 'read x; read b </dev/tty; echo \"$x, $b\"'";
    for _ in 0..5 {
        shell.enter(&format!("{job} | {neighbour}; echo code=$?"));
        eventually("the job runs", || cluster.locks().len() == 3);
        shell.enter("one");
        eventually("the job is over", || cluster.locks().is_empty());
        shell.enter("two");
        shell.expect("got one, two");
        shell.expect("code=0");
    }
}

#[test]
fn an_inner_shell_has_job_control_of_its_own() {
    let cluster = Cluster::start(3);
    let mut shell = shell(&cluster, SHELLS[0]);
    shell.enter("PS1='inner> ' $R bash --norc --noprofile --noediting -i");
    shell.expect("inner> ");
    shell.enter("cat");
    thread::sleep(Duration::from_millis(300));
    shell.press(CTRL_Z);
    shell.expect("Stopped");
    shell.expect("inner> ");
    shell.enter("fg");
    shell.expect("cat\r\n");
    shell.enter("hello");
    shell.expect("hello\r\nhello\r\n");
    shell.press(CTRL_D);
    shell.expect("inner> ");
    shell.enter("exit 3");
    shell.enter("echo code=$?");
    shell.expect("code=3");
}

#[test]
fn an_editor_edits() {
    let cluster = Cluster::start(3);
    let mut shell = shell(&cluster, SHELLS[0]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display();
    shell.enter(&format!("$R vi {path}; echo code=$?"));
    thread::sleep(Duration::from_millis(500));
    shell.press("ihello\x1b");
    thread::sleep(Duration::from_millis(300));
    shell.press(":wq\n");
    shell.expect("code=0");
    let text = std::fs::read_to_string(file.path()).expect("it is there");
    assert_eq!(text, "hello\n");
}

#[test]
fn a_job_ends_with_its_terminal() {
    let cluster = Cluster::start(3);
    for script in [
        "echo pi\"\"d=$$; sleep 100",
        "read a; echo pi\"\"d=$$; read b",
    ] {
        let mut shell = shell(&cluster, SHELLS[0]);
        shell.enter(&format!("$R sh -c '{script}'"));
        shell.enter("one");
        shell.expect("pid=");
        let job = shell.pid_shown();
        shell.hang_up();
        eventually("the job is dead", || !is_alive(job));
        eventually("the lock is free", || cluster.locks().is_empty());
    }
}

#[test]
fn without_a_shell_ctrl_z_does_not_leave_a_job_behind_that_stands_still() {
    // Nobody could continue redlock here: as without it, Ctrl-Z does nothing.
    let cluster = Cluster::start(3);
    let redlock = env!("CARGO_BIN_EXE_redlock");
    let script = "read a; echo ready; read b; echo got $a-$b; exit 4";
    let words = [redlock, "run", "-r", "job", "sh", "-c", script];
    let mut session = Session::start(&words, &[("REDLOCK_SERVERS", &cluster.urls())]);
    session.enter("one");
    session.expect("ready");
    session.press(CTRL_Z);
    thread::sleep(Duration::from_millis(200));
    session.enter("two");
    session.expect("got one-two");
    assert_eq!(session.end().code(), Some(4));
}

#[test]
fn a_job_without_the_terminal_hears_of_its_new_size() {
    let cluster = Cluster::start(3);
    for words in SHELLS {
        let mut shell = shell(&cluster, words);
        shell.enter(
            "$R sh -c 'trap \"echo got win''ch; exit\" WINCH; stty cols 77; \
             while :; do sleep 0.1; done'",
        );
        shell.expect("got winch");
    }
}
