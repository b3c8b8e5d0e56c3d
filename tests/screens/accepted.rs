//! What commands of a person print when they are accepted.

use crewlog::cli::pages::accepted::page;
use crewlog::model::command::PersonCommand;
use crewlog::model::ids::FeatureId;

use crate::kit;

fn commands() -> Vec<PersonCommand> {
    use PersonCommand::*;
    let feature = FeatureId(118);
    let text = String::new;
    kit::every!(PersonCommand {
        Pause { .. } => Pause { reason: text() },
        Resume => Resume,
        Retry { .. } => Retry { features: vec![feature] },
        Skip { .. } => Skip { feature, reason: text() },
        Remove { .. } => Remove { feature },
        ChangeSettings { .. } => ChangeSettings { changes: Vec::new() },
        Answer { .. } => Answer { feature, answer: text() },
        Import { .. } => Import { features: Vec::new(), update: false },
        ImportFile { .. } => ImportFile { features: Vec::new(), update: false },
    })
}

#[test]
fn accepted() {
    kit::check("accepted", |out| {
        let mut screens = Vec::new();
        for command in commands() {
            let name = format!("{command:?}");
            let name: String = name.chars().take_while(|it| it.is_alphanumeric()).collect();
            // `import` has its own summary.
            if name.starts_with("Import") {
                continue;
            }
            let counts = match command {
                PersonCommand::Retry { .. } => vec![1, 2, 0],
                _ => vec![1, 0],
            };
            for events in counts {
                let text = page(&command, events, "max_concurrency=5 idle_limit=20m", out);
                screens.push((format!("{name}, events: {events}"), text));
            }
        }
        let every = PersonCommand::Retry {
            features: Vec::new(),
        };
        let text = page(&every, 0, "", out);
        screens.push(("Retry of everything, events: 0".to_owned(), text));
        screens
    });
}
