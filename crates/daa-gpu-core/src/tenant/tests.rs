//! The same bodies run on the host and, where a software driver is installed, through wgpu.

mod host;
mod memory;
mod moves;
mod pressure;
mod profile;
mod programs;
mod recorded;
#[cfg(feature = "gpu")]
mod software;

use crate::image::{Command, CommandList, Dispatch};
use crate::{
    Bytes, Clear, ComputeContext, ContextConfig, ErrorClass, FencingToken, GpuError, Image, Loaded,
    MemoryError, Slice, Tenant, TenantSpec, Ticket, Weight, Work,
};
use programs::{ADD, SCALE};
use proptest::prelude::*;

fn host() -> ComputeContext {
    ComputeContext::host(&ContextConfig {
        cpu_workers: 2,
        ..ContextConfig::default()
    })
    .expect("the host is there")
}

fn tenant(context: &ComputeContext, budget: Bytes) -> Tenant {
    under(context, budget, 7).expect("a fine name")
}

fn under(context: &ComputeContext, budget: Bytes, token: u64) -> Result<Tenant, MemoryError> {
    context.tenant(TenantSpec {
        name: "test".to_owned(),
        budget,
        token: FencingToken(token),
        weight: Weight::default(),
    })
}

const fn slice(offset: u64, bytes: u64) -> Slice {
    Slice { offset, bytes }
}

fn words(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect()
}

fn wait(ticket: Ticket) -> Vec<f32> {
    floats(&ticket.wait().expect("the work succeeds"))
}

const A: Slice = slice(0, 256);
const B: Slice = slice(256, 256);
const C: Slice = slice(512, 256);

fn add(a: Slice, b: Slice, out: Slice) -> Command {
    Command::Dispatch(Dispatch {
        program: &ADD,
        params: vec![],
        bindings: vec![a, b, out],
        groups: [1, 1, 1],
    })
}

fn scale(factor: f32, values: Slice) -> Command {
    let params = vec![factor.to_bits(), 0];
    Command::Dispatch(Dispatch {
        program: &SCALE,
        params,
        bindings: vec![values],
        groups: [1, 1, 1],
    })
}

/// Lists: 0 adds a and b into c and doubles c; 1 adds c to itself into a; 2 fills b with zeros, then b = a + c.
fn image() -> Image {
    let list = |name: &str, commands| CommandList {
        name: name.to_owned(),
        commands,
    };
    Image {
        arena: Bytes(1024),
        constants: Bytes::ZERO,
        clear: Clear::Always,
        lists: vec![
            list("sum", vec![add(A, B, C), scale(2.0, C)]),
            list("double", vec![add(C, C, A)]),
            list("clear", vec![Command::Zero(B), scale(3.0, A), add(A, B, C)]),
        ],
        upload: Bytes(512),
        upload_ring: 2,
        readback: Bytes(512),
    }
}

fn lists_run_in_order(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::MIB);
    let mut loaded = tenant.load(&image()).expect("loads");
    let (a, b) = (vec![1.0_f32; 64], (0..64).map(|i| i as f32).collect::<Vec<_>>());
    let uploads = [(A, &words(&a)[..]), (B, &words(&b)[..])];
    let first = loaded
        .submit(Work {
            list: Some(0),
            uploads: &uploads,
            reads: &[C],
        })
        .expect("submits");
    let second = loaded
        .submit(Work {
            list: Some(1),
            uploads: &[],
            reads: &[A],
        })
        .expect("submits");
    let third = loaded
        .submit(Work {
            list: Some(2),
            uploads: &[],
            reads: &[],
        })
        .expect("submits");
    let fourth = loaded
        .submit(Work {
            list: None,
            uploads: &[],
            reads: &[B, slice(512, 8)],
        })
        .expect("submits");
    let sum: Vec<f32> = b.iter().map(|b| 2.0 * (1.0 + b)).collect();
    assert_eq!(wait(first), sum);
    assert_eq!(wait(second), sum.iter().map(|c| 2.0 * c).collect::<Vec<_>>());
    assert_eq!(wait(third), Vec::<f32>::new());
    let mut want = vec![0.0; 64];
    want.extend([12.0, 24.0]);
    assert_eq!(wait(fourth), want);
}

