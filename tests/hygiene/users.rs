//! Machines that allow less: no namespaces, no root.

use std::process::{Command, Output};

use crate::kit::{AGENT, RUN, assert_nothing_left, config, merges, project, said, shell};
use crate::real::Project;

/// Runs `$S` with these arguments where no namespace can be made.
fn without_namespaces(project: &Project, args: &str) -> Option<Output> {
    // The limits hold below the user namespace in which they are set.
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && echo 0 > /proc/sys/user/max_pid_namespaces \
         && ! unshare -U true 2>/dev/null && ! unshare -p true 2>/dev/null || exit 77; $S {args}"
    );
    let plain = shell(project, &script);
    let mut command = Command::new("unshare");
    command.env_clear().current_dir(&project.root);
    let env = plain.get_envs();
    command.envs(env.filter_map(|(name, value)| Some((name, value?))));
    let output = command.args(["-r", "sh", "-c", &script]).output().ok()?;
    let missing = output.status.code() == Some(77) || said(&output).starts_with("unshare: ");
    if missing {
        eprintln!(
            "skipped: namespaces cannot be forbidden here: {}",
            said(&output)
        );
        return None;
    }
    Some(output)
}

#[test]
fn without_namespaces_nothing_is_left_either() {
    let project = project(AGENT, "", 2);
    let Some(run) = without_namespaces(&project, &RUN.join(" ")) else {
        return;
    };
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert_nothing_left(&project);
    assert_eq!(merges(&project).len(), 2);
}

#[test]
fn a_namespace_that_is_asked_for_and_forbidden_is_named() {
    let project = project(AGENT, "", 1);
    let isolation = "[environment]\nisolation = \"namespace\"\n";
    let text = config(AGENT, isolation).replace("[run]\n", "[run]\nworker_wait = \"2s\"\n");
    project.write(".crewlog/config.toml", &text);
    let Some(run) = without_namespaces(&project, &RUN.join(" ")) else {
        return;
    };
    assert_eq!(run.status.code(), Some(4), "{}", said(&run));
    assert!(said(&run).contains("no pid namespace"), "{}", said(&run));
    assert_nothing_left(&project);
}
