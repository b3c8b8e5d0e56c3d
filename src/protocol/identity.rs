//! Identifies processes and checks whether they live, from `/proc`. A worker that introduces itself
//! and a scheduler that checks on it use the same code.

use std::fs;
use std::io;

use crate::model::event::ProcessIdentity;

/// A line of `/proc/PID/stat` has some 300 bytes; the name in it at most 64.
const START_TICKS_FIELD: usize = 22;

/// The identity of this process.
///
/// # Errors
/// `/proc` is not mounted or cannot be parsed.
pub fn own_identity() -> io::Result<ProcessIdentity> {
    process_identity(std::process::id())
}

/// The identity of the process that has this id now.
///
/// # Errors
/// There is no such process, or `/proc` is not mounted.
pub fn process_identity(pid: u32) -> io::Result<ProcessIdentity> {
    let (_, start_ticks) = stat(pid)?;
    Ok(ProcessIdentity {
        host: host(),
        boot_id: boot_id()?,
        pid,
        start_ticks,
    })
}

/// True if the process is this machine's, of this boot, and has not ended. A zombie has ended.
/// `false` is certain: a process that cannot be read for another reason counts as alive.
pub fn is_alive(process: &ProcessIdentity) -> bool {
    match boot_id() {
        Ok(boot_id) if boot_id != process.boot_id => return false,
        _ => {}
    }
    match stat(process.pid) {
        Ok((state, start_ticks)) => {
            start_ticks == process.start_ticks && !matches!(state, 'Z' | 'X' | 'x')
        }
        Err(error) => !matches!(
            error
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error),
            Some(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH)
        ),
    }
}

/// This machine's name; `unknown` if it is no text.
pub fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_str().unwrap_or("unknown").to_owned()
}

/// This machine's boot.
///
/// # Errors
/// `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// State and start time of a process.
fn stat(pid: u32) -> io::Result<(char, u64)> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse_stat(&String::from_utf8_lossy(&text))
        .ok_or_else(|| io::Error::other(format!("cannot parse /proc/{pid}/stat")))
}

/// The contents of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its parent; 0 for the first process of a pid namespace, and if its parent is outside the
    /// reader's namespace.
    pub parent: u32,
    /// The device number of its controlling terminal; 0 for none.
    pub terminal: u32,
    /// When it started, in clock ticks since the boot.
    pub start_ticks: u64,
}

/// Parent, terminal and start time in the text of `/proc/PID/stat`; see [`parse_stat`].
pub fn parse_status(text: &str) -> Option<Status> {
    let (_, start_ticks) = parse_stat(text)?;
    let (_, rest) = text.rsplit_once(')')?;
    // Fields 3, 4 and 7 of the whole line.
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let terminal: i32 = fields.nth(2)?.parse().ok()?;
    Some(Status {
        parent,
        terminal: terminal.cast_unsigned(),
        start_ticks,
    })
}

/// A terminal's name below `/dev` by its device number (field 7 of `/proc/PID/stat`): `pts/3`,
/// `tty1`, `ttyS0`; empty for 0 and for any other device.
pub fn terminal(device: u32) -> String {
    // Linux: bits 0 to 7 and 20 to 31 are the minor number, 8 to 19 the major.
    let (major, minor) = (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xfff00),
    );
    match (major, minor) {
        // 136 to 143 are the pseudo terminals; the kernel uses the first for all of them.
        (136..=143, _) => format!("pts/{}", (major - 136) * 256 + minor),
        (4, 0..=63) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        _ => String::new(),
    }
}

/// State and start time (in clock ticks since the boot) in the text of `/proc/PID/stat`.
///
/// The second field is the program's name in parentheses, which may contain anything, even
/// parentheses and spaces; so the fields are counted from the last one.
pub fn parse_stat(text: &str) -> Option<(char, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state was field 3.
    let start_ticks = fields.nth(START_TICKS_FIELD - 4)?.parse().ok()?;
    Some((state, start_ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        for name in ["sh", "a b", ") Z 1 (", "(((", ""] {
            assert_eq!(parse_stat(&format!("7 ({name}) {rest}")), Some(('S', 4242)));
        }
        assert_eq!(parse_stat("7 (sh) S 1 2"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn parents_and_terminals_are_read() {
        let line = "7 (a) b) S 42 7 7 34819 7 4194560 8 9 10 11 12 13 14 15 16 17 18 19 4242 20";
        let expected = Status {
            parent: 42,
            terminal: 34_819,
            start_ticks: 4242,
        };
        assert_eq!(parse_status(line), Some(expected));
        assert_eq!(parse_status("7 (sh) S"), None);
        let table = [
            (0, ""),
            (34_819, "pts/3"),
            (0x0010_8801, "pts/257"),
            (1025, "tty1"),
            (1088, "ttyS0"),
            (0x0103, ""),
        ];
        for (device, name) in table {
            assert_eq!(terminal(device), name, "{device:#x}");
        }
    }

    #[test]
    fn the_living_live_and_the_dead_do_not() {
        let own = own_identity().expect("/proc");
        assert!(is_alive(&own));
        let mut earlier = own.clone();
        earlier.start_ticks -= 1;
        assert!(!is_alive(&earlier), "the pid was used again");
        let mut last_week = own;
        last_week.boot_id = "00000000-0000-0000-0000-000000000000".to_owned();
        assert!(!is_alive(&last_week), "the machine was started again");
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let gone = process_identity(child.id());
        // Reaping it is not necessary: a zombie counts as dead.
        child.wait().expect("its end");
        if let Ok(gone) = gone {
            assert!(!is_alive(&gone));
        }
    }
}
