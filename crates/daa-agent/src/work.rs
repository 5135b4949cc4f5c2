//! What a run that uses the devices of others says to their nodes, and what they answer.
//!
//! The run leads: it asks, nodes only answer, so a run that vanishes leaves nothing behind but orders that nobody looks
//! after, which nodes drop in time. Messages are the payload of [`discovery::Request::Work`](daa_coord::discovery::Request)
//! between authenticated peers; what is large (a job, a checkpoint) goes by content id.

use crate::events::{EpochMetrics, EventKind, LeaseEnd, RanOn, Work};
use crate::order::Spec;
use daa_base::codec::{self, CodecError};
use daa_base::{AgentId, Bytes, FencingToken, LeaseId, Permille};
use daa_coord::discovery::MAX_WORK;
use daa_coord::knowledge::SignedInsight;
use daa_coord::streams::ContentId;
use daa_coord::{PublicKey, ShortText};
use serde::{Deserialize, Serialize};

/// News in one answer.
pub(crate) const MAX_NEWS: usize = 32;

/// Measured insights in one message.
pub(crate) const MAX_REPORTS: usize = daa_learn::search::MAX_SUGGESTIONS;

/// Addresses in one answer.
pub(crate) const MAX_PEERS: usize = 16;

/// Longest text in a message, in bytes.
pub(crate) const MAX_TEXT: usize = 512;

/// Names a job: what it is made of, and the process that leads it. Two processes may lead the same job with one key, one
/// after the other or at a time; their orders have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct JobId {
    /// The [`Job`](crate::job::Job) as it can be fetched.
    pub(crate) content: ContentId,
    /// Drawn by the process when it starts.
    pub(crate) run: u64,
}

/// Names an order within one [job](JobId).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct OrderId(pub(crate) u64);

/// What a run asks of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// What have you got? Answered with [`Tell::Here`].
    Hello,
    /// Get ready for this job, which can be fetched from the sender. Answered with [`Tell::Job`]; asked again until it is
    /// ready.
    Prepare { job: JobId },
    /// Do this. Answered with [`Tell::Taken`], also when it was taken before.
    Do {
        job: JobId,
        order: OrderId,
        what: What,
        /// Where validators agree on leases: the one under which the sender has it done.
        grant: Option<Grant>,
    },
    /// How is it going? `told`: how much of the news came already. Answered with [`Tell::Going`] or [`Tell::Ended`].
    Look { job: JobId, order: OrderId, told: u64 },
    /// Leave the device at the next step, and keep how far it is. Answered with [`Tell::Taken`].
    Stop { job: JobId, order: OrderId },
    /// The sender needs the result no more. Answered with [`Tell::Taken`].
    Forget { job: JobId, order: OrderId },
    /// The job is over. Answered with [`Tell::Taken`].
    Leave { job: JobId },
    /// Which insight on this topic has this place, by the weight of its author, from 0? Answered with [`Tell::Known`], to
    /// agents of the node's owner.
    Known { topic: ShortText, place: u32 },
    /// How useful insights on this topic were measured to be; at most [`MAX_REPORTS`]. Answered with [`Tell::Counted`], to
    /// agents of the node's owner.
    Measured {
        topic: ShortText,
        reports: Vec<MeasuredInsight>,
    },
    /// What a run of the node's owner found, to be signed and told to others; at most
    /// [`MAX_INSIGHT_PAYLOAD`](daa_coord::knowledge::MAX_INSIGHT_PAYLOAD) bytes. Answered with [`Tell::Signed`].
    Found { topic: ShortText, payload: Vec<u8> },
}

/// A lease as who holds it names it; the node looks it up in its own replica of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) lease: LeaseId,
    pub(crate) token: FencingToken,
}

/// How useful one insight was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MeasuredInsight {
    pub(crate) author: PublicKey,
    pub(crate) version: u64,
    /// −1000 to 1000; beyond, it is cut.
    pub(crate) thousandths: i16,
}

/// A training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct What {
    pub(crate) spec: Spec,
    /// The state that it goes on from, for trials that go on.
    pub(crate) from: Option<ContentId>,
}

