//! Two agents in dispute over a device: the ladder, the real sessions, and what each says and signs. One of them may lie.

mod liar;

use super::audit::{Audit, SESSIONS};
use super::draw::Draw;
use super::keys::Signatures;
use crate::command::{Command, Plea};
use crate::conflict::{Action, Failure, Ladder, LadderConfig, Report, Rung, RungRule, Verdict};
use crate::keys::{SignatureScheme, Signer};
use crate::ledger::{Lease, Ledger};
use crate::negotiate::{
    Body, Bundle, Charter, Contract, Effect, Input, Keys, Outcome, Party, Profile, Session, Side, Tactic,
    Weights, decode, encode,
};
use daa_base::{AgentId, DeviceId, Millis, Rng, Seed, Timestamp};
use liar::Haggler;

/// How long a contract of one try counts, in milliseconds.
const TRY: u64 = 150;

/// Less than so much of a lease is not worth a dispute, in milliseconds.
const WORTH: u64 = 200;

/// What a dispute makes happen.
#[derive(Debug)]
pub(super) enum Out {
    /// Bytes go from this side to the other.
    Say { from: Side, bytes: Vec<u8> },
    /// An agent brings this before the ledger.
    Submit { agent: u32, command: Command },
    /// This side wants to be asked again.
    Wake { side: Side, at: Timestamp },
}

/// What a dispute may look at.
pub(super) struct World<'a> {
    /// A replica.
    pub(super) ledger: &'a Ledger,
    pub(super) scheme: &'a dyn SignatureScheme,
    pub(super) signatures: Signatures,
    pub(super) now: Timestamp,
    pub(super) audit: &'a mut Audit,
}

/// One of the two.
#[derive(Debug)]
struct Seat {
    agent: u32,
    profile: Profile,
    sessions: Vec<Session>,
    /// How it lies.
    liar: Option<Haggler>,
}

/// One dispute, from its first try to its end.
#[derive(Debug)]
pub(super) struct Dispute {
    number: u64,
    seats: [Seat; 2],
    ladder: Ladder,
    device: DeviceId,
    /// Sessions begun.
    tries: u64,
    rng: Rng,
}

const SIDES: [Side; 2] = [Side::First, Side::Second];

impl Dispute {
    /// Agents (by number) `who` fall out over `device`.
    pub(super) fn new(
        number: u64,
        who: [u32; 2],
        liar: Option<u32>,
        device: DeviceId,
        mut rng: Rng,
        world: &mut World<'_>,
    ) -> Option<Self> {
        let seats = who.map(|agent| {
            let profile = draw_profile(&mut rng);
            let lies = liar == Some(agent);
            if !lies {
                world.audit.takes_part(number, AgentId(agent), profile);
            }
            Seat {
                agent,
                profile,
                sessions: Vec::new(),
                liar: lies.then(|| Haggler::new(Seed(rng.next_u64()).stream("haggler").rng())),
            }
        });
        Some(Self {
            number,
            seats,
            ladder: Ladder::new(ladder()).ok()?,
            device,
            tries: 0,
            rng,
        })
    }

    /// Whether `agent` is in it.
    pub(super) fn concerns(&self, agent: u32) -> bool {
        self.seats.iter().any(|seat| seat.agent == agent)
    }

    /// The agent on the other side.
    pub(super) const fn agent(&self, side: Side) -> u32 {
        self.seats[side.index()].agent
    }

    /// Lies told, by kind.
    pub(super) fn lies(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let liars = self.seats.iter().filter_map(|seat| seat.liar.as_ref());
        liars.flat_map(Haggler::counts)
    }

    /// Whether nothing of it is open any more.
    pub(super) fn is_over(&self) -> bool {
        let mut sessions = self.seats.iter().flat_map(|seat| &seat.sessions);
        self.ladder.verdict().is_some() && sessions.all(|session| session.outcome().is_some())
    }

