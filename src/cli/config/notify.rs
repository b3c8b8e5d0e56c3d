//! The section `[notify]`.

use super::Config;
use crate::cli::error::Error;
use crate::notify::Targets;

impl Config {
    pub(super) fn check_notify(&self) -> Result<(), Error> {
        let webhook = self.file.notify.webhook.as_str();
        let known = ["http://", "https://", "$"];
        if webhook.is_empty() || known.iter().any(|begin| webhook.starts_with(begin)) {
            return Ok(());
        }
        // The value may be a secret with a mistake in it.
        let problem = "notify.webhook: must begin with https:// or http://, or name an environment variable: \"$NAME\"";
        Err(self.wrong("notify.webhook", problem.to_owned(), ""))
    }

    /// Whom to tell. `own` looks up an environment variable.
    ///
    /// # Errors
    /// The variable that has the address is not set.
    pub fn notify(&self, own: impl Fn(&str) -> Option<String>) -> Result<Targets, Error> {
        let notify = &self.file.notify;
        let set = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        let webhook = match notify.webhook.strip_prefix('$') {
            None => set(&notify.webhook),
            Some(name) => {
                let value = own(name).filter(|value| !value.trim().is_empty());
                let Some(value) = value else {
                    let problem = format!("notify.webhook: ${name} is not set");
                    let next = format!(
                        "set the environment variable {name} to the address, or remove this key"
                    );
                    return Err(self.wrong("notify.webhook", problem, &next));
                };
                Some(value.trim().to_owned())
            }
        };
        Ok(Targets {
            command: set(&notify.command),
            webhook,
            kinds: notify.events.clone(),
        })
    }
}
