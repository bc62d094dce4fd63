//! Starts a process without copying ourselves first.
//!
//! std forks as soon as something is to be done between fork and exec, and a fork copies the page
//! tables; then every page that we write to afterwards is copied as well. Here the new process
//! borrows our memory until exec while we stand still, as with vfork and `posix_spawn`, which know
//! no `PR_SET_PDEATHSIG`. Called by `child`.

use std::ffi::{CStr, CString, OsString};
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use libc::{c_char, c_int};
use nix::errno::Errno;
use nix::sched::{CloneFlags, clone};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, setpgid};

/// What exec needs beside the pointers to the arguments, which it may copy: a path of `PATH` (4 KiB
/// at most), frames.
const STACK: usize = 16 * 1024;

// SAFETY: so it is declared in unistd.h.
unsafe extern "C" {
    /// Our environment, as exec wants one. Nobody changes it: std would have to be asked unsafely.
    static environ: *const *const c_char;
}

/// What becomes of the new process: everything that exec is given, allocated beforehand.
pub struct Image {
    arguments: Vec<CString>,
    /// The variables that are not in our own environment.
    _set: Vec<CString>,
    /// Pointers to all variables, ours and those, as exec wants them.
    environment: Vec<*const c_char>,
}

impl Image {
    /// `command` with our environment, in which `set` is added and `remove` taken away.
    ///
    /// # Errors
    ///
    /// If there is a zero byte somewhere.
    pub fn new(
        command: &[OsString],
        set: &[(OsString, OsString)],
        remove: &[OsString],
    ) -> nix::Result<Self> {
        let arguments = command
            .iter()
            .map(|word| c_string(word.as_bytes().to_owned()));
        let arguments = arguments.collect::<nix::Result<_>>()?;
        let variables = set
            .iter()
            .map(|(name, value)| c_string([name.as_bytes(), b"=", value.as_bytes()].concat()));
        let set_names = set.iter().map(|(name, _)| name);
        let changed = |variable: &CStr| {
            let name = variable.to_bytes().split(|byte| *byte == b'=').next();
            let mut others = set_names.clone().chain(remove);
            others.any(|other| Some(other.as_bytes()) == name)
        };
        let set = variables.collect::<nix::Result<Vec<_>>>()?;
        let kept = ours().filter(|variable| !changed(variable));
        let pointers = kept.map(CStr::as_ptr);
        let environment = terminated(pointers.chain(set.iter().map(|text| text.as_ptr())));
        Ok(Self {
            arguments,
            _set: set,
            environment,
        })
    }

    /// The program as it was typed.
    fn program(&self) -> *const c_char {
        self.arguments
            .first()
            .map_or(ptr::null(), |word| word.as_ptr())
    }
}

fn c_string(bytes: Vec<u8>) -> nix::Result<CString> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

/// The variables of our environment.
fn ours() -> impl Iterator<Item = &'static CStr> {
    // SAFETY: if there is one, it ends with a null pointer; each pointer before that is to a text
    // which ends with a zero; and none of it ever changes.
    let at = |place: usize| unsafe {
        if environ.is_null() {
            return None;
        }
        let variable = *environ.add(place);
        (!variable.is_null()).then(|| CStr::from_ptr(variable))
    };
    (0..).map_while(at)
}

/// `pointers` as exec wants them.
fn terminated(pointers: impl Iterator<Item = *const c_char>) -> Vec<*const c_char> {
    pointers.chain(iter::once(ptr::null())).collect()
}

/// A process that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spawned {
    /// Its id. It is not reaped.
    pub process: Pid,
    /// Whether it came to the program. If not, a signal has ended it before.
    pub is_prepared: bool,
}

/// Why nothing was started. No process is left then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnError {
    /// There was no process, or it could not be prepared for the program.
    Before(Errno),
    /// The program could not be executed.
    Exec(Errno),
}

/// Starts `image` in a process group of its own, with no signal blocked or caught. Before exec the
/// new process does `prepare`, which must make async-signal-safe calls only, and allocate nothing.
///
/// # Errors
///
/// What `prepare` answered, or why there is no process or no program.
pub fn spawn(image: &Image, prepare: impl Fn() -> nix::Result<()>) -> Result<Spawned, SpawnError> {
    let arguments = terminated(image.arguments.iter().map(|word| word.as_ptr()));
    let environment = &image.environment;
    let mut stack = vec![0_u8; STACK + 2 * size_of_val(&arguments[..])];
    let (unprepared, not_executed) = (AtomicI32::new(0), AtomicI32::new(0));
    let is_prepared = AtomicBool::new(false);
    let prepare = || -> nix::Result<()> {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        catch_nothing();
        prepare()?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
    };
    let become_image = || {
        if let Err(errno) = prepare() {
            unprepared.store(errno as i32, Ordering::Relaxed);
            return;
        }
        is_prepared.store(true, Ordering::Relaxed);
        // SAFETY: all three are terminated as exec wants them, and live until we have returned.
        unsafe { libc::execvpe(image.program(), arguments.as_ptr(), environment.as_ptr()) };
        not_executed.store(Errno::last_raw(), Ordering::Relaxed);
    };
    // A handler of ours must not run in the new process: it would write into our memory.
    let mut before = SigSet::empty();
    sigprocmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut before),
    )
    .map_err(SpawnError::Before)?;
    let life = Box::new(|| {
        become_image();
        // SAFETY: ends that process alone, and nothing of ours is run.
        unsafe { libc::_exit(127) }
    });
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: with CLONE_VFORK we stand still until the new process has gone to exec or to its end,
    // so what it borrows outlives its use, and nobody else is at it: handlers are kept away by the
    // mask, and this is our only thread but for resolvers and who queues for a turn, whom it does
    // not meet: it makes only async-signal-safe calls, on a stack of its own, and never returns.
    let process = unsafe { clone(life, &mut stack, flags, Some(libc::SIGCHLD)) };
    // The command first, should we share a processor with it.
    std::thread::yield_now();
    // Not a reason to leave a process behind that nobody knows.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    let process = process.map_err(SpawnError::Before)?;
    let error = match (unprepared.into_inner(), not_executed.into_inner()) {
        (0, 0) => {
            return Ok(Spawned {
                process,
                is_prepared: is_prepared.into_inner(),
            });
        }
        (0, errno) => SpawnError::Exec(Errno::from_raw(errno)),
        (errno, _) => SpawnError::Before(Errno::from_raw(errno)),
    };
    while waitpid(process, None) == Err(Errno::EINTR) {}
    Err(error)
}

/// Gives every signal that is caught its default action, and SIGPIPE, which Rust ignores for us.
fn catch_nothing() {
    // Nobody of us listens to real-time signals, and 33 calls more would cost as much as the clone.
    for signal in 1..=libc::SIGSYS {
        // SAFETY: all-zero bytes are a valid action, the default one with an empty mask. What
        // cannot be caught is refused.
        unsafe {
            let mut action = std::mem::zeroed::<libc::sigaction>();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            let handler = action.sa_sigaction;
            let is_ignored = handler == libc::SIG_IGN && signal != Signal::SIGPIPE as c_int;
            if handler != libc::SIG_DFL && !is_ignored {
                let default = std::mem::zeroed::<libc::sigaction>();
                libc::sigaction(signal, &raw const default, ptr::null_mut());
            }
        }
    }
}
