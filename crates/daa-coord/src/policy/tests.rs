use super::*;
use daa_base::AgentId;

/// A snapshot of one device with memory only: shares do not bind.
#[derive(Debug, Default)]
struct Case {
    snapshot: Snapshot,
}

fn weight(weight: u16) -> NonZeroU16 {
    NonZeroU16::new(weight).expect("positive")
}

fn memory(bytes: u64) -> Amount {
    Amount {
        bytes: Bytes(bytes),
        share: u32::MAX,
    }
}

fn request_id(owner: u32, seq: u64) -> RequestId {
    RequestId {
        agent: AgentId(owner),
        seq,
    }
}

impl Case {
    fn device(mut self, id: u32, capacity: u64) -> Self {
        let device = Device {
            capacity: Bytes(capacity),
            share: Permille::WHOLE,
        };
        self.snapshot.devices.insert(DeviceId(id), device);
        self
    }

    fn open(mut self, owner: u32, owner_weight: u16) -> Self {
        let quota = Quota {
            weight: weight(owner_weight),
            ..Quota::OPEN
        };
        self.snapshot.owners.insert(OwnerId(owner), quota);
        self
    }

    fn quota(mut self, owner: u32, nominal: u64) -> Self {
        let quota = Quota {
            cohort: Some(CohortId(1)),
            nominal: memory(nominal),
            ..Quota::NONE
        };
        self.snapshot.owners.insert(OwnerId(owner), quota);
        self
    }

    fn limits(mut self, owner: u32, borrow: Option<u64>, lend: Option<u64>) -> Self {
        let quota = self.snapshot.owners.get_mut(&OwnerId(owner)).expect("known");
        quota.borrow_limit = borrow.map(memory);
        quota.lend_limit = lend.map(memory);
        self
    }

    fn lease(mut self, id: u64, owner: u32, device: u32, bytes: u64, priority: u8) -> Self {
        let lease = Running {
            owner: OwnerId(owner),
            request: request_id(owner, 1000 + id),
            device: DeviceId(device),
            bytes: Bytes(bytes),
            share: Permille::ZERO,
            priority,
        };
        self.snapshot.leases.insert(LeaseId(id), lease);
        self
    }

    fn wants(self, owner: u32, seq: u64, bytes: u64) -> Self {
        self.wants_with(owner, seq, bytes, |_| {})
    }

    fn wants_with(mut self, owner: u32, seq: u64, bytes: u64, change: impl FnOnce(&mut Waiting)) -> Self {
        let mut waiting = Waiting {
            owner: OwnerId(owner),
            device: None,
            bytes: Bytes(bytes),
            share: Permille::ZERO,
            priority: 0,
            arrival: 0,
            overdue: false,
        };
        change(&mut waiting);
        self.snapshot.requests.insert(request_id(owner, seq), waiting);
        self
    }

    fn plan(&self) -> Plan {
        plan(&self.snapshot, &Rules::default())
    }

    fn granted(&self) -> Vec<(u32, u64)> {
        let plan = self.plan();
        let ids = plan.grants.iter().map(|grant| grant.request);
        ids.map(|id| (id.agent.get(), id.seq)).collect()
    }

    fn preempted(&self) -> Vec<(u64, PreemptRule)> {
        let plan = self.plan();
        let ended = plan.preemptions.iter();
        ended.map(|ended| (ended.lease.get(), ended.rule)).collect()
    }
}

#[test]
fn whole_slices_go_in_turns_and_by_weight() {
    let mut case = Case::default().device(0, 6).open(1, 2).open(2, 1);
    for seq in 0..6 {
        case = case.wants(1, seq, 1).wants(2, seq, 1);
    }
    // In sixths, each grant of the first owner is 1/2, of the second 1; of equals goes who has less.
    assert_eq!(case.granted(), [(1, 0), (2, 0), (1, 1), (1, 2), (2, 1), (1, 3)]);
    let waiting = case.plan().waiting;
    assert_eq!(waiting.len(), 6);
    assert!(waiting.values().all(|&why| why == Why::NoRoom));
}

