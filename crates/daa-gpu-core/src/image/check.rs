//! Refuses an image that is not well-formed, before any memory is reserved for it.

use super::{Command, Dispatch, Image, SLICE_ALIGN, Slice};
use crate::adapter::DeviceLimits;
use crate::program::Access;
use daa_base::Bytes;

/// Most upload staging areas of one image.
const MAX_UPLOAD_RING: u32 = 1024;

/// Why an image is refused. `list` and `command` are indices into the image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A size of the image itself is out of range.
    #[error("the image's `{field}` is {value}, allowed are {allowed}")]
    Field {
        /// Which size.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        allowed: String,
    },
    /// A dispatch binds another number of slices than its program declares.
    #[error(
        "list {list}, command {command} (`{program}`): {given} bindings are given, the program has {wanted}"
    )]
    BindingCount {
        /// Which list.
        list: usize,
        /// Which command.
        command: usize,
        /// The program's name.
        program: &'static str,
        /// Slices given.
        given: usize,
        /// Slices wanted.
        wanted: usize,
    },
    /// A dispatch has another number of parameter words than its program declares.
    #[error(
        "list {list}, command {command} (`{program}`): {given} parameter words are given, the program takes {wanted}"
    )]
    ParamCount {
        /// Which list.
        list: usize,
        /// Which command.
        command: usize,
        /// The program's name.
        program: &'static str,
        /// Words given.
        given: usize,
        /// Words wanted.
        wanted: usize,
    },
    /// A count of workgroups is out of range.
    #[error(
        "list {list}, command {command} (`{program}`): {groups} workgroups in dimension {dimension}, allowed are 1 to {limit}"
    )]
    Groups {
        /// Which list.
        list: usize,
        /// Which command.
        command: usize,
        /// The program's name.
        program: &'static str,
        /// 0, 1 or 2.
        dimension: usize,
        /// Workgroups asked for.
        groups: u32,
        /// Most that the device takes.
        limit: u32,
    },
    /// A program asks for more than the device offers.
    #[error(
        "list {list}, command {command} (`{program}`): its {what} is {value}, this device allows up to {limit}"
    )]
    Program {
        /// Which list.
        list: usize,
        /// Which command.
        command: usize,
        /// The program's name.
        program: &'static str,
        /// Which of its properties.
        what: &'static str,
        /// The value.
        value: u64,
        /// Most that the device allows.
        limit: u64,
    },
    /// A slice is empty, out of line or outside of its memory.
    #[error(
        "list {list}, command {command}, binding {binding} (`{name}`): bytes {offset} to {end}: {problem}"
    )]
    Slice {
        /// Which list.
        list: usize,
        /// Which command.
        command: usize,
        /// Which binding; 0 for a command that fills.
        binding: usize,
        /// The binding's name.
        name: &'static str,
        /// First byte.
        offset: u64,
        /// One past the last byte.
        end: u64,
        /// What is wrong, with the allowed range.
        problem: String,
    },
    /// Two bindings of one dispatch share bytes in a way that no backend orders.
    #[error(
        "list {list}, command {command} (`{program}`): bindings `{first}` and `{second}` overlap; only reads of exactly the same range may"
    )]
    Overlap {
        /// Which list.
        list: usize,
        /// Which command.
        command: usize,
        /// The program's name.
        program: &'static str,
        /// One binding's name.
        first: &'static str,
        /// The other's name.
        second: &'static str,
    },
}

/// Where a problem is.
#[derive(Clone, Copy)]
struct At {
    list: usize,
    command: usize,
}

/// Checks everything that a backend relies on.
pub(crate) fn check(image: &Image, limits: &DeviceLimits) -> Result<(), ImageError> {
    check_fields(image, limits)?;
    for (list, commands) in image.lists.iter().enumerate() {
        for (command, what) in commands.commands.iter().enumerate() {
            let at = At { list, command };
            match what {
                Command::Zero(slice) => {
                    check_slice(at, 0, "zero", *slice, ("arena", image.arena), limits.max_buffer)?;
                }
                Command::Dispatch(dispatch) => {
                    check_program(at, dispatch, limits)?;
                    check_bindings(at, dispatch, image, limits)?;
                }
            }
        }
    }
    Ok(())
}

