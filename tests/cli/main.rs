//! The real binary against real redis-servers, one file a concern.

mod support;

mod bad_input;
mod basics;
mod config;
mod connections;
mod contention;
mod cron;
mod fencing;
mod force;
mod hand;
mod history;
mod inspect;
mod list;
mod local_node;
mod lost;
mod max_runtime;
mod metrics;
mod min_hold;
mod once_per;
mod outage;
mod restart;
mod signals;
mod status_file;
mod templates;
