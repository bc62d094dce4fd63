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
