//! Integration tests of the workspace.

mod layering;
mod package;
mod readme;
mod xtask;
