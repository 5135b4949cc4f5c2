//! The program from outside: command lines in, streams and exit codes out.

mod bad_input;
mod forecast;
mod genesis;
mod memory;
#[cfg(unix)]
mod node;
mod predict;
#[cfg(unix)]
mod resume;
mod run;
mod support;
mod verbs;
