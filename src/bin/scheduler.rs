//! The `scheduler` binary.

fn main() -> std::process::ExitCode {
    crewlog::cli::scheduler(std::env::args_os()).into()
}