fn check_fields(image: &Image, limits: &DeviceLimits) -> Result<(), ImageError> {
    // A buffer is reserved at the size of its class, which must be possible too.
    let largest = limits.max_buffer.get() / 9 * 8;
    for (field, size, least) in [
        ("arena", image.arena, 4),
        ("constants", image.constants, 0),
        ("params", image.params(), 0),
        ("upload", image.upload, 0),
        ("readback", image.readback, 0),
    ] {
        let value = size.get();
        if value < least || value > largest || !value.is_multiple_of(4) {
            let allowed = format!("multiples of 4 from {least} to {largest} on this device");
            return Err(ImageError::Field {
                field,
                value,
                allowed,
            });
        }
    }
    if image.upload > Bytes::ZERO && !(1..=MAX_UPLOAD_RING).contains(&image.upload_ring) {
        let allowed = format!("1 to {MAX_UPLOAD_RING}");
        return Err(ImageError::Field {
            field: "upload_ring",
            value: image.upload_ring.into(),
            allowed,
        });
    }
    Ok(())
}

fn check_program(at: At, dispatch: &Dispatch, limits: &DeviceLimits) -> Result<(), ImageError> {
    let At { list, command } = at;
    let program = dispatch.program;
    let (given, wanted) = (dispatch.bindings.len(), program.bindings.len());
    if given != wanted {
        return Err(ImageError::BindingCount {
            list,
            command,
            program: program.name,
            given,
            wanted,
        });
    }
    let (given, wanted) = (dispatch.params.len(), program.params_words as usize);
    if given != wanted {
        return Err(ImageError::ParamCount {
            list,
            command,
            program: program.name,
            given,
            wanted,
        });
    }
    let workgroup = program
        .workgroup_size
        .iter()
        .fold(1_u64, |size, &n| size.saturating_mul(n.into()));
    for (what, value, limit) in [
        (
            "number of bindings",
            program.bindings.len() as u64,
            limits.max_bindings.into(),
        ),
        (
            "parameter block in bytes",
            u64::from(program.params_words) * 4,
            limits.max_params.get(),
        ),
        ("workgroup size", workgroup, limits.max_workgroup.into()),
    ] {
        if value > limit {
            return Err(ImageError::Program {
                list,
                command,
                program: program.name,
                what,
                value,
                limit,
            });
        }
    }
    for (dimension, &groups) in dispatch.groups.iter().enumerate() {
        if groups == 0 || groups > limits.max_groups {
            let limit = limits.max_groups;
            return Err(ImageError::Groups {
                list,
                command,
                program: program.name,
                dimension,
                groups,
                limit,
            });
        }
    }
    Ok(())
}

fn check_bindings(
    at: At,
    dispatch: &Dispatch,
    image: &Image,
    limits: &DeviceLimits,
) -> Result<(), ImageError> {
    let specs = dispatch.program.bindings;
    for (index, (slice, spec)) in dispatch.bindings.iter().zip(specs).enumerate() {
        let region = match spec.access {
            Access::Constant => ("constants", image.constants),
            _ => ("arena", image.arena),
        };
        check_slice(at, index, spec.name, *slice, region, limits.max_binding)?;
        if spec.access == Access::Constant {
            continue;
        }
        for (other, before) in dispatch.bindings[..index].iter().zip(specs) {
            let apart = slice.end() <= other.offset || other.end() <= slice.offset;
            let reads = spec.access == Access::Read && before.access == Access::Read;
            let shared = reads && slice == other;
            if !(apart || shared || before.access == Access::Constant) {
                return Err(ImageError::Overlap {
                    list: at.list,
                    command: at.command,
                    program: dispatch.program.name,
                    first: before.name,
                    second: spec.name,
                });
            }
        }
    }
    Ok(())
}

fn check_slice(
    at: At,
    binding: usize,
    name: &'static str,
    slice: Slice,
    (region, size): (&str, Bytes),
    largest: Bytes,
) -> Result<(), ImageError> {
    let Slice { offset, bytes } = slice;
    let end = offset.saturating_add(bytes);
    let problem = if bytes == 0 || !bytes.is_multiple_of(4) {
        format!("its length is {bytes}, allowed are multiples of 4 from 4")
    } else if !offset.is_multiple_of(SLICE_ALIGN) {
        format!("its offset must be a multiple of {SLICE_ALIGN}")
    } else if end > size.get() {
        if region == "constants" {
            format!("there are {} bytes of constants", size.get())
        } else {
            format!("the {region} has {} bytes", size.get())
        }
    } else if bytes > largest.get() {
        format!("this device binds up to {} bytes at once", largest.get())
    } else {
        return Ok(());
    };
    Err(ImageError::Slice {
        list: at.list,
        command: at.command,
        binding,
        name,
        offset,
        end,
        problem,
    })
}

#[cfg(test)]
mod tests;
