//! A sandbox that forbids one system call, as a container's seccomp profile may.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What a sandbox does about a call that it forbids.
#[derive(Clone, Copy, Debug)]
pub enum Punishment {
    /// It is refused with EPERM.
    Refusal,
    /// Who makes it is ended by SIGSYS.
    Death,
}

/// Forbids `call` to `command` and all that it starts.
pub fn forbid(command: &mut Command, call: libc::c_long, punishment: Punishment) {
    let number = u32::try_from(call).expect("a number of a call");
    let refuse = match punishment {
        Punishment::Refusal => libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs(),
        Punishment::Death => libc::SECCOMP_RET_KILL_PROCESS,
    };
    // The number is what seccomp_data begins with: if it is this one, refuse; else allow.
    let filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number)
        },
        statement(libc::BPF_RET | libc::BPF_K, refuse),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let apply = move || {
        let mut filter = filter;
        let program = libc::sock_fprog {
            len: 4,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: prctl reads the program, which lives until it returns.
        let results = unsafe {
            [
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                ),
            ]
        };
        match results {
            [0, 0] => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: prctl is async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(apply) };
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: u16::try_from(code).expect("a code"),
        jt: 0,
        jf: 0,
        k,
    }
}
