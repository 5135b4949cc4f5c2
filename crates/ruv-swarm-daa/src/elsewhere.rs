//! Long work on a thread of its own, so that no executor is blocked.

use crate::error::{DAAError, DAAResult};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells the work that nobody waits for it any more.
struct Leave(Arc<AtomicBool>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Does `work` on a thread called `name` and waits for what comes of it. `work` is handed a flag that rises when the
/// caller stops waiting; what it returns after that is dropped on its thread.
pub(crate) async fn elsewhere<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> DAAResult<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let leave = Leave(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&leave.0);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || drop(sender.send(work(&flag))))
        .map_err(|error| DAAError::config(format!("a thread for `{name}`: {error}")))?;
    let result = receiver.await;
    drop(leave);
    result.map_err(|_| DAAError::config(format!("the thread of `{name}` ended without a result")))
}
