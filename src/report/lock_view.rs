//! A lock as people see it, and as programs do: what `inspect` and `list` print.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::node_state::NodeState;
use super::runs;
use super::table::{self, Cell, Column, Fit, Paper, Side, Tint};
use super::words::{age, exact_ms, holder, holder_json, short};
use crate::clock::whole_ms;
use crate::lock::claim::holder_of;
use crate::lock::history::PastRun;
use crate::lock::libraries::Library;
use crate::lock::restart::USUAL_WINDOW;
use crate::lock::view::{NodeStanding, NodeView, Standing, View};
use crate::node::{FOREIGN_VALUE_LIMIT, Foreign};

const NODE_COLUMNS: [Column; 5] = [
    Column::new("SERVER", Fit::Shorten(12), Side::Left),
    Column::new("STATE", Fit::Whole, Side::Left),
    Column::new("TTL", Fit::Whole, Side::Right),
    Column::new("LATENCY", Fit::Whole, Side::Right),
    Column::new("REMARKS", Fit::Shorten(8), Side::Left),
];

const LIST_COLUMNS: [Column; 9] = [
    Column::new("NAME", Fit::Shorten(16), Side::Left),
    Column::new("STATE", Fit::Whole, Side::Left),
    Column::new("HOLDER", Fit::Shorten(10), Side::Left),
    Column::new("PID", Fit::LeaveOut, Side::Right),
    Column::new("COMMAND", Fit::Shorten(8), Side::Left),
    Column::new("AGE", Fit::Whole, Side::Right),
    Column::new("TTL", Fit::Whole, Side::Right),
    Column::new("VOTES", Fit::Whole, Side::Right),
    Column::new("NOTE", Fit::Shorten(6), Side::Left),
];

/// Writes all that is known of a lock, and what its last `runs` tell.
///
/// # Errors
///
/// If `out` cannot be written to.
pub fn write(
    out: &mut impl Write,
    paper: Paper,
    name: &str,
    view: &View,
    runs: &[PastRun],
) -> io::Result<()> {
    // Of a long name less is shown, but always what is said of it.
    let name = paper.line(name, headline("", view).width());
    let headline = paper.line(&headline(&name, view), 0);
    writeln!(out, "{}", paper.tinted(&headline, Tint::Title))?;
    for (field, value) in fields(view)
        .into_iter()
        .chain(runs::fields(runs, by_hand(view)))
    {
        let value = paper.line(&value, 12);
        writeln!(
            out,
            "  {}{value}",
            paper.tinted(&format!("{field:<10}"), Tint::Faint)
        )?;
    }
    writeln!(out)?;
    let rows = || view.nodes.iter().map(|node| node_row(node, view));
    table::write(out, paper, 2, &NODE_COLUMNS, rows)
}

