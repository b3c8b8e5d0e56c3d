//! Replaces secrets in what agents and programs write, before anything of it reaches a disk, the
//! log or a terminal. Known values are those of the variables that an agent gets; unknown ones are
//! recognised by the forms of providers' keys. Without I/O.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// What replaces a secret.
const MASKED: &[u8] = b"[masked]";

/// A shorter value (`1`, `true`, `eu`) is no secret, and masking it would garble everything.
const VALUE_BYTES_MIN: usize = 8;

/// Bytes of an unfinished line that are held back; a longer line is passed on in pieces.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A secret is shorter, so none is cut when a long line is passed on in pieces.
const SECRET_BYTES_MAX: usize = 4 * 1024;

/// A private key has fewer lines; a longer text only begins like one.
const KEY_LINES_MAX: u32 = 200;

/// Forms of keys: their prefix, and how many letters follow at least. A shorter text with this
/// prefix is an example or a name.
const FORMS: [(&[u8], usize); 18] = [
    (b"sk-", 20),
    (b"sk_live_", 16),
    (b"rk_live_", 16),
    (b"ghp_", 20),
    (b"gho_", 20),
    (b"ghu_", 20),
    (b"ghs_", 20),
    (b"ghr_", 20),
    (b"github_pat_", 20),
    (b"glpat-", 16),
    (b"xoxb-", 16),
    (b"xoxp-", 16),
    (b"xapp-", 16),
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"AIza", 30),
    (b"npm_", 30),
    (b"hf_", 30),
];

const BEARER: &[u8] = b"bearer ";
const BEARER_BYTES_MIN: usize = 16;
const KEY_BEGIN: &[u8] = b"-----BEGIN ";
const KEY_END: &[u8] = b"-----END ";
const KEY_KIND: &[u8] = b"PRIVATE KEY-----";

/// Names of variables whose values are always secrets.
const SECRET_NAMES: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];

/// True if a variable of this name contains a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// What is replaced.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// Longest first, so that a value that contains another one is masked completely.
    values: Vec<Vec<u8>>,
}

impl Mask {
    /// Masks these values and everything in the form of a key. Paths and short values are no
    /// secrets. Of a value of several lines, each line is one.
    pub fn new<'v>(values: impl IntoIterator<Item = &'v str>) -> Self {
        let mut found: Vec<Vec<u8>> = Vec::new();
        for line in values.into_iter().flat_map(str::lines) {
            let line = line.trim();
            if line.len() < VALUE_BYTES_MIN || line.starts_with('/') {
                continue;
            }
            found.push(line.as_bytes().to_vec());
            // As it is written in an agent's JSON.
            let escaped = serde_json::Value::from(line).to_string();
            let escaped = escaped.trim_matches('"');
            if escaped != line {
                found.push(escaped.as_bytes().to_vec());
            }
        }
        found.sort_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        found.dedup();
        Self { values: found }
    }

    /// The text without its secrets.
    pub fn text(&self, text: &str) -> String {
        let mut lines = Lines::of(self);
        let masked: Vec<u8> = text
            .split_inclusive('\n')
            .flat_map(|line| lines.line(line.as_bytes()).into_owned())
            .collect();
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// Positions of secrets in a line, in order and without overlaps.
    fn hits(&self, line: &[u8]) -> Vec<Range<usize>> {
        let mut hits = Vec::new();
        let mut at = 0;
        while at < line.len() {
            match self.hit(line, at) {
                Some(range) => {
                    at = range.end;
                    hits.push(range);
                }
                None => at += 1,
            }
        }
        hits
    }

    fn hit(&self, line: &[u8], at: usize) -> Option<Range<usize>> {
        let rest = line.get(at..)?;
        let value = self.values.iter().find(|value| rest.starts_with(value));
        if let Some(value) = value {
            return Some(at..at + value.len());
        }
        let begins = at
            .checked_sub(1)
            .and_then(|before| line.get(before))
            .is_none_or(|before| !is_letter(*before));
        if !begins {
            return None;
        }
        let form = FORMS.iter().find(|(begin, _)| rest.starts_with(begin));
        if let Some((begin, least)) = form {
            let letters = letters_of(rest.get(begin.len()..)?);
            return (letters >= *least).then(|| at..at + begin.len() + letters);
        }
        let head = rest.get(..BEARER.len())?;
        if head.eq_ignore_ascii_case(BEARER) {
            let token = rest.get(BEARER.len()..)?;
            let in_token = |byte: &u8| is_letter(*byte) || b".~+/=".contains(byte);
            let length = token.iter().take_while(|byte| in_token(byte)).count();
            let from = at + BEARER.len();
            return (length >= BEARER_BYTES_MIN).then(|| from..from + length);
        }
        None
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn letters_of(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| is_letter(**byte)).count()
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Masks a text line by line: a private key has many.
#[derive(Clone, Debug)]
pub struct Lines<M> {
    mask: M,
    /// Number of lines since a private key began that has not ended.
    in_key: Option<u32>,
}

impl<M: std::ops::Deref<Target = Mask>> Lines<M> {
    /// Before the first line.
    pub fn of(mask: M) -> Self {
        Self { mask, in_key: None }
    }

    /// Masks the next line, with or without its end.
    pub fn line<'l>(&mut self, line: &'l [u8]) -> Cow<'l, [u8]> {
        let end = if line.ends_with(b"\n") {
            &b"\n"[..]
        } else {
            b""
        };
        if let Some(lines) = self.in_key {
            let ended = position(line, KEY_END)
                .and_then(|at| Some(at + position(line.get(at..)?, KEY_KIND)? + KEY_KIND.len()));
            self.in_key = (ended.is_none() && lines < KEY_LINES_MAX).then_some(lines + 1);
            let rest = ended.and_then(|at| line.get(at..)).unwrap_or(end);
            return Cow::Owned(rest.to_vec());
        }
        let key = position(line, KEY_BEGIN).filter(|at| {
            let near = line.get(*at..(*at + 64).min(line.len()));
            near.is_some_and(|near| position(near, KEY_KIND).is_some())
        });
        let Some(key) = key else {
            return self.within(line);
        };
        let (before, from) = line.split_at(key);
        let mut out = self.within(before).into_owned();
        out.extend_from_slice(MASKED);
        // In JSON the whole key is in one line.
        let ended = position(from, KEY_END)
            .and_then(|at| Some(at + position(from.get(at..)?, KEY_KIND)? + KEY_KIND.len()));
        match ended.and_then(|at| from.get(at..)) {
            Some(rest) => out.extend_from_slice(&self.line(rest)),
            None => {
                self.in_key = Some(0);
                out.extend_from_slice(end);
            }
        }
        Cow::Owned(out)
    }

    fn within<'l>(&self, line: &'l [u8]) -> Cow<'l, [u8]> {
        let hits = self.mask.hits(line);
        if hits.is_empty() {
            return Cow::Borrowed(line);
        }
        let mut out = Vec::with_capacity(line.len());
        let mut at = 0;
        for hit in hits {
            out.extend_from_slice(line.get(at..hit.start).unwrap_or_default());
            out.extend_from_slice(MASKED);
            at = hit.end;
        }
        out.extend_from_slice(line.get(at..).unwrap_or_default());
        Cow::Owned(out)
    }
}

