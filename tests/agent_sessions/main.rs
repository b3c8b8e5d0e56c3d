//! Both drivers end to end: the scripted agent over ACP, and shell programs.

mod place;
mod programs;
mod scripted;
#[path = "../support/mod.rs"]
mod support;