/// How far a job is at a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum JobStage {
    /// It is being fetched and its networks are being compiled.
    Preparing,
    /// Orders are taken.
    Ready,
    /// It is refused.
    Refused { reason: String },
}

/// What happened to an order, for the record of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum News {
    Requested {
        bytes: Bytes,
        share: Permille,
    },
    Queued {
        ahead: u32,
        reason: String,
    },
    Granted {
        lease: LeaseId,
        bytes: Bytes,
        token: FencingToken,
        /// Since it was asked for, by the node's clock.
        waited_ms: Option<u64>,
    },
    Ended {
        lease: LeaseId,
        end: LeaseEnd,
        bytes: Bytes,
        high_water: Bytes,
    },
    Epoch(EpochMetrics),
    Yielded {
        epoch: u32,
        step: u64,
        reason: String,
    },
}

impl News {
    /// What `kind` says about an order, if that is of use to the run. `waited_ms`: since the last lease was asked for.
    pub(crate) fn of(kind: &EventKind, waited_ms: Option<u64>) -> Option<Self> {
        Some(match kind {
            EventKind::LeaseRequested { bytes, share, .. } => Self::Requested {
                bytes: *bytes,
                share: *share,
            },
            EventKind::LeaseQueued { ahead, reason, .. } => Self::Queued {
                ahead: *ahead,
                reason: short(reason),
            },
            EventKind::LeaseGranted {
                lease, bytes, token, ..
            } => Self::Granted {
                lease: *lease,
                bytes: *bytes,
                token: *token,
                waited_ms,
            },
            EventKind::LeaseEnded {
                lease,
                end,
                bytes,
                high_water,
                ..
            } => Self::Ended {
                lease: *lease,
                end: *end,
                bytes: *bytes,
                high_water: *high_water,
            },
            EventKind::EpochEnded { metrics, .. } => Self::Epoch(*metrics),
            EventKind::WorkYielded {
                epoch, step, reason, ..
            } => Self::Yielded {
                epoch: *epoch,
                step: *step,
                reason: short(reason),
            },
            _ => return None,
        })
    }

    /// The same as an event of the run, in which `agent` stands for the node that does `work`.
    pub(crate) fn event(self, agent: AgentId, work: Work) -> EventKind {
        match self {
            Self::Requested { bytes, share } => EventKind::LeaseRequested {
                agent,
                work,
                bytes,
                share,
            },
            Self::Queued { ahead, reason } => EventKind::LeaseQueued {
                agent,
                work,
                ahead,
                reason,
            },
            Self::Granted {
                lease,
                bytes,
                token,
                waited_ms,
            } => EventKind::LeaseGranted {
                agent,
                work,
                lease,
                bytes,
                token,
                waited_ms,
            },
            Self::Ended {
                lease,
                end,
                bytes,
                high_water,
            } => EventKind::LeaseEnded {
                agent,
                lease,
                end,
                bytes,
                high_water,
            },
            Self::Epoch(metrics) => EventKind::EpochEnded { agent, work, metrics },
            Self::Yielded { epoch, step, reason } => EventKind::WorkYielded {
                agent,
                work,
                epoch,
                step,
                reason,
            },
        }
    }
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// The training came to its end; `state` can be fetched from the node.
    Done {
        state: ContentId,
        diverged: bool,
        ran_on: Option<RanOn>,
    },
    /// The node could not do it.
    Failed { reason: String },
    /// The node did not come to do it, and nobody broke a rule.
    Left { reason: String },
}

/// Why a node takes nothing more for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Crowd {
    /// It works for as many runs as it can.
    Jobs,
    /// It works for as many runs of this owner as it may, so that others find room.
    JobsOfOwner,
    /// It works for as many runs with this key as it may.
    JobsOfKey,
    /// All its places are taken.
    Places,
    /// The next place is another owner's.
    Turn,
    /// It keeps as many ended orders of this job as it can.
    Orders,
    /// An earlier order for the same work is still stopping.
    Stopping,
}

