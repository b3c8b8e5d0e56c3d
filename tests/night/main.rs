//! A run that nobody watches: what it leaves to read, how it outlives its terminal, and how it calls
//! for a person.

#[path = "../real/mod.rs"]
mod real;

mod completions;
mod detach;
mod kit;
mod notify;
mod report;
mod service;
