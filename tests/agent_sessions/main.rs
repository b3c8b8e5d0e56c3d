//! All drivers end to end: the scripted agent over ACP, and shell programs.

mod place;
mod programs;
mod scripted;
mod streams;
#[path = "../support/mod.rs"]
mod support;