    /// Whether somebody still has something to say in it. After that, all that is missing is agreed time, which goes on when
    /// others do something.
    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        let mut sessions = self.seats.iter().flat_map(|seat| &seat.sessions);
        let talks = |session: &Session| session.outcome().is_none() && session.charter().expires > now;
        self.ladder.verdict().is_none() || sessions.any(talks)
    }

    /// What was the last step, for the record.
    pub(super) fn last_step(&self) -> Option<crate::conflict::Record> {
        self.ladder.records().last().copied()
    }

    /// Begins at the foot of the ladder.
    pub(super) fn begin(&mut self, world: &mut World<'_>) -> Vec<Out> {
        let action = self.ladder.start(world.now);
        self.act(action, world)
    }

    /// Time goes on for `agent`: sessions end when the ledger's time says so, tries when the ladder does. `read`: the agent
    /// has read all that its replica has.
    pub(super) fn tick(&mut self, agent: u32, read: bool, world: &mut World<'_>) -> Vec<Out> {
        let mut out = Vec::new();
        for side in SIDES {
            if self.seats[side.index()].agent != agent {
                continue;
            }
            for at in 0..self.seats[side.index()].sessions.len() {
                out.extend(self.step(side, at, Input::Tick, world));
                if read {
                    let time = Input::LedgerTime(world.ledger.time());
                    out.extend(self.step(side, at, time, world));
                }
            }
        }
        if self.seats[0].agent != agent {
            return out;
        }
        let action = self.report(world.now).or_else(|| self.ladder.tick(world.now));
        out.extend(self.act(action, world));
        out
    }

    /// What the first side's present session came to, once it has come to something.
    fn report(&mut self, now: Timestamp) -> Option<Action> {
        let session = self.seats[0].sessions.last()?;
        let result = match session.outcome()? {
            Outcome::Agreed(_) => Ok(()),
            Outcome::PolicyShare => Err(Failure::NoAgreement(session.hindrance())),
        };
        let attempt = u8::try_from(self.tries).unwrap_or(u8::MAX);
        let rung = Rung::Negotiation;
        self.ladder.report(
            now,
            Report {
                rung,
                attempt,
                result,
            },
        )
    }

    /// The ledger has carried a contract out, and `agent` has read it.
    pub(super) fn recorded(&mut self, agent: u32, contract: &Contract, world: &mut World<'_>) -> Vec<Out> {
        let mut out = Vec::new();
        for side in SIDES {
            if self.seats[side.index()].agent != agent {
                continue;
            }
            for at in 0..self.seats[side.index()].sessions.len() {
                out.extend(self.step(side, at, Input::Recorded(contract), world));
            }
        }
        out
    }

    /// Bytes reach `side`.
    pub(super) fn hear(&mut self, side: Side, bytes: &[u8], world: &mut World<'_>) -> Vec<Out> {
        let Ok(envelope) = decode(bytes) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        let seat = &mut self.seats[side.index()];
        if let Some(liar) = &mut seat.liar {
            let signer = world.signatures.agent(seat.agent as usize);
            let charters: Vec<_> = seat.sessions.iter().map(Session::charter).collect();
            let says = liar.hear(&envelope, &charters, signer.as_ref());
            let agent = seat.agent;
            out.extend(says.into_iter().map(|command| Out::Submit { agent, command }));
        }
        if let Body::Open(charter) = &envelope.body {
            let known = seat.sessions.iter().any(|session| session.charter() == charter);
            // An honest agent looks the charter up before it says anything to it.
            let takes = seat.liar.is_some() || is_true(charter, world);
            if known || !takes || seat.sessions.len() >= SESSIONS as usize {
                return out;
            }
            seat.sessions
                .extend(Session::respond(&envelope, world.scheme, seat.profile));
            return out;
        }
        for at in 0..seat.sessions.len() {
            out.extend(self.step(side, at, Input::Message(&envelope), world));
        }
        out
    }

    /// `side` wanted to be asked again.
    pub(super) fn wake(&mut self, side: Side, world: &mut World<'_>) -> Vec<Out> {
        let mut out = Vec::new();
        for at in 0..self.seats[side.index()].sessions.len() {
            out.extend(self.step(side, at, Input::Tick, world));
        }
        out
    }

    fn act(&mut self, action: Option<Action>, world: &mut World<'_>) -> Vec<Out> {
        match action {
            Some(Action::Try {
                rung: Rung::Negotiation,
                ..
            }) => self.open_session(world),
            Some(Action::Try {
                rung: Rung::Mediator, ..
            }) => self.plead(world),
            Some(Action::Try { .. } | Action::Finished(Verdict::Settled(_) | Verdict::PolicyShare))
            | None => Vec::new(),
        }
    }

    fn open_session(&mut self, world: &mut World<'_>) -> Vec<Out> {
        self.tries += 1;
        let Some(mut charter) = self.charter(world) else {
            return Vec::new();
        };
        if let Some(liar) = &mut self.seats[0].liar {
            liar.bend(&mut charter);
        }
        let profile = self.seats[0].profile;
        let Ok(session) = Session::new(charter, Side::First, profile) else {
            return Vec::new();
        };
        self.seats[0].sessions.push(session);
        let last = self.seats[0].sessions.len() - 1;
        self.step(Side::First, last, Input::Start, world)
    }

    /// What the two hold now, as a charter.
    fn charter(&mut self, world: &World<'_>) -> Option<Charter> {
        let parties = self.seats.each_ref().map(|seat| {
            let agent = AgentId(seat.agent);
            let lease = held(world.ledger, agent, self.device)?;
            Some((agent, world.ledger.agent_key(agent)?, lease.clone()))
        });
        let [Some(first), Some(second)] = parties else {
            return None;
        };
        let left = |lease: &Lease| lease.expires.since(world.now).get();
        // Some time passes until the contract counts, and no contract may prolong what the two hold.
        let time = left(&first.2).min(left(&second.2)) / 2;
        if time < WORTH / 2 {
            return None;
        }
        let party = |(agent, key, lease): &(AgentId, crate::keys::PublicKey, Lease)| Party {
            agent: *agent,
            key: *key,
            base: Bundle {
                bytes: lease.bytes,
                share: lease.share,
                time: Millis(time / 2),
                priority: 0,
            },
        };
        let parties = [party(&first), party(&second)];
        let [a, b] = parties.map(|party| party.base.issues());
        let whole = [a[0] + b[0], a[1] + b[1], time, 0];
        let most = Bundle {
            bytes: daa_base::Bytes(u64::MAX),
            share: daa_base::Permille::WHOLE,
            time: Millis(u64::MAX),
            priority: 0,
        };
        Some(Charter {
            chain: world.ledger.chain_id(),
            session: self.number * SESSIONS + self.tries,
            device: self.device,
            pie: Bundle::from_issues(whole, most),
            parties,
            rounds: self.rng.within(1..=6) as u16,
            expires: world.ledger.time().after(Millis(TRY)),
        })
    }

    fn step(&mut self, side: Side, at: usize, input: Input<'_>, world: &mut World<'_>) -> Vec<Out> {
        let seat = &mut self.seats[side.index()];
        let signer = world.signatures.agent(seat.agent as usize);
        let keys = Keys {
            signer: signer.as_ref(),
            scheme: world.scheme,
        };
        let Some(session) = seat.sessions.get_mut(at) else {
            return Vec::new();
        };
        let effects = session.step(keys, world.now, input);
        let charter = session.charter().clone();
        let agent = AgentId(seat.agent);
        let mut out = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send(envelope) => match &mut seat.liar {
                    None => {
                        note(world.audit, agent, session, &envelope.body);
                        let bytes = encode(&envelope);
                        out.push(Out::Say { from: side, bytes });
                    }
                    Some(liar) => {
                        let says = liar.say(envelope, &charter, signer.as_ref());
                        out.extend(says.into_iter().map(|bytes| Out::Say { from: side, bytes }));
                    }
                },
                Effect::Submit(contract) => {
                    if seat.liar.is_none() {
                        world.audit.signs(agent, &charter, contract.round, contract.first);
                    }
                    let command = Command::Contract(Box::new(contract));
                    let agent = seat.agent;
                    out.push(Out::Submit { agent, command });
                }
                Effect::Wake(at) => out.push(Out::Wake { side, at }),
                Effect::Ignored(_) | Effect::Done(_) => {}
            }
        }
        out
    }

    /// Both ask the ledger to divide. A liar may sign for both, or change what the other signed.
    fn plead(&mut self, world: &mut World<'_>) -> Vec<Out> {
        self.tries += 1;
        let Some(charter) = self.charter(world) else {
            return Vec::new();
        };
        let mut weights = self.seats.each_ref().map(|seat| seat.profile.weights);
        let signers = self
            .seats
            .each_ref()
            .map(|seat| world.signatures.agent(seat.agent as usize));
        let mut signatures = signers
            .each_ref()
            .map(|signer| Plea::sign(signer.as_ref(), &charter, weights));
        for (seat, signer) in self.seats.iter_mut().zip(&signers) {
            match &mut seat.liar {
                None => world.audit.pleads(AgentId(seat.agent), &charter, weights),
                Some(liar) => liar.plead(&charter, &mut weights, &mut signatures, signer.as_ref()),
            }
        }
        let plea = Plea {
            charter,
            weights,
            signatures,
        };
        vec![Out::Submit {
            agent: self.seats[0].agent,
            command: Command::Mediate(Box::new(plea)),
        }]
    }

    /// Sessions of the same charter that ended differently on its two honest sides.
    pub(super) fn differs(&self) -> Option<String> {
        let [first, second] = &self.seats;
        if first.liar.is_some() || second.liar.is_some() {
            return None;
        }
        first.sessions.iter().find_map(|one| {
            let other = second
                .sessions
                .iter()
                .find(|other| other.charter() == one.charter())?;
            let (a, b) = (one.outcome()?, other.outcome()?);
            (a != b).then(|| {
                let session = one.charter().session;
                format!(
                    "session {session} of agents {} and {} ends differently",
                    first.agent, second.agent
                )
            })
        })
    }
}

