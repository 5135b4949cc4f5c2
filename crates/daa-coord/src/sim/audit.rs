//! Contracts on the ledger, seen from outside: only what both signed takes effect, once, and no honest agent ends below its
//! policy share.

use super::books::Books;
use crate::command::{Command, Plea};
use crate::conflict::MediationRule;
use crate::consensus::ConsensusBlock;
use crate::keys::{Digest, PublicKey, SignatureScheme, Signed};
use crate::ledger::LedgerEvent;
use crate::negotiate::{Bundle, Charter, Contract, Profile, Side, Weights};
use daa_base::AgentId;
use std::collections::{BTreeMap, BTreeSet};

/// What honest agents have put their names to, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Every agent of the run with its key.
    pub(super) keys: BTreeMap<AgentId, PublicKey>,
    /// Honest agents with what they want, by the numbers of their disputes.
    honest: BTreeMap<(u64, AgentId), Profile>,
    /// Terms that an honest agent signed.
    signed: BTreeSet<(AgentId, Digest, u16, [u64; 4])>,
    /// Pleas that an honest agent signed: it said that it values this.
    pleas: BTreeSet<(AgentId, Digest, [u64; 8])>,
    /// Sessions that ended in a contract: the pair and its number.
    over: BTreeSet<(AgentId, AgentId, u64)>,
    /// Contracts and pleas in decided blocks, by the command that brought each.
    brought: BTreeMap<(AgentId, u64), Command>,
    /// Contracts by the command that brought each, for the agents to read.
    pub(super) recorded: BTreeMap<(AgentId, u64), Contract>,
    pub(super) carried_out: u64,
    pub(super) mediated: u64,
}

type Wrong = Result<(), String>;

fn require(holds: bool, what: impl FnOnce() -> String) -> Wrong {
    if holds { Ok(()) } else { Err(what()) }
}

/// No command with a charter in it is smaller.
const SMALLEST: usize = 100;

const SIDES: [Side; 2] = [Side::First, Side::Second];

impl Audit {
    /// An honest agent takes part in the dispute `number`, which all its sessions are numbered after.
    pub(super) fn takes_part(&mut self, number: u64, agent: AgentId, profile: Profile) {
        self.honest.insert((number, agent), profile);
    }

    /// An honest agent signs these terms.
    pub(super) fn signs(&mut self, agent: AgentId, charter: &Charter, round: u16, first: Bundle) {
        self.signed.insert((agent, charter.id(), round, first.issues()));
    }

    /// An honest agent signs a plea.
    pub(super) fn pleads(&mut self, agent: AgentId, charter: &Charter, weights: [Weights; 2]) {
        self.pleas.insert((agent, charter.id(), flat(weights)));
    }

    /// Remembers what a block brings: a command may be held until those before it have come.
    pub(super) fn enter(&mut self, block: &ConsensusBlock) {
        for entry in block
            .entries
            .iter()
            .filter(|entry| entry.payload.len() > SMALLEST)
        {
            if let Ok(command @ (Command::Contract(_) | Command::Mediate(_))) = entry.command() {
                self.brought.insert((entry.agent, entry.seq), command);
            }
        }
    }

    /// Looks at one event before it is entered into the books.
    pub(super) fn look(&mut self, scheme: &dyn SignatureScheme, books: &Books, event: &LedgerEvent) -> Wrong {
        let LedgerEvent::ContractCarriedOut {
            agent,
            seq,
            parts,
            mediated,
            ..
        } = event
        else {
            return Ok(());
        };
        match self.brought.remove(&(*agent, *seq)) {
            Some(Command::Contract(contract)) => {
                self.carried_out += 1;
                require(mediated.is_none(), || "a contract is called mediated".to_owned())?;
                self.contract(scheme, books, &contract, *parts)?;
                self.recorded.insert((*agent, *seq), *contract);
                Ok(())
            }
            Some(Command::Mediate(plea)) => {
                self.mediated += 1;
                self.plea(scheme, books, &plea, *parts, *mediated)
            }
            _ => Err(format!(
                "a contract is carried out that command {seq} of {agent} did not bring"
            )),
        }
    }

