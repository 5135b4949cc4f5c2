//! Integration tests of the workspace.

mod determinism;
mod end_to_end;
mod faults;
mod honesty;
mod layering;
mod leases;
mod package;
mod readme;
mod resume;
mod shaders;
mod standalone;
mod steady_state;
mod tamper;
mod training_parity;
mod xtask;
