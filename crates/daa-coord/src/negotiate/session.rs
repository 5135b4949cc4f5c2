//! One side of a negotiation, as a pure state machine.

use super::charter::{Charter, CharterError, Contract, Side};
use super::effect::{Effect, Fallback, Ignored, Input, Outcome};
use super::tactic::Tactic;
use super::terms::{Bundle, MICRO, Weights};
use super::wire::{Body, Envelope};
use crate::keys::{Digest, Signature, SignatureScheme, Signed, Signer};
use daa_base::{Millis, Timestamp};

/// What an agent brings to a session. It stays with the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// What it values.
    pub weights: Weights,
    /// What it needs: with less of any issue, a bundle is worth nothing to it. By default nothing in particular, and then
    /// [`Bundle::kept`] of its policy share.
    pub least: Bundle,
    /// How it concedes.
    pub tactic: Tactic,
    /// After so long without an answer, by its own clock, the last message is sent again; at least 1 ms.
    pub resend_after: Millis,
    /// So often at most for one message.
    pub resends: u16,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            weights: Weights::EVEN,
            least: Bundle::default(),
            tactic: Tactic::default(),
            resend_after: Millis(200),
            resends: 10,
        }
    }
}

impl Profile {
    /// What `own` is worth, in millionths of `pie`, to an agent whose policy share is `base`; nothing when it is less than the
    /// agent needs or than [`Bundle::kept`], or of no use.
    #[must_use]
    pub fn value(&self, own: Bundle, base: Bundle, pie: Bundle) -> u32 {
        if self.least.within(own) && base.kept().within(own) && own.is_of_use(pie) {
            self.weights.utility(own, pie)
        } else {
            0
        }
    }
}

/// What signs for this side, and what checks the other's signatures.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// The agent's own key.
    pub signer: &'a dyn Signer,
    /// The scheme of the chain.
    pub scheme: &'a dyn SignatureScheme,
}

/// One side of a negotiation.
#[derive(Debug, Clone)]
pub struct Session {
    charter: Charter,
    id: Digest,
    side: Side,
    profile: Profile,
    reserve: u32,
    /// The last round that was offered, by either side; 0 before the first.
    round: u16,
    /// Its terms.
    standing: Bundle,
    own_offers: u16,
    /// What this side asked for last.
    asked: u32,
    /// What the other side's last two offers were worth to this side, the last first.
    offered: [Option<u32>; 2],
    /// The number of its last message that was acted on.
    heard: Option<u32>,
    next_seq: u32,
    /// What is sent again until an answer comes: one message, with the opening before it at first.
    unanswered: Vec<Envelope>,
    resends_left: u16,
    resend_at: Option<Timestamp>,
    contract: Option<Contract>,
    hindrance: Fallback,
    outcome: Option<Outcome>,
}