/// The one lease of `agent` on `device`.
pub(super) fn held(ledger: &Ledger, agent: AgentId, device: DeviceId) -> Option<&Lease> {
    let mut own = ledger
        .leases()
        .filter(|lease| (lease.agent, lease.device) == (agent, device));
    own.next().filter(|_| own.next().is_none())
}

/// The device on which both hold one lease each that is worth talking about.
pub(super) fn bone(ledger: &Ledger, who: [u32; 2], now: Timestamp) -> Option<DeviceId> {
    let good = |agent, device| {
        let lease = held(ledger, AgentId(agent), device);
        lease.is_some_and(|lease| lease.expires.since(now).get() > WORTH)
    };
    ledger
        .devices()
        .map(|status| status.device)
        .find(|&device| who.iter().all(|&agent| good(agent, device)))
}

/// Whether a charter says what the ledger says: the chain, both keys, and what both hold.
fn is_true(charter: &Charter, world: &World<'_>) -> bool {
    charter.chain == world.ledger.chain_id()
        && charter.expires <= world.now.after(Millis(10 * TRY))
        && charter.parties.iter().all(|party| {
            let key = world.ledger.agent_key(party.agent);
            let held = held(world.ledger, party.agent, charter.device);
            let holds = held.map(|lease| (lease.bytes, lease.share));
            key == Some(party.key)
                && holds == Some((party.base.bytes, party.base.share))
                && charter.pie.time.get() <= 2 * party.base.time.get() + 1
        })
}

