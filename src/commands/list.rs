//! `redlock list`: every lock on the nodes.

use std::io::{self, Write as _};

use super::{Stop, nodes, runtime, stdout};
use crate::exit::Exit;
use crate::lock::KeyFormat;
use crate::lock::libraries::Library;
use crate::lock::list::Catalogue;
use crate::lock::quorum::{is_refused, rules_out_quorum};
use crate::lock::view::{Standing, View};
use crate::node::{Fences, Values, Wanted};
use crate::report::table::Paper;
use crate::report::{self, Reporter, lock_view};
use crate::settings::by_hand::ListSettings;
use crate::settings::{Format, World};

/// How much longer than usual a node has for a page: it may be busy with those of others.
const SLACK: u32 = 4;

/// Lists the locks.
///
/// # Errors
///
/// If it cannot, or cannot show them.
pub fn list(settings: &ListSettings, world: &World, reporter: Reporter) -> Result<Exit, Stop> {
    runtime::run(async {
        let redlock = nodes::open_to_look(&settings.common).await?;
        let fences = match settings.format {
            Format::Json => Fences::Read,
            // The table has no column for them.
            Format::Text => Fences::NotNeeded,
        };
        let wanted = wanted(&settings.common.key_format, &settings.pattern, fences);
        let limit = settings.common.node_timeout * SLACK;
        let catalogue = redlock.list(wanted, limit).await;
        stdout::written(print(&catalogue, settings, stdout::paper(world)))?;
        if let Some(line) = report::by_hand::not_listed(&catalogue) {
            reporter.tell(&line);
        }
        Ok(exit(&catalogue))
    })
}

/// The locks whose names match `pattern`, a glob.
pub fn wanted(key_format: &KeyFormat, pattern: &str, fences: Fences) -> Wanted {
    Wanted {
        fences,
        glob: key_format.glob(pattern),
        // Where every key could be one, only what looks like one is a lock.
        values: if key_format.is_verbatim() {
            Values::Strings(|value| Library::of_string(value).is_some())
        } else {
            Values::Any
        },
    }
}

fn print(catalogue: &Catalogue, settings: &ListSettings, paper: Paper) -> io::Result<Exit> {
    let mut out = stdout::open()?;
    let locks = || {
        let locks = catalogue.locks();
        let named =
            locks.filter_map(|(key, view)| Some((settings.common.key_format.resource(key)?, view)));
        // What a quorum does not have is no lock, but what is left of one.
        named.filter(|(_, view): &(&str, View)| view.standing != Standing::Free)
    };
    match settings.format {
        Format::Text if locks().next().is_none() => {}
        Format::Text => lock_view::write_list(&mut out, paper, locks)?,
        Format::Json => {
            let mut separator = "[";
            for (name, view) in locks() {
                let lock = report::json_text(&lock_view::to_json(name, &view));
                write!(out, "{separator}{lock}")?;
                separator = ",\n";
            }
            writeln!(out, "{}]", if separator == "[" { "[" } else { "" })?;
        }
    }
    out.flush()?;
    Ok(Exit::Success)
}

fn exit(catalogue: &Catalogue) -> Exit {
    let nodes = catalogue.nodes().len();
    if rules_out_quorum(catalogue.failures().count(), nodes) {
        let errors = catalogue.failures().map(|(_, error)| error);
        Exit::without_quorum(is_refused(errors, nodes))
    } else {
        Exit::Success
    }
}
