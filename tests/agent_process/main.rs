//! Process trees with real processes: nothing survives its worker, whoever is killed and how.

mod commands;
mod kit;
mod stand_in;
#[path = "../support/mod.rs"]
mod support;
mod trees;
mod victims;
