//! What stays of a lock when its job is over, and seeing to it that it does.
//!
//! What goes wrong here is told, and never changes the command's code.

use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::ending::LockWas;
use super::{Run, valid_until};
use crate::clock;
use crate::job::{Child, Signals};
use crate::lock::quorum;
use crate::lock::{Audience, Lease, Letting, Ours};
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
            History::Kept => account.run(self.holder(), exit_code),
            History::Off => None,
        };
        Parting {
            marker: self.marker(lease, account),
            run: run.map(|run| run.line()),
            quiet: false,
        }
    }

    /// A job that was never started keeps nobody out. Failure is not "done", and neither is a
    /// success beside which another may have run.
    fn marker(&self, lease: &Lease<AnyNode>, account: &Account) -> Option<Marker> {
        account.child?;
        let kept = lease.since + self.settings.min_hold;
        match self.settings.once_per.filter(|_| account.succeeded()) {
            Some(period) => Some(Marker {
                kind: MarkerKind::Done,
                until: kept.max(lease.since + less_slack(period)),
            }),
            None => (!kept.has_passed()).then_some(Marker {
                kind: MarkerKind::Kept,
                until: kept,
            }),
        }
    }

    /// Gives the lock back, or leaves a marker in its place. A done marker is written until it is
    /// on a quorum, until the lock's time is over, or until a signal says that somebody will not
    /// wait.
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
        let was_started = exit_code.is_none();
        // What the command left behind is nobody's business any more.
        self.in_case_of_panic(&lease, None);
        let nodes: Vec<NodeName> = lease.nodes().map(|node| node.name().clone()).collect();
        let until = valid_until(&lease.state());
        // We were stopped, and the guard saw the command end before.
        let was_late = until.has_passed();
        let parting = Arc::new(self.parting(&lease, account, exit_code));
        let kind = parting.marker.map(|marker| marker.kind);
        let fence = lease.fencing_token.0;
        let ours = Ours { until, fence };
        let mut grip = lease.stop().await;
        let node_timeout = self.settings.common.node_timeout;
        // The guard goes when the release is on its way: somebody may be waiting for that.
        let dismissing = async {
            tokio::task::yield_now().await;
            if let Some(child) = child {
                child.dismiss_guard();
            }
        };
        // What each node said is only known to these; and a marker is to be everywhere.
        let has_files = self.settings.files != Files::default();
        let audience = match kind {
            None if !has_files => Audience::Quorum,
            _ => Audience::All,
        };
        let releasing = grip.leave(&parting, audience, ours, node_timeout);
        let (mut letting, ()) = tokio::join!(releasing, dismissing);
        let is_to_be_noted = |letting: &Letting| {
            kind == Some(MarkerKind::Done)
                && !letting.is_left()
                && !letting.was_gone()
                && !until.has_passed()
        };
        if is_to_be_noted(&letting) {
            let rest = until.remaining();
            let line = report::not_marked_done_yet(self.names.all(), &nodes, &letting, rest);
            self.reporter.tell(&line);
        }
        while is_to_be_noted(&letting) {
            tokio::select! {
                _ = signals.next() => break,
                () = clock::sleep_until(clock::now() + DONE_PAUSE) => {}
            }
            let again = grip.leave(&parting, audience, ours, node_timeout).await;
            if again.was_gone() {
                // Its time is over. Why it was not noted was said before.
                break;
            }
            letting = again;
        }
        account.released(&nodes, &letting, kind);
        let is_told = was_started || !letting.was_gone();
        if lock == LockWas::Kept && is_told {
            let line = if was_late && letting.was_gone() && kind != Some(MarkerKind::Done) {
                Some(report::expired_before_release(self.names.all()))
            } else {
                let rest = until.remaining() + quorum::drift(self.settings.ttl);
                self.about_release(&nodes, &letting, kind, rest)
            };
            if let Some(line) = line {
                self.reporter.tell(&line);
            }
        }
    }

    /// What is to be said of a release, if anything.
    fn about_release(
        &self,
        nodes: &[NodeName],
        letting: &Letting,
        marker: Option<MarkerKind>,
        rest: Duration,
    ) -> Option<Line> {
        Some(if marker == Some(MarkerKind::Done) && !letting.is_left() {
            report::not_marked_done(self.names.all(), nodes, letting)
        } else if letting.was_gone() {
            report::gone_before_release(self.names.all())
        } else if marker == Some(MarkerKind::Kept) && !letting.is_left() {
            report::not_kept(self.names.all(), nodes, letting, rest)
        } else if !letting.is_complete() {
            report::not_released(self.names.all(), nodes, letting, rest)
        } else {
            return None;
        })
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
