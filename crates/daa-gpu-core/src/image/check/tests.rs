use super::*;
use crate::image::{Clear, CommandList};
use crate::program::{BindingSpec, HostCall, Program};

fn nothing(_: HostCall<'_>) {}

const fn read(name: &'static str) -> BindingSpec {
    BindingSpec {
        name,
        access: Access::Read,
    }
}

static ADD: Program = Program {
    name: "add",
    wgsl: "",
    entry: "main",
    workgroup_size: [64, 1, 1],
    bindings: &[
        read("a"),
        read("b"),
        BindingSpec {
            name: "out",
            access: Access::Write,
        },
    ],
    params_words: 1,
    host: nothing,
};

fn limits() -> DeviceLimits {
    let mut limits = crate::adapter::judge(crate::DeviceChoice::Cpu, Vec::new())
        .pop()
        .expect("the host")
        .info
        .limits;
    limits.max_binding = Bytes(1024);
    limits
}

fn slice(offset: u64, bytes: u64) -> Slice {
    Slice { offset, bytes }
}

fn fine() -> Dispatch {
    let bindings = vec![slice(0, 256), slice(256, 256), slice(512, 256)];
    Dispatch {
        program: &ADD,
        params: vec![1],
        bindings,
        groups: [1, 2, 3],
    }
}

fn image(dispatch: Dispatch) -> Image {
    let commands = vec![Command::Zero(slice(0, 256)), Command::Dispatch(dispatch)];
    Image {
        arena: Bytes(4096),
        constants: Bytes(512),
        clear: Clear::Always,
        lists: vec![
            CommandList::default(),
            CommandList {
                name: "run".to_owned(),
                commands,
            },
        ],
        upload: Bytes(256),
        upload_ring: 2,
        readback: Bytes(0),
    }
}

/// Breaks something.
type Change<'a, T> = &'a dyn Fn(&mut T);

fn refusal(change: impl FnOnce(&mut Dispatch)) -> String {
    let mut dispatch = fine();
    change(&mut dispatch);
    check(&image(dispatch), &limits())
        .expect_err("must be refused")
        .to_string()
}

#[test]
fn a_well_formed_image_passes_and_reads_may_coincide() {
    assert_eq!(check(&image(fine()), &limits()), Ok(()));
    let mut same = fine();
    same.bindings[1] = same.bindings[0];
    assert_eq!(check(&image(same), &limits()), Ok(()));
}

#[test]
fn every_refusal_names_its_place_and_the_allowed_range() {
    let place = "list 1, command 1";
    let cases: [(Change<'_, Dispatch>, &str); 12] = [
        (
            &|d| d.bindings.truncate(2),
            "2 bindings are given, the program has 3",
        ),
        (
            &|d| d.params.clear(),
            "0 parameter words are given, the program takes 1",
        ),
        (
            &|d| d.groups[1] = 0,
            "0 workgroups in dimension 1, allowed are 1 to 65535",
        ),
        (&|d| d.groups[2] = 65_536, "65536 workgroups in dimension 2"),
        (
            &|d| d.bindings[0].bytes = 0,
            "binding 0 (`a`): bytes 0 to 0: its length is 0",
        ),
        (&|d| d.bindings[0].bytes = 6, "its length is 6"),
        (
            &|d| d.bindings[1].offset = 260,
            "binding 1 (`b`): bytes 260 to 516: its offset must be a multiple of 256",
        ),
        (
            &|d| d.bindings[2].offset = 4096,
            "binding 2 (`out`): bytes 4096 to 4352: the arena has 4096 bytes",
        ),
        (
            &|d| d.bindings[2] = slice(u64::MAX - 255, 256),
            "the arena has 4096 bytes",
        ),
        (
            &|d| d.bindings[2] = slice(1024, 2048),
            "this device binds up to 1024 bytes at once",
        ),
        (&|d| d.bindings[1] = slice(0, 512), "bindings `a` and `b` overlap"),
        (
            &|d| d.bindings[2] = slice(256, 256),
            "bindings `b` and `out` overlap",
        ),
    ];
    for (change, text) in cases {
        let message = refusal(change);
        assert!(
            message.contains(place) && message.contains(text),
            "`{message}` lacks `{text}`"
        );
    }
}

#[test]
fn constants_lie_in_a_memory_of_their_own() {
    static LOOKUP: Program = Program {
        name: "lookup",
        wgsl: "",
        entry: "main",
        workgroup_size: [1, 1, 1],
        bindings: &[
            BindingSpec {
                name: "table",
                access: Access::Constant,
            },
            BindingSpec {
                name: "part",
                access: Access::Constant,
            },
            BindingSpec {
                name: "out",
                access: Access::Write,
            },
        ],
        params_words: 0,
        host: nothing,
    };
    let with = |table, part, out| {
        image(Dispatch {
            program: &LOOKUP,
            params: vec![],
            bindings: vec![table, part, out],
            groups: [1, 1, 1],
        })
    };
    let apart = with(slice(0, 512), slice(256, 128), slice(0, 256));
    assert_eq!(
        check(&apart, &limits()),
        Ok(()),
        "constants may overlap, and are not the arena"
    );
    for (constants, text) in [
        (
            slice(256, 512),
            "binding 0 (`table`): bytes 256 to 768: there are 512 bytes of constants",
        ),
        (slice(128, 4), "its offset must be a multiple of 256"),
    ] {
        let message = check(&with(constants, slice(0, 4), slice(0, 256)), &limits())
            .expect_err("must be refused")
            .to_string();
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn sizes_of_the_image_are_checked() {
    let broken: [(Change<'_, Image>, &str); 6] = [
        (&|i| i.constants = Bytes(6), "`constants` is 6"),
        (&|i| i.arena = Bytes::ZERO, "`arena` is 0"),
        (&|i| i.arena = Bytes(4098), "`arena` is 4098"),
        (&|i| i.upload = Bytes(u64::MAX), "`upload` is"),
        (&|i| i.readback = Bytes(2), "`readback` is 2"),
        (
            &|i| i.upload_ring = 0,
            "`upload_ring` is 0, allowed are 1 to 1024",
        ),
    ];
    for (change, text) in broken {
        let mut broken = image(fine());
        change(&mut broken);
        let message = check(&broken, &limits())
            .expect_err("must be refused")
            .to_string();
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn a_footprint_adds_the_parts_at_their_size_classes() {
    let image = image(fine());
    assert_eq!(image.footprint(), Bytes(4096 + 512 + 256 + 2 * 256));
    let bare = Image {
        lists: Vec::new(),
        upload: Bytes::ZERO,
        ..image
    };
    assert_eq!(bare.footprint(), Bytes(4096 + 512));
}
