//! The ops: for each, its launch, its WGSL form and its CPU form.