#[test]
fn an_owner_offers_the_important_then_the_early_then_by_id() {
    let case = Case::default()
        .device(0, 2)
        .open(1, 1)
        .wants_with(1, 0, 1, |wanted| wanted.arrival = 5)
        .wants_with(1, 1, 1, |wanted| wanted.arrival = 4)
        .wants_with(1, 2, 1, |wanted| wanted.arrival = 4)
        .wants_with(1, 3, 1, |wanted| (wanted.arrival, wanted.priority) = (9, 1));
    assert_eq!(case.granted(), [(1, 3), (1, 1)]);
}

#[test]
fn importance_does_not_count_between_owners() {
    let case = Case::default()
        .device(0, 3)
        .open(1, 1)
        .open(2, 1)
        .lease(1, 1, 0, 2, 0)
        .wants_with(1, 0, 1, |wanted| wanted.priority = 255)
        .wants(2, 0, 1);
    assert_eq!(case.granted(), [(2, 0)]);
}

#[test]
fn idle_quota_is_lent_within_both_limits() {
    let base = || Case::default().device(0, 8).quota(1, 4).quota(2, 4);
    let all = |case: Case| (0..8).fold(case, |case, seq| case.wants(1, seq, 1));
    assert_eq!(all(base()).granted().len(), 8);
    assert_eq!(all(base().limits(1, Some(1), None)).granted().len(), 5);
    assert_eq!(all(base().limits(2, None, Some(2))).granted().len(), 6);
    let why = |case: &Case| case.plan().waiting.into_values().collect::<Vec<_>>();
    assert_eq!(why(&all(base().limits(1, Some(1), None))), [Why::QuotaUsed; 3]);
    assert_eq!(why(&all(base().limits(2, None, Some(2)))), [Why::CohortUsed; 2]);
}

#[test]
fn an_owner_without_quota_gets_nothing() {
    let case = Case::default().device(0, 8).wants(1, 0, 1);
    assert_eq!(case.granted(), []);
    assert_eq!(case.plan().waiting[&request_id(1, 0)], Why::QuotaUsed);
}

#[test]
fn reclaiming_takes_the_least_important_then_the_newest() {
    let case = Case::default()
        .device(0, 6)
        .quota(1, 2)
        .quota(2, 4)
        .lease(1, 1, 0, 2, 9)
        .lease(2, 1, 0, 1, 1)
        .lease(3, 1, 0, 1, 1)
        .lease(4, 1, 0, 2, 2);
    // The first lease is within the nominal quota.
    assert_eq!(case.wants(2, 0, 1).preempted(), [(3, PreemptRule::Reclaim)]);
}

#[test]
fn the_smallest_set_is_found_where_the_order_would_take_more() {
    let case = Case::default()
        .device(0, 6)
        .quota(1, 0)
        .quota(2, 6)
        .lease(1, 1, 0, 3, 0)
        .lease(2, 1, 0, 2, 0)
        .lease(3, 1, 0, 1, 0)
        .wants(2, 0, 3);
    // In order: 3, then 2, which together suffice and are inclusion-minimal.
    assert_eq!(case.preempted(), [(1, PreemptRule::Reclaim)]);
}

#[test]
fn covered_leases_are_never_preempted() {
    let case = Case::default()
        .device(0, 5)
        .quota(1, 4)
        .quota(2, 2)
        .lease(1, 1, 0, 4, 0)
        .lease(2, 2, 0, 1, 0)
        .wants(2, 0, 1);
    assert_eq!(case.preempted(), []);
    assert_eq!(case.plan().waiting[&request_id(2, 0)], Why::NoRoom);
}

#[test]
fn borrowers_take_from_borrowers_with_larger_shares() {
    let base = || Case::default().device(0, 6).quota(1, 0).quota(2, 0).quota(3, 6);
    let case = (1..=6).fold(base(), |case, id| case.lease(id, 1, 0, 1, 0));
    let case = (0..6).fold(case, |case, seq| case.wants(2, seq, 1));
    // 3 and 3 is as far as "no more than the other still has" goes; the next would swap places.
    assert_eq!(
        case.preempted(),
        [6, 5, 4].map(|lease| (lease, PreemptRule::FinalShare))
    );
    let case = base().lease(1, 1, 0, 4, 0).wants(2, 0, 3);
    assert_eq!(case.preempted(), [(1, PreemptRule::InitialShare)]);
    let case = base().lease(1, 1, 0, 4, 0).wants(2, 0, 4);
    assert_eq!(case.preempted(), []);
}