fn nothing_is_made_after_the_first_step(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::MIB);
    let mut loaded = tenant.load(&image()).expect("loads");
    let data = words(&[0.5; 64]);
    let mut step = |tickets: &mut Vec<Ticket>| {
        let work = Work {
            list: Some(0),
            uploads: &[(A, &data), (B, &data)],
            reads: &[slice(512, 4)],
        };
        tickets.push(loaded.submit(work).expect("submits"));
    };
    let mut tickets = Vec::new();
    step(&mut tickets);
    assert_eq!(wait(tickets.remove(0)), [2.0]);
    let (before, driver) = (context.counters(), context.driver_counts());
    for _ in 0..50 {
        step(&mut tickets);
    }
    for ticket in tickets {
        assert_eq!(wait(ticket), [2.0]);
    }
    let after = context.counters();
    assert_eq!(context.driver_counts(), driver);
    assert_eq!(after.buffers_created, before.buffers_created);
    assert_eq!(after.bind_groups_created, before.bind_groups_created);
    assert_eq!(after.pipelines_created, before.pipelines_created);
    assert_eq!(
        (
            after.submits - before.submits,
            after.dispatches - before.dispatches
        ),
        (50, 100)
    );
    assert_eq!(after.uploaded_bytes - before.uploaded_bytes, 50 * 512);
    assert_eq!(after.read_bytes - before.read_bytes, 50 * 4);
}

fn large_transfers_go_in_pieces(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::MIB);
    let small = Image {
        arena: Bytes(16 << 10),
        constants: Bytes::ZERO,
        clear: Clear::Always,
        lists: Vec::new(),
        upload: Bytes(300),
        upload_ring: 1,
        readback: Bytes(260),
    };
    let mut loaded = tenant.load(&small).expect("loads");
    let values: Vec<f32> = (0..3000).map(|i| i as f32).collect();
    let data = words(&values);
    let cut = 4004;
    let uploads = [
        (slice(8, cut), &data[..4004]),
        (slice(8 + cut, 12_000 - cut), &data[4004..]),
    ];
    let reads = [slice(8, 6000), slice(6008, 6000)];
    let ticket = loaded
        .submit(Work {
            list: None,
            uploads: &uploads,
            reads: &reads,
        })
        .expect("submits");
    assert_eq!(wait(ticket), values);
}

fn an_arena_is_zero_at_load_even_when_reused(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::MIB);
    let data = words(&[9.0; 64]);
    for _ in 0..3 {
        let mut loaded = tenant.load(&image()).expect("loads");
        let read = Work {
            reads: &[A, B],
            ..Work::default()
        };
        assert_eq!(wait(loaded.submit(read).expect("submits")), vec![0.0; 128]);
        let dirty = Work {
            uploads: &[(A, &data), (B, &data)],
            ..Work::default()
        };
        loaded.submit(dirty).expect("submits").wait().expect("uploads");
    }
    assert!(
        context.pool_report().tiers.iter().any(|tier| tier.hits > 0),
        "the arena was reused"
    );
}

fn stale(token: u64) -> GpuError {
    GpuError::StaleToken {
        tenant: "test".to_owned(),
        token: FencingToken(token),
    }
}

/// A revoked tenant may read, and nothing else; a dropped one not even that.
fn revoked_and_dropped_tenants_are_refused(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::MIB);
    let mut loaded = tenant.load(&image()).expect("loads");
    let data = words(&[1.5; 64]);
    let before = loaded
        .submit(Work {
            list: Some(0),
            uploads: &[(A, &data), (B, &data)],
            reads: &[],
        })
        .expect("submits");
    before.wait().expect("it runs");
    tenant.revoke();
    assert!(tenant.is_revoked());
    let other = words(&[9.0; 64]);
    assert_eq!(loaded.submit(list(1)).expect_err("revoked"), stale(7));
    assert_eq!(
        loaded.submit(upload(&[(A, &other)])).expect_err("revoked"),
        stale(7)
    );
    let all = Work {
        list: Some(1),
        uploads: &[(A, &other)],
        reads: &[C],
    };
    assert_eq!(loaded.submit(all).expect_err("revoked"), stale(7));
    assert_eq!(tenant.load(&image()).expect_err("revoked"), stale(7));
    let saved = wait(loaded.submit(read(&[A, C])).expect("reading is still allowed"));
    assert_eq!(saved, [[1.5; 64], [6.0; 64]].concat(), "nothing refused was done");
    assert_eq!(tenant.usage().in_use, image().footprint());
    drop(tenant);
    let report = context.pool_report();
    assert_eq!(
        (report.in_use, report.tenants),
        (Bytes::ZERO, 0),
        "a dropped tenant leaves nothing behind"
    );
    a_dropped_tenant_is_refused(&mut loaded, 7);
}

