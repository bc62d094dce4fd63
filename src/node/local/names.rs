//! Which keys there are, for looking at them: never for deciding anything. Called by `commands`.

use super::LocalNode;
use crate::clock;

impl LocalNode {
    /// The keys of locks that live, at most `most`. Takes no lock of the file system, and leaves
    /// out what cannot be read.
    #[must_use]
    pub fn some_keys(&self, most: usize) -> Vec<String> {
        let now = clock::now().since_boot();
        let living = self.store.glance();
        let living = living.filter(|record| record.living(now).is_some());
        living.map(|record| record.key).take(most).collect()
    }
}
