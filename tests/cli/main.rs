//! The real binary against real redis-servers, one file a concern.

mod support;

mod basics;
mod clocks;
mod connections;
mod contention;
mod faults;
mod fencing;
mod guard;
mod local_node;
mod lost;
mod outage;
mod pid1;
mod signals;
mod terminal;