fn a_dropped_tenant_is_refused(loaded: &mut Loaded, token: u64) {
    let data = words(&[0.0; 64]);
    // The last is no fine read either: that the tenant is gone is told first.
    let reads = [slice(2, 4)];
    for work in [
        Work::default(),
        list(0),
        read(&[A]),
        upload(&[(A, &data)]),
        read(&reads),
    ] {
        assert_eq!(loaded.submit(work).expect_err("dropped"), stale(token));
    }
}

/// Fences reach every tenant of a token, open or to come, and nobody else.
fn a_fence_ends_one_token(context: &ComputeContext) {
    let open = |token| under(context, Bytes::MIB, token).expect("opens");
    let (first, second, other, free) = (open(5), open(5), open(6), open(0));
    let mut ended = [
        first.load(&image()).expect("loads"),
        second.load(&image()).expect("loads"),
    ];
    let mut others = [
        other.load(&image()).expect("loads"),
        free.load(&image()).expect("loads"),
    ];
    let data = words(&[0.25; 64]);
    for loaded in ended.iter_mut().chain(&mut others) {
        let sum = Work {
            list: Some(0),
            uploads: &[(A, &data), (B, &data)],
            reads: &[],
        };
        loaded.submit(sum).expect("submits").wait().expect("runs");
    }
    context.fence(FencingToken(0));
    assert!(!free.is_revoked(), "token 0 is never fenced");
    context.fence(FencingToken(5));
    context.fence(FencingToken(5));
    assert!(first.is_revoked() && second.is_revoked());
    assert!(!other.is_revoked() && !free.is_revoked());
    for loaded in &mut ended {
        assert_eq!(loaded.submit(list(1)).expect_err("fenced"), stale(5));
        assert_eq!(
            loaded.submit(upload(&[(A, &data)])).expect_err("fenced"),
            stale(5)
        );
        let saved = wait(loaded.submit(read(&[A, C])).expect("reading is still allowed"));
        assert_eq!(saved, [[0.25; 64], [1.0; 64]].concat());
    }
    assert_eq!(first.load(&image()).expect_err("fenced"), stale(5));
    let error = under(context, Bytes::MIB, 5).expect_err("fenced");
    let want = MemoryError::Fenced {
        tenant: "test".to_owned(),
        token: FencingToken(5),
    };
    assert_eq!(error, want);
    assert_eq!(
        (error.class(), error.is_retryable()),
        (ErrorClass::Validation, false)
    );
    assert!(
        error.to_string().contains("`test`") && error.to_string().contains("token-5"),
        "{error}"
    );
    for loaded in &mut others {
        loaded.submit(list(1)).expect("submits").wait().expect("runs");
    }
    drop((open(0), open(4), open(6)));
    assert_eq!(context.pool_report().tenants, 4, "a refused tenant is in no book");
    drop((first, second, other, free));
    let report = context.pool_report();
    assert_eq!((report.in_use, report.tenants), (Bytes::ZERO, 0));
    ended
        .iter_mut()
        .for_each(|loaded| a_dropped_tenant_is_refused(loaded, 5));
    a_dropped_tenant_is_refused(&mut others[0], 6);
    a_dropped_tenant_is_refused(&mut others[1], 0);
}

/// What comes back to the pool of a lost device is freed, also while its tenant is still open.
fn a_lost_device_keeps_no_buffer(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::MIB);
    let loaded = tenant.load(&image()).expect("loads");
    let late = tenant.load(&image()).expect("loads");
    context.destroy_device_for_test();
    for loaded in [loaded, late] {
        drop(loaded);
        assert_eq!(context.pool_report().cached, Bytes::ZERO);
    }
    assert_eq!(tenant.usage().in_use, Bytes::ZERO);
}

