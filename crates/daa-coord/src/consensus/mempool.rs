//! Commands that wait for a block: checked, bounded, and taken fairly.

use super::verify::CheckedSignatures;
use crate::command::SignedCommand;
use crate::ledger::Ledger;
use daa_base::AgentId;
use std::collections::BTreeMap;

/// Bytes of a command besides its payload: agent, number, length, signature.
const COMMAND_OVERHEAD: usize = 4 + 8 + 8 + 64;

/// Waiting commands by agent and number. Only what the ledger would accept now or after its predecessors is kept, so an agent
/// has at most the ledger's `seq_window` places, and one that floods takes nobody else's.
#[derive(Debug, Clone)]
pub struct Mempool {
    waiting: BTreeMap<AgentId, BTreeMap<u64, SignedCommand>>,
    count: usize,
    capacity: usize,
    /// Who is served first next time.
    turn: AgentId,
}

/// What became of offered commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offered {
    /// They wait now.
    pub taken: usize,
    /// They waited already.
    pub known: usize,
    /// The ledger would drop them: unknown agent, old or far-off number.
    pub useless: usize,
    /// Their signature does not hold.
    pub forged: usize,
    /// There was no room.
    pub full: usize,
}

impl Mempool {
    /// A pool for at most `capacity` commands.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            count: 0,
            capacity,
            turn: AgentId(0),
        }
    }

    /// How many commands wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What waits, by agent and number.
    pub fn waiting(&self) -> impl Iterator<Item = &SignedCommand> {
        self.waiting.values().flat_map(BTreeMap::values)
    }

    /// Whether a block made now would have an entry.
    #[must_use]
    pub fn has_work(&self, ledger: &Ledger) -> bool {
        self.waiting.iter().any(|(&agent, queue)| {
            ledger
                .next_seq(agent)
                .is_some_and(|next| queue.contains_key(&next))
        })
    }

    /// Takes commands in. All signatures that are new are checked as one batch.
    pub fn offer(
        &mut self,
        commands: Vec<SignedCommand>,
        ledger: &Ledger,
        signatures: &CheckedSignatures,
    ) -> Offered {
        let mut offered = Offered::default();
        let mut fresh = Vec::new();
        for command in commands {
            let known = self
                .waiting
                .get(&command.agent)
                .is_some_and(|queue| queue.contains_key(&command.seq));
            let key = ledger
                .check_entry(&command)
                .ok()
                .and_then(|()| ledger.agent_key(command.agent));
            match key {
                _ if known => offered.known += 1,
                None => offered.useless += 1,
                Some(_) if self.count + fresh.len() >= self.capacity => offered.full += 1,
                Some(key) => fresh.push((command, key)),
            }
        }
        let pairs: Vec<_> = fresh.iter().map(|(command, key)| (command, *key)).collect();
        let holds = SignedCommand::verify_all(signatures, ledger.chain_id(), &pairs);
        for ((command, _), holds) in fresh.into_iter().zip(holds) {
            if holds {
                offered.taken += usize::from(self.insert(command));
            } else {
                offered.forged += 1;
            }
        }
        offered
    }

    fn insert(&mut self, command: SignedCommand) -> bool {
        let queue = self.waiting.entry(command.agent).or_default();
        let new = queue.insert(command.seq, command).is_none();
        self.count += usize::from(new);
        new
    }

    /// The next commands of each agent without gaps, one agent after the other in turns, within both limits.
    #[must_use]
    pub fn pick(&mut self, ledger: &Ledger, max_entries: usize, max_bytes: usize) -> Vec<SignedCommand> {
        let mut next: Vec<(AgentId, u64)> = self
            .waiting
            .keys()
            .filter_map(|&agent| Some((agent, ledger.next_seq(agent)?)))
            .collect();
        let start = next.partition_point(|&(agent, _)| agent < self.turn);
        next.rotate_left(start);
        if let Some(&(second, _)) = next.get(1) {
            self.turn = second;
        }
        let (mut picked, mut bytes) = (Vec::new(), 0);
        while !next.is_empty() && picked.len() < max_entries {
            next.retain_mut(|(agent, seq)| {
                let Some(command) = self.waiting.get(agent).and_then(|queue| queue.get(seq)) else {
                    return false;
                };
                let size = COMMAND_OVERHEAD + command.payload.len();
                if picked.len() >= max_entries || bytes + size > max_bytes {
                    return false;
                }
                bytes += size;
                picked.push(command.clone());
                *seq += 1;
                true
            });
        }
        picked
    }

    /// Drops what the ledger has carried out or would drop by now.
    pub fn prune(&mut self, ledger: &Ledger) {
        self.waiting.retain(|&agent, queue| {
            match ledger.next_seq(agent) {
                Some(next) => *queue = queue.split_off(&next),
                None => queue.clear(),
            }
            !queue.is_empty()
        });
        self.count = self.waiting.values().map(BTreeMap::len).sum();
    }
}
