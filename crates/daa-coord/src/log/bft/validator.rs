//! The thread of one validator: takes what comes, asks its host, does what the host wants.

use super::Shared;
use crate::command::SignedCommand;
use crate::consensus::storage::{Storage, StorageError};
use crate::consensus::{Effect, Host, HostInput, MAX_COMMANDS, Message, Now, TimerId};
use crate::keys::PublicKey;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use daa_base::Clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a thread sleeps at most: with a clock that stands still, it still notices that the clock was turned.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// What reaches a validator. The sender of a message is whoever holds the other end of the channel.
#[derive(Debug)]
pub(super) enum Envelope {
    Peer(PublicKey, Message),
    Command(SignedCommand),
    Ask,
    Stop,
}

#[derive(Debug)]
pub(super) struct Validator {
    host: Host,
    storage: Box<dyn Storage>,
    shared: Arc<Shared>,
    others: Vec<(PublicKey, Sender<Envelope>)>,
    receiver: Receiver<Envelope>,
    clock: Arc<dyn Clock>,
    timers: BTreeMap<TimerId, Duration>,
}

/// Why the thread ends.
#[derive(Debug)]
struct End(String);

impl From<StorageError> for End {
    fn from(error: StorageError) -> Self {
        Self(error.to_string())
    }
}

impl Validator {
    pub(super) fn new(
        host: Host,
        storage: Box<dyn Storage>,
        shared: Arc<Shared>,
        others: Vec<(PublicKey, Sender<Envelope>)>,
        receiver: Receiver<Envelope>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            host,
            storage,
            shared,
            others,
            receiver,
            clock,
            timers: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self, first: Vec<Effect>) {
        let mut outcome = self.carry_out(first);
        while outcome.is_ok() {
            outcome = self.turn();
        }
        if let Err(End(why)) = outcome {
            tracing::debug!(validator = %self.shared.key, %why, "validator ends");
            self.shared.published.end(why);
        }
    }

    /// Waits for something, then handles all that is there: commands together, so that their signatures make one batch.
    fn turn(&mut self) -> Result<(), End> {
        let now = self.clock.monotonic();
        let due = self.timers.values().min().copied();
        let wait = due
            .map_or(LONGEST_SLEEP, |due| due.saturating_sub(now))
            .min(LONGEST_SLEEP);
        let first = match self.receiver.recv_timeout(wait) {
            Ok(envelope) => Some(envelope),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Err(End("its channel is closed".to_owned())),
        };
        let mut commands = Vec::new();
        let mut next = first;
        while let Some(envelope) = next {
            match envelope {
                Envelope::Command(command) => commands.push(command),
                other => {
                    self.offer(&mut commands)?;
                    self.take(other)?;
                }
            }
            if commands.len() >= MAX_COMMANDS {
                self.offer(&mut commands)?;
            }
            next = self.receiver.try_recv().ok();
        }
        self.offer(&mut commands)?;
        self.fire()
    }

    fn take(&mut self, envelope: Envelope) -> Result<(), End> {
        match envelope {
            Envelope::Peer(from, message) => self.step(HostInput::Message { from, message }),
            Envelope::Ask => self.step(HostInput::Ask),
            Envelope::Stop => Err(End("the validator was stopped".to_owned())),
            Envelope::Command(command) => self.offer(&mut vec![command]),
        }
    }

    /// The client has given the commands to every validator: they need not be handed on.
    fn offer(&mut self, commands: &mut Vec<SignedCommand>) -> Result<(), End> {
        if commands.is_empty() {
            return Ok(());
        }
        let commands = std::mem::take(commands);
        self.step(HostInput::Submit {
            commands,
            spread: false,
        })
    }

    fn fire(&mut self) -> Result<(), End> {
        let now = self.clock.monotonic();
        let due: Vec<_> = self
            .timers
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            if self.timers.remove(&id).is_some() {
                self.step(HostInput::Timer(id))?;
            }
        }
        Ok(())
    }

    fn step(&mut self, input: HostInput) -> Result<(), End> {
        let now = Now {
            monotonic: self.clock.monotonic(),
            wall: self.clock.wall(),
        };
        let effects = self.host.step(now, input);
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), End> {
        for effect in effects {
            match effect {
                Effect::Wal(record) => self.storage.append(&record)?,
                Effect::Flush => self.storage.flush()?,
                Effect::Store(decided) => self.storage.store(&decided)?,
                Effect::WalReset { height } => self.storage.reset(height)?,
                Effect::Broadcast(message) => self.broadcast(&message),
                Effect::Send { to, message } => self.send(to, message),
                Effect::ServeOld { to, first, count } => {
                    let blocks = self.storage.blocks(first, count)?;
                    if !blocks.is_empty() {
                        self.send(to, Message::SyncResponse(blocks));
                    }
                }
                Effect::SetTimer { id, after } => {
                    self.timers.insert(id, self.clock.monotonic() + after);
                }
                Effect::CancelTimer(id) => {
                    self.timers.remove(&id);
                }
                Effect::Committed { decided, ledger, .. } => {
                    self.storage.keep(&ledger)?;
                    self.shared.publish(&decided, ledger, *self.host.counters());
                }
                Effect::Halt(error) => return Err(End(error.to_string())),
            }
        }
        if self.shared.published.has_ended() {
            return Err(End("the validator was stopped".to_owned()));
        }
        Ok(())
    }

    fn broadcast(&self, message: &Message) {
        for (_, queue) in &self.others {
            // A full queue loses the message, as a network would.
            let _lost = queue.try_send(Envelope::Peer(self.shared.key, message.clone()));
        }
    }

    fn send(&self, to: PublicKey, message: Message) {
        if let Some((_, queue)) = self.others.iter().find(|(key, _)| *key == to) {
            let _lost = queue.try_send(Envelope::Peer(self.shared.key, message));
        }
    }
}
