//! The real binary against real redis-servers, one file a concern.

mod support;

mod basics;
mod signals;
