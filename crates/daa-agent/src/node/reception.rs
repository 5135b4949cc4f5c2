//! Who answers what a node is asked.

use super::lore::Lore;
use super::worker::Worker;
use crate::work::{Ask, Tell};
use daa_base::OwnerId;
use daa_coord::discovery::{Incoming, Refusal, Request, Response, Served};
use daa_coord::knowledge::{InsightError, SignedInsight};
use std::sync::Arc;

/// Answers whoever asks.
pub(super) struct Reception {
    pub(super) worker: Arc<Worker>,
    pub(super) lore: Arc<Lore>,
    /// Whose the node is.
    pub(super) owner: OwnerId,
}

impl Reception {
    pub(super) async fn serve(self, mut incoming: Incoming) {
        while let Some(served) = incoming.next().await {
            match &served.request {
                Request::Work(bytes) => match Ask::decode(bytes) {
                    Ok(ask) if ask.is_about_knowledge() => self.tell_known(served, ask),
                    Ok(ask) => {
                        let tell = self.worker.answer(served.from, ask);
                        let _gone = served.answer(encoded(&tell));
                    }
                    Err(_) => refuse(served, Refusal::Malformed),
                },
                Request::Insight(signed) => {
                    let (lore, signed) = (Arc::clone(&self.lore), signed.clone());
                    tokio::task::spawn_blocking(move || served.answer(hear(&lore, signed)));
                }
                Request::Commands(commands) => {
                    let log = self.worker.ledger.log();
                    // What does not fit now is submitted again by whoever needs it.
                    let taken = commands
                        .iter()
                        .filter(|command| log.submit((*command).clone()).is_ok());
                    let answer = match taken.count() {
                        0 => Response::Refused(Refusal::TooMuch),
                        _ => Response::Taken,
                    };
                    let _gone = served.answer(answer);
                }
                Request::Manifest(_) | Request::Chunk { .. } => {
                    let library = Arc::clone(&self.worker.library);
                    tokio::task::spawn_blocking(move || drop(library.serve(served)));
                }
                _ => refuse(served, Refusal::NotHere),
            }
        }
    }

    /// Agents of the node's owner are told, and believed.
    fn tell_known(&self, served: Served, ask: Ask) {
        let own = self.worker.ledger.view(|ledger| {
            let agent = ledger.agent_of(&served.from);
            agent
                .and_then(|agent| ledger.agent(agent))
                .map(|agent| agent.owner)
        }) == Some(self.owner);
        let (lore, now) = (Arc::clone(&self.lore), self.worker.clock.wall());
        tokio::task::spawn_blocking(move || served.answer(encoded(&lore.answer(own, &ask, now))));
    }
}

/// Takes what a member says.
fn hear(lore: &Lore, signed: SignedInsight) -> Response {
    match lore.take(signed) {
        Ok(()) => Response::Taken,
        // It may be listened to later, when this node has caught up.
        Err(InsightError::UnknownAuthor { .. }) => Response::Refused(Refusal::NotAllowed),
        Err(error) => {
            tracing::debug!(%error, "an insight is not taken");
            Response::Refused(Refusal::Invalid)
        }
    }
}

fn encoded(tell: &Tell) -> Response {
    match tell.encode() {
        Ok(bytes) => Response::Work(bytes),
        Err(error) => {
            tracing::error!(%error, "an answer does not fit");
            Response::Refused(Refusal::NotHere)
        }
    }
}

fn refuse(served: Served, refusal: Refusal) {
    let _gone = served.answer(Response::Refused(refusal));
}
