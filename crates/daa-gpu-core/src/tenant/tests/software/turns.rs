//! Turns on a GPU, which begin when a test lets them.

use super::*;
use crate::Weight;
use daa_base::{Clock, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock that goes on by a microsecond whenever it is asked, so that turns cost about the same each.
#[derive(Debug, Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }
}

fn weighing(context: &ComputeContext, weight: u16) -> Tenant {
    context
        .tenant(TenantSpec {
            name: "busy".to_owned(),
            budget: Bytes::MIB,
            token: FencingToken(0),
            weight: Weight::new(weight).expect("in range"),
        })
        .expect("opens")
}

#[test]
fn busy_tenants_share_the_software_device_by_weight() {
    const WEIGHTS: [u16; 3] = [500, 300, 200];
    let Some(context) = software_with(ContextConfig::default(), Arc::new(Ticks::default())) else {
        return;
    };
    context.allow_turns_for_test(Some(0));
    let tenants = WEIGHTS.map(|weight| weighing(&context, weight));
    let mut loaded: Vec<_> = tenants
        .iter()
        .map(|tenant| tenant.load(&image()).expect("loads"))
        .collect();
    let mut tickets = Vec::new();
    for _ in 0..120 {
        tickets.extend(
            loaded
                .iter_mut()
                .map(|loaded| loaded.submit(list(0)).expect("submits")),
        );
    }
    assert!(
        tenants
            .iter()
            .all(|tenant| tenant.usage().busy < Duration::from_millis(1))
    );
    let before = context.load();
    context.allow_turns_for_test(Some(200));
    let load = context.load().since(&before);
    for tenant in &load.tenants {
        let (share, want) = (load.share(tenant), f64::from(tenant.weight.get()) / 1000.0);
        assert!(
            (share - want).abs() < 0.1,
            "{share} of the time, the weight is {want}: {load:?}"
        );
    }
    assert!(load.busy_fraction() <= 1.0, "{load:?}");
    context.allow_turns_for_test(None);
    for ticket in tickets {
        ticket.wait().expect("runs");
    }
}

/// What was queued when the lease ended never reaches the device, and its image is of no use; staging areas are.
#[test]
fn queued_work_of_a_fenced_tenant_is_refused_at_its_turn_on_software() {
    on_software(|context| {
        let tenant = under(context, Bytes::MIB, 9).expect("opens");
        let load = || tenant.load(&image()).expect("loads");
        let (mut run, mut uploaded, mut kept) = (load(), load(), load());
        let data = words(&[2.0; 64]);
        kept.submit(upload(&[(A, &data)]))
            .expect("submits")
            .wait()
            .expect("runs");
        let before = context.counters().submits;
        context.allow_turns_for_test(Some(0));
        let refused = [
            run.submit(list(0)).expect("submits"),
            run.submit(read(&[A])).expect("submits"),
            uploaded.submit(upload(&[(A, &data)])).expect("submits"),
            uploaded.submit(upload(&[(A, &data)])).expect("submits"),
        ];
        let saved = kept.submit(read(&[A])).expect("submits");
        context.fence(FencingToken(9));
        context.allow_turns_for_test(None);
        for ticket in refused {
            assert_eq!(ticket.wait().expect_err("fenced"), stale(9));
        }
        assert_eq!(wait(saved), [2.0; 64], "nothing of this image was refused");
        assert_eq!(
            context.counters().submits - before,
            1,
            "nothing refused was submitted"
        );
        for loaded in [&mut run, &mut uploaded] {
            assert_eq!(loaded.submit(read(&[A])).expect_err("it lacks work"), stale(9));
        }
        wait(kept.submit(read(&[A])).expect("reading is still allowed"));
        drop((run, uploaded, kept));
        assert_eq!(tenant.usage().in_use, Bytes::ZERO, "every staging area came back");
        // And is fit for use: mapped.
        for _ in 0..4 {
            lists_run_in_order(context);
        }
    });
}

/// Memory of an image that is dropped with work still queued goes to nobody else until that work is through.
#[test]
fn queued_work_keeps_its_memory_on_software() {
    let config = ContextConfig {
        step_deadline: Duration::from_millis(500),
        ..ContextConfig::default()
    };
    let Some(context) = software_with(config, Arc::new(Ticks::default())) else {
        return;
    };
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&image()).expect("loads");
    loaded.submit(list(0)).expect("submits").wait().expect("runs");
    context.allow_turns_for_test(Some(0));
    let ticket = loaded.submit(list(0)).expect("submits");
    drop(loaded);
    assert!(
        tenant.usage().in_use > Bytes::ZERO,
        "the arena is still to be written"
    );
    context.allow_turns_for_test(None);
    ticket.wait().expect("runs");
    context.allow_turns_for_test(None);
    assert_eq!(tenant.usage().in_use, Bytes::ZERO);
}

/// A device that is lost takes queued work with it, at once.
#[test]
fn queued_work_of_a_lost_device_ends_on_software() {
    let Some(context) = software_with(ContextConfig::default(), Arc::new(Ticks::default())) else {
        return;
    };
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&image()).expect("loads");
    context.allow_turns_for_test(Some(0));
    let data = words(&[2.0; 64]);
    let tickets =
        [upload(&[(A, &data)]), list(0), read(&[A])].map(|work| loaded.submit(work).expect("submits"));
    context.destroy_device_for_test();
    for ticket in tickets {
        assert_eq!(ticket.wait().expect_err("lost").class(), ErrorClass::DeviceLost);
    }
    context.allow_turns_for_test(None);
    drop(loaded);
    assert_eq!(tenant.usage().in_use, Bytes::ZERO);
}
