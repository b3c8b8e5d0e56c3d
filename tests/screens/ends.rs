//! What `run` and `demo` print at their end.

use crewlog::cli::engine::Ended;
use crewlog::cli::exit::ExitCode;
use crewlog::cli::pages::end;
use crewlog::scheduler::Ending;

use crate::kit;
use crate::status::finished;

#[test]
fn ends() {
    let program = "scheduler";
    let root = "/tmp/crewlog-demo";
    kit::check("ends", |out| {
        let mut screens = Vec::new();
        let mut codes = Vec::new();
        for (title, story) in finished() {
            let run = story
                .state
                .run
                .as_ref()
                .and_then(|run| run.finished.clone());
            let (outcome, reason) = run.expect("it is over");
            let ended = Ended {
                ending: Ending::Finished(outcome),
                state: story.state.clone(),
            };
            let code = ended.code();
            codes.push(code);
            let text = end::run(ended.reason(), out);
            screens.push((format!("run, {title}, exit {}", code.code()), text));
            let text = end::demo(&story.state, &reason, 93_000, (program, root), out);
            screens.push((format!("demo, {title}"), text));
        }
        use ExitCode::*;
        assert_eq!(codes, [Passing, SomeFailed, WaitingForPerson, BudgetSpent]);
        let text = end::run(end::INTERRUPTED, out);
        screens.push(("run, interrupted, exit 130".to_owned(), text));
        screens
    });
}