/// Masks a stream of bytes, however it is cut into pieces.
#[derive(Clone, Debug)]
pub struct Stream {
    lines: Lines<Arc<Mask>>,
    held: Vec<u8>,
}

impl Stream {
    /// Before the first byte.
    pub fn new(mask: Arc<Mask>) -> Self {
        Self {
            lines: Lines::of(mask),
            held: Vec::new(),
        }
    }

    /// Takes the next bytes, and returns those that can be passed on.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end + 1);
            self.held.extend_from_slice(line);
            let held = std::mem::take(&mut self.held);
            out.extend_from_slice(&self.lines.line(&held));
            bytes = rest;
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() > LINE_BYTES_MAX {
            let mut cut = self.held.len() - SECRET_BYTES_MAX;
            let hits = self.lines.mask.hits(&self.held);
            let across = hits.iter().find(|hit| hit.start < cut && cut < hit.end);
            cut = across.map_or(cut, |hit| hit.start).max(1);
            let rest = self.held.split_off(cut);
            let held = std::mem::replace(&mut self.held, rest);
            out.extend_from_slice(&self.lines.line(&held));
        }
        out
    }

    /// The stream has ended. Returns what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        self.lines.line(&held).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nqFz0\n-----END RSA PRIVATE KEY-----";

    fn mask() -> Mask {
        Mask::new([
            "hunter2-hunter2",
            "1",
            "/home/me/.config",
            "two \"words\" here",
            "first-line\nsecond-line",
        ])
    }

    #[test]
    fn secrets_are_replaced_and_all_else_stays() {
        let token = "a1B2".repeat(10);
        let key_in_json = format!("{{\"key\":\"{}\"}}", KEY.replace('\n', "\\n"));
        let table = [
            ("nothing to hide: 1 /home/me/.config\n".to_owned(), None),
            (
                "password is hunter2-hunter2!".to_owned(),
                Some("password is [masked]!"),
            ),
            (
                "{\"x\":\"two \\\"words\\\" here\"}".to_owned(),
                Some("{\"x\":\"[masked]\"}"),
            ),
            ("second-line".to_owned(), Some("[masked]")),
            (
                format!("key=sk-ant-api03-{token}\n"),
                Some("key=[masked]\n"),
            ),
            (format!("'ghp_{token}', x"), Some("'[masked]', x")),
            ("AKIAIOSFODNN7EXAMPLE;".to_owned(), Some("[masked];")),
            (
                format!("Authorization: Bearer {token}.{token}\r\n"),
                Some("Authorization: Bearer [masked]\r\n"),
            ),
            (format!("a\n{KEY}\nb\n"), Some("a\n[masked]\n\n\n\nb\n")),
            (key_in_json, Some("{\"key\":\"[masked]\"}")),
            // Words that only look like it.
            (format!("task-{token} and disk-{token}"), None),
            ("sk-short, ghp_x, AKIA".to_owned(), None),
            (
                "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n".to_owned(),
                None,
            ),
        ];
        for (text, expected) in table {
            assert_eq!(mask().text(&text), expected.unwrap_or(&text), "{text}");
        }
    }

    #[test]
    fn the_pieces_of_a_stream_do_not_matter() {
        let long = "x ".repeat(50_000);
        let text = format!(
            "one hunter2-hunter2 two\n{KEY}\nsk-{} {long}hunter2-hunter2{long}\nend hunter2-hunter2",
            "z".repeat(40)
        );
        let whole = mask().text(&text);
        assert!(!whole.contains("hunter2") && !whole.contains("MIIE") && !whole.contains("zzz"));
        for piece in [1, 7, 1_000, 16_384, 65_537] {
            let mut stream = Stream::new(Arc::new(mask()));
            let mut out = Vec::new();
            for bytes in text.as_bytes().chunks(piece) {
                out.extend(stream.push(bytes));
                assert!(stream.held.len() <= LINE_BYTES_MAX + piece);
            }
            out.extend(stream.finish());
            assert_eq!(String::from_utf8_lossy(&out), whole, "{piece}");
        }
    }
}
