//! The real binary against real redis-servers, one file a concern.

mod support;

mod basics;
mod connections;
mod contention;
mod fencing;
mod local_node;
mod lost;
mod max_runtime;
mod min_hold;
mod once_per;
mod outage;
mod signals;
