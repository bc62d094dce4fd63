//! Release notices: a hint that a lock may be free, or is not ours any more. Never more than a
//! hint: a notice may be lost, come late, or be sent by anybody. Called by `lock`.

use std::future::Future;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Somebody released a lock that is listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How many listened, as far as the node may tell; at least one.
    pub listeners: u32,
    /// The value that a person has taken away, or given back; `None` if its holder has let go.
    pub taken: Option<Print>,
}

/// What a value is known by in a notice: the beginning of its SHA-1 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print(u64);

impl Print {
    const DIGITS: usize = 16;

    /// The print of `value`.
    #[must_use]
    pub fn of(value: &[u8]) -> Option<Self> {
        Self::of_digest(&sha1_smol::Sha1::from(value).digest().to_string())
    }

    /// The print of a value with this `digest`, in hexadecimal digits.
    #[must_use]
    pub fn of_digest(digest: &str) -> Option<Self> {
        let begin = digest.get(..Self::DIGITS)?;
        u64::from_str_radix(begin, 16).ok().map(Self)
    }
}

/// The notices of one node, until its connection breaks.
pub struct Notices {
    heard: mpsc::UnboundedReceiver<Notice>,
    task: JoinHandle<()>,
}

impl Notices {
    /// The notices that `listen` hands on, for as long as it runs.
    pub fn from_task<F>(listen: impl FnOnce(mpsc::UnboundedSender<Notice>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (tell, heard) = mpsc::unbounded_channel();
        let task = tokio::spawn(listen(tell));
        Self { heard, task }
    }

    /// The next notice; `None` when the node cannot be heard any more.
    pub async fn next(&mut self) -> Option<Notice> {
        self.heard.recv().await
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.task.abort();
    }
}
