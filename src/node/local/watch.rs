//! Release notices of the embedded node: nobody on this host tells us of a release, but the kernel
//! tells of changed files.
//!
//! No lock on a record is taken, and nobody is woken as long as nothing changes. Called by
//! `LocalNode`.

use std::collections::BTreeSet;
use std::future::pending;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::net::unix::pipe;
use tokio::sync::mpsc::UnboundedSender;

use super::files::StoreError;
use super::store::{Store, peek};
use super::turn::Queue;
use crate::clock;
use crate::node::{MarkerKind, Notice, Notices};

/// Waiters of this host are not counted: each in turn, or all within [`SPREAD`].
const ALONE: Notice = Notice {
    listeners: 1,
    taken: None,
};

/// Over how much time those spread out who hear of the same change since there is no queue.
const SPREAD: Duration = Duration::from_millis(1);

/// How long who is first in the queue may leave a lock that is free. It takes a few milliseconds,
/// unless there is something wrong with him.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long he stays away from the queue after that.
const AWAY: Duration = Duration::from_secs(2);

/// The pause between two looks where the kernel tells nothing: it has no more watches for this
/// user.
const LOOK: Duration = Duration::from_millis(20);

/// Whose release is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watcher {
    /// Wants the locks, and is told when they may be had: one after the other.
    Waits,
    /// Has the locks, and is told at once that they are not his any more.
    Holds,
}

impl Store {
    /// Tells whenever the lock under one of `keys` has changed.
    pub(super) fn watch(&self, keys: &[String], watcher: Watcher) -> Result<Notices, StoreError> {
        let paths = keys.iter().map(|key| self.record_path(key));
        let paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
        let queue = match keys {
            [key] if watcher == Watcher::Waits => Some(self.queue(key)?),
            // Who wants several would have to stand first in one queue while he waits in another.
            _ => None,
        };
        Ok(Notices::from_task(move |tell| async move {
            let mut kernel = Kernel::default();
            if let Some(queue) = queue {
                in_turn(&paths[0], &queue, &mut kernel, &tell).await;
            }
            let spread = match watcher {
                Watcher::Waits => SPREAD,
                Watcher::Holds => Duration::ZERO,
            };
            at_once(&paths, spread, &mut kernel, &tell).await;
        }))
    }
}

/// The values of the living locks, marker or not.
fn look(paths: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    let now = clock::host_uptime();
    let value = |path: &PathBuf| {
        let record = peek(path).ok()??;
        Some(record.living(now)?.value.clone())
    };
    paths.iter().map(value).collect()
}

/// Tells of every change.
async fn at_once(
    paths: &[PathBuf],
    spread: Duration,
    kernel: &mut Kernel,
    tell: &UnboundedSender<Notice>,
) {
    // Before the first look, so that no change falls between.
    let changes = kernel.watch(paths);
    let mut seen = look(paths);
    loop {
        next(changes.as_ref()).await;
        // Another lock in the same folder, or the same one extended, perhaps by ourselves.
        if look(paths) == seen {
            continue;
        }
        if !spread.is_zero() {
            clock::sleep_until(clock::now() + spread.mul_f64(fastrand::f64())).await;
        }
        seen = look(paths);
        let _ = tell.send(ALONE);
    }
}

/// Tells of every change whenever it is our turn in `queue`. Returns if there is none to be had.
async fn in_turn(
    path: &PathBuf,
    queue: &Queue,
    kernel: &mut Kernel,
    tell: &UnboundedSender<Notice>,
) {
    let look = || look(std::slice::from_ref(path)).pop().flatten();
    while let Some(turn) = queue.first().await {
        let changes = kernel.watch(std::slice::from_ref(path));
        let mut seen = look();
        // Before our turn came it may have been released, or have become what is not waited for.
        if seen
            .as_deref()
            .is_none_or(|value| MarkerKind::of_value(value).is_some())
        {
            let _ = tell.send(ALONE);
        }
        let mut free_since = clock::now();
        loop {
            if seen.is_some() {
                next(changes.as_ref()).await;
                free_since = clock::now();
            } else {
                tokio::select! {
                    () = next(changes.as_ref()) => {}
                    () = clock::sleep_until(free_since + PATIENCE) => break,
                }
            }
            let now = look();
            // If it is free somebody may have had it in between.
            if now != seen || now.is_none() {
                let _ = tell.send(ALONE);
            }
            seen = now;
        }
        drop((changes, turn));
        tokio::time::sleep(AWAY).await;
    }
}

/// Comes when something may have changed.
async fn next(changes: Option<&Changes<'_>>) {
    match changes {
        Some(changes) => changes.next().await,
        None => tokio::time::sleep(LOOK).await,
    }
}

/// What the kernel tells of changed folders, once it was asked. Its descriptor stays open until we
/// exit. Who closes it last waits until the kernel has done away with all watches that ended
/// lately, which takes 7 to 16 ms: that was the command, on its way to exec, or a holder who was
/// about to release. There are two of them at most: that of who waited, and that of who holds.
#[derive(Default)]
struct Kernel(ManuallyDrop<Option<Instance>>);

struct Instance {
    inotify: Inotify,
    /// No pipe, but read in the same way.
    events: pipe::Receiver,
}

impl Kernel {
    /// `None` if the kernel cannot watch the folders of all `records`. A folder and not its files:
    /// a record is replaced by another file.
    fn watch(&mut self, records: &[PathBuf]) -> Option<Changes<'_>> {
        if self.0.is_none() {
            *self.0 = Some(Instance::new()?);
        }
        let instance = self.0.as_ref()?;
        let mut changes = Changes {
            instance,
            watches: Vec::new(),
        };
        let events = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVE | AddWatchFlags::IN_DELETE;
        let folders: BTreeSet<&Path> = records.iter().filter_map(|path| path.parent()).collect();
        for folder in folders {
            let watch = instance.inotify.add_watch(folder, events).ok()?;
            changes.watches.push(watch);
        }
        Some(changes)
    }
}

impl Instance {
    fn new() -> Option<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
        let events = inotify.as_fd().try_clone_to_owned().ok()?;
        let events = pipe::Receiver::from_owned_fd_unchecked(events).ok()?;
        Some(Self { inotify, events })
    }
}

/// Folders that are watched until the value is dropped.
struct Changes<'a> {
    instance: &'a Instance,
    watches: Vec<WatchDescriptor>,
}

impl Changes<'_> {
    /// Comes when something has changed since the last time. What it was is not of interest: the
    /// records are looked at.
    async fn next(&self) {
        let events = &self.instance.events;
        if events.readable().await.is_err() {
            return pending().await;
        }
        while events.try_read(&mut [0; 4096]).is_ok() {}
    }
}

impl Drop for Changes<'_> {
    fn drop(&mut self) {
        for watch in self.watches.drain(..) {
            let _ = self.instance.inotify.rm_watch(watch);
        }
    }
}