#[test]
fn devices_are_kept_free_for_an_overdue_request() {
    let base = || {
        Case::default()
            .device(0, 4)
            .open(1, 1)
            .open(2, 1)
            .lease(1, 2, 0, 2, 0)
            .wants(2, 0, 1)
    };
    assert_eq!(base().wants(1, 0, 4).granted(), [(2, 0)]);
    let case = base().wants_with(1, 0, 4, |wanted| wanted.overdue = true);
    assert_eq!(case.granted(), []);
    let request = request_id(1, 0);
    assert_eq!(case.plan().waiting[&request_id(2, 0)], Why::KeptFree { request });
    assert_eq!(case.plan().waiting[&request], Why::NoRoom);
}

#[test]
fn an_overdue_borrower_keeps_nothing_from_nominal_quota() {
    let case = Case::default()
        .device(0, 4)
        .quota(1, 0)
        .quota(2, 2)
        .quota(3, 2)
        .lease(1, 3, 0, 2, 0)
        .wants_with(1, 0, 3, |wanted| wanted.overdue = true)
        .wants(2, 0, 2)
        .wants(1, 1, 1);
    assert_eq!(case.granted(), [(2, 0)]);
}

#[test]
fn a_lease_is_prolonged_unless_another_goes_before_it() {
    let base = || Case::default().device(0, 4).open(1, 1).open(2, 1);
    let case = base().lease(1, 1, 0, 2, 0).lease(2, 1, 0, 2, 0);
    assert_eq!(contender(&case.snapshot, LeaseId(1)), None);
    let case = case.wants(2, 0, 2);
    assert_eq!(contender(&case.snapshot, LeaseId(1)), Some(request_id(2, 0)));
    let even = base().lease(1, 1, 0, 2, 0).lease(2, 2, 0, 2, 0).wants(2, 0, 2);
    assert_eq!(
        contender(&even.snapshot, LeaseId(1)),
        None,
        "the other owner would have all of the device"
    );
    assert_eq!(
        contender(&even.snapshot, LeaseId(2)),
        Some(request_id(2, 0)),
        "owners take turns among their own"
    );
}

#[test]
fn impossible_requests_are_told_from_those_that_must_wait() {
    let case = Case::default().device(0, 4).quota(1, 2).quota(2, 1);
    let wanted = |bytes| Waiting {
        owner: OwnerId(1),
        device: None,
        bytes: Bytes(bytes),
        share: Permille::ZERO,
        priority: 0,
        arrival: 0,
        overdue: false,
    };
    assert_eq!(admissible(&case.snapshot, &wanted(3)), Ok(()));
    assert!(matches!(
        admissible(&case.snapshot, &wanted(4)),
        Err(Inadmissible::Quota { .. })
    ));
    assert!(matches!(
        admissible(&case.snapshot, &wanted(5)),
        Err(Inadmissible::NoDevice { .. })
    ));
}

#[test]
fn the_policy_share_is_what_the_plan_leaves_and_grants() {
    let case = Case::default()
        .device(0, 6)
        .quota(1, 3)
        .quota(2, 3)
        .lease(1, 1, 0, 3, 0)
        .lease(2, 1, 0, 3, 0)
        .wants(2, 0, 2);
    let share = |owner| policy_share(&case.snapshot, &Rules::default(), OwnerId(owner)).bytes;
    assert_eq!((share(1), share(2)), (Bytes(3), Bytes(2)));
}

#[test]
fn thousands_of_waiting_requests_take_one_look_each() {
    let mut case = Case::default().device(0, 1000).device(1, 1000);
    for owner in 1..=64 {
        case = case.open(owner, 1 + owner as u16 % 3);
        for seq in 0..256 {
            case = case.wants(owner, seq, 1 + (seq * 7 + u64::from(owner)) % 40);
        }
    }
    let plan = case.plan();
    assert_eq!(plan.grants.len() + plan.waiting.len(), 64 * 256);
    let used: u64 = plan
        .grants
        .iter()
        .map(|grant| case.snapshot.requests[&grant.request].bytes.get())
        .sum();
    assert_eq!(used, 2000);
}
