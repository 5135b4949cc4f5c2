//! Hands out the slices of an arena that one dispatch binds, all at once and without overlap.

use crate::image::{Dispatch, Slice};
use crate::program::Access;

/// Which bindings get a piece of the arena.
#[derive(Debug)]
enum Target {
    /// The written binding of this number.
    Write(usize),
    /// The read bindings of these numbers.
    Reads(Vec<usize>),
}

/// One range of words, the same for all its targets.
#[derive(Debug)]
struct Piece {
    start: usize,
    len: usize,
    target: Target,
}

/// How to split an arena for a dispatch; made once, at load.
#[derive(Debug)]
pub(super) struct Split {
    pieces: Vec<Piece>,
    /// Read bindings of constants: number, first word, words.
    constants: Vec<(usize, usize, usize)>,
    reads: usize,
    writes: usize,
}

impl Split {
    /// For a dispatch that passed [`crate::image::check`]: ranges are either equal and only read, or apart.
    pub(super) fn new(dispatch: &Dispatch) -> Self {
        let mut bound: Vec<(Slice, Access, usize)> = Vec::with_capacity(dispatch.bindings.len());
        let (mut reads, mut writes) = (0, 0);
        let mut constants = Vec::new();
        for (slice, spec) in dispatch.bindings.iter().zip(dispatch.program.bindings) {
            let number = if spec.access.writes() {
                &mut writes
            } else {
                &mut reads
            };
            if spec.access == Access::Constant {
                constants.push((*number, (slice.offset / 4) as usize, (slice.bytes / 4) as usize));
            } else {
                bound.push((*slice, spec.access, *number));
            }
            *number += 1;
        }
        bound.sort_by_key(|(slice, _, _)| *slice);
        let mut pieces: Vec<Piece> = Vec::with_capacity(bound.len());
        for (slice, access, number) in bound {
            let (start, len) = ((slice.offset / 4) as usize, (slice.bytes / 4) as usize);
            match pieces.last_mut() {
                Some(Piece {
                    start: same,
                    target: Target::Reads(numbers),
                    ..
                }) if *same == start => numbers.push(number),
                _ => {
                    let target = if access == Access::Read {
                        Target::Reads(vec![number])
                    } else {
                        Target::Write(number)
                    };
                    pieces.push(Piece { start, len, target });
                }
            }
        }
        Self {
            pieces,
            constants,
            reads,
            writes,
        }
    }

    /// The read slices of `arena` and `constants` and the written slices of `arena`, each in binding order.
    pub(super) fn apply<'a>(
        &self,
        arena: &'a mut [u32],
        constants: &'a [u32],
    ) -> (Vec<&'a [u32]>, Vec<&'a mut [u32]>) {
        let mut reads: Vec<&[u32]> = vec![&[]; self.reads];
        let mut writes: Vec<&mut [u32]> = std::iter::repeat_with(<&mut [u32]>::default)
            .take(self.writes)
            .collect();
        for &(number, start, len) in &self.constants {
            reads[number] = &constants[start..start + len];
        }
        let (mut rest, mut at) = (arena, 0);
        for piece in &self.pieces {
            let (_, tail) = rest.split_at_mut(piece.start - at);
            let (words, tail) = tail.split_at_mut(piece.len);
            rest = tail;
            at = piece.start + piece.len;
            match &piece.target {
                Target::Write(number) => writes[*number] = words,
                Target::Reads(numbers) => {
                    let words: &[u32] = words;
                    for number in numbers {
                        reads[*number] = words;
                    }
                }
            }
        }
        (reads, writes)
    }
}
