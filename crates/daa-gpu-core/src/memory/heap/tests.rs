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
        assert!(granted.block.bytes() >= bytes.max(1) && granted.block.wanted() == bytes);
        assert_eq!(heap.blocks_in(page.id), [granted.block]);
        assert_eq!(heap.report().live, Bytes(bytes));
        assert_eq!(heap.free(granted.block), [page.id]);
        assert_eq!((heap.report().live, heap.reserved()), (Bytes::ZERO, 0));
        heap.free(granted.block);
    }
    assert_eq!(heap.report().strays, 11);
}
