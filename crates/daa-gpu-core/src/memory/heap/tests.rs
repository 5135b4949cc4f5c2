mod mix;
mod model;
mod replay;

use super::*;

fn small_heap() -> Heap {
    let mut config = HeapConfig::new(Bytes::mib(64), 256);
    config.keep = Bytes::ZERO;
    Heap::new(config).unwrap()
}

#[test]
fn what_is_freed_is_there_again() {
    let mut heap = small_heap();
    for bytes in [
        0,
        1,
        256,
        257,
        5000,
        65_535,
        65_536,
        1 << 20,
        (16 << 20) - 1,
        16 << 20,
        20 << 20,
    ] {
        let granted = heap.allocate(Colour::ReadWrite, bytes).unwrap();
        let page = granted.new_page.expect("there was none");
        assert_eq!(page.id, granted.block.page());
        let span = heap.span(granted.block).unwrap();
        assert!(span.bytes >= bytes.max(1) && span.wanted == bytes);
        assert_eq!(heap.blocks_in(page.id), [granted.block]);
        assert_eq!(heap.report().live, Bytes(bytes));
        assert_eq!(heap.free(granted.block), [page.id]);
        assert_eq!((heap.report().live, heap.reserved()), (Bytes::ZERO, 0));
        heap.free(granted.block);
    }
    assert_eq!(heap.report().strays, 11);
}

/// Whatever the sizes of a tier: so many bytes of it need no page, nobody else gets them, and they are there again.
#[test]
fn what_is_made_ahead_for_a_tier_is_its_own() {
    let sizes: [&[u64]; 5] = [
        &[1, 300, 512, 1000],
        &[1024, 5000, 65_536, 300_000],
        &[1 << 20, 3_000_000, 9 << 20],
        &[10 << 20, 17 << 20, 30 << 20],
        &[100 << 20],
    ];
    let ahead = [16 << 10, 1 << 20, 24 << 20, 80 << 20, 200 << 20];
    for (at, tier) in Tier::ALL.into_iter().enumerate() {
        let mut config = HeapConfig::new(Bytes::gib(1), 256);
        config.keep = Bytes::gib(1);
        for (tier, bytes) in config.tiers.iter_mut().zip(ahead) {
            tier.preallocate = Bytes(bytes);
        }
        let mut heap = Heap::new(config).unwrap();
        let made = heap.prepare().unwrap();
        let own = made[at].0.id;
        assert_eq!(made.iter().map(|(_, tier)| *tier).collect::<Vec<_>>(), Tier::ALL);
        assert_eq!(heap.reserved(), ahead.iter().sum());
        assert_eq!(heap.sparsest(), None);
        for _ in 0..2 {
            let (mut taken, mut blocks) = (0_u64, Vec::new());
            for &size in sizes[at].iter().cycle() {
                let bytes = size.next_multiple_of(256);
                if taken + bytes > ahead[at] {
                    break;
                }
                let granted = heap.allocate(Colour::ReadWrite, size).unwrap();
                assert_eq!(
                    (granted.new_page, granted.block.page()),
                    (None, own),
                    "{tier} {size}"
                );
                taken += bytes;
                blocks.push(granted.block);
            }
            assert!(taken > ahead[at] / 2 && heap.sparsest().is_none());
            let read_only = heap.allocate(Colour::ReadOnly, sizes[at][0]).unwrap();
            assert_ne!(read_only.block.page(), own, "another colour");
            blocks.push(read_only.block);
            for block in blocks {
                drop(heap.free(block));
            }
        }
        let others = heap.trim(0);
        assert!(
            others.contains(&own) && heap.reserved() == 0,
            "idle, it goes as others do"
        );
    }
}

#[test]
fn a_ceiling_bounds_pages_and_what_is_made_ahead() {
    let mut config = HeapConfig::new(Bytes::mib(64), 256);
    config.tiers[2].preallocate = Bytes::mib(8);
    let mut heap = Heap::new(config).unwrap();
    heap.set_ceiling(4 << 20);
    assert_eq!(heap.prepare(), Err(Tier::Medium));
    let first = heap.allocate(Colour::ReadWrite, 1 << 20).unwrap();
    assert_eq!(heap.reserved(), 4 << 20, "a page of what there is");
    assert!(heap.allocate(Colour::ReadOnly, 1 << 20).is_err());
    heap.set_ceiling(5 << 20);
    assert!(heap.allocate(Colour::ReadOnly, 1 << 20).is_ok());
    heap.set_ceiling(1 << 20);
    assert!(
        heap.allocate(Colour::Uniform, 256).is_err(),
        "more is there already"
    );
    assert!(
        heap.allocate(Colour::ReadWrite, 1 << 20).is_ok(),
        "but what is there serves"
    );
    drop(heap.free(first.block));
    heap.set_ceiling(u64::MAX);
    assert!(
        heap.allocate(Colour::ReadWrite, 60 << 20).is_err(),
        "the capacity bounds too"
    );
}
