//! The signatures of one block, checked together before its entries are carried out.

use super::state::State;
use crate::command::{Plea, SignedCommand, Statement};
use crate::genesis::ChainId;
use crate::keys::{PublicKey, SignatureScheme};

/// What the batch said about each entry. Entries may change who is registered, and so which key counts for a later entry
/// of the same block: an answer is used only for the key it was found with, and what has no answer is checked alone.
#[derive(Debug)]
pub(super) struct Verdicts<'a> {
    scheme: &'a dyn SignatureScheme,
    chain: ChainId,
    /// For each entry the key it was checked with and whether its signature holds.
    known: Vec<Option<(PublicKey, bool)>>,
    /// Every entry's own signature is known to hold. What is signed inside entries is checked all the same.
    vouched: bool,
}

impl<'a> Verdicts<'a> {
    /// Checks in one batch the entries that `state` lets expect to need it.
    pub(super) fn new(
        state: &State,
        scheme: &'a dyn SignatureScheme,
        chain: ChainId,
        entries: &[SignedCommand],
    ) -> Self {
        let mut known = vec![None; entries.len()];
        // Held commands and the block's own can move a window on while the block is carried out.
        let reach = 2 * u64::from(state.config().seq_window) + entries.len() as u64;
        let (mut places, mut batch) = (Vec::new(), Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            let Some(agent) = state.active(entry.agent) else {
                continue;
            };
            let soon = (agent.next_seq..agent.next_seq.saturating_add(reach)).contains(&entry.seq);
            if soon && !agent.held.contains_key(&entry.seq) && entry.check_size().is_ok() {
                places.push(at);
                batch.push((entry, agent.key));
            }
        }
        let answers = SignedCommand::verify_all(scheme, chain, &batch);
        for ((at, (_, key)), holds) in places.into_iter().zip(batch).zip(answers) {
            known[at] = Some((key, holds));
        }
        Self {
            scheme,
            chain,
            known,
            vouched: false,
        }
    }

    /// For entries of a block that a quorum decided: no block with a forged entry is voted for. What entries carry
    /// inside may be forged still: such an entry is decided, and rejected.
    pub(super) const fn vouched(scheme: &'a dyn SignatureScheme, chain: ChainId) -> Self {
        Self {
            scheme,
            chain,
            known: Vec::new(),
            vouched: true,
        }
    }

    pub(super) const fn scheme(&self) -> &dyn SignatureScheme {
        self.scheme
    }

    /// Whether both signatures of `plea` hold.
    pub(super) fn vouch_for_plea(&self, plea: &Plea) -> bool {
        plea.holds(self.chain, |signed| self.scheme.verify(signed))
    }

    pub(super) const fn chain(&self) -> ChainId {
        self.chain
    }

    /// Whether every signature inside `statement` holds.
    pub(super) fn vouch_for(&self, statement: &Statement) -> bool {
        statement.holds(self.chain, |signed| self.scheme.verify(signed))
    }

    /// Whether the entry at place `at` was signed with `key`.
    pub(super) fn holds(&self, at: usize, entry: &SignedCommand, key: PublicKey) -> bool {
        match self.known.get(at) {
            _ if self.vouched => true,
            Some(&Some((checked, holds))) if checked == key => holds,
            _ => SignedCommand::verify_all(self.scheme, self.chain, &[(entry, key)]) == [true],
        }
    }
}
