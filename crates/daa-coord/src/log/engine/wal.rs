//! The engine's write-ahead log, in our own file.
//!
//! The engine's own log shortens its file at each height and flushes seven times; each flush then waits for the file system's
//! journal too. Here a file is written over, by the actor itself, and a flush reaches the disk only when something depends on it.
//!
//! # What must be durable when
//! Before a message of this validator leaves, that message and all that it follows from: the records before it. The engine
//! appends its own messages before it publishes them. So a flush that finds none among what waits can leave it waiting: since
//! the last flush nothing of this validator's has left. Blocks are stored durably before anybody hears of a decision, so a
//! decision needs no flush either.
//!
//! From [`HIDDEN_LOCK_ROUND`] on the engine publishes the prevotes on which it locks, its own among them, and asks for no
//! flush before that. So own votes of these rounds are durable as soon as they are logged.

use super::codec::Undecided;
use crate::consensus::storage::{StorageError, WalFile};
use crate::consensus::{ChainContext, Height, JudgedBlock, WalRecord};
use crate::keys::PublicKey;
use arc_malachitebft_app_channel::app::engine::wal::Msg;
use arc_malachitebft_core_consensus::{HIDDEN_LOCK_ROUND, Input, ProposedValue};
use arc_malachitebft_core_types::{Validity, ValueOrigin};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::io;
use tokio::task::block_in_place;

/// Why the log cannot go on. The engine stops its node then.
#[derive(Debug, thiserror::Error)]
enum WalError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("block {0} is to be logged and is not here")]
    NoBlock(crate::consensus::BlockId),
    #[error("an input that is not to be logged: {0}")]
    Unexpected(String),
}

/// The actor; its state is a [`Log`].
#[derive(Debug)]
pub(super) struct Wal;

/// What is logged at the height in work.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) file: WalFile,
    /// What the file held when the node started.
    pub(super) found: Vec<WalRecord>,
    pub(super) undecided: Undecided,
    pub(super) me: PublicKey,
    pub(super) height: Height,
    /// A message of this validator's waits for a flush.
    pub(super) own_waits: bool,
}

impl Log {
    /// Goes on at `height`; what was logged of it before this node started.
    fn begin(&mut self, height: Height) -> Vec<io::Result<Input<ChainContext>>> {
        let found = std::mem::take(&mut self.found);
        if found.iter().any(|record| record.height() == height.0) {
            self.height = height;
            let now = found.into_iter().filter(|record| record.height() == height.0);
            return now.map(|record| Ok(self.input(record))).collect();
        }
        if self.height != height {
            self.file.restart();
            self.own_waits = false;
            self.height = height;
        }
        Vec::new()
    }

    fn reset(&mut self, height: Height) -> Result<(), WalError> {
        let stale = self.height == height || !self.found.is_empty();
        self.found.clear();
        self.own_waits = false;
        self.height = height;
        if stale {
            block_in_place(|| self.file.clear())?;
        } else {
            self.file.restart();
        }
        Ok(())
    }

