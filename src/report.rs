//! Events to lines.
