//! Compute kernels for training on GPU and CPU: WGSL validated at build time, CPU references, graphs and plans.