    fn append(&mut self, height: Height, input: Input<ChainContext>) -> Result<(), WalError> {
        if height != self.height {
            tracing::warn!(%height, log = %self.height, "an input of another height is not logged");
            return Ok(());
        }
        let record = self.record(input)?;
        self.own_waits |= record.is_of(&self.me);
        self.file.append(&record)?;
        match &record {
            WalRecord::Vote(vote)
                if vote.message.validator == self.me && vote.message.round >= HIDDEN_LOCK_ROUND =>
            {
                self.flush()
            }
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), WalError> {
        if self.own_waits {
            block_in_place(|| self.file.flush())?;
            self.own_waits = false;
        }
        Ok(())
    }

    fn record(&self, input: Input<ChainContext>) -> Result<WalRecord, WalError> {
        Ok(match input {
            Input::Vote(vote) => WalRecord::Vote(vote.into()),
            Input::Proposal(proposal) => WalRecord::Proposal(proposal.into()),
            Input::TimeoutElapsed(timeout) => WalRecord::Timeout(self.height, timeout),
            Input::PolkaCertificate(polka) => WalRecord::Polka((&polka).into()),
            Input::ProposedValue(value, origin) => WalRecord::Block(self.judged(&value, origin)?),
            other => return Err(WalError::Unexpected(format!("{other:?}"))),
        })
    }

    fn judged(
        &self,
        value: &ProposedValue<ChainContext>,
        origin: ValueOrigin,
    ) -> Result<JudgedBlock, WalError> {
        let named = self.undecided.get(value.value);
        Ok(JudgedBlock {
            round: value.round,
            pol_round: value.valid_round,
            proposer: value.proposer,
            valid: value.validity == Validity::Valid,
            synced: matches!(origin, ValueOrigin::Sync),
            named: named.ok_or(WalError::NoBlock(value.value))?,
        })
    }

    fn input(&self, record: WalRecord) -> Input<ChainContext> {
        match record {
            WalRecord::Vote(vote) => Input::Vote(vote.into()),
            WalRecord::Proposal(proposal) => Input::Proposal(proposal.into()),
            WalRecord::Timeout(_, timeout) => Input::TimeoutElapsed(timeout),
            WalRecord::Polka(polka) => Input::PolkaCertificate((&polka).into()),
            WalRecord::Block(judged) => {
                self.undecided.insert(judged.named.clone());
                Input::ProposedValue(judged.proposed(), judged.origin())
            }
        }
    }
}

#[async_trait::async_trait]
impl Actor for Wal {
    type Msg = Msg<ChainContext>;
    type State = Log;
    type Arguments = Log;

    async fn pre_start(&self, _me: ActorRef<Self::Msg>, log: Log) -> Result<Log, ActorProcessingErr> {
        Ok(log)
    }

    async fn handle(
        &self,
        _me: ActorRef<Self::Msg>,
        message: Self::Msg,
        log: &mut Log,
    ) -> Result<(), ActorProcessingErr> {
        // Whoever asked may be gone: the node is ending then.
        match message {
            Msg::StartedHeight(height, reply) => {
                let _gone = reply.send(Ok(log.begin(height)));
            }
            Msg::Reset(height, reply) => {
                let _gone = reply.send(log.reset(height).map_err(Into::into));
            }
            Msg::Append(height, input, reply) => {
                let _gone = reply.send(log.append(height, input).map_err(Into::into));
            }
            Msg::Flush(reply) => {
                let _gone = reply.send(log.flush().map_err(Into::into));
            }
            Msg::Dump => tracing::debug!(height = %log.height, "write-ahead log"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::storage::FileStorage;
    use crate::consensus::{BlockId, Vote, read_frames};
    use crate::genesis::{Genesis, LedgerConfig};
    use crate::keys::{AgentKey, Signature};
    use crate::text::ShortText;
    use crate::validators::ValidatorSet;
    use arc_malachitebft_core_types::{NilOrVal, Round, SignedMessage, VoteType};

    #[test]
    fn an_own_vote_is_durable_before_a_certificate_can_show_it() {
        let me = AgentKey::from_secret(&[1; 32]).public();
        let set = ValidatorSet::equal([me]).expect("one key");
        let name = ShortText::fitted("log tests");
        let genesis = Genesis::new(name, me, LedgerConfig::default()).expect("valid");
        let folder = tempfile::tempdir().expect("a folder");
        let (storage, _) =
            FileStorage::open(folder.path(), &genesis.with_validators(set)).expect("an empty folder");
        let (_, file) = storage.split();
        let mut log = Log {
            file,
            found: Vec::new(),
            undecided: Undecided::default(),
            me,
            height: Height(1),
            own_waits: false,
        };
        let durable = || {
            let bytes = std::fs::read(folder.path().join("wal")).expect("there");
            read_frames(&bytes).records.len()
        };
        let mut append = |round, validator| {
            let vote = Vote {
                kind: VoteType::Prevote,
                height: Height(1),
                round,
                value: NilOrVal::Val(BlockId::default()),
                validator,
            };
            let vote = SignedMessage::new(vote, Signature([0; 64]));
            log.append(Height(1), Input::Vote(vote)).expect("room");
        };
        let other = AgentKey::from_secret(&[2; 32]).public();
        append(Round::ZERO, me);
        append(HIDDEN_LOCK_ROUND, other);
        assert_eq!(
            durable(),
            0,
            "nothing that follows from these leaves without a flush"
        );
        append(HIDDEN_LOCK_ROUND, me);
        assert_eq!(durable(), 3, "this may leave inside a certificate");
    }
}
