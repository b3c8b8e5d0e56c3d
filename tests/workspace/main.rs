//! `workspace` on real git repositories in temporary directories.

mod agents;
mod branch;
mod discover;
mod earlier;
mod fixture;
mod lifecycle;
mod moves;
mod names;
mod rebase;
mod speed;
mod sweep;
mod synced;