fn a_budget_is_refused_as_a_whole(context: &ComputeContext) {
    let footprint = image().footprint();
    let poor = tenant(context, footprint - Bytes(1));
    let error = poor.load(&image()).expect_err("one byte short");
    let want = MemoryError::Budget {
        tenant: "test".to_owned(),
        wanted: footprint,
        in_use: Bytes::ZERO,
        budget: footprint - Bytes(1),
    };
    assert_eq!(error, GpuError::Memory(want));
    assert_eq!(poor.usage().high_water, Bytes::ZERO);
    let exact = tenant(context, footprint);
    let loaded = exact.load(&image()).expect("the exact footprint is enough");
    assert_eq!(loaded.tenant_usage().in_use, footprint);
    assert_eq!(
        exact.load(&image()).expect_err("a second one is not").class(),
        ErrorClass::OutOfMemory
    );
}

const fn list(list: usize) -> Work<'static> {
    Work {
        list: Some(list),
        uploads: &[],
        reads: &[],
    }
}

const fn read(reads: &[Slice]) -> Work<'_> {
    Work {
        list: None,
        uploads: &[],
        reads,
    }
}

const fn upload<'a>(uploads: &'a [(Slice, &'a [u8])]) -> Work<'a> {
    Work {
        list: None,
        uploads,
        reads: &[],
    }
}

fn work_is_checked(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::MIB);
    let bare = Image {
        upload: Bytes::ZERO,
        readback: Bytes::ZERO,
        ..image()
    };
    let mut loaded = tenant.load(&image()).expect("loads");
    let mut bare = tenant.load(&bare).expect("loads");
    let refused = |loaded: &mut Loaded, work: Work<'_>, text: &str| {
        let error = loaded.submit(work).expect_err("must be refused");
        assert_eq!(error.class(), ErrorClass::Validation);
        assert!(error.to_string().contains(text), "`{error}` lacks `{text}`");
    };
    refused(&mut loaded, list(3), "list 3 does not exist, the image has 3");
    refused(
        &mut loaded,
        read(&[A, slice(1020, 8)]),
        "read 1: bytes 1020 to 1028",
    );
    refused(&mut loaded, read(&[slice(0, 0)]), "read 0: offset 0 and length 0");
    refused(
        &mut loaded,
        upload(&[(slice(2, 4), &[0; 4])]),
        "upload 0: offset 2",
    );
    refused(
        &mut loaded,
        upload(&[(A, &[0; 4])]),
        "4 bytes are given for a slice of 256",
    );
    refused(&mut bare, read(&[A]), "`readback` capacity is 0");
    refused(&mut bare, upload(&[(A, &[0; 256])]), "`upload` capacity is 0");
    bare.submit(list(0)).expect("submits").wait().expect("runs");
}

fn any_image() -> impl Strategy<Value = Image> {
    let lists = proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..6), 0..4);
    let clear = prop_oneof![Just(Clear::Always), Just(Clear::Foreign)];
    let regions = (768_u64..100_000, 0_u64..5000, clear);
    (regions, lists, 0_u64..5000, 1_u32..4, 0_u64..5000).prop_map(
        |((arena, constants, clear), lists, upload, upload_ring, readback)| {
            let command = |kind: u8| match kind {
                0 => Command::Zero(A),
                1 => add(A, B, C),
                _ => scale(2.0, B),
            };
            let list = |kinds: Vec<u8>| CommandList {
                name: String::new(),
                commands: kinds.into_iter().map(command).collect(),
            };
            Image {
                arena: Bytes(arena * 4),
                constants: Bytes(constants * 4),
                clear,
                lists: lists.into_iter().map(list).collect(),
                upload: Bytes(upload * 4),
                upload_ring,
                readback: Bytes(readback * 4),
            }
        },
    )
}

/// Loading reserves the footprint, to the byte, and nothing stays behind.
fn footprints_are_exact(context: &ComputeContext, images: &[Image]) {
    for image in images {
        let footprint = image.footprint();
        let tenant = tenant(context, footprint);
        let mut loaded = tenant.load(image).expect("the footprint is enough");
        for list in 0..image.lists.len() {
            drop(
                loaded
                    .submit(Work {
                        list: Some(list),
                        ..Work::default()
                    })
                    .expect("submits"),
            );
        }
        loaded
            .submit(Work::default())
            .expect("submits")
            .wait()
            .expect("runs");
        let usage = tenant.usage();
        assert_eq!(
            (usage.in_use, usage.high_water),
            (footprint, footprint),
            "{image:?}"
        );
        drop(loaded);
        let usage = tenant.usage();
        assert_eq!((usage.in_use, usage.high_water), (Bytes::ZERO, footprint));
    }
}