impl std::fmt::Display for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jobs => "it works for as many runs as it can",
            Self::JobsOfOwner => {
                "it works for as many runs of this owner as it may, so that others find room"
            }
            Self::JobsOfKey => "it works for as many runs with this key as it may",
            Self::Places => "all its places are taken",
            Self::Turn => "the next place is another owner's",
            Self::Orders => "it keeps as many orders of this run as it can",
            Self::Stopping => "an earlier order for the same work is still stopping",
        })
    }
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tell {
    /// What it has got.
    Here {
        /// The name of its device.
        device: String,
        /// What leases on it may sum up to.
        capacity: Bytes,
        /// Orders that it carries out at a time; 0 until it takes part in the ledger.
        slots: u32,
        /// Validators of its ledger; 0 where one sequencer gives the order.
        validators: u32,
        /// The last block of its ledger.
        height: u64,
        /// Where other validators listen, as far as it was told; at most [`MAX_PEERS`].
        peers: Vec<String>,
    },
    /// How far the job is.
    Job(JobStage),
    /// It was done as asked.
    Taken,
    /// Not now.
    Full { why: Crowd },
    /// Nothing like it is known here: it was dropped, or this node has begun anew.
    Unknown,
    /// The order breaks a rule.
    Invalid { reason: String },
    /// The order is in work.
    Going { news: Vec<News> },
    /// The order has ended, with the last news.
    Ended { news: Vec<News>, end: End },
    /// The insight at that place with the weight of its author; nothing behind the last.
    Known { said: Option<(SignedInsight, u32)> },
    /// How many of the reports moved trust: each insight counts once.
    Counted { reports: u32 },
    /// The version under which it is told.
    Signed { version: u64 },
}

impl Ask {
    /// Whether what the node knows is to answer.
    pub(crate) const fn is_about_knowledge(&self) -> bool {
        matches!(
            self,
            Self::Known { .. } | Self::Measured { .. } | Self::Found { .. }
        )
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode::<MAX_WORK, _>(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<MAX_WORK, _>(bytes)
    }
}

impl Tell {
    /// Whether its texts can be shown to people as they are: a terminal obeys control characters.
    pub(crate) fn is_plain(&self) -> bool {
        let is_plain = |text: &str| !text.chars().any(char::is_control);
        let are_plain = |news: &[News]| {
            news.iter().all(|one| match one {
                News::Queued { reason, .. } | News::Yielded { reason, .. } => is_plain(reason),
                _ => true,
            })
        };
        match self {
            Self::Here { device, .. } => is_plain(device),
            Self::Job(JobStage::Refused { reason }) | Self::Invalid { reason } => is_plain(reason),
            Self::Going { news } => are_plain(news),
            Self::Ended { news, end } => {
                let end = match end {
                    End::Done { ran_on, .. } => {
                        let ran_on = ran_on.as_ref();
                        ran_on.is_none_or(|on| is_plain(&on.backend) && is_plain(&on.device))
                    }
                    End::Failed { reason } | End::Left { reason } => is_plain(reason),
                };
                are_plain(news) && end
            }
            _ => true,
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode::<MAX_WORK, _>(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<MAX_WORK, _>(bytes)
    }
}

/// The beginning of `text`, at most [`MAX_TEXT`] bytes, without control characters.
pub(crate) fn short(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    let plain = text[..end].chars();
    plain.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_a_terminal_would_obey_are_not_shown() {
        let hostile = "\u{1b}[2Jgone";
        let left = |reason: &str| End::Left {
            reason: reason.to_owned(),
        };
        let queued = |reason: &str| {
            vec![News::Queued {
                ahead: 1,
                reason: reason.to_owned(),
            }]
        };
        let answers = |text: &str| {
            [
                Tell::Invalid {
                    reason: text.to_owned(),
                },
                Tell::Going { news: queued(text) },
                Tell::Ended {
                    news: Vec::new(),
                    end: left(text),
                },
                Tell::Here {
                    device: text.to_owned(),
                    capacity: Bytes(1),
                    slots: 1,
                    validators: 4,
                    height: 1,
                    peers: Vec::new(),
                },
            ]
        };
        assert!(answers(hostile).iter().all(|answer| !answer.is_plain()));
        assert!(answers(&short(hostile)).iter().all(Tell::is_plain));
        assert_eq!(short("ä".repeat(MAX_TEXT).as_str()).len(), MAX_TEXT);
    }
}