impl Session {
    /// A session under `charter` for `side`. The caller has checked the charter against the ledger: that both agents have
    /// these keys, and that the policy gives them these shares.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn new(charter: Charter, side: Side, profile: Profile) -> Result<Self, CharterError> {
        charter.check()?;
        let base = charter.party(side).base;
        let reserve = profile.value(base, base, charter.pie);
        Ok(Self {
            id: charter.id(),
            charter,
            side,
            profile,
            reserve,
            round: 0,
            standing: Bundle::default(),
            own_offers: 0,
            asked: MICRO,
            offered: [None; 2],
            heard: None,
            next_seq: 0,
            unanswered: Vec::new(),
            resends_left: 0,
            resend_at: None,
            contract: None,
            hindrance: Fallback::Expired,
            outcome: None,
        })
    }

    /// The session that an [`Body::Open`] asks for, on the other side, with what its first message says acted on.
    /// `None` when the message is no opening, not signed by the side that begins, or its charter makes no sense.
    #[must_use]
    pub fn respond(opening: &Envelope, scheme: &dyn SignatureScheme, profile: Profile) -> Option<Self> {
        let Body::Open(charter) = &opening.body else {
            return None;
        };
        let key = charter.party(Side::First).key;
        if opening.from != Side::First
            || opening.session != charter.id()
            || !opening.verify(scheme, charter.chain, key)
        {
            return None;
        }
        let mut session = Self::new(charter.clone(), Side::Second, profile).ok()?;
        session.heard = Some(opening.seq);
        Some(session)
    }

    /// The charter.
    #[must_use]
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// What stood in the way, if there is no agreement.
    #[must_use]
    pub const fn hindrance(&self) -> Fallback {
        self.hindrance
    }

    /// What its policy share is worth to this side, in millionths of everything.
    #[must_use]
    pub const fn reserve(&self) -> u32 {
        self.reserve
    }

    /// Takes one input at `now` of the own clock. After [`Effect::Done`] there are no effects but ignored messages.
    pub fn step(&mut self, keys: Keys<'_>, now: Timestamp, input: Input<'_>) -> Vec<Effect> {
        if self.outcome.is_some() {
            return match input {
                Input::Message(_) => vec![Effect::Ignored(Ignored::NotOurs)],
                _ => Vec::new(),
            };
        }
        match input {
            Input::Start => self.start(keys, now),
            Input::Message(envelope) => self.hear(keys, now, envelope),
            Input::Tick => self.resend(now),
            Input::Recorded(contract) => self.recorded(contract),
            Input::LedgerTime(time) if time >= self.charter.expires => self.end(Outcome::PolicyShare),
            Input::LedgerTime(_) => Vec::new(),
        }
    }

    fn start(&mut self, keys: Keys<'_>, now: Timestamp) -> Vec<Effect> {
        if self.side != Side::First || self.round > 0 {
            return Vec::new();
        }
        let opening = self.sealed(keys, Body::Open(self.charter.clone()));
        let mut effects = self.offer(keys, now);
        self.unanswered.insert(0, opening.clone());
        effects.insert(0, Effect::Send(opening));
        effects
    }

    fn recorded(&mut self, contract: &Contract) -> Vec<Effect> {
        if contract.charter == self.charter {
            self.end(Outcome::Agreed(Box::new(contract.clone())))
        } else {
            Vec::new()
        }
    }

    fn end(&mut self, outcome: Outcome) -> Vec<Effect> {
        self.unanswered.clear();
        self.resend_at = None;
        self.outcome = Some(outcome.clone());
        vec![Effect::Done(outcome)]
    }

    fn hear(&mut self, keys: Keys<'_>, now: Timestamp, envelope: &Envelope) -> Vec<Effect> {
        match self.judge(keys, envelope) {
            Err(reason) => vec![Effect::Ignored(reason)],
            Ok(()) => {
                self.heard = Some(envelope.seq);
                self.act(keys, now, &envelope.body)
            }
        }
    }

    /// Cheap checks first; only what can be acted on costs a signature check.
    fn judge(&self, keys: Keys<'_>, envelope: &Envelope) -> Result<(), Ignored> {
        if envelope.session != self.id {
            return Err(Ignored::NotOurs);
        }
        if envelope.from == self.side {
            return Err(Ignored::OwnSide);
        }
        if self.heard.is_some_and(|heard| envelope.seq <= heard) {
            return Err(Ignored::Replayed);
        }
        let last_by = (self.round > 0).then(|| Side::of_round(self.round));
        let terms = match &envelope.body {
            Body::Open(_) => return Err(Ignored::OutOfTurn),
            Body::Withdraw => None,
            Body::Offer {
                round,
                first,
                contract,
            } => {
                let next = self.round + 1;
                let in_turn = *round == next
                    && next <= self.charter.rounds
                    && Side::of_round(next) != self.side
                    && self.contract.is_none();
                if !in_turn {
                    return Err(Ignored::OutOfTurn);
                }
                if !first.within(self.charter.pie) {
                    return Err(Ignored::Terms);
                }
                Some((*round, *first, *contract))
            }
            Body::Accept { round, contract } => {
                if *round != self.round || last_by != Some(self.side) || self.contract.is_some() {
                    return Err(Ignored::OutOfTurn);
                }
                Some((*round, self.standing, *contract))
            }
        };
        let key = self.charter.party(self.side.other()).key;
        let whole = envelope.verify(keys.scheme, self.charter.chain, key);
        let signed = terms.is_none_or(|(round, first, signature)| {
            keys.scheme.verify(&Signed {
                key,
                message: &self.charter.contract_bytes(round, first),
                signature,
            })
        });
        if whole && signed {
            Ok(())
        } else {
            Err(Ignored::Forged)
        }
    }

    fn act(&mut self, keys: Keys<'_>, now: Timestamp, body: &Body) -> Vec<Effect> {
        self.answered();
        match body {
            Body::Open(_) => Vec::new(),
            Body::Withdraw => {
                self.hindrance = Fallback::Withdrawn;
                Vec::new()
            }
            Body::Accept { contract, .. } => {
                let own = self.charter.sign(keys.signer, self.round, self.standing);
                self.conclude(own, *contract)
            }
            Body::Offer {
                round,
                first,
                contract,
            } => {
                self.round = *round;
                self.standing = *first;
                let worth = self.worth(*first);
                self.offered = [Some(worth), self.offered[0]];
                if worth >= self.next_target() {
                    self.accept(keys, now, *contract)
                } else if self.round < self.charter.rounds {
                    self.offer(keys, now)
                } else {
                    self.hindrance = Fallback::RoundsUsed;
                    self.send(keys, now, Body::Withdraw)
                }
            }
        }
    }

    fn worth(&self, first: Bundle) -> u32 {
        let own = self.charter.part(first, self.side);
        let base = self.charter.party(self.side).base;
        self.profile.value(own, base, self.charter.pie)
    }

    /// Own offers in all, if every round is used.
    const fn own_rounds(&self) -> u16 {
        match self.side {
            Side::First => self.charter.rounds.div_ceil(2),
            Side::Second => self.charter.rounds / 2,
        }
    }

    /// What the next own offer would ask for; the policy share when there is none.
    fn next_target(&self) -> u32 {
        let given = match self.offered {
            [Some(last), Some(before)] => last.saturating_sub(before),
            _ => 0,
        };
        self.profile.tactic.target(
            self.own_offers,
            self.own_rounds(),
            self.reserve,
            self.asked,
            given,
        )
    }

    fn offer(&mut self, keys: Keys<'_>, now: Timestamp) -> Vec<Effect> {
        let pie = self.charter.pie;
        let target = self.next_target();
        let base = self.charter.party(self.side).base;
        let own = if self.own_offers + 1 >= self.own_rounds() {
            // Worth no less to the other side than what it would have without a contract.
            base
        } else {
            let given = match self.round {
                0 => Bundle::default(),
                _ => self.charter.part(self.standing, self.side),
            };
            // The other side is left what no contract takes from it; what is left is at least this side's own base.
            let theirs = self.charter.party(self.side.other()).base.kept();
            let most = pie.without(theirs);
            let least = self.profile.least.at_least(base.kept(), pie);
            let from = given.at_least(least, most);
            self.profile.weights.raise(from, target, most, pie)
        };
        self.round += 1;
        self.own_offers += 1;
        self.asked = target;
        self.standing = match self.side {
            Side::First => own,
            Side::Second => pie.without(own),
        };
        let (round, first) = (self.round, self.standing);
        let contract = self.charter.sign(keys.signer, round, first);
        let offer = Body::Offer {
            round,
            first,
            contract,
        };
        self.send(keys, now, offer)
    }

    fn accept(&mut self, keys: Keys<'_>, now: Timestamp, theirs: Signature) -> Vec<Effect> {
        let own = self.charter.sign(keys.signer, self.round, self.standing);
        let accept = Body::Accept {
            round: self.round,
            contract: own,
        };
        let mut effects = self.send(keys, now, accept);
        effects.extend(self.conclude(own, theirs));
        effects
    }

    fn conclude(&mut self, own: Signature, theirs: Signature) -> Vec<Effect> {
        let contract = Contract {
            charter: self.charter.clone(),
            round: self.round,
            first: self.standing,
            signatures: match self.side {
                Side::First => [own, theirs],
                Side::Second => [theirs, own],
            },
        };
        self.contract = Some(contract.clone());
        vec![Effect::Submit(contract)]
    }

    fn sealed(&mut self, keys: Keys<'_>, body: Body) -> Envelope {
        let seq = self.next_seq;
        self.next_seq += 1;
        Envelope::sign(keys.signer, self.charter.chain, self.id, self.side, seq, body)
    }

    fn send(&mut self, keys: Keys<'_>, now: Timestamp, body: Body) -> Vec<Effect> {
        let envelope = self.sealed(keys, body);
        self.unanswered = vec![envelope.clone()];
        self.resends_left = self.profile.resends;
        vec![Effect::Send(envelope), self.wake(now)]
    }

    fn wake(&mut self, now: Timestamp) -> Effect {
        let at = now.after(Millis(self.profile.resend_after.get().max(1)));
        self.resend_at = Some(at);
        Effect::Wake(at)
    }

    fn answered(&mut self) {
        self.unanswered.clear();
        self.resend_at = None;
    }

    fn resend(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.resend_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        if self.resends_left == 0 {
            self.answered();
            if self.contract.is_none() && self.hindrance == Fallback::Expired {
                self.hindrance = Fallback::Silent;
            }
            return Vec::new();
        }
        self.resends_left -= 1;
        let mut effects: Vec<_> = self.unanswered.iter().cloned().map(Effect::Send).collect();
        effects.push(self.wake(now));
        effects
    }
}
