//! Whose turn it is when places are short: owners', one after the other, and not that of who asks most.

use daa_base::OwnerId;
use daa_coord::{Ledger, PublicKey};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Who asked for a place within so long still waits for one. Runs ask again after at most four seconds.
const WAITS_FOR: Duration = Duration::from_secs(6);

/// On whose behalf a peer asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Holder {
    /// An owner of the ledger.
    Owner(OwnerId),
    /// A peer that is no agent of the ledger.
    Key(PublicKey),
}

impl Holder {
    /// Whose `peer` is.
    pub(super) fn of(peer: PublicKey, ledger: &Ledger) -> Self {
        let agent = ledger.agent_of(&peer).and_then(|agent| ledger.agent(agent));
        agent.map_or(Self::Key(peer), |agent| Self::Owner(agent.owner))
    }

    /// All owners of the ledger.
    pub(super) fn all(ledger: &Ledger) -> BTreeSet<Self> {
        let members = ledger.agents().filter(|agent| agent.sponsor.is_none());
        members
            .filter(|agent| agent.agent != daa_coord::genesis::OPERATOR)
            .map(|agent| Self::Owner(agent.owner))
            .collect()
    }
}

#[derive(Debug, Default)]
struct Turn {
    used: usize,
    /// When it last got a place, in the order of all.
    served: u64,
    /// When it last asked for one and got none.
    asked: Option<Duration>,
}

/// Who has how many places, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Turns {
    turns: BTreeMap<Holder, Turn>,
    served: u64,
}

impl Turns {
    /// `holder` wants one of `free` places. Returns whether it gets it: unless others wait who have fewer, or as many and
    /// have waited longer.
    pub(super) fn take(&mut self, holder: Holder, free: usize, now: Duration) -> bool {
        let waits = |turn: &Turn| {
            turn.asked
                .is_some_and(|asked| now.saturating_sub(asked) < WAITS_FOR)
        };
        // Who was served when counts only as long as somebody waits.
        if !self.turns.values().any(waits) {
            self.turns.retain(|_, turn| turn.used > 0);
        }
        let mine = self.turns.entry(holder).or_default();
        mine.asked = Some(now);
        let order = (mine.used, mine.served);
        let before = self
            .turns
            .iter()
            .filter(|(other, turn)| **other != holder && waits(turn) && (turn.used, turn.served) < order);
        let gets_it = before.count() < free;
        if gets_it && let Some(mine) = self.turns.get_mut(&holder) {
            self.served += 1;
            *mine = Turn {
                used: mine.used + 1,
                served: self.served,
                asked: None,
            };
        }
        gets_it
    }

    /// `holder` has given a place back.
    pub(super) fn give_back(&mut self, holder: Holder) {
        if let Some(turn) = self.turns.get_mut(&holder) {
            turn.used = turn.used.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn owner(number: u32) -> Holder {
        Holder::Owner(OwnerId(number))
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_asks_more_often_gets_no_more() {
        let (mut turns, mut got) = (Turns::default(), BTreeMap::<Holder, u32>::new());
        let mut held = Vec::new();
        for second in 0..90 {
            if second % 3 == 0 {
                held.drain(..).for_each(|holder| turns.give_back(holder));
            }
            // Eight runs of the first, one each of the others.
            let asks = std::iter::repeat_n(owner(1), 8).chain([owner(2), owner(3)]);
            for holder in asks {
                if turns.take(holder, 1 - held.len(), at(second)) {
                    *got.entry(holder).or_default() += 1;
                    held.push(holder);
                }
            }
        }
        assert_eq!(got.values().sum::<u32>(), 30, "no place stays empty");
        assert!(got.values().all(|&count| count.abs_diff(10) <= 1), "{got:?}");
    }

    #[test]
    fn who_is_alone_gets_all_and_gives_them_up_one_by_one() {
        let mut turns = Turns::default();
        for free in (1..=4).rev() {
            assert!(turns.take(owner(1), free, at(0)));
        }
        assert!(!turns.take(owner(2), 0, at(1)));
        turns.give_back(owner(1));
        assert!(!turns.take(owner(1), 1, at(2)), "another waits who has none");
        assert!(turns.take(owner(2), 1, at(2)));
        turns.give_back(owner(1));
        assert!(turns.take(owner(1), 1, at(3)), "nobody else waits");
    }

    #[test]
    fn who_does_not_come_back_keeps_no_place_free() {
        let mut turns = Turns::default();
        assert!(turns.take(owner(1), 1, at(0)));
        assert!(!turns.take(owner(2), 0, at(0)));
        turns.give_back(owner(1));
        assert!(!turns.take(owner(1), 1, at(5)));
        assert!(turns.take(owner(1), 1, at(6)));
        turns.give_back(owner(1));
        assert!(turns.take(owner(3), 1, at(12)));
        assert_eq!(turns.turns.len(), 1, "nobody waits: the others are forgotten");
    }
}
