//! How messages call what somebody wants: one name, or several with commas between.

use crate::lock::claim::{KeyFormat, Resource};
use crate::node::Foreign;

/// The names of some resources.
pub struct Names {
    all: String,
    /// Key and name of each.
    each: Vec<(String, String)>,
}

impl Names {
    /// The names of `resources`, whose keys have this `format`.
    #[must_use]
    pub fn new(resources: &[Resource], format: &KeyFormat) -> Self {
        let names: Vec<&str> = resources.iter().map(Resource::as_str).collect();
        let each = resources.iter().map(|resource| {
            let name = resource.as_str().to_owned();
            (format.key(resource), name)
        });
        Self {
            all: names.join(", "),
            each: each.collect(),
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &str {
        &self.all
    }

    /// The one under whose key `by` stands.
    pub(super) fn of(&self, by: Option<&Foreign>) -> &str {
        let is_its = |(key, _): &&(String, String)| by.is_some_and(|by| by.key == *key);
        let found = self.each.iter().find(is_its);
        found.map_or(&self.all, |(_, name)| name)
    }
}
