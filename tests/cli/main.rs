//! The real binary against real redis-servers, one file a concern.

mod support;

mod basics;
mod connections;
mod contention;
mod doctor;
mod fencing;
mod local_node;
mod lost;
mod names;
mod outage;
mod package;
mod signals;
