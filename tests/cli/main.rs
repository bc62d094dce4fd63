//! The real binary against real redis-servers, one file a concern.

mod support;

mod bad_input;
mod basics;
mod connections;
mod contention;
mod fencing;
mod local_node;
mod lost;
mod outage;
mod restart;
mod signals;
