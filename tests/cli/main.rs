//! The real binary against real redis-servers, one file a concern.

mod support;

mod bad_input;
mod basics;
mod by_hand;
mod clocks;
mod config;
mod connections;
mod contention;
mod cron;
mod doctor;
mod faults;
mod fencing;
mod force;
mod guard;
mod history;
mod host_names;
mod idle;
mod inspect;
mod list;
mod local_node;
mod lost;
mod max_runtime;
mod metrics;
mod min_hold;
mod names;
mod once_per;
mod outage;
mod package;
mod panics;
mod pid1;
mod restart;
mod signals;
mod status_file;
mod templates;
mod terminal;
