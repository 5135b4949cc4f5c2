//! Starting a validator, from nothing or from what was durable when it stopped.

use super::peers::Peers;
use super::shell::Shell;
use super::{Bug, Effect, Host, HostConfig, HostCounters, HostError, Now, is_planted, start_input};
use crate::consensus::application::{Application, Judged, thresholds};
use crate::consensus::block::Decided;
use crate::consensus::context::{ChainContext, Height};
use crate::consensus::wal::WalRecord;
use crate::genesis::Genesis;
use crate::keys::{SignatureScheme, Signer};
use crate::ledger::Ledger;
use crate::log::Block;
use arc_malachitebft_core_consensus::{Input, Params, State};
use arc_malachitebft_core_types::ValuePayload;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Heights and inputs per height that the core keeps for later.
const QUEUE: (usize, usize) = (4, 2048);

/// What a validator finds when it starts.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// A ledger to go on from and the block that made it, where earlier blocks are gone.
    pub base: Option<(Ledger, Arc<Decided>)>,
    /// All stored blocks after the base, in order.
    pub blocks: Vec<Arc<Decided>>,
    /// The whole records of the write-ahead log, in order.
    pub wal: Vec<WalRecord>,
}

impl Recovered {
    /// What the ledger applies, of each block after the base.
    pub(crate) fn ledger_blocks(&self) -> VecDeque<Arc<Block>> {
        let blocks = self.blocks.iter();
        blocks
            .map(|decided| Arc::new(decided.block().ledger_block()))
            .collect()
    }
}

impl Host {
    /// A validator of `genesis` that signs with `signer`, and the first effects.
    ///
    /// Its key need not be among the validators: then it follows the chain without a vote, until the ledger makes it one.
    ///
    /// # Errors
    /// [`HostError`] when the configuration or genesis is refused, or what was stored contradicts itself.
    pub fn new(
        genesis: Genesis,
        signer: Box<dyn Signer>,
        scheme: Arc<dyn SignatureScheme>,
        config: HostConfig,
        recovered: Recovered,
        now: Now,
    ) -> Result<(Self, Vec<Effect>), HostError> {
        config.validate()?;
        let Recovered { base, blocks, wal } = recovered;
        let app = Application::recover(genesis, signer.public(), scheme, config.limits(), (base, blocks))?;
        let stored = app.ledger.height();
        if let Some(ahead) = wal
            .iter()
            .map(WalRecord::height)
            .max()
            .filter(|&wal| wal > stored + 1)
        {
            return Err(HostError::WalAhead { wal: ahead, stored });
        }
        let core = core_state(&app.ledger, signer.as_ref());
        let mut host = Self {
            metrics: super::Metrics::default(),
            core,
            shell: Shell {
                me: signer.public(),
                signer,
                app,
                config,
                now,
                inbox: VecDeque::new(),
                effects: Vec::new(),
                outgoing: Vec::new(),
                wanted: BTreeSet::new(),
                told: BTreeSet::new(),
                asked: None,
                replaying: false,
                recorded: Vec::new(),
                unflushed: false,
                finished: None,
                halted: false,
                timers: BTreeSet::new(),
                round_began: None,
                typical: None,
                peers: Peers::default(),
                counters: HostCounters::default(),
            },
            started: false,
            early: super::intake::Early::default(),
            spared: BTreeMap::new(),
            heard: BTreeMap::new(),
            pending_blocks: Vec::new(),
            synced: VecDeque::new(),
            more_to_sync: false,
        };
        host.on_status_timer();
        let mut records = wal;
        records.retain(|record| record.height() == stored + 1 && !is_planted(Bug::LockForgotten));
        if records.is_empty() {
            host.await_work();
        } else {
            host.replay(records);
        }
        host.run();
        host.shell.settle();
        let effects = std::mem::take(&mut host.shell.effects);
        Ok((host, effects))
    }

    /// Feeds the core what it had seen before it stopped. It sends its own messages again, with the recorded signatures; what
    /// it says for the first time, because of records that outlived their answer, is logged like anything else it says.
    fn replay(&mut self, records: Vec<WalRecord>) {
        let height = self.shell.height();
        self.started = true;
        self.shell.replaying = true;
        let start = start_input(height, self.shell.app.ledger.validators().clone(), true);
        self.feed(start);
        let own = records.iter().filter(|record| record.is_of(&self.shell.me));
        self.shell.recorded = own.cloned().collect();
        let proposals = &mut self.shell.recorded.iter();
        let own_proposal = proposals.any(|record| matches!(record, WalRecord::Proposal(_)));
        let Some(inputs) = self.inputs(records) else {
            return;
        };
        self.core.record_recovered_own_precommit_extensions(&inputs);
        self.core.index_wal_entries(&inputs);
        for input in inputs {
            self.feed(input);
        }
        self.core.reset_entries_index();
        self.shell.replaying = false;
        self.shell.recorded.clear();
        // What it has proposed before it must not propose anew; an unanswered later wish stands.
        let asked_first = self
            .shell
            .asked
            .is_some_and(|(_, round)| round == self.core.round());
        if own_proposal && !asked_first {
            self.shell.asked = None;
        }
        if self.shell.asked.is_some() {
            self.shell.propose();
        }
    }

    /// `None` when a record contradicts the ledger; the host has halted then.
    fn inputs(&mut self, records: Vec<WalRecord>) -> Option<Vec<Input<ChainContext>>> {
        let mut inputs = Vec::with_capacity(records.len());
        for record in records {
            inputs.push(match record {
                WalRecord::Vote(vote) => Input::Vote(vote.into_engine()),
                WalRecord::Proposal(proposal) => Input::Proposal(proposal.into_engine()),
                WalRecord::Timeout(_, timeout) => Input::TimeoutElapsed(timeout),
                WalRecord::Polka(polka) => Input::PolkaCertificate((&polka).into()),
                WalRecord::Block(block) => {
                    let Judged { outcome, .. } = self.shell.judge(&block.named);
                    if block.valid && outcome.is_none() {
                        self.shell.halt(HostError::Divergence {
                            reason: format!("block {} was valid before and is not now", block.named.id()),
                        });
                        return None;
                    }
                    if let Some(round) = block.round.as_u32() {
                        self.shell.told.insert((round, block.named.id()));
                    }
                    Input::ProposedValue(block.proposed(), block.origin())
                }
            });
        }
        Some(inputs)
    }
}

fn core_state(ledger: &Ledger, signer: &dyn Signer) -> State<ChainContext> {
    let params = Params {
        address: signer.public(),
        threshold_params: thresholds(ledger),
        value_payload: ValuePayload::ProposalAndParts,
        enabled: true,
    };
    State::new(
        ChainContext,
        Height(ledger.height()),
        ledger.validators().clone(),
        params,
        QUEUE.0,
        QUEUE.1,
    )
}
