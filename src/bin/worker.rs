//! The `worker` binary.

fn main() -> std::process::ExitCode {
    crewlog::cli::worker(std::env::args_os()).into()
}
