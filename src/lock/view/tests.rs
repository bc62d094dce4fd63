//! What views come to, node by node.

use super::*;
use crate::node::{Found, NodeError};

const JSON: &str = r#"{"host":"h","pid":1,"user":"u","since":"2026-11-24T03:00:00Z"}"#;

fn look(answer: Answer<Sight>) -> Look {
    Look { answer, took: None }
}

fn value(token: char, state: char, ttl_ms: Option<u64>) -> Foreign {
    Foreign {
        key: "lock:a".to_owned(),
        value: format!("{}{state}{JSON}", token.to_string().repeat(32)).into_bytes(),
        digest: format!("{token}{state}"),
        kind: "string".to_owned(),
        ttl: ttl_ms.map(Duration::from_millis),
    }
}

fn has(value: Foreign) -> Look {
    let found = Some(Found {
        print: value.digest.clone(),
        value,
    });
    look(Ok(Sight {
        found,
        fence: Some(7),
        ..Sight::default()
    }))
}

fn held(token: char, ttl_ms: u64) -> Look {
    has(value(token, ' ', Some(ttl_ms)))
}

fn free() -> Look {
    look(Ok(Sight::default()))
}

fn failed() -> Look {
    look(Err(NodeError::Unreachable("connection refused".to_owned())))
}

fn view<const N: usize>(looks: [Look; N]) -> View {
    let named = (1..).zip(looks);
    let named = named.map(|(number, look)| (NodeName(format!("n{number}")), look));
    View::of(named.collect())
}

fn standings(view: &View) -> Vec<NodeStanding> {
    view.nodes.iter().map(|node| node.standing).collect()
}

use NodeStanding::{Failed, Is, Other};
use Standing::{Done, Free, Held, Kept, Undecided};

#[test]
fn a_quorum_of_equal_values_is_held_for_the_qth_largest_rest_less_drift() {
    let view = view([held('a', 900), held('a', 10_000), held('a', 8_000)]);
    assert_eq!((view.standing, view.votes, view.quorum), (Held, 3, 2));
    assert_eq!(view.ttl, Some(Duration::from_millis(8_000 - 82)));
    assert_eq!(view.fencing_token, Some(FencingToken(7)));
    assert_eq!(standings(&view), [Is(Held), Is(Held), Is(Held)]);
}

#[test]
fn a_marker_is_over_when_its_servers_say_so() {
    let kept = || has(value('a', '~', Some(10_000)));
    let view = view([kept(), kept(), free()]);
    let ten_seconds = Some(Duration::from_secs(10));
    assert_eq!((view.standing, view.ttl), (Kept, ten_seconds));
}

#[test]
fn a_minority_is_shown_as_what_it_is() {
    let a_free_node = view([held('a', 900), free(), held('a', 900)]);
    assert_eq!(standings(&a_free_node), [Is(Held), Is(Free), Is(Held)]);
    let stale = view([held('a', 900), held('b', 900), held('a', 900)]);
    assert_eq!(standings(&stale), [Is(Held), Other, Is(Held)]);
    assert_eq!(stale.others().count(), 1);
    let stale = view([free(), held('b', 900), free()]);
    assert_eq!((stale.standing, stale.votes), (Free, 2));
    assert_eq!(standings(&stale), [Is(Free), Other, Is(Free)]);
    assert_eq!(
        (stale.by, stale.ttl, stale.fencing_token),
        (None, None, None)
    );
    let unreachable = view([held('a', 900), failed(), held('a', 900)]);
    assert_eq!(standings(&unreachable), [Is(Held), Failed, Is(Held)]);
}

#[test]
fn what_no_quorum_agrees_on_is_undecided() {
    for looks in [
        [held('a', 1), held('b', 1), held('c', 1)],
        [held('a', 1), held('b', 1), free()],
        [held('a', 1), free(), failed()],
        [held('a', 1), failed(), failed()],
        [free(), failed(), failed()],
        [failed(), failed(), failed()],
    ] {
        let view = view(looks);
        assert_eq!(view.standing, Undecided, "{view:?}");
        assert!(view.votes <= 1);
        assert_eq!((view.ttl, view.fencing_token), (None, None));
    }
}

#[test]
fn kept_and_done_are_told_apart_and_another_program_holds() {
    for (state, standing) in [('~', Kept), ('!', Done), (' ', Held)] {
        let look = || has(value('a', state, Some(900)));
        assert_eq!(view([look(), look(), free()]).standing, standing);
    }
    let mut foreign = value('a', '~', None);
    foreign.value = vec![0xff; 20];
    let look = || has(foreign.clone());
    let view = view([look(), look(), look()]);
    assert_eq!((view.standing, view.ttl), (Held, None));
    assert_eq!(view.fencing_token, None, "the counter is not its");
}

#[test]
fn two_names_of_one_server_are_seen() {
    let of = |run_id: &str| {
        look(Ok(Sight {
            run_id: Some(run_id.to_owned()),
            ..Sight::default()
        }))
    };
    assert_eq!(
        view([of("1"), of("2"), of("1")]).same_server(),
        Some((0, 2))
    );
    assert_eq!(view([of("1"), free(), free()]).same_server(), None);
}
