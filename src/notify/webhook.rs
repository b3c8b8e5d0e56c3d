//! A web address.

use std::time::Duration;

use ureq::Agent;

use super::payload::Payload;
use super::target::{Failed, Target};

/// Time for one try, from the look-up of the name to the answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Most redirections.
const REDIRECTS_MAX: u32 = 3;

/// An address that gets the notice as JSON by POST.
pub struct WebhookTarget {
    address: String,
    agent: Agent,
}

impl WebhookTarget {
    /// Posts to this address.
    pub fn new(address: String) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .max_redirects(REDIRECTS_MAX)
            .http_status_as_error(false)
            .build();
        Self {
            address,
            agent: config.into(),
        }
    }
}

impl Target for WebhookTarget {
    fn name(&self) -> &'static str {
        "notify.webhook"
    }

    fn deliver(&self, payload: &Payload, _given_up: &dyn Fn() -> bool) -> Result<(), Failed> {
        let request = self
            .agent
            .post(&self.address)
            .header("Content-Type", "application/json")
            .header("User-Agent", concat!("crewlog/", env!("CARGO_PKG_VERSION")));
        let answer = request.send(payload.json());
        let answer = answer.map_err(|error| Failed {
            // The words of the error may quote the address, which may be a secret.
            why: error.to_string().replace(&self.address, "the address"),
            again: true,
        })?;
        let status = answer.status().as_u16();
        match status {
            200..300 => Ok(()),
            status => Err(Failed {
                why: format!("it answered with HTTP {status}"),
                // Other errors of the 4xx class mean that the request is wrong.
                again: !(400..500).contains(&status) || matches!(status, 408 | 425 | 429),
            }),
        }
    }
}