/// Writes the table of locks, which are asked for twice.
///
/// # Errors
///
/// If `out` cannot be written to.
pub fn write_list<'a, L>(
    out: &mut impl Write,
    paper: Paper,
    locks: impl Fn() -> L,
) -> io::Result<()>
where
    L: Iterator<Item = (&'a str, View)>,
{
    let rows = || locks().map(|(name, view)| list_row(name, &view));
    table::write(out, paper, 0, &LIST_COLUMNS, rows)
}

/// A lock as programs see it.
#[must_use]
pub fn to_json(name: &str, view: &View) -> Value {
    let holder = view.by.as_ref().and_then(|by| holder_of(&by.value));
    let nodes: Vec<Value> = view.nodes.iter().map(node_json).collect();
    json!({
        "resource": name,
        "state": NodeState::from(view.standing).name(),
        "holder": holder.as_ref().map(holder_json),
        "fencing_token": view.fencing_token,
        "ttl_ms": view.ttl.map(whole_ms),
        "votes": view.votes,
        "quorum": view.quorum,
        "nodes": nodes,
    })
}

fn node_json(node: &NodeView) -> Value {
    let ttl = node.found().and_then(|found| found.value.ttl);
    let latency = node.look.took.map(exact_ms);
    json!({
        "node": node.name.0,
        "state": NodeState::of_view(node).name(),
        "ttl_ms": ttl.map(whole_ms),
        "latency_ms": latency,
        "error": node.look.answer.as_ref().err().map(ToString::to_string),
    })
}

fn tint(standing: Standing) -> Tint {
    match standing {
        Standing::Held => Tint::Taken,
        Standing::Kept | Standing::Done => Tint::Over,
        Standing::Free => Tint::Good,
        Standing::Undecided => Tint::Bad,
    }
}

/// What is wrong with a node, or was until a moment ago.
fn trouble(node: &NodeView) -> Option<String> {
    match &node.look.answer {
        Err(error) => Some(error.to_string()),
        Ok(sight) => {
            let up = sight.uptime.filter(|&up| up < USUAL_WINDOW)?;
            Some(format!("restarted {} ago", short(up)))
        }
    }
}

/// The first line: the answer to who comes at three in the morning.
fn headline(name: &str, view: &View) -> String {
    let who = view.by.as_ref().map_or_else(String::new, who);
    let rest = view
        .ttl
        .map_or("never".to_owned(), |ttl| format!("in {}", short(ttl)));
    match view.standing {
        Standing::Held => match since(view) {
            Some(age) => format!("{name} is held by {who} for {}", short(age)),
            None => format!("{name} is held by {who}"),
        },
        Standing::Kept => {
            format!("{name} is kept: the run of {who} is over; free {rest}")
        }
        Standing::Done => format!("{name} is done: {who} has run it; free {rest}"),
        Standing::Free => format!("{name} is free"),
        Standing::Undecided => format!("{name} is undecided: {}", why_undecided(view)),
    }
}

fn why_undecided(view: &View) -> String {
    let (nodes, quorum) = (view.nodes.len(), view.quorum);
    let answered = view.answered();
    if answered < quorum {
        format!("{answered} of {nodes} servers answered, {quorum} are needed")
    } else {
        format!("no {quorum} of {nodes} servers agree")
    }
}

fn since(view: &View) -> Option<Duration> {
    age(&holder_of(&view.by.as_ref()?.value)?.since)
}

/// Who wrote a value, in a word or two.
fn who(by: &Foreign) -> String {
    match (holder_of(&by.value), Library::of(by)) {
        (Some(holder), _) => holder.host,
        (None, Some(library)) => format!("another program ({})", library.name()),
        (None, None) => format!("another program ({})", by.kind),
    }
}

fn fields(view: &View) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    if let Some(by) = view
        .by
        .as_ref()
        .filter(|_| view.standing != Standing::Undecided)
    {
        match holder_of(&by.value) {
            Some(holder) => {
                fields.push((
                    "holder",
                    format!("{}, pid {}, user {}", holder.host, holder.pid, holder.user),
                ));
                let told = [("command", holder.command), ("note", holder.note)];
                let told = told
                    .into_iter()
                    .filter_map(|(field, text)| Some((field, text?)));
                fields.extend(told.filter(|(_, text)| !text.is_empty()));
                let mut since = holder.since.clone();
                if let Some(age) = age(&holder.since) {
                    let _ = write!(since, ", {} ago", short(age));
                }
                fields.push(("since", since));
            }
            None => fields.push(("holder", nameless(by))),
        }
        fields.push(("expires", expiry(view)));
    }
    if let Some(token) = view.fencing_token {
        fields.push(("fencing", token.to_string()));
    }
    let (votes, nodes) = (view.votes, view.nodes.len());
    if view.standing != Standing::Undecided {
        fields.push((
            "votes",
            format!("{votes} of {nodes}, {} needed", view.quorum),
        ));
    }
    fields
}

/// The whole TTL of a lock that was taken by hand, as far as it was not extended since.
fn by_hand(view: &View) -> Option<Duration> {
    let holder = holder_of(&view.by.as_ref()?.value)?;
    let is_by_hand = view.standing == Standing::Held && holder.command.is_none();
    is_by_hand.then_some(view.ttl? + age(&holder.since)?)
}

fn expiry(view: &View) -> String {
    match (view.ttl, view.standing) {
        (None, _) => "never".to_owned(),
        (Some(ttl), Standing::Held) => format!("in {}, unless it is extended", short(ttl)),
        (Some(ttl), _) => format!("in {}", short(ttl)),
    }
}

/// A value that no redlock wrote. The value itself is its owner's token, and nobody else's
/// business.
fn nameless(by: &Foreign) -> String {
    let what = match (Library::of(by), &by.kind[..]) {
        (Some(library), _) => format!("a value as {} writes it", library.name()),
        (None, "hash") => "a hash, as Redisson writes it".to_owned(),
        (None, "string") if by.value.len() >= FOREIGN_VALUE_LIMIT => {
            format!("a string of {FOREIGN_VALUE_LIMIT} bytes or more")
        }
        (None, "string") => format!("a string of {} bytes", by.value.len()),
        (None, kind) => format!("a {kind}"),
    };
    format!("another program: {what}")
}

fn node_row(node: &NodeView, view: &View) -> Vec<Cell> {
    let found = node.found();
    let ttl = found.map(|found| rest(found.value.ttl));
    let latency = node
        .look
        .took
        .map(|took| format!("{:.1}ms", took.as_secs_f64() * 1000.0));
    let differs = node.standing == NodeStanding::Other || view.standing == Standing::Undecided;
    let who_else = found
        .filter(|_| differs)
        .map(|found| format!("held by {}", holder(&found.value)));
    let remarks: Vec<String> = who_else.into_iter().chain(trouble(node)).collect();
    let tint = match node.standing {
        NodeStanding::Is(own) => tint(own),
        NodeStanding::Other | NodeStanding::Failed => Tint::Bad,
    };
    vec![
        Cell::plain(&node.name.0),
        Cell::new(NodeState::of_view(node).name(), tint),
        Cell::plain(&ttl.unwrap_or_default()),
        Cell::plain(&latency.unwrap_or_default()),
        Cell::plain(&remarks.join("; ")),
    ]
}

