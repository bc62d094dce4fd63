//! What stays of a lock when its job is over, and seeing to it that it does.
//!
//! What goes wrong here is told, and never changes the command's code.

use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::ending::LockWas;
use super::{Run, valid_until};
use crate::clock::{self, Instant};
use crate::job::{Child, Signals};
use crate::lock::quorum;
use crate::lock::{Audience, Grip, Lease, Letting, LossReason, Ours, State};
use crate::node::{AnyNode, Marker, MarkerKind, Node, NodeName, Parting};
use crate::report::{self, Line};
use crate::settings::{Files, History};

/// The most by which a period is shorter than `--once-per` says, and the part of it that is less:
/// a crontab line of the same period must not find its job done by the run before.
const SLACK_LIMIT: Duration = Duration::from_secs(30);
const SLACK_PART: u32 = 10;

/// The pause between two attempts to write a done marker, each of which has its own retry.
const DONE_PAUSE: Duration = Duration::from_millis(200);

/// What became of the job, when its lock is to be given back.
pub(super) enum Job<'a> {
    /// It is over, and its time had a lock like this.
    Over(&'a mut Child, LockWas),
    /// The command was not started, and redlock leaves with this code.
    NotStarted(u8),
}

impl Run<'_> {
    /// What the lock leaves, by how the run ended. `exit_code` is that of a command that was never
    /// started.
    fn parting(&self, lease: &Lease<AnyNode>, account: &Account, exit_code: Option<u8>) -> Parting {
        let run = match self.settings.history {
            History::Kept => account.past_run(self.holder(), exit_code),
            History::Off => None,
        };
        Parting {
            marker: self.marker(lease, account),
            run: run.map(|run| run.line()),
            quiet: false,
        }
    }

    /// A job that was never started keeps nobody out. Failure is not "done", and neither is a
    /// success beside which another may have run. Nothing is left of a time that is over, and of a
    /// lock that is not ours any more: on the nodes that still have it a marker would keep nobody
    /// out, and be in the way.
    fn marker(&self, lease: &Lease<AnyNode>, account: &Account) -> Option<Marker> {
        account.child?;
        if matches!(lease.state(), State::Lost(loss) if loss.why != LossReason::NotExtended) {
            return None;
        }
        let kept = lease.since + self.settings.min_hold;
        let marker = match self.settings.once_per.filter(|_| account.succeeded()) {
            Some(period) => Marker {
                kind: MarkerKind::Done,
                until: kept.max(lease.since + less_slack(period)),
            },
            None => Marker {
                kind: MarkerKind::Kept,
                until: kept,
            },
        };
        (!marker.until.has_passed()).then_some(marker)
    }

    /// Gives the lock back, or leaves a marker in its place, and tells what went wrong.
    pub(super) async fn release(
        &self,
        lease: Lease<AnyNode>,
        job: Job<'_>,
        account: &mut Account,
        signals: &mut Signals,
    ) {
        let (child, lock, exit_code) = match job {
            Job::Over(child, lock) => (Some(child), lock, None),
            Job::NotStarted(code) => (None, LockWas::Kept, Some(code)),
        };
        // What the command left behind is nobody's business any more.
        self.in_case_of_panic(&lease, None);
        let until = valid_until(&lease.state());
        let parting = Arc::new(self.parting(&lease, account, exit_code));
        // What each node said is only known to these; and a marker is to be everywhere.
        let has_files = self.settings.files != Files::default();
        let audience = match parting.marker {
            None if !has_files => Audience::Quorum,
            _ => Audience::All,
        };
        let fence = lease.fencing_token.0;
        let mut leaving = Leaving {
            parting,
            audience,
            ours: Ours { until, fence },
            node_timeout: self.settings.common.node_timeout,
            grip: lease.stop().await,
        };
        // The guard goes when the release is on its way: somebody may be waiting for that.
        let dismissing = async {
            tokio::task::yield_now().await;
            if let Some(child) = child {
                child.dismiss_guard();
            }
        };
        let (letting, ()) = tokio::join!(leaving.once(), dismissing);
        // We stood still since the command ended, before that was seen or since.
        let was_late = until.has_passed();
        let letting = self.insist(letting, &mut leaving, signals).await;
        let marker = leaving.marker();
        account.released(&leaving.names(), &letting, marker);
        let is_told = exit_code.is_none() || !letting.was_gone();
        if lock == LockWas::Kept && is_told {
            let line = if was_late && letting.was_gone() {
                Some(report::expired_before_release(self.names.all(), marker))
            } else {
                self.about_release(&leaving, &letting)
            };
            if let Some(line) = line {
                self.reporter.tell(&line);
            }
        }
    }

    /// Writes a done marker that `letting` has not left on a quorum again and again: until it is
    /// there, until the lock's time or the marker's is over, or until a signal says that somebody
    /// will not wait.
    async fn insist(
        &self,
        mut letting: Letting,
        leaving: &mut Leaving,
        signals: &mut Signals,
    ) -> Letting {
        let mut is_told = false;
        while let Some(rest) = leaving.time_to_note(&letting) {
            if !std::mem::replace(&mut is_told, true) {
                let nodes = leaving.names();
                let line = report::not_marked_done_yet(self.names.all(), &nodes, &letting, rest);
                self.reporter.tell(&line);
            }
            tokio::select! {
                _ = signals.next() => break,
                () = clock::sleep_until(clock::now() + DONE_PAUSE) => {}
            }
            let again = leaving.once().await;
            if again.was_gone() {
                // Its time is over. Why it was not noted was said before.
                break;
            }
            letting = again;
        }
        letting
    }

    /// What is to be said of a release, if anything.
    fn about_release(&self, leaving: &Leaving, letting: &Letting) -> Option<Line> {
        let (names, nodes) = (self.names.all(), leaving.names());
        let rest = leaving.ours.until.remaining() + quorum::drift(self.settings.ttl);
        // A server that has not answered may have the marker instead.
        let rest_of_marker = rest.max(leaving.rest_of_marker());
        Some(match leaving.marker().filter(|_| !letting.is_left()) {
            None if letting.may_be_released() => report::perhaps_released(names),
            marker if letting.was_gone() => report::gone_before_release(names, marker),
            Some(MarkerKind::Done) => {
                report::not_marked_done(names, &nodes, letting, rest_of_marker)
            }
            Some(MarkerKind::Kept) => report::not_kept(names, &nodes, letting, rest_of_marker),
            None if !letting.is_complete() => report::not_released(names, &nodes, letting, rest),
            None => return None,
        })
    }
}

