//! Lifetimes as CSV.

use crate::memory::layout::Lifetime;
use crate::memory::trace::{Action, Lifetimes, LifetimesError, TraceFile};
use daa_base::Seed;
use std::fmt::Write as _;

const LIMIT: u64 = 1 << 20;

fn read(text: impl AsRef<[u8]>) -> Result<Lifetimes, LifetimesError> {
    Lifetimes::read(text.as_ref(), LIMIT)
}

fn refusal(text: impl AsRef<[u8]>) -> String {
    read(text).expect_err("refused").to_string()
}

#[test]
fn columns_are_found_by_name_whatever_their_order_and_line_ends() {
    let plain = read("id,lower,upper,size\nx,0,3,40\ny,3,9,50\n").expect("valid");
    let other = read("\u{feff}note, size,upper,id ,lower\r\n-,40,3,x,0\r\n\r\n?,50,9,y,3").expect("valid");
    assert_eq!(plain, other);
    assert_eq!((plain.rows()[1].id.as_str(), plain.rows()[1].size), ("y", 50));
    assert!(read("id,lower,upper,size").expect("no rows").rows().is_empty());
}

#[test]
fn each_bad_line_is_named_with_column_value_and_range() {
    let row = |row: &str| refusal(format!("id,lower,upper,size\na,0,1,1\n{row}\n"));
    for (bad, words) in [
        ("b,0,1", "line 3: has 3 fields, the header has 4"),
        (",0,1,1", "line 3: `id` is ``, allowed are texts of 1 to 64 bytes"),
        ("b,-1,1,1", "line 3: `lower` is `-1`, allowed are whole numbers"),
        ("b,+1,2,1", "line 3: `lower` is `+1`"),
        ("b,0,1.5,1", "line 3: `upper` is `1.5`"),
        (
            "b,0,99999999999999999999,1",
            "line 3: `upper` is `99999999999999999999`",
        ),
        (
            "b,0,1,0",
            "line 3: `size` is `0`, allowed are whole numbers from 1",
        ),
        ("b,0,1,1125899906842625", "line 3: `size`"),
        ("b,0,1,", "line 3: `size` is ``"),
        ("b,1,1,1", "line 3: `upper` is 1, it must be more than `lower`, 1"),
        ("b,2,1,1", "line 3: `upper` is 1"),
        ("a,0,1,1", "line 3: the id `a` is there already"),
        ("b,0,1,\u{1b}", "line 3: `size` is `\\u{1b}`"),
    ] {
        let error = row(bad);
        assert!(error.starts_with(words), "{bad}: {error}");
    }
    let long = "9".repeat(200);
    assert!(row(&format!("b,{long},1,1")).len() < 200, "values are cut");
    assert_eq!(
        row(&"x".repeat(2000)),
        "line 3: has more than 1024 bytes, no more are allowed"
    );
    assert!(refusal("").contains("header"));
    assert!(refusal("id,lower,size\n").contains("no column `upper`"));
    assert!(refusal("id,lower,upper,size,id\n").contains("`id` more than once"));
    assert!(refusal(b"id,lower,upper,size\n\xFF,0,1,1\n").contains("line 2: is not UTF-8"));
    let text = "id,lower,upper,size\na,0,1,1\n";
    assert_eq!(
        Lifetimes::read(text.as_bytes(), 25),
        Err(LifetimesError::TooLarge { line: 2, limit: 25 })
    );
}

#[test]
fn ticks_beyond_32_bits_become_ranks_that_overlap_alike() {
    let large = 1_u64 << 40;
    let text = format!(
        "id,lower,upper,size\na,0,{large},5\nb,7,{},6\nc,{large},{},7\n",
        large + 1,
        large + 2
    );
    let life = |lower, upper, size| Lifetime { lower, upper, size };
    assert_eq!(
        read(text).expect("valid").steps(),
        [life(0, 2, 5), life(1, 3, 6), life(2, 4, 7)]
    );
    let small = read("id,lower,upper,size\na,10,20,5\n").expect("valid");
    assert_eq!(small.steps(), [life(10, 20, 5)]);
}

#[test]
fn in_one_tick_frees_come_before_allocations() {
    let rows = read("id,lower,upper,size\nlate,5,9,1\nearly,0,5,2\n").expect("valid");
    let trace = rows.trace();
    let events: Vec<(u64, Option<u64>)> = trace
        .events()
        .map(|event| match event.action {
            Action::Allocate { bytes, .. } => (event.tick, Some(bytes)),
            Action::Free { .. } => (event.tick, None),
        })
        .collect();
    assert_eq!(events, [(0, Some(2)), (5, None), (5, Some(1)), (9, None)]);
}

#[test]
fn the_first_byte_tells_the_form() {
    let text = "id,lower,upper,size\na,0,1,1\n";
    let file = TraceFile::read(text.as_bytes(), LIMIT).expect("CSV");
    assert!(matches!(&file, TraceFile::Lifetimes(rows) if rows.rows().len() == 1));
    let trace = file.into_trace();
    let again = TraceFile::read(&trace.encode()[..], LIMIT).expect("a trace");
    assert_eq!(again, TraceFile::Trace(trace));
    let error = TraceFile::read(&b"\x89PNG"[..], LIMIT).expect_err("neither");
    assert!(error.to_string().contains("no memory trace"), "{error}");
    assert!(TraceFile::read(&b""[..], LIMIT).is_err());
}

/// 20,000 damaged files: refused with a line, or read as rows that make a trace of two events each.
#[test]
fn damaged_files_are_refused_or_make_sense() {
    let mut rng = Seed(7).stream("csv fuzz").rng();
    let mut below = |bound: usize| rng.below(bound);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..400 {
        let mut text = String::from("id,lower,upper,size\n");
        for row in 0..1 + below(6) {
            let lower = below(100);
            let length = below(40);
            let (upper, size) = (lower + 1 + below(1 << length), 1 + below(1 << 20));
            writeln!(text, "{row},{lower},{upper},{size}").expect("a string takes everything");
        }
        for _ in 0..50 {
            let mut bytes = text.clone().into_bytes();
            let at = below(bytes.len());
            match below(4) {
                0 => bytes[at] = below(256) as u8,
                1 => bytes.insert(at, b",\n-0 9\""[below(7)]),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
            match Lifetimes::read(&bytes[..], LIMIT) {
                Ok(rows) => {
                    good += 1;
                    assert_eq!(rows.trace().len(), 2 * rows.rows().len() as u64);
                    assert_eq!(rows.steps().len(), rows.rows().len());
                }
                Err(error) => {
                    bad += 1;
                    let text = error.to_string();
                    assert!(text.contains("line ") || error == LifetimesError::Empty, "{text}");
                }
            }
        }
    }
    assert!(good > 1000 && bad > 1000, "{good} {bad}: both must happen");
}
