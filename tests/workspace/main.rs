//! `workspace` on real git repositories in temporary directories.

mod agents;
mod branch;
mod discover;
mod earlier;
mod filters;
mod fixture;
mod lfs;
mod lifecycle;
mod locks;
mod move_lock;
mod moves;
mod names;
mod rebase;
mod speed;
mod submodules;
mod sweep;
mod synced;
