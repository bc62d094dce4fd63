//! The password for a server, which may be changed while we run: who runs for a day has to get on
//! with the new one. Called by `connection`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::blocking;
use crate::node::Secret;

/// The newest that is known, if there is one at all.
#[derive(Clone)]
pub struct Password {
    known: Arc<Mutex<Known>>,
    /// Who reads it again. One at a time: a file can hang.
    reader: Arc<Semaphore>,
}

struct Known {
    secret: Option<Secret>,
    /// Why it was not read again.
    trouble: Option<String>,
}

impl Password {
    /// It is `secret` so far.
    pub fn new(secret: Option<Secret>) -> Self {
        Self {
            known: Arc::new(Mutex::new(Known {
                secret,
                trouble: None,
            })),
            reader: Arc::new(Semaphore::new(1)),
        }
    }

    /// The newest that is known.
    pub fn secret(&self) -> Option<Secret> {
        self.known().secret.clone()
    }

    /// Why it was not read again, if it was to be.
    pub fn trouble(&self) -> Option<String> {
        self.known().trouble.clone()
    }

    /// Whether there is a newer one than the `refused` one. What is read too late for us is known
    /// the next time.
    pub async fn is_newer_than(&self, refused: &Secret) -> bool {
        let reader = Arc::clone(&self.reader).acquire_owned().await;
        // Another connection may have found it just now.
        if self.secret().as_ref() != Some(refused) {
            return true;
        }
        let (password, before) = (self.clone(), refused.clone());
        let read = move || {
            let newer = before.newer();
            let mut known = password.known();
            known.trouble = newer.as_ref().err().cloned();
            if let Ok(Some(newer)) = newer {
                known.secret = Some(newer);
            }
            drop(reader);
        };
        let is_read = blocking::answer(read).await.is_ok();
        is_read && self.secret().as_ref() != Some(refused)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
