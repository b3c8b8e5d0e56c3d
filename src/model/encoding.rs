//! Detects the encoding of a text that a person wrote: UTF-8, or the name of another one.

use std::fmt;

/// A file that is not UTF-8. As text, it is a sentence about the file, with the command that
/// converts it; see [`NotUtf8::remedy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUtf8 {
    /// UTF-16, recognised by its byte order mark or by its zero bytes.
    Utf16 {
        /// The order of the bytes.
        big_endian: bool,
    },
    /// UTF-32, recognised by its byte order mark.
    Utf32 {
        /// The order of the bytes.
        big_endian: bool,
    },
    /// Something else, most often Latin-1 or Windows-1252.
    Byte {
        /// The first byte that cannot be read.
        byte: u8,
        /// Its line, from 1.
        line: usize,
        /// Its place in the line in characters, from 1.
        column: usize,
    },
}

/// Bytes at the beginning of a file that show whether it is UTF-16 without a mark.
const PROBE_BYTES: usize = 1_024;

/// The text of a file, without the byte order mark that Windows puts before UTF-8.
///
/// # Errors
/// It is not UTF-8.
pub fn decode(bytes: &[u8]) -> Result<&str, NotUtf8> {
    if let Some(wide) = wide(bytes) {
        return Err(wide);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, rest) = bytes.split_at(error.valid_up_to());
        let good = String::from_utf8_lossy(good);
        let line = good.matches('\n').count() + 1;
        let before = good.rsplit('\n').next().unwrap_or_default();
        NotUtf8::Byte {
            byte: rest.first().copied().unwrap_or_default(),
            line,
            column: before.chars().count() + 1,
        }
    })
}

fn wide(bytes: &[u8]) -> Option<NotUtf8> {
    match bytes {
        // Before UTF-16, whose mark is the beginning of this one.
        [0xff, 0xfe, 0, 0, ..] => return Some(NotUtf8::Utf32 { big_endian: false }),
        [0, 0, 0xfe, 0xff, ..] => return Some(NotUtf8::Utf32 { big_endian: true }),
        [0xff, 0xfe, ..] => return Some(NotUtf8::Utf16 { big_endian: false }),
        [0xfe, 0xff, ..] => return Some(NotUtf8::Utf16 { big_endian: true }),
        _ => {}
    }
    // Without a mark: in a config or a backlog nearly every second byte is zero.
    let probe = bytes.get(..PROBE_BYTES).unwrap_or(bytes);
    let pairs = probe.chunks_exact(2);
    let count = pairs.len();
    let zeros = |at: usize| {
        pairs
            .clone()
            .filter(|pair| pair.get(at) == Some(&0))
            .count()
    };
    let (first, second) = (zeros(0), zeros(1));
    if count < 2 {
        None
    } else if second * 2 > count && first * 8 < count {
        Some(NotUtf8::Utf16 { big_endian: false })
    } else if first * 2 > count && second * 8 < count {
        Some(NotUtf8::Utf16 { big_endian: true })
    } else {
        None
    }
}

impl NotUtf8 {
    /// The line of the problem, from 1; 0 for the whole file.
    pub fn line(self) -> usize {
        match self {
            Self::Byte { line, .. } => line,
            Self::Utf16 { .. } | Self::Utf32 { .. } => 0,
        }
    }

    /// The command that converts the file of this name; `-` and the like become FILE.
    pub fn remedy(self, file: &str) -> String {
        let plain = |name: &str| {
            let harmless = |c: char| c.is_alphanumeric() || "/._-+@%,".contains(c);
            !name.is_empty() && !name.starts_with('-') && name.chars().all(harmless)
        };
        let file = if plain(file) { file } else { "FILE" };
        let (from, guess) = match self {
            Self::Utf16 { big_endian: false } => ("UTF-16LE", ""),
            Self::Utf16 { big_endian: true } => ("UTF-16BE", ""),
            Self::Utf32 { big_endian: false } => ("UTF-32LE", ""),
            Self::Utf32 { big_endian: true } => ("UTF-32BE", ""),
            Self::Byte { .. } => ("WINDOWS-1252", " (if that is its encoding)"),
        };
        format!("convert it: `iconv -f {from} -t UTF-8 {file} >{file}.utf8`{guess}")
    }
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = |big_endian: bool| if big_endian { "big" } else { "little" };
        match *self {
            Self::Utf16 { big_endian } => {
                let order = order(big_endian);
                write!(f, "the file is in UTF-16 ({order} endian), not UTF-8")
            }
            Self::Utf32 { big_endian } => {
                let order = order(big_endian);
                write!(f, "the file is in UTF-32 ({order} endian), not UTF-8")
            }
            Self::Byte { byte, line, column } => write!(
                f,
                "the file is not UTF-8: byte 0x{byte:02X} at line {line}, column {column}"
            ),
        }
    }
}

impl std::error::Error for NotUtf8 {}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn utf8_is_read_with_or_without_its_mark() {
        for text in ["", "x", "a = \"Grüße, 日本語\"\n", "a\0b"] {
            assert_eq!(decode(text.as_bytes()), Ok(text));
            let marked = format!("\u{feff}{text}");
            assert_eq!(decode(marked.as_bytes()), Ok(text));
        }
    }

    #[test]
    fn other_encodings_are_named_with_line_and_remedy() {
        let text = "[run]\nbranch = \"größe\"\n";
        let little = utf16(text, u16::to_le_bytes);
        let big = utf16(text, u16::to_be_bytes);
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        let table: &[(Vec<u8>, &str, &str)] = &[
            (
                marked(&[0xff, 0xfe], &little),
                "UTF-16 (little endian)",
                "-f UTF-16LE -t UTF-8 a.toml",
            ),
            (
                marked(&[0xfe, 0xff], &big),
                "UTF-16 (big endian)",
                "-f UTF-16BE",
            ),
            (little, "UTF-16 (little endian)", "-f UTF-16LE"),
            (big, "UTF-16 (big endian)", "-f UTF-16BE"),
            (
                b"\xff\xfe\0\0x\0\0\0".to_vec(),
                "UTF-32 (little endian)",
                "-f UTF-32LE",
            ),
            (
                b"one\ntwo\nth\xc3\xbc caf\xe9 x\n".to_vec(),
                "not UTF-8: byte 0xE9 at line 3, column 8",
                "-f WINDOWS-1252 -t UTF-8 a.toml",
            ),
            (b"\xe9".to_vec(), "byte 0xE9 at line 1, column 1", "iconv"),
            // Half a character at the end.
            (
                b"a\n\xc3".to_vec(),
                "byte 0xC3 at line 2, column 1",
                "iconv",
            ),
        ];
        for (bytes, what, remedy) in table {
            let error = decode(bytes).expect_err(what);
            assert!(error.to_string().contains(what), "{error}");
            let advice = error.remedy("a.toml");
            assert!(advice.contains(remedy), "{advice}");
        }
        let odd = NotUtf8::Utf16 { big_endian: false }.remedy("-");
        assert!(odd.contains("UTF-8 FILE >FILE.utf8"), "{odd}");
    }
}
