//! Reads the prompt template that a config names.

use crate::model::encoding;
use crate::model::settings::WorkerKind;

use super::config::Config;
use super::error::WorkerError;
use super::prompt::{TEMPLATE_BYTES_MAX, Template};

pub(super) fn template(config: &Config, kind: WorkerKind) -> Result<Template, WorkerError> {
    let (key, own) = match kind {
        WorkerKind::Coding => ("prompts.coding", &config.prompts.coding),
        WorkerKind::Testing => ("prompts.testing", &config.prompts.testing),
    };
    let Some(path) = own else {
        return Ok(Template::built_in(kind));
    };
    let path = config.places.project.join(path);
    let refuse = |problem: String| WorkerError::Template {
        key: key.to_owned(),
        path: path.clone(),
        problem,
    };
    let meta = std::fs::metadata(&path).map_err(|error| refuse(error.to_string()))?;
    if meta.len() > TEMPLATE_BYTES_MAX {
        return Err(refuse(format!(
            "it is longer than {TEMPLATE_BYTES_MAX} bytes"
        )));
    }
    let bytes = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
    let text = encoding::decode(&bytes).map_err(|error| {
        refuse(format!(
            "{error}; {}",
            error.remedy(&path.to_string_lossy())
        ))
    })?;
    Template::parse(text).map_err(|error| refuse(error.to_string()))
}
