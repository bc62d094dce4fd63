//! What redlock and the guard tell each other, through a socket that keeps messages whole.
//!
//! Redlock also speaks from the command's process, before exec, and the guard is what it is: all of
//! this is async-signal-safe.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::c_int;
use nix::errno::Errno;

/// An instant that never comes.
pub const NEVER: u64 = u64::MAX;

/// What redlock tells the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// This is the job, and what is to be done to it when. With it comes a pidfd of the leader.
    Job {
        group: libc::pid_t,
        stop_signal: c_int,
        stop_at: u64,
        kill_at: u64,
    },
    /// From now on these deadlines count.
    Deadlines { stop_at: u64, kill_at: u64 },
    /// Redlock stops the job itself; it is killed at this instant.
    Stopping { kill_at: u64 },
    /// The job is over.
    Ended,
}

/// What the guard tells redlock, in one byte.
pub const STANDING: u8 = 1;
pub const ACTED: u8 = 2;
pub const IN_TIME: u8 = 3;

/// A message as it is sent: its kind, the group, the signal, two instants.
type Numbers = [u64; 5];

const JOB: u64 = 1;
const DEADLINES: u64 = 2;
const STOPPING: u64 = 3;
const ENDED: u64 = 4;

impl Message {
    fn numbers(self) -> Numbers {
        match self {
            Self::Job {
                group,
                stop_signal,
                stop_at,
                kill_at,
            } => {
                let (group, signal) = (group.unsigned_abs(), stop_signal.unsigned_abs());
                [JOB, group.into(), signal.into(), stop_at, kill_at]
            }
            Self::Deadlines { stop_at, kill_at } => [DEADLINES, 0, 0, stop_at, kill_at],
            Self::Stopping { kill_at } => [STOPPING, 0, 0, 0, kill_at],
            Self::Ended => [ENDED, 0, 0, 0, 0],
        }
    }

    fn of([kind, group, signal, stop_at, kill_at]: Numbers) -> Option<Self> {
        match kind {
            JOB => Some(Self::Job {
                group: libc::pid_t::try_from(group).ok()?,
                stop_signal: c_int::try_from(signal).ok()?,
                stop_at,
                kill_at,
            }),
            DEADLINES => Some(Self::Deadlines { stop_at, kill_at }),
            STOPPING => Some(Self::Stopping { kill_at }),
            ENDED => Some(Self::Ended),
            _ => None,
        }
    }

    fn bytes(self) -> [u8; mem::size_of::<Numbers>()] {
        let mut bytes = [0; mem::size_of::<Numbers>()];
        for (to, number) in bytes.chunks_exact_mut(8).zip(self.numbers()) {
            to.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    fn of_bytes(bytes: &[u8; mem::size_of::<Numbers>()]) -> Option<Self> {
        let mut numbers = [0; 5];
        for (number, from) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut eight = [0; 8];
            for (to, byte) in eight.iter_mut().zip(from) {
                *to = *byte;
            }
            *number = u64::from_ne_bytes(eight);
        }
        Self::of(numbers)
    }

    /// Sends it without waiting, and without the signal that a reader who is gone would bring.
    pub fn send(self, socket: RawFd) -> nix::Result<()> {
        send(socket, &self.bytes())
    }

    /// Sends it with a pidfd of `leader`, if the kernel knows such.
    pub fn send_with(self, leader: libc::pid_t, socket: RawFd) -> io::Result<()> {
        // SAFETY: pidfd_open takes two numbers and gives a new descriptor, close-on-exec, or -1.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, leader, 0) };
        let pidfd = c_int::try_from(pidfd).unwrap_or(-1);
        if pidfd < 0 {
            // Before Linux 5.3, or in a sandbox that does not know the call: the number must do.
            return Ok(self.send(socket)?);
        }
        // SAFETY: it is new, and nobody else's.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        let message = self.bytes();
        let mut parcel = Parcel([0; 32]);
        let mut part = libc::iovec {
            iov_base: message.as_ptr().cast_mut().cast(),
            iov_len: message.len(),
        };
        // SAFETY: all-zero bytes are an empty header; its pointers are to values that outlive the
        // call. The parcel is large enough for one descriptor and aligned for its header, so
        // CMSG_FIRSTHDR is not null and CMSG_DATA within.
        let sent = unsafe {
            let mut header: libc::msghdr = mem::zeroed();
            header.msg_iov = &raw mut part;
            header.msg_iovlen = 1;
            header.msg_control = parcel.0.as_mut_ptr().cast();
            header.msg_controllen = libc::CMSG_SPACE(4) as _;
            let control = libc::CMSG_FIRSTHDR(&raw const header);
            (*control).cmsg_level = libc::SOL_SOCKET;
            (*control).cmsg_type = libc::SCM_RIGHTS;
            (*control).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(control)
                .cast::<c_int>()
                .write_unaligned(pidfd.as_raw_fd());
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            libc::sendmsg(socket, &raw const header, flags)
        };
        Errno::result(sent)?;
        Ok(())
    }
}

/// What comes through the guard's socket.
pub enum Heard {
    /// With the descriptor that came with it, or -1.
    Message(Message, RawFd),
    Nothing,
    /// Redlock is dead.
    Silence,
}

/// The next message, without waiting.
pub fn receive(socket: RawFd) -> Heard {
    let mut message = [0_u8; mem::size_of::<Numbers>()];
    let mut parcel = Parcel([0; 32]);
    let mut part = libc::iovec {
        iov_base: message.as_mut_ptr().cast(),
        iov_len: message.len(),
    };
    // SAFETY: all-zero bytes are an empty header; its pointers are to values that outlive the call.
    // What CMSG_FIRSTHDR gives is null or within the parcel, which holds one descriptor if its
    // length says so.
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
        0 => Heard::Silence,
        length if length > 0 => match Message::of_bytes(&message) {
            Some(message) => Heard::Message(message, descriptor),
            None => Heard::Nothing,
        },
        _ => match Errno::last() {
            Errno::EAGAIN | Errno::EINTR => Heard::Nothing,
            // Nobody can tell us anything any more: as if redlock were dead.
            _ => Heard::Silence,
        },
    }
}

/// Sends one byte to redlock, or a message to the guard, without waiting.
pub fn send(socket: RawFd, message: &[u8]) -> nix::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `message` can be read for its length.
    let sent = unsafe { libc::send(socket, message.as_ptr().cast(), message.len(), flags) };
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

    #[test]
    fn what_is_sent_is_what_is_heard() {
        let job = Message::Job {
            group: 4711,
            stop_signal: 15,
            stop_at: 1 << 40,
            kill_at: NEVER,
        };
        let deadlines = Message::Deadlines {
            stop_at: 1,
            kill_at: 2,
        };
        for message in [
            job,
            deadlines,
            Message::Stopping { kill_at: 3 },
            Message::Ended,
        ] {
            assert_eq!(Message::of_bytes(&message.bytes()), Some(message));
        }
        assert_eq!(Message::of([9, 0, 0, 0, 0]), None);
    }
}
