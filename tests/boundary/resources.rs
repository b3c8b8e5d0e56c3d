//! Memory, processes and files that an attempt may use up.

use crewlog::agent::cage::{Exceeded, Limits};
use crewlog::model::evidence::CheckEnd;

use super::kit::{CAGES, Ground, How, has};

#[test]
fn memory_ends_at_its_limit_with_the_reason() {
    if !has("python3") {
        return;
    }
    // Two processes, each below the limit; they wait to be ended.
    let script = "hold() { python3 -c 'b = bytearray(80 << 20)
import time; time.sleep(20); print(\"unharmed\")'; }
hold & hold; wait";
    for how in CAGES {
        let mut ground = Ground::new();
        ground.limits = Limits {
            memory_bytes: 128 << 20,
            ..ground.limits
        };
        let ended = ground.run(how, script);
        assert_eq!(ended.exceeded, Some(Exceeded::Memory(128 << 20)), "{how:?}");
        assert!(!ended.output.contains("unharmed"));
    }
    let short = script.replace("sleep(20)", "sleep(2)");
    let ended = Ground::new().run(How::Namespaces, &short);
    assert_eq!(
        (ended.end, ended.exceeded),
        (CheckEnd::Exited(0), None),
        "{}",
        ended.output
    );
}

#[test]
fn processes_end_at_their_limit_with_the_reason() {
    // Bounded, so that a cage that does not hold harms nobody.
    let script = "i=0; while [ $i -lt 400 ]; do sleep 20 & i=$((i + 1)); done; wait";
    for how in CAGES {
        let mut ground = Ground::new();
        ground.limits = Limits {
            processes: 100,
            ..ground.limits
        };
        let ended = ground.run(how, script);
        assert_eq!(
            ended.exceeded,
            Some(Exceeded::Processes(100)),
            "{how:?}: {}",
            ended.output
        );
    }
    let few = script.replace("400", "50").replace("sleep 20", "sleep 1");
    let ended = Ground::new().run(How::Namespaces, &few);
    assert_eq!(
        (ended.end, ended.exceeded),
        (CheckEnd::Exited(0), None),
        "{}",
        ended.output
    );
}

#[test]
fn open_files_and_the_kernel_s_choice_are_set() {
    for how in CAGES {
        let mut ground = Ground::new();
        ground.limits.open_files = 512;
        let ran = ground.run(how, "ulimit -n; cat /proc/self/oom_score_adj");
        assert_eq!(ran.output, "512\n500\n", "{how:?}");
    }
}
