//! Waiting for several futures at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// The outputs of all `futures`, in their order, once all are ready. Each is polled whenever one of them wakes.
pub(super) async fn join_all<'a, F>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'a,
    F::Output: Send,
{
    let mut waiting: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, output) in waiting.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if outputs.iter().all(Option::is_some) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn all_wait_at_the_same_time() {
        // Each waits for the one behind it: one after the other they would never finish.
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| oneshot::channel::<usize>()).unzip();
        let mut senders: Vec<_> = senders.into_iter().map(Some).collect();
        senders.rotate_right(1);
        let wait =
            senders
                .into_iter()
                .zip(receivers)
                .enumerate()
                .map(|(index, (sender, receiver))| async move {
                    if index == 3 {
                        drop(receiver);
                        sender
                            .and_then(|sender| sender.send(index).ok())
                            .map_or(0, |()| index)
                    } else {
                        let got = receiver.await.unwrap_or(100);
                        let _ = sender.map(|sender| sender.send(index));
                        got
                    }
                });
        assert_eq!(join_all(wait).await, vec![1, 2, 3, 3]);
    }
}
