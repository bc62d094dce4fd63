//! What is checked of the model.

use super::rules::Rule;
use super::{Accidents, Event, State};
use crate::search::{Search, search};

/// Visits every state that can be reached.
fn check(accidents: Accidents, rule: Rule) -> Search<Event> {
    // Counters that differ from the start: the first round does not settle everything.
    let start = State::begin(accidents, [0, 0, 1]);
    search(
        start,
        State::events,
        |state, event| state.after(event, rule),
        State::violation,
    )
}

/// A request that arrives twice: what it takes to find out all three weak rules.
const DOUBLED: Accidents = Accidents {
    losses: 0,
    doubles: 1,
    meddles: 0,
};

fn must_hold(accidents: Accidents) {
    let search = check(accidents, Rule::Ours);
    eprintln!("{accidents:?}: {} states", search.states);
    if let Some((what, events)) = search.counter_example {
        panic!("{what}: {events:#?}");
    }
}

fn must_fail(rule: Rule) {
    let search = check(DOUBLED, rule);
    let (what, events) = search.counter_example.expect("the rule is too weak");
    let (count, states) = (events.len(), search.states);
    eprintln!("{rule:?}: {what} after {count} events, {states} states: {events:?}");
}

#[test]
fn tokens_grow_although_a_server_loses_its_data() {
    let accidents = Accidents {
        losses: 1,
        ..Accidents::default()
    };
    must_hold(accidents);
}

#[test]
fn tokens_grow_although_a_request_is_doubled() {
    must_hold(DOUBLED);
}

#[test]
fn tokens_grow_although_others_meddle() {
    let accidents = Accidents {
        meddles: 2,
        ..Accidents::default()
    };
    must_hold(accidents);
}

#[test]
fn without_a_second_round_there_are_duplicates() {
    must_fail(Rule::NoSecondRound);
}

#[test]
fn a_second_round_that_does_not_look_at_the_owner_gives_duplicates() {
    must_fail(Rule::NoOwnership);
}

#[test]
fn a_larger_counter_taken_for_an_acknowledgement_gives_duplicates() {
    must_fail(Rule::LargerAcknowledges);
}