    fn contract(
        &mut self,
        scheme: &dyn SignatureScheme,
        books: &Books,
        contract: &Contract,
        parts: [Bundle; 2],
    ) -> Wrong {
        let charter = &contract.charter;
        self.charter(books, charter)?;
        let message = charter.contract_bytes(contract.round, contract.first);
        for side in SIDES {
            let party = charter.party(side);
            let signed = Signed {
                key: party.key,
                message: &message,
                signature: contract.signatures[side.index()],
            };
            require(scheme.verify(&signed), || {
                format!("a contract takes effect that {} did not sign", party.agent)
            })?;
            require(parts[side.index()] == charter.part(contract.first, side), || {
                format!("{} gets another part than was agreed", party.agent)
            })?;
            let Some(profile) = self.honest.get(&(dispute(charter), party.agent)) else {
                continue;
            };
            let terms = (party.agent, charter.id(), contract.round, contract.first.issues());
            require(self.signed.contains(&terms), || {
                format!("terms take effect that honest {} never signed", party.agent)
            })?;
            let worth = |own| profile.value(own, party.base, charter.pie);
            let (got, base) = (worth(parts[side.index()]), worth(party.base));
            require(got >= base, || {
                format!(
                    "honest {} ends with {got} millionths, by policy it had {base}",
                    party.agent
                )
            })?;
        }
        Ok(())
    }

    fn plea(
        &mut self,
        scheme: &dyn SignatureScheme,
        books: &Books,
        plea: &Plea,
        parts: [Bundle; 2],
        mediated: Option<MediationRule>,
    ) -> Wrong {
        let charter = &plea.charter;
        require(mediated.is_some(), || {
            "a mediation is called a contract".to_owned()
        })?;
        self.charter(books, charter)?;
        let holds = plea.holds(charter.chain, |signed| scheme.verify(signed));
        require(holds, || "a plea takes effect that not both signed".to_owned())?;
        for side in SIDES {
            let party = charter.party(side);
            if !self.honest.contains_key(&(dispute(charter), party.agent)) {
                continue;
            }
            let said = (party.agent, charter.id(), flat(plea.weights));
            require(self.pleas.contains(&said), || {
                format!("a plea takes effect that honest {} never signed", party.agent)
            })?;
            let worth = |own| plea.weights[side.index()].utility(own, charter.pie);
            let (got, base) = (worth(parts[side.index()]), worth(party.base));
            require(got >= base, || {
                format!(
                    "the mediator gives {} {got} millionths, by policy it had {base}",
                    party.agent
                )
            })?;
        }
        Ok(())
    }

    /// What must hold for any charter that takes effect: once, between these two, about what they really hold.
    fn charter(&mut self, books: &Books, charter: &Charter) -> Wrong {
        let [a, b] = charter.parties.map(|party| party.agent);
        let session = (a.min(b), a.max(b), charter.session);
        require(self.over.insert(session), || {
            format!("session {} of {a} and {b} takes effect twice", charter.session)
        })?;
        for party in &charter.parties {
            require(self.keys.get(&party.agent) == Some(&party.key), || {
                format!("a contract of {} counts under another key", party.agent)
            })?;
            let held = books.held(party.agent, charter.device).ok_or_else(|| {
                format!(
                    "a contract counts for {}, which has several leases there",
                    party.agent
                )
            })?;
            let holds = held.map_or((0, 0), |lease| (lease.bytes.get(), lease.share.get()));
            require(holds == (party.base.bytes.get(), party.base.share.get()), || {
                format!("a contract counts {} as holding what it does not", party.agent)
            })?;
        }
        Ok(())
    }
}

/// The dispute that a session belongs to.
pub(super) const fn dispute(charter: &Charter) -> u64 {
    charter.session / SESSIONS
}

/// Sessions of one dispute.
pub(super) const SESSIONS: u64 = 16;

fn flat(weights: [Weights; 2]) -> [u64; 8] {
    let [a, b] = weights.map(Weights::issues);
    std::array::from_fn(|at| if at < 4 { a[at] } else { b[at - 4] })
}
