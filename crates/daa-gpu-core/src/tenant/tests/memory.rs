//! Constants and what new memory holds, on either back end.

use super::programs::BLEND;
use super::*;
use crate::{Clear, Colour};

fn blend(x: Slice, weights: Slice, offsets: Slice, out: Slice) -> Command {
    Command::Dispatch(Dispatch {
        program: &BLEND,
        params: vec![],
        bindings: vec![x, weights, offsets, out],
        groups: [1, 1, 1],
    })
}

fn blending() -> Image {
    Image {
        constants: Bytes(512),
        lists: vec![CommandList {
            name: "blend".to_owned(),
            commands: vec![
                blend(A, slice(0, 256), slice(256, 256), B),
                blend(B, slice(0, 256), slice(0, 256), C),
            ],
        }],
        ..image()
    }
}

/// One dispatch reads slices of both colours, in two images whose memory lies in the same pages.
pub(super) fn a_dispatch_reads_arena_and_constants(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::MIB);
    let mut images = [2.0_f32, 3.0].map(|weight| (weight, tenant.load(&blending()).expect("loads")));
    for (weight, loaded) in &mut images {
        let (weights, offsets) = (words(&[*weight; 64]), words(&[0.5; 64]));
        let constants = [(slice(0, 256), &weights[..]), (slice(256, 256), &offsets[..])];
        loaded
            .upload_constants(&constants)
            .expect("submits")
            .wait()
            .expect("uploads");
    }
    for (weight, loaded) in &mut images {
        let x = words(&[4.0; 64]);
        let ticket = loaded.submit(Work {
            list: Some(0),
            uploads: &[(A, &x)],
            reads: &[B, C],
        });
        let (b, c) = (4.0 * *weight + 0.5, (4.0 * *weight + 0.5) * *weight + *weight);
        assert_eq!(wait(ticket.expect("submits")), [[b; 64], [c; 64]].concat());
    }
    let [(_, mut loaded), _] = images;
    let data = [0; 8];
    let error = loaded
        .upload_constants(&[(slice(508, 8), &data)])
        .expect_err("too far");
    assert!(
        error
            .to_string()
            .contains("bytes 508 to 516 leave the constants of 512 bytes"),
        "{error}"
    );
    tenant.revoke();
    assert_eq!(
        loaded
            .upload_constants(&[(slice(0, 8), &data)])
            .expect_err("revoked"),
        stale(7)
    );
}

/// With [`Clear::Foreign`] a tenant may find what it left itself, and never what another did.
pub(super) fn only_its_own_may_be_left_in_memory(context: &ComputeContext) {
    let whole = slice(0, 1024);
    let plain = |clear| Image {
        lists: Vec::new(),
        upload: Bytes(1024),
        readback: Bytes(1024),
        clear,
        ..image()
    };
    let fill = |tenant: &Tenant, value| {
        let mut loaded = tenant.load(&plain(Clear::Foreign)).expect("loads");
        let before = wait(loaded.submit(read(&[whole])).expect("submits"));
        let data = words(&[value; 256]);
        loaded
            .submit(upload(&[(whole, &data)]))
            .expect("submits")
            .wait()
            .expect("uploads");
        before
    };
    let mine = tenant(context, Bytes::MIB);
    assert_eq!(fill(&mine, 1.0), vec![0.0; 256]);
    assert_eq!(fill(&mine, 2.0), vec![1.0; 256], "its own, and so not cleared");
    let mut clean = mine.load(&plain(Clear::Always)).expect("loads");
    assert_eq!(
        wait(clean.submit(read(&[whole])).expect("submits")),
        vec![0.0; 256]
    );
    drop(clean);
    assert_eq!(fill(&mine, 3.0), vec![0.0; 256]);
    drop(mine);
    for _ in 0..4 {
        let other = tenant(context, Bytes::MIB);
        assert_eq!(fill(&other, 4.0), vec![0.0; 256], "of another tenant");
    }
}

/// Memory without an image: charged, reused, given back with its tenant still open.
pub(super) fn allocations_are_charged_and_reused(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::kib(64));
    for colour in Colour::ALL {
        let first = tenant.allocate(Bytes(1000), colour).expect("fits");
        assert_eq!((first.bytes(), tenant.usage().in_use), (Bytes(1024), Bytes(1024)));
        drop(first);
        let made = context.counters().buffers_created;
        drop(tenant.allocate(Bytes(1020), colour).expect("fits"));
        assert_eq!(context.counters().buffers_created, made, "the block is there");
    }
    let held = tenant
        .allocate(Bytes::kib(64), Colour::ReadWrite)
        .expect("fits exactly");
    let error = tenant
        .allocate(Bytes(1), Colour::ReadWrite)
        .expect_err("over budget");
    assert_eq!(error.class(), ErrorClass::OutOfMemory);
    drop(held);
    assert_eq!(
        tenant
            .allocate(Bytes::ZERO, Colour::Uniform)
            .expect("fits")
            .bytes(),
        Bytes(256)
    );
    tenant.revoke();
    assert_eq!(
        tenant.allocate(Bytes(1), Colour::ReadWrite).expect_err("revoked"),
        stale(7)
    );
    assert_eq!(tenant.usage().high_water, Bytes::kib(64));
}
