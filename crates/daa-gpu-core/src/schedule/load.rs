//! Who had how much of a device's time.

use super::Weight;
use daa_base::FencingToken;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How busy a device was, and with whose work. [`Self::since`] tells of a span between two of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeviceLoad {
    /// Time since the context was opened.
    pub wall: Duration,
    /// Turns that go on beside each other at most: the number of CPU workers, or 1 for a GPU, which counts as busy
    /// while anything is under way on it.
    pub lanes: usize,
    /// Time that turns took, those of tenants that are gone included. A turn counts when it has ended. At most `lanes`
    /// times `wall`.
    pub busy: Duration,
    /// The open tenants, in the order in which they were opened.
    pub tenants: Vec<TenantLoad>,
}

/// What one tenant had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TenantLoad {
    /// Tells tenants of one name apart; no other tenant of the device ever has it.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The token it works under.
    pub token: FencingToken,
    /// Its weight.
    pub weight: Weight,
    /// Time that its turns took.
    pub busy: Duration,
}

impl DeviceLoad {
    /// The part of its time in which the device was busy, 0 to 1; of a CPU, the mean over its workers.
    #[must_use]
    pub fn busy_fraction(&self) -> f64 {
        ratio(self.busy, self.wall) / self.lanes.max(1) as f64
    }

    /// The part of the device's busy time that `tenant` had, 0 to 1; 0 while nobody had any.
    #[must_use]
    pub fn share(&self, tenant: &TenantLoad) -> f64 {
        ratio(tenant.busy, self.busy)
    }

    /// What was added since `earlier`, of the same device. Tenants opened in between count from their opening on.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |id| earlier.tenants.iter().find(|tenant| tenant.id == id);
        let tenants = self.tenants.iter().map(|tenant| TenantLoad {
            busy: tenant
                .busy
                .saturating_sub(before(tenant.id).map_or(Duration::ZERO, |tenant| tenant.busy)),
            ..tenant.clone()
        });
        Self {
            wall: self.wall.saturating_sub(earlier.wall),
            lanes: self.lanes,
            busy: self.busy.saturating_sub(earlier.busy),
            tenants: tenants.collect(),
        }
    }
}

fn ratio(part: Duration, whole: Duration) -> f64 {
    if whole == Duration::ZERO {
        return 0.0;
    }
    part.as_secs_f64() / whole.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: u64, busy_ms: u64) -> TenantLoad {
        TenantLoad {
            id,
            name: format!("tenant {id}"),
            token: FencingToken(id),
            weight: Weight::MAX,
            busy: Duration::from_millis(busy_ms),
        }
    }

    #[test]
    fn a_span_is_the_difference_of_its_ends() {
        let at = |wall_ms, busy_ms, tenants| DeviceLoad {
            wall: Duration::from_millis(wall_ms),
            lanes: 2,
            busy: Duration::from_millis(busy_ms),
            tenants,
        };
        let earlier = at(1000, 900, vec![tenant(1, 600), tenant(2, 300)]);
        let later = at(2000, 2400, vec![tenant(2, 1200), tenant(5, 600)]);
        let span = later.since(&earlier);
        assert_eq!(span, at(1000, 1500, vec![tenant(2, 900), tenant(5, 600)]));
        assert!((span.busy_fraction() - 0.75).abs() < 1e-12);
        assert!((span.share(&span.tenants[0]) - 0.6).abs() < 1e-12);
        let nothing = later.since(&later);
        assert!(nothing.busy_fraction().abs() < 1e-12 && nothing.share(&nothing.tenants[0]).abs() < 1e-12);
    }
}