fn rest(ttl: Option<Duration>) -> String {
    ttl.map_or_else(|| "never".to_owned(), short)
}

fn list_row(name: &str, view: &View) -> Vec<Cell> {
    let by = view.by.as_ref();
    let holder = by.and_then(|by| holder_of(&by.value));
    let who = match (&holder, by) {
        (Some(holder), _) => holder.host.clone(),
        (None, Some(by)) => match Library::of(by) {
            Some(library) => format!("({})", library.name()),
            None => format!("({})", by.kind),
        },
        (None, None) => String::new(),
    };
    let pid = holder.as_ref().map(|holder| holder.pid.to_string());
    let age = holder
        .as_ref()
        .and_then(|holder| age(&holder.since))
        .map(short);
    let ttl = match view.standing {
        Standing::Undecided => String::new(),
        _ => rest(view.ttl),
    };
    let text = |text: Option<&String>| Cell::plain(text.map_or("", String::as_str));
    vec![
        Cell::plain(name),
        Cell::new(NodeState::from(view.standing).name(), tint(view.standing)),
        Cell::plain(&who),
        text(pid.as_ref()),
        text(holder.as_ref().and_then(|holder| holder.command.as_ref())),
        text(age.as_ref()),
        Cell::plain(&ttl),
        Cell::plain(&format!("{}/{}", view.votes, view.nodes.len())),
        text(holder.as_ref().and_then(|holder| holder.note.as_ref())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::view::Look;
    use crate::node::{Found, NodeName, Sight};

    fn value(json: &str) -> Foreign {
        Foreign {
            key: "lock:a".to_owned(),
            value: format!("{} {json}", "0".repeat(32)).into_bytes(),
            digest: json.to_owned(),
            kind: "string".to_owned(),
            ttl: Some(Duration::from_mins(1)),
        }
    }

    fn seen(values: &[Option<&str>], uptime: Duration) -> View {
        let look = |json: Option<&str>| Look {
            answer: Ok(Sight {
                found: json.map(value).map(|value| Found {
                    print: value.digest.clone(),
                    value,
                }),
                uptime: Some(uptime),
                ..Sight::default()
            }),
            took: Some(Duration::from_micros(1500)),
        };
        let named = values.iter().copied().map(look).zip(1..);
        View::of(
            named
                .map(|(look, n)| (NodeName(format!("n{n}")), look))
                .collect(),
        )
    }

    fn page(view: &View) -> String {
        let mut out = Vec::new();
        write(&mut out, Paper::plain(), "a", view, &[]).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    const BY_HAND: &str = r#"{"host":"h","pid":1,"user":"u","since":"2001-01-01T00:00:00Z"}"#;
    const BY_RUN: &str =
        r#"{"host":"h","pid":1,"user":"u","command":"c","since":"2001-01-01T00:00:00Z"}"#;
    const OLD: Duration = Duration::from_hours(1);

    #[test]
    fn programs_are_told_times_in_milliseconds() {
        let told = to_json("a", &seen(&[Some(BY_HAND); 3], OLD));
        let rest = told["ttl_ms"].as_u64();
        assert!(rest > Some(55_000) && rest <= Some(60_000), "{told}");
        assert_eq!(told["nodes"][0]["ttl_ms"], 60_000);
        assert_eq!(told["nodes"][0]["latency_ms"], 1.5);
    }

    #[test]
    fn a_server_that_has_restarted_just_now_is_remarked() {
        let moment = Duration::from_secs(5);
        assert!(page(&seen(&[None; 3], moment)).contains("restarted 5s ago"));
        assert!(!page(&seen(&[None; 3], OLD)).contains("restarted"));
    }

    #[test]
    fn servers_that_disagree_are_shown_with_what_each_has_and_are_not_called_silent() {
        let view = seen(&[Some(BY_HAND), Some(BY_RUN), None], OLD);
        let text = page(&view);
        assert!(text.contains("no 2 of 3 servers agree"), "{text}");
        assert!(text.contains("held by h (pid 1, c)"), "{text}");
        let mut silent = view;
        for node in &mut silent.nodes[1..] {
            node.look.answer = Err(crate::node::NodeError::Unreachable(String::new()));
        }
        let why = why_undecided(&silent);
        assert_eq!(why, "1 of 3 servers answered, 2 are needed");
        silent.nodes[1].look.answer = Ok(Sight::default());
        assert_eq!(why_undecided(&silent), "no 2 of 3 servers agree");
    }

    #[test]
    fn only_a_lock_held_by_hand_can_be_too_short_and_it_counts_from_when_it_was_taken() {
        let taken_for = by_hand(&seen(&[Some(BY_HAND); 3], OLD));
        assert!(taken_for > Some(Duration::from_hours(24)), "{taken_for:?}");
        assert_eq!(by_hand(&seen(&[Some(BY_RUN); 3], OLD)), None);
        let mut kept = seen(&[Some(BY_HAND); 3], OLD);
        kept.standing = Standing::Kept;
        assert_eq!(by_hand(&kept), None);
    }
}