/// A lock that is being let go.
struct Leaving {
    grip: Grip<AnyNode>,
    parting: Arc<Parting>,
    audience: Audience,
    ours: Ours,
    node_timeout: Duration,
}

impl Leaving {
    /// Once, and a second time on new connections if need be.
    async fn once(&mut self) -> Letting {
        let leaving = self
            .grip
            .leave(&self.parting, self.audience, self.ours, self.node_timeout);
        leaving.await
    }

    fn names(&self) -> Vec<NodeName> {
        let nodes = self.grip.nodes().iter();
        nodes.map(|node| node.name().clone()).collect()
    }

    /// What is to stay, if its end has not come.
    fn marker(&self) -> Option<MarkerKind> {
        let marker = self.parting.marker?;
        (!marker.until.has_passed()).then_some(marker.kind)
    }

    /// For how long it is to stay.
    fn rest_of_marker(&self) -> Duration {
        let until = self.parting.marker.map(|marker| marker.until);
        until.map_or(Duration::ZERO, Instant::remaining)
    }

    /// For how long it may be tried again to note that the job is done; `None` if it is noted, or
    /// cannot be any more.
    fn time_to_note(&self, letting: &Letting) -> Option<Duration> {
        let marker = self.parting.marker?;
        let until = self.ours.until.min(marker.until);
        let is_pending = marker.kind == MarkerKind::Done
            && !letting.is_left()
            && !letting.was_gone()
            && !until.has_passed();
        is_pending.then(|| until.remaining())
    }
}

fn less_slack(period: Duration) -> Duration {
    period.saturating_sub(SLACK_LIMIT.min(period / SLACK_PART))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_tenth_shorter_and_half_a_minute_at_most() {
        let seconds = Duration::from_secs;
        assert_eq!(less_slack(seconds(60)), seconds(54));
        assert_eq!(less_slack(seconds(300)), seconds(270));
        assert_eq!(less_slack(seconds(86_400)), seconds(86_370));
    }
}
