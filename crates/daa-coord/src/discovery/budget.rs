//! What one peer may ask in a while.

use crate::keys::PublicKey;
use std::collections::BTreeMap;
use std::time::Duration;

/// What each peer may do. Rates are refilled evenly; a burst is what may come at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetConfig {
    /// Requests per second, 1 to 1 000 000.
    pub requests_per_second: u32,
    /// Requests at once, 1 to 1 000 000.
    pub request_burst: u32,
    /// Bytes of requests per second, 1 to 2³².
    pub bytes_per_second: u64,
    /// Bytes of requests at once, 1 to 2³²; a larger request is never admitted.
    pub byte_burst: u64,
    /// Strikes after which a peer is cut off, 1 to 1 000 000: a request beyond the budget is one, one that cannot be read
    /// is [`STRIKES_FOR_NONSENSE`]. One strike is forgiven for each admitted request.
    pub strikes: u32,
    /// For how long it is cut off.
    pub cut_off: Duration,
    /// Peers whose budgets are kept, 1 to 65 536.
    pub peers: usize,
}

/// What a request that cannot be read counts for.
pub const STRIKES_FOR_NONSENSE: u32 = 10;

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            requests_per_second: 200,
            request_burst: 400,
            bytes_per_second: 4 << 20,
            byte_burst: 8 << 20,
            strikes: 1000,
            cut_off: Duration::from_secs(30),
            peers: 1024,
        }
    }
}

impl BudgetConfig {
    #[cfg(any(test, feature = "net"))]
    /// The first field out of its range: its name, its value and the range.
    pub(super) fn fault(&self) -> Option<(&'static str, u64, u64, u64)> {
        [
            ("requests_per_second", self.requests_per_second.into(), 1_000_000),
            ("request_burst", self.request_burst.into(), 1_000_000),
            ("bytes_per_second", self.bytes_per_second, 1 << 32),
            ("byte_burst", self.byte_burst, 1 << 32),
            ("strikes", self.strikes.into(), 1_000_000),
            ("budget peers", self.peers as u64, 65_536),
        ]
        .into_iter()
        .find(|(_, value, max)| !(1..=*max).contains(value))
        .map(|(field, value, max)| (field, value, 1, max))
    }
}

/// Which budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// That of requests.
    Requests,
    /// That of bytes.
    Bytes,
    /// The peer is cut off.
    CutOff,
    /// There are too many peers.
    Peers,
}

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Admit,
    /// It is refused.
    Refuse(Excess),
    /// It is refused, and the peer disconnected: the last strike.
    CutOff,
}

/// A bucket in billionths of its unit, so that nothing is lost between refills.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: u128,
}

const UNIT: u128 = 1_000_000_000;

impl Bucket {
    const fn full(burst: u64) -> Self {
        Self {
            level: burst as u128 * UNIT,
        }
    }

    fn refill(&mut self, rate: u64, burst: u64, passed: Duration) {
        let gained = passed.as_nanos().saturating_mul(u128::from(rate));
        self.level = self.level.saturating_add(gained).min(u128::from(burst) * UNIT);
    }

    const fn has(&self, amount: u64) -> bool {
        self.level >= amount as u128 * UNIT
    }
}

#[derive(Debug, Clone)]
struct Account {
    requests: Bucket,
    bytes: Bucket,
    at: Duration,
    strikes: u32,
    cut_off_until: Option<Duration>,
}

/// The budgets of all peers. What one spends takes nothing from another.
#[derive(Debug, Clone)]
pub struct Budgets {
    config: BudgetConfig,
    accounts: BTreeMap<PublicKey, Account>,
}

impl Budgets {
    /// Budgets of which nothing is spent.
    #[must_use]
    pub const fn new(config: BudgetConfig) -> Self {
        Self {
            config,
            accounts: BTreeMap::new(),
        }
    }

    /// Judges a request of `bytes` bytes from `peer`, and takes it from the peer's budget if it is admitted.
    pub fn admit(&mut self, peer: &PublicKey, bytes: usize, now: Duration) -> Verdict {
        let config = self.config;
        let Some(account) = self.account(peer, now) else {
            return Verdict::Refuse(Excess::Peers);
        };
        if account.cut_off_until.is_some() {
            return Verdict::Refuse(Excess::CutOff);
        }
        let bytes = bytes as u64;
        let excess = if !account.requests.has(1) {
            Excess::Requests
        } else if !account.bytes.has(bytes) {
            Excess::Bytes
        } else {
            account.requests.level -= UNIT;
            account.bytes.level -= u128::from(bytes) * UNIT;
            account.strikes = account.strikes.saturating_sub(1);
            return Verdict::Admit;
        };
        if account.strike(1, &config, now) {
            return Verdict::CutOff;
        }
        Verdict::Refuse(excess)
    }

    /// `peer` sent something that cannot be read. Returns whether it is to be disconnected: the last strike.
    pub fn nonsense(&mut self, peer: &PublicKey, now: Duration) -> bool {
        let config = self.config;
        self.account(peer, now)
            .is_some_and(|account| account.strike(STRIKES_FOR_NONSENSE, &config, now))
    }

    /// Whether `peer` is cut off.
    #[must_use]
    pub fn is_cut_off(&self, peer: &PublicKey, now: Duration) -> bool {
        self.accounts
            .get(peer)
            .and_then(|account| account.cut_off_until)
            .is_some_and(|until| now < until)
    }

