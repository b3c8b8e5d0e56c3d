//! The scheduler's shell: real sockets, the real log, and a world that does what a test says.

mod doors;
mod durable;
mod frames;
mod handle;
mod kit;
mod work;
