//! The child's side: processes, their group, and signals. Knows nothing of locks or Redis.
//!
//! [`child`] starts the command in a process group of its own, signals it and sees its end;
//! [`guard`] is the tiny process that does so when we cannot; [`terminal`] passes the terminal
//! between a shell, us and the command, [`keyboard`] is what is typed there; [`group`] tells
//! whether anything of that group still runs; [`signals`] is what others send to us, as one stream;
//! [`death`] lets us die as the command did; [`spawn`] starts a process without a copy of ours,
//! `spared` keeps a fork of the guard small; `start` is what comes before everything else;
//! [`resolver`] keeps a statically linked libc from loading the system's. The only place with
//! `unsafe`, but for `main`, which calls `start`.

pub mod child;
pub mod death;
pub mod group;
pub mod guard;
pub mod keyboard;
pub mod resolver;
pub mod signals;
mod spared;
pub mod spawn;
mod start;
pub mod terminal;

pub use child::{Child, Ended, News, Order, Scope, StartError};
pub use death::die_of;
pub use guard::{Deadlines, Guard, Watch};
pub use signals::Signals;
pub use start::{inherited, start_up};
pub use terminal::CtrlZ;
