//! What redlock and the guard tell each other, through a socket that keeps messages whole.
//!
//! Redlock also speaks from the command's process, before exec, and the guard is what it is: all of
//! this is async-signal-safe.

use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::c_int;
use nix::errno::Errno;

/// What redlock tells the guard, once: this is the job. With it comes a pidfd of the leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Job {
    /// The number of the group, and of its leader.
    pub group: libc::pid_t,
    /// What asks the job to stop.
    pub stop_signal: c_int,
}

/// What the guard tells redlock, in one byte.
pub const STANDING: u8 = 1;
pub const ACTED: u8 = 2;
pub const IN_TIME: u8 = 3;

impl Job {
    /// Sends it without waiting, and without the signal that a reader who is gone would bring; with
    /// a pidfd of the leader, if the kernel knows such.
    pub fn send(self, socket: RawFd) -> nix::Result<()> {
        // SAFETY: pidfd_open takes two numbers and gives a new descriptor, close-on-exec, or -1:
        // before Linux 5.3, or in a sandbox that does not know the call. The number must do then.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.group, 0) };
        let pidfd = c_int::try_from(pidfd).ok().filter(|&pidfd| pidfd >= 0);
        // SAFETY: it is new, and nobody else's.
        let pidfd = pidfd.map(|pidfd| unsafe { OwnedFd::from_raw_fd(pidfd) });
        let mut parcel = Parcel([0; 32]);
        let mut part = libc::iovec {
            iov_base: (&raw const self).cast_mut().cast(),
            iov_len: mem::size_of::<Self>(),
        };
        // SAFETY: all-zero bytes are an empty header; its pointers are to values that outlive the
        // call, and it is sent as the two numbers that it is. The parcel is large enough for one
        // descriptor and aligned for its header, so CMSG_FIRSTHDR is not null and CMSG_DATA within.
        let sent = unsafe {
            let mut header: libc::msghdr = mem::zeroed();
            header.msg_iov = &raw mut part;
            header.msg_iovlen = 1;
            if let Some(pidfd) = &pidfd {
                header.msg_control = parcel.0.as_mut_ptr().cast();
                header.msg_controllen = libc::CMSG_SPACE(4) as _;
                let control = libc::CMSG_FIRSTHDR(&raw const header);
                (*control).cmsg_level = libc::SOL_SOCKET;
                (*control).cmsg_type = libc::SCM_RIGHTS;
                (*control).cmsg_len = libc::CMSG_LEN(4) as _;
                libc::CMSG_DATA(control)
                    .cast::<c_int>()
                    .write_unaligned(pidfd.as_raw_fd());
            }
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            libc::sendmsg(socket, &raw const header, flags)
        };
        Errno::result(sent).map(drop)
    }
}

/// What comes through the guard's socket.
pub enum Received {
    /// With the descriptor that came with it, or -1.
    Job(Job, RawFd),
    Nothing,
    /// Redlock is dead.
    Silence,
}

/// The next message, without waiting.
pub fn receive(socket: RawFd) -> Received {
    let mut job = Job::default();
    let mut parcel = Parcel([0; 32]);
    let mut part = libc::iovec {
        iov_base: (&raw mut job).cast(),
        iov_len: mem::size_of::<Job>(),
    };
    // SAFETY: all-zero bytes are an empty header; its pointers are to values that outlive the call,
    // and any bytes are two numbers. What CMSG_FIRSTHDR gives is null or within the parcel, which
    // holds one descriptor if its length says so.
    let (length, descriptor) = unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = parcel.0.as_mut_ptr().cast();
        header.msg_controllen = parcel.0.len() as _;
        let length = libc::recvmsg(socket, &raw mut header, libc::MSG_DONTWAIT);
        let control = libc::CMSG_FIRSTHDR(&raw const header);
        let carries = length > 0
            && !control.is_null()
            && (*control).cmsg_type == libc::SCM_RIGHTS
            && (*control).cmsg_len as usize >= libc::CMSG_LEN(4) as usize;
        let descriptor = if carries {
            libc::CMSG_DATA(control).cast::<c_int>().read_unaligned()
        } else {
            -1
        };
        (length, descriptor)
    };
    match length {
        0 => Received::Silence,
        length if length > 0 => Received::Job(job, descriptor),
        _ => match Errno::last() {
            // Redlock died with a word of ours unread. Once this is said, the kernel hands out what
            // redlock had said before.
            Errno::EAGAIN | Errno::EINTR | Errno::ECONNRESET => Received::Nothing,
            // Nobody can tell us anything any more: as if redlock were dead.
            _ => Received::Silence,
        },
    }
}

/// Sends one byte to redlock, without waiting.
pub fn send_byte(socket: RawFd, byte: u8) -> nix::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: there is one byte to be read.
    let sent = unsafe { libc::send(socket, (&raw const byte).cast(), 1, flags) };
    Errno::result(sent).map(drop)
}

/// One byte of the guard's, or `None` at the end of it all, without waiting.
pub fn receive_byte(socket: RawFd) -> nix::Result<Option<u8>> {
    let mut byte = 0_u8;
    // SAFETY: there is room for one byte.
    let length = unsafe { libc::recv(socket, (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT) };
    Errno::result(length).map(|length| (length > 0).then_some(byte))
}

/// Room for the header that carries one descriptor, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Parcel([u8; 32]);

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    #[test]
    fn who_redlock_named_is_heard_after_its_death_also_with_a_word_of_ours_unread() {
        for unread in [false, true] {
            let (flags, kind) = (SockFlag::SOCK_CLOEXEC, SockType::SeqPacket);
            let pair = socketpair(AddressFamily::Unix, kind, None, flags);
            let (redlock, guard) = pair.expect("a pair of sockets");
            let job = Job {
                group: nix::unistd::getpid().as_raw(),
                stop_signal: 15,
            };
            job.send(redlock.as_raw_fd()).expect("room for it");
            if unread {
                send_byte(guard.as_raw_fd(), STANDING).expect("room for it");
            }
            drop(redlock);
            let mut heard = Vec::new();
            loop {
                match receive(guard.as_raw_fd()) {
                    Received::Job(job, _) => heard.push(job),
                    Received::Nothing => {}
                    Received::Silence => break,
                }
            }
            assert_eq!(heard, [job]);
        }
    }
}
