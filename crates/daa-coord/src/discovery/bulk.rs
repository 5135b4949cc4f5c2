//! Bulk data over connections: [`streams`](crate::streams) asked and answered.

use super::RequestError;
use super::network::{Network, Served};
use super::wire::{Refusal, Request, Response};
use crate::streams::{ContentId, Provider, ReadChunk, Receiver, StoreChunk, StreamError, Want, Wanted};
use daa_base::Clock;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::io;
use std::time::Duration;

/// How long a source that is busy is left alone with a request. It counts as a failure, so this is not for ever.
const PAUSE: Duration = Duration::from_millis(100);

const fn is_busy(answer: &Result<Response, RequestError>) -> bool {
    matches!(
        answer,
        Err(RequestError::Refused {
            refusal: Refusal::TooMuch | Refusal::Busy,
            ..
        })
    )
}

/// Fetches content: asks as many at a time as the receiver's window allows, and gives each verified chunk to `store`, which
/// writes it and says whether that worked. Ends when everything is stored.
///
/// The time without an answer is bounded by the receiver's patience; how long it all takes is for the caller to bound, by
/// dropping this future. What is stored by then stays: see [`Receiver::resume`].
///
/// # Errors
/// [`StreamError::NoSource`] when no source is left, [`StreamError::Read`] when storing fails.
pub async fn fetch(
    network: &Network,
    clock: &dyn Clock,
    receiver: &mut Receiver,
    mut store: impl FnMut(StoreChunk, &[u8]) -> io::Result<()>,
) -> Result<(), StreamError> {
    let mut asked = FuturesUnordered::new();
    loop {
        while let Some(want) = receiver.next(clock.monotonic())? {
            let network = network.clone();
            asked.push(async move {
                let answer = network.request(want.peer, request_for(&want)).await;
                if is_busy(&answer) {
                    tokio::time::sleep(PAUSE).await;
                }
                (want, answer)
            });
        }
        if receiver.is_complete() {
            return Ok(());
        }
        let patience = receiver
            .deadline()
            .map(|until| until.saturating_sub(clock.monotonic()));
        let next = tokio::time::timeout(patience.unwrap_or_default(), asked.next());
        match next.await {
            Ok(Some((want, answer))) => take(receiver, &want, answer, &mut store)?,
            Ok(None) | Err(_) => receiver.expire(clock.monotonic()),
        }
    }
}

const fn request_for(want: &Want) -> Request {
    match want.what {
        Wanted::Manifest => Request::Manifest(want.id),
        Wanted::Chunk(index) => Request::Chunk { id: want.id, index },
    }
}

fn take(
    receiver: &mut Receiver,
    want: &Want,
    answer: Result<Response, RequestError>,
    store: &mut impl FnMut(StoreChunk, &[u8]) -> io::Result<()>,
) -> Result<(), StreamError> {
    let taken = match (want.what, answer) {
        (Wanted::Manifest, Ok(Response::Manifest(bytes))) => receiver.manifest_came(&want.peer, &bytes),
        (Wanted::Chunk(index), Ok(Response::Chunk(bytes))) => {
            match receiver.chunk_came(&want.peer, index, &bytes) {
                Ok(chunk) => {
                    store(chunk, &bytes).map_err(|error| StreamError::Read {
                        reason: error.to_string(),
                    })?;
                    receiver.stored(chunk.index);
                    Ok(())
                }
                Err(error) => Err(error),
            }
        }
        (what, _) => {
            receiver.failed(&want.peer, what);
            Ok(())
        }
    };
    if let Err(error) = taken {
        // The receiver has drawn its conclusion; the rest comes from others.
        tracing::debug!(peer = %want.peer, %error, "an answer was of no use");
    }
    Ok(())
}

/// Answers a request for a manifest or a chunk, reading the data by `read`. Any other request is given back.
#[must_use = "what is given back still waits for an answer"]
pub fn provide(
    provider: &mut Provider,
    served: Served,
    read: impl FnOnce(ReadChunk) -> io::Result<Vec<u8>>,
) -> Option<Served> {
    let response = match served.request {
        Request::Manifest(id) => match provider.manifest(id) {
            Ok(manifest) => Response::Manifest(manifest.encode()),
            Err(error) => Response::Refused(refusal(&error)),
        },
        Request::Chunk { id, index } => chunk(provider, &served, id, index, read),
        _ => return Some(served),
    };
    served.answer(response);
    None
}

fn chunk(
    provider: &mut Provider,
    served: &Served,
    id: ContentId,
    index: u32,
    read: impl FnOnce(ReadChunk) -> io::Result<Vec<u8>>,
) -> Response {
    let place = match provider.asked(served.from, id, index) {
        Ok(place) => place,
        Err(error) => return Response::Refused(refusal(&error)),
    };
    let data = read(place);
    provider.finished(&served.from);
    match data {
        Ok(bytes) => Response::Chunk(bytes),
        Err(error) => {
            tracing::warn!(%error, %id, "data that are provided cannot be read");
            Response::Refused(Refusal::NotHere)
        }
    }
}

const fn refusal(error: &StreamError) -> Refusal {
    match error {
        StreamError::UnknownContent { .. } => Refusal::NotHere,
        StreamError::PeerBusy { .. } | StreamError::Busy { .. } => Refusal::TooMuch,
        _ => Refusal::Invalid,
    }
}