    /// Accounts in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    fn account(&mut self, peer: &PublicKey, now: Duration) -> Option<&mut Account> {
        let config = self.config;
        if !self.accounts.contains_key(peer) && self.accounts.len() >= config.peers {
            self.forget_idle(now);
            if self.accounts.len() >= config.peers {
                return None;
            }
        }
        let account = self.accounts.entry(*peer).or_insert_with(|| Account {
            requests: Bucket::full(config.request_burst.into()),
            bytes: Bucket::full(config.byte_burst),
            at: now,
            strikes: 0,
            cut_off_until: None,
        });
        account.refill(&config, now);
        Some(account)
    }

    /// Forgets those for whom forgetting changes nothing.
    fn forget_idle(&mut self, now: Duration) {
        let config = self.config;
        self.accounts.retain(|_, account| {
            account.refill(&config, now);
            let full =
                account.requests.has(config.request_burst.into()) && account.bytes.has(config.byte_burst);
            !full || account.strikes > 0 || account.cut_off_until.is_some()
        });
    }
}

impl Account {
    fn refill(&mut self, config: &BudgetConfig, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.requests.refill(
            config.requests_per_second.into(),
            config.request_burst.into(),
            passed,
        );
        self.bytes
            .refill(config.bytes_per_second, config.byte_burst, passed);
        if self.cut_off_until.is_some_and(|until| now >= until) {
            self.cut_off_until = None;
            self.strikes = 0;
        }
    }

    fn strike(&mut self, strikes: u32, config: &BudgetConfig, now: Duration) -> bool {
        if self.cut_off_until.is_some() {
            return false;
        }
        self.strikes = self.strikes.saturating_add(strikes);
        if self.strikes < config.strikes {
            return false;
        }
        self.cut_off_until = Some(now.saturating_add(config.cut_off));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn config() -> BudgetConfig {
        BudgetConfig {
            requests_per_second: 10,
            request_burst: 5,
            bytes_per_second: 1000,
            byte_burst: 2000,
            strikes: 3,
            cut_off: ms(500),
            peers: 2,
        }
    }

    #[test]
    fn what_one_spends_takes_nothing_from_another() {
        let mut budgets = Budgets::new(config());
        for _ in 0..5 {
            assert_eq!(budgets.admit(&key(1), 10, ms(0)), Verdict::Admit);
        }
        assert_eq!(
            budgets.admit(&key(1), 10, ms(0)),
            Verdict::Refuse(Excess::Requests)
        );
        assert_eq!(budgets.admit(&key(2), 2000, ms(0)), Verdict::Admit);
        assert_eq!(budgets.admit(&key(2), 1, ms(0)), Verdict::Refuse(Excess::Bytes));
        assert_eq!(
            budgets.admit(&key(1), 10, ms(100)),
            Verdict::Admit,
            "ten a second"
        );
        assert_eq!(
            budgets.admit(&key(2), 101, ms(100)),
            Verdict::Refuse(Excess::Bytes)
        );
        assert_eq!(budgets.admit(&key(2), 100, ms(100)), Verdict::Admit);
    }

    #[test]
    fn whoever_keeps_on_is_cut_off_for_a_while() {
        let mut budgets = Budgets::new(config());
        let verdicts: Vec<_> = (0..9).map(|_| budgets.admit(&key(1), 3000, ms(0))).collect();
        assert_eq!(verdicts[1], Verdict::Refuse(Excess::Bytes));
        assert_eq!(verdicts[2], Verdict::CutOff);
        assert_eq!(verdicts[3..], [Verdict::Refuse(Excess::CutOff); 6], "told once");
        assert!(budgets.is_cut_off(&key(1), ms(499)) && !budgets.is_cut_off(&key(1), ms(500)));
        assert_eq!(budgets.admit(&key(1), 1, ms(500)), Verdict::Admit);
        assert!(budgets.nonsense(&key(1), ms(500)), "nonsense counts for more");
    }

    #[test]
    fn accounts_are_bounded_and_only_idle_ones_forgotten() {
        let mut budgets = Budgets::new(config());
        budgets.admit(&key(1), 1, ms(0));
        budgets.admit(&key(2), 1, ms(0));
        assert_eq!(budgets.admit(&key(3), 1, ms(1)), Verdict::Refuse(Excess::Peers));
        assert_eq!(
            budgets.admit(&key(3), 1, ms(10_000)),
            Verdict::Admit,
            "both are full again"
        );
        assert_eq!(budgets.len(), 1);
    }

    #[test]
    fn ranges_are_checked() {
        let zero = BudgetConfig {
            byte_burst: 0,
            ..config()
        };
        assert_eq!(zero.fault(), Some(("byte_burst", 0, 1, 1 << 32)));
        assert_eq!(BudgetConfig::default().fault(), None);
    }

    proptest! {
        #[test]
        fn no_more_than_burst_and_rate_is_ever_admitted(
            requests in prop::collection::vec((0_u8..4, 0_usize..3000, 0_u64..200), 0..200),
        ) {
            let config = BudgetConfig { strikes: 1_000_000, ..config() };
            let mut budgets = Budgets::new(config);
            let (mut now, mut count, mut bytes) = (0, [0_u64; 4], [0_u64; 4]);
            for (peer, size, pause) in requests {
                now += pause;
                if budgets.admit(&key(peer), size, ms(now)) == Verdict::Admit {
                    count[usize::from(peer)] += 1;
                    bytes[usize::from(peer)] += size as u64;
                }
                prop_assert!(budgets.len() <= 2);
            }
            for peer in 0..4 {
                prop_assert!(count[peer] <= 5 + now * 10 / 1000);
                prop_assert!(bytes[peer] <= 2000 + now);
            }
        }
    }
}
