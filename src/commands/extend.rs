//! `redlock extend`: prolongs a lock that was taken by hand.

use super::by_hand::{self, About};
use super::{Stop, nodes, runtime};
use crate::exit::Exit;
use crate::report;
use crate::settings::World;
use crate::settings::by_hand::ExtendSettings;

/// Prolongs the lock.
///
/// # Errors
///
/// If it is not ours any more, or nobody knows.
pub fn extend(settings: &ExtendSettings, world: &World) -> Result<Exit, Stop> {
    runtime::run(async {
        let redlock = nodes::open(&settings.common).await?;
        let key = settings.common.key_format.key(&settings.resource);
        let token = &settings.token;
        let (outcome, answers) = redlock
            .extend_by_hand(&key, token, settings.ttl, settings.common.node_timeout)
            .await;
        let about = About {
            name: settings.resource.as_str(),
            answers,
            text: report::extension_text,
            advice: "it may still be yours: try again",
            world,
        };
        by_hand::leave(outcome, token.as_str().as_bytes(), &about)
    })
}
