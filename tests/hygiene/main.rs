//! Hygiene: whatever the machine or the repository is like, and however a run ends, it says what is
//! the matter, leaves nothing behind, loses nothing, and the user's own work is as it was.

mod disk;
mod ends;
mod kit;
mod machine;
mod names;
mod readers;
mod repository;
mod size;
mod trouble;
mod users;

#[path = "../real/mod.rs"]
mod real;
