//! Exhaustive search: visits every state that can be reached, the nearest first, and gives the
//! shortest way to a bad one.
//!
//! The library for it, stateright, would bring twenty crates and a web server into the build.

use std::collections::HashSet;
use std::hash::Hash;

/// What a search came to.
pub struct Search<Event> {
    /// How many states there are, as far as it went.
    pub states: usize,
    /// What is wrong with the first bad one, and the way there.
    pub counter_example: Option<(&'static str, Vec<Event>)>,
}

/// Visits what `after` reaches from `start` by `events`, until there is a `violation`.
pub fn search<State: Copy + Eq + Hash, Event: Copy>(
    start: State,
    events: impl Fn(&State) -> Vec<Event>,
    after: impl Fn(&State, Event) -> Option<State>,
    violation: impl Fn(&State) -> Option<&'static str>,
) -> Search<Event> {
    let mut found = HashSet::from([start]);
    // How each state was reached first: from which other, by what.
    let mut origins: Vec<Option<(usize, Event)>> = vec![None];
    let mut frontier = vec![(0, start)];
    while !frontier.is_empty() {
        let mut reached = Vec::new();
        for (index, state) in frontier {
            if let Some(what) = violation(&state) {
                return Search {
                    states: origins.len(),
                    counter_example: Some((what, way(&origins, index))),
                };
            }
            for event in events(&state) {
                let Some(next) = after(&state, event) else {
                    continue;
                };
                if found.insert(next) {
                    reached.push((origins.len(), next));
                    origins.push(Some((index, event)));
                }
            }
        }
        frontier = reached;
    }
    Search {
        states: origins.len(),
        counter_example: None,
    }
}

/// The events that lead to the state at `index`.
fn way<Event: Copy>(origins: &[Option<(usize, Event)>], mut index: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((before, event)) = origins[index] {
        events.push(event);
        index = before;
    }
    events.reverse();
    events
}
