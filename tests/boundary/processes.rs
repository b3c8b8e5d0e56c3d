//! Other processes, sockets, mounts and devices.

use std::io::Read;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command};

use crewlog::agent::cage::Network;

use super::kit::{CAGES, Ground, How, has, is_root};

/// A process of the person's; ended with the test.
struct Victim(Child);

impl Victim {
    fn new() -> Self {
        Self(Command::new("sleep").arg("300").spawn().expect("sleep"))
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("waited").is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn signals_stay_inside() {
    let mut victim = Victim::new();
    let script = format!(
        "kill -9 {0}; sleep 0.2; kill -0 {0} && echo alive",
        victim.0.id()
    );
    for how in CAGES {
        let ground = Ground::new();
        let caged = ground.run(how, &script);
        assert!(victim.lives(), "{how:?}: {}", caged.output);
    }
    Ground::new().run(How::Free, &script);
    assert!(!victim.lives(), "this test cannot fail");
}

#[test]
fn memory_of_other_processes_is_out_of_reach() {
    if !has("python3") {
        return;
    }
    let victim = Victim::new();
    let pid = victim.0.id();
    let tries = [
        format!("open('/proc/{pid}/mem', 'rb', 0); print('reached')"),
        format!("open('/proc/{pid}/environ', 'rb').read(); print('reached')"),
        format!(
            "import ctypes; libc = ctypes.CDLL(None)
if libc.ptrace(16, {pid}, 0, 0) == 0: print('reached'); libc.ptrace(17, {pid}, 0, 0)"
        ),
        format!("import os; os.open('/proc/{pid}/root/etc/passwd', 0); print('reached')"),
    ];
    for python in &tries {
        let script = format!("python3 - <<'END'\n{python}\nEND");
        let free = Ground::new().run(How::Free, &script);
        assert!(
            free.output.contains("reached"),
            "this test cannot fail: {}",
            free.output
        );
        for how in CAGES {
            let caged = Ground::new().run(how, &script);
            assert!(
                !caged.output.contains("reached"),
                "{how:?} {python}: {}",
                caged.output
            );
        }
    }
}

/// Whether a listener has been reached since it was asked last.
fn reached(accepted: std::io::Result<impl Read>) -> bool {
    accepted.is_ok()
}

#[test]
fn the_scheduler_s_socket_and_abstract_ones_cannot_be_reached() {
    if !has("python3") {
        return;
    }
    let ground = Ground::new();
    let path = ground.home().join("project/.git/crewlog/main/socket");
    let listener = UnixListener::bind(&path).expect("bound");
    listener.set_nonblocking(true).expect("set");
    let name = format!("crewlog-boundary-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let hidden = UnixListener::bind_addr(&address).expect("bound");
    hidden.set_nonblocking(true).expect("set");
    let connect = |to: &str| {
        format!("python3 -c \"import socket; socket.socket(socket.AF_UNIX).connect({to})\"")
    };
    let by_path = connect(&format!("'{}'", path.display()));
    let by_name = connect(&format!("'\\0{name}'"));
    ground.run(How::Free, &by_path);
    assert!(
        reached(listener.accept().map(|it| it.0)),
        "this test cannot fail"
    );
    ground.run(How::Free, &by_name);
    assert!(
        reached(hidden.accept().map(|it| it.0)),
        "this test cannot fail"
    );
    // Landlock of this version knows nothing of sockets with a path: there, the actor's rule holds.
    ground.run(How::Namespaces, &by_path);
    assert!(!reached(listener.accept().map(|it| it.0)));
    for how in CAGES {
        ground.run(how, &by_name);
        assert!(!reached(hidden.accept().map(|it| it.0)), "{how:?}");
    }
}

#[test]
fn a_network_of_its_own_has_a_loopback_device_and_nothing_else() {
    if !has("python3") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.set_nonblocking(true).expect("set");
    let port = listener.local_addr().expect("an address").port();
    let script = format!(
        "python3 - <<'END'
import socket
try: socket.create_connection(('127.0.0.1', {port}), 2)
except OSError as error: print(error)
here = socket.socket(); here.bind(('127.0.0.1', 0)); here.listen()
socket.create_connection(here.getsockname(), 2); print('own is reached')
END"
    );
    let mut ground = Ground::new();
    let caged = ground.run(How::Namespaces, &script);
    assert!(
        reached(listener.accept().map(|it| it.0)),
        "inherited: {}",
        caged.output
    );
    ground.network = Network::None;
    let caged = ground.run(How::Namespaces, &script);
    assert!(!reached(listener.accept().map(|it| it.0)));
    assert!(caged.output.contains("own is reached"), "{}", caged.output);
}

#[test]
fn no_daemon_outlives_the_attempt() {
    let word = format!("300.{}", std::process::id());
    let daemons = [
        format!("setsid sleep {word} &"),
        format!("nohup sleep {word} > /dev/null 2>&1 &"),
        format!("(setsid sh -c 'sleep {word} & sleep {word} &' &)"),
        format!("(env -i setsid sh -c 'setsid sleep {word} &' &)"),
    ];
    for how in CAGES {
        for daemon in &daemons {
            let ground = Ground::new();
            let ran = ground.run(
                how,
                &format!("{daemon}\nsleep 0.2; pgrep -f {word} | head -1; true"),
            );
            let own = format!("{word}\0");
            let left = std::fs::read_dir("/proc")
                .expect("/proc")
                .flatten()
                .any(|entry| {
                    let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    String::from_utf8_lossy(&line).ends_with(&own)
                });
            assert!(!left, "{how:?} {daemon}: {}", ran.output);
        }
    }
}

#[test]
fn mounts_and_namespaces_cannot_be_changed() {
    if !is_root() {
        eprintln!("NOT TESTED: what only root may try");
        return;
    }
    let tries = [
        "mkdir m && mount -t tmpfs none m && umount m && echo escaped",
        "mkdir m && mount --bind $HOME m && umount m && echo escaped",
        "unshare -m true && echo escaped",
        "unshare -p --fork true && echo escaped",
        "nsenter -t $$ -m true && echo escaped",
        "chroot / true && echo escaped",
        "mknod disk b 254 0 && rm disk && echo escaped",
        "mknod tty c 5 0 && rm tty && echo escaped",
        "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness && echo escaped",
    ];
    for script in tries {
        let free = Ground::new().run(How::Free, script);
        assert!(
            free.output.contains("escaped"),
            "{script}: this test cannot fail: {}",
            free.output
        );
        for how in CAGES {
            // Without mounts of its own, /proc is the machine's, and root's to write.
            if how == How::LandlockAlone && script.contains("/proc/sys") {
                continue;
            }
            let caged = Ground::new().run(how, script);
            assert!(
                !caged.output.contains("escaped"),
                "{how:?} {script}: {}",
                caged.output
            );
        }
    }
    for script in [
        "umount $HOME/project; umount -l $HOME/project; cat $HOME/project/src/private.rs",
        "umount -l $HOME/.ssh; cat $HOME/.ssh/id_ed25519",
        "mount -o remount,rw /; echo evil > $HOME/.bashrc && echo the-secret-7f3a",
        "unshare -Urm sh -c 'umount -l $HOME/.ssh; cat $HOME/.ssh/id_ed25519'",
        "unshare -Ur sh -c 'chroot / cat $HOME/.ssh/id_ed25519'",
        "cat /proc/1/root$HOME/.ssh/id_ed25519",
    ] {
        let caged = Ground::new().run(How::Namespaces, script);
        assert!(
            !caged.output.contains(super::SECRET),
            "{script}: {}",
            caged.output
        );
    }
}

#[test]
fn files_are_not_opened_by_handle() {
    if !is_root() || !has("python3") {
        eprintln!("NOT TESTED: what only root may try");
        return;
    }
    let script = "touch f; python3 - <<'END'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
class Handle(ctypes.Structure): _fields_ = [('size', ctypes.c_uint), ('kind', ctypes.c_int), ('data', ctypes.c_char * 128)]
handle, mount = Handle(128), ctypes.c_int()
assert libc.name_to_handle_at(-100, b'f', ctypes.byref(handle), ctypes.byref(mount), 0) == 0
if libc.open_by_handle_at(os.open('.', 0), ctypes.byref(handle), 0) >= 0: print('opened')
END";
    let free = Ground::new().run(How::Free, script);
    assert!(
        free.output.contains("opened"),
        "this test cannot fail: {}",
        free.output
    );
    for how in CAGES {
        let caged = Ground::new().run(how, script);
        assert!(
            !caged.output.contains("opened"),
            "{how:?}: {}",
            caged.output
        );
    }
}
