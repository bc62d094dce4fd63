//! Debian's real cron, in the foreground, runs the crontab of the README.
//!
//! It sees files of its own, in a namespace of mounts: no crontab of this host is read, and mail
//! goes into a directory. Takes until the end of the minute. Where that cannot be had (no root, no
//! cron), there is nothing to see, and the test says so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::server::free_port;
use crate::support::{Cluster, eventually};

/// A cron that reads one crontab, and whose mail is kept.
struct Cron {
    directory: TempDir,
    process: Child,
}

impl Cron {
    fn start(directory: TempDir, crontab: &str) -> Self {
        let path = directory.path();
        fs::create_dir(path.join("mails")).expect("ours");
        fs::create_dir(path.join("empty")).expect("ours");
        fs::create_dir(path.join("sbin")).expect("ours");
        fs::copy("/usr/sbin/cron", path.join("sbin/cron")).expect("cron is there");
        let mails = path.join("mails");
        script(
            &path.join("sbin/sendmail"),
            &format!("cat > {}/$$", mails.display()),
        );
        fs::write(path.join("system"), "").expect("ours");
        fs::write(path.join("crontab"), crontab).expect("ours");
        let own = path.display();
        let setup = format!(
            "set -e
            mount --bind {own}/empty /etc/cron.d
            mount --bind {own}/system /etc/crontab
            mount -t tmpfs none /var/spool/cron
            mkdir -m 1730 /var/spool/cron/crontabs
            install -m 600 {own}/crontab /var/spool/cron/crontabs/root
            mount -t tmpfs none /run
            mount --bind {own}/sbin /usr/sbin
            exec setpriv --pdeathsig KILL cron -f"
        );
        let process = Command::new("unshare")
            .args(["--mount", "sh", "-c", &setup])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare is there");
        Self { directory, process }
    }

    fn mails(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path().join("mails")).expect("ours");
        let paths = entries.map(|entry| entry.expect("ours").path());
        paths
            .map(|path| fs::read_to_string(path).expect("a mail"))
            .collect()
    }

    fn has(&self, name: &str) -> bool {
        self.directory.path().join(name).exists()
    }
}

impl Drop for Cron {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
}

fn is_possible() -> bool {
    let unshare = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/run"])
        .output();
    Path::new("/usr/sbin/cron").exists() && unshare.is_ok_and(|output| output.status.success())
}

/// The lines of the README's crontab, due every minute, with our binary and jobs in `directory`.
fn lines_of_the_readme(directory: &Path) -> Vec<String> {
    let readme = fs::read_to_string("README.md").expect("it is there");
    let block = readme.split("```crontab\n").nth(1).expect("a crontab");
    let block = block.split("```").next().expect("its end");
    let jobs = format!("{}/", directory.display());
    let due = |line: &str| {
        let command = line.find("/usr/bin/redlock")?;
        let line = format!("* * * * * {}", &line[command..]);
        let line = line.replace("/usr/bin/redlock", env!("CARGO_BIN_EXE_redlock"));
        Some(line.replace("/usr/local/bin/", &jobs))
    };
    block.lines().filter_map(due).collect()
}

#[test]
fn cron_runs_the_lines_of_the_readme_and_mails_nothing_but_an_outage() {
    // A test that did not look must not read as one that has seen.
    assert!(
        is_possible(),
        "this needs root, mount namespaces and Debian's cron"
    );
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path();
    script(&path.join("daily-report"), "echo never >&2");
    script(
        &path.join("sync-orders"),
        &format!("touch {}/ran", path.display()),
    );
    let mut holder = cluster
        .redlock([
            "run",
            "-r",
            "daily-report",
            "sh",
            "-c",
            "echo ready; read _",
        ])
        .start();
    holder.wait_for("ready");
    let [report, sync] = &lines_of_the_readme(path)[..] else {
        panic!("the README has two lines");
    };
    // With the hour in its name, a run that outlasts its hour would not keep out the next.
    assert!(!report.contains('{') && !sync.contains('{'));
    let nobody =
        [free_port(), free_port(), free_port()].map(|port| format!("redis://127.0.0.1:{port}"));
    let crontab = format!(
        "MAILTO=admin\nREDLOCK_CONFIG=/dev/null\nREDLOCK_SERVERS={}\n{sync}\n\
         REDLOCK_STATUS_FILE={}/skipped\n{report}\nREDLOCK_SERVERS={}\n{report}\n",
        cluster.urls(),
        path.display(),
        nobody.join(","),
    );
    let cron = Cron::start(directory, &crontab);
    // The minute may take longer than PATIENCE, on a machine that is busy.
    thread::sleep(Duration::from_secs(5));
    eventually("one of three lines runs, one is skipped, one fails", || {
        cron.has("ran") && cron.has("skipped") && !cron.mails().is_empty()
    });
    thread::sleep(Duration::from_millis(500));
    let mails = cron.mails();
    assert_eq!(mails.len(), 1, "{mails:#?}");
    let (_, body) = mails[0].split_once("\n\n").expect("headers");
    assert_eq!(body.trim_end().lines().count(), 1, "{body}");
    assert!(
        body.starts_with("redlock: no quorum for daily-report"),
        "{body}"
    );
    holder.write_line("");
    holder.end().assert_code(0);
}