/// What an honest agent puts its name to by saying this.
fn note(audit: &mut Audit, agent: AgentId, session: &Session, body: &Body) {
    if let Body::Offer { round, first, .. } = body {
        audit.signs(agent, session.charter(), *round, *first);
    }
}

fn ladder() -> LadderConfig {
    let rule = |enabled, tries, deadline| RungRule {
        enabled,
        tries,
        deadline: Millis(deadline),
    };
    LadderConfig {
        policy: rule(false, 1, TRY),
        negotiation: rule(true, 3, TRY),
        mediator: rule(true, 1, TRY),
        preemption: rule(false, 1, TRY),
        hold: rule(false, 1, TRY),
    }
}

fn draw_profile(rng: &mut Rng) -> Profile {
    let mut weight = || rng.within(1..=9) as u16;
    let weights = Weights {
        bytes: weight(),
        share: weight(),
        time: weight(),
        priority: 1,
    };
    let tactic = match rng.below(3) {
        0 => Tactic::Boulware {
            exponent: rng.within(1..=4) as u8,
        },
        1 => Tactic::Conceder {
            root: rng.within(1..=4) as u8,
        },
        _ => Tactic::TitForTat {
            answer: rng.within(200..=1_500) as u16,
            nudge: rng.within(10_000..=100_000) as u32,
        },
    };
    Profile {
        weights,
        tactic,
        resend_after: Millis(40),
        resends: 4,
        ..Profile::default()
    }
}

/// A signer is needed for most lies.
type Signs<'a> = &'a dyn Signer;
