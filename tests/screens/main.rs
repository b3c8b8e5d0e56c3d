//! Golden screens: what people read, at 80 and 120 columns, with and without colour.
//!
//! A change of a text shows up here as a changed file in `snapshots/`. Look at the difference, then
//! accept it with `INSTA_UPDATE=always cargo test --test screens`.

mod accepted;
mod damage;
mod doctor;
mod ends;
mod errors;
mod help;
mod kit;
mod log;
mod progress;
mod report;
mod show;
mod status;
mod story;
mod why;

/// Held by whoever starts a program, and by whoever locks a log. A program inherits the locks of this
/// process until it is executed, so that a lock that was released would still be held.
static PROGRAMS: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    PROGRAMS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
