//! Process trees with real processes: nothing survives its worker, whoever is killed and how.

mod commands;
mod kit;
mod stand_in;
mod trees;
mod victims;
