//! The verdict file: what an agent says of its own work. A claim, never a proof.

use serde::Deserialize;

use crate::model::ids::FeatureId;

/// A longer verdict file is not read: it holds a sentence or two for each of fifty features.
pub const VERDICT_BYTES_MAX: u64 = 64 * 1024;

/// What an agent says of one feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It works.
    Pass,
    /// It does not, or could not be done; why.
    Fail(String),
    /// A person must answer this first.
    Input(String),
}

/// The claims of one session, at most one for each feature.
pub type Claims = Vec<(FeatureId, Claim)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    feature: Option<u32>,
    verdict: String,
    reason: Option<String>,
    question: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entries {
    Many(Vec<Entry>),
    One(Entry),
}

/// Reads a verdict file about the features of one job. An empty file is as good as none. The
/// error is a sentence about the file, for people and for the next attempt.
pub fn parse(text: &[u8], features: &[FeatureId]) -> Result<Claims, String> {
    if text.len() as u64 > VERDICT_BYTES_MAX {
        return Err(format!("is longer than {VERDICT_BYTES_MAX} bytes"));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    let entries: Entries = serde_json::from_slice(text)
        .map_err(|error| format!("is not an object or an array of verdicts ({error})"))?;
    let entries = match entries {
        Entries::Many(many) => many,
        Entries::One(one) => vec![one],
    };
    let mut claims = Claims::new();
    for entry in entries {
        let (feature, claim) = claim(entry, features)?;
        if claims.iter().any(|(other, _)| *other == feature) {
            return Err(format!("names feature {feature} twice"));
        }
        claims.push((feature, claim));
    }
    Ok(claims)
}

fn claim(entry: Entry, features: &[FeatureId]) -> Result<(FeatureId, Claim), String> {
    let feature = match (entry.feature, features) {
        (Some(number), _) => FeatureId(number),
        (None, [only]) => *only,
        (None, _) => return Err("does not say which feature it speaks of".to_owned()),
    };
    if !features.contains(&feature) {
        return Err(format!("names feature {feature}, which is not in this job"));
    }
    let words = |text: Option<String>, what: &str| match text {
        Some(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        _ => Err(format!("gives no {what} for feature {feature}")),
    };
    let claim = match entry.verdict.as_str() {
        "pass" => Claim::Pass,
        "fail" => Claim::Fail(words(entry.reason, "reason")?),
        "input" => Claim::Input(words(entry.question, "question")?),
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(format!(
                "says {other:?} of feature {feature}; it must be pass, fail or input"
            ));
        }
    };
    Ok((feature, claim))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: FeatureId = FeatureId(5);
    const SIX: FeatureId = FeatureId(6);

    #[test]
    fn claims_are_read() {
        let one = &[FIVE][..];
        let two = &[FIVE, SIX][..];
        let table: &[(&str, &[FeatureId], Claims)] = &[
            ("", one, vec![]),
            (" \n", one, vec![]),
            ("[]", one, vec![]),
            (r#"{"verdict":"pass"}"#, one, vec![(FIVE, Claim::Pass)]),
            (
                r#"{"feature":5,"verdict":"fail","reason":" no network "}"#,
                one,
                vec![(FIVE, Claim::Fail("no network".into()))],
            ),
            (
                r#"[{"feature":6,"verdict":"input","question":"Which?"},{"feature":5,"verdict":"pass"}]"#,
                two,
                vec![(SIX, Claim::Input("Which?".into())), (FIVE, Claim::Pass)],
            ),
        ];
        for (text, features, expected) in table {
            assert_eq!(parse(text.as_bytes(), features).as_ref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_claim_is_refused_in_words() {
        let long = vec![b' '; VERDICT_BYTES_MAX as usize + 1];
        let table: &[(&[u8], &str)] = &[
            (&long, "longer than"),
            (b"pass", "not an object"),
            (b"\xff\xfe", "not an object"),
            (br#"{"verdict":"done"}"#, "does not say which feature"),
            (br#"{"feature":5,"verdict":"done"}"#, "must be pass"),
            (br#"{"feature":7,"verdict":"pass"}"#, "not in this job"),
            (br#"{"feature":5,"verdict":"fail"}"#, "no reason"),
            (
                br#"{"feature":5,"verdict":"input","question":" "}"#,
                "no question",
            ),
            (br#"{"feature":5,"verdict":"pass","x":1}"#, "not an object"),
            (
                br#"[{"feature":5,"verdict":"pass"},{"feature":5,"verdict":"pass"}]"#,
                "twice",
            ),
        ];
        for (text, words) in table {
            let error = parse(text, &[FIVE, SIX]).expect_err(words);
            assert!(error.contains(words), "{error:?} should say {words:?}");
        }
    }
}
