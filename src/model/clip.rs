//! Cuts texts that are too long.

/// The longest beginning of `text` of at most `bytes_max` bytes that ends between characters.
pub fn clip(text: &str, bytes_max: usize) -> &str {
    let end = text.floor_char_boundary(bytes_max);
    text.get(..end).unwrap_or_default()
}

/// The first `chars_max` characters of `text`.
pub fn clip_chars(text: &str, chars_max: usize) -> &str {
    let end = text.char_indices().nth(chars_max);
    let end = end.map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

/// As [`clip`], with `…` after it if something was cut; the mark's three bytes are extra.
pub fn clip_marked(text: &str, bytes_max: usize) -> String {
    let kept = clip(text, bytes_max);
    let mark = if kept.len() < text.len() { "…" } else { "" };
    format!("{kept}{mark}")
}

/// As [`clip`], without control characters, for foreign texts on one line.
pub fn clip_clean(text: &str, bytes_max: usize) -> String {
    let mut clean: String = text.chars().filter(|it| !it.is_control()).collect();
    clean.truncate(clip(&clean, bytes_max).len());
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_between_characters() {
        let table = [
            ("", 0, ""),
            ("ab", 0, ""),
            ("ab", 1, "a"),
            ("ab", 2, "ab"),
            ("ab", 9, "ab"),
            ("ää", 3, "ä"),
            ("ää", 1, ""),
            ("日本", 5, "日"),
        ];
        for (text, bytes_max, kept) in table {
            assert_eq!(clip(text, bytes_max), kept, "{text} {bytes_max}");
        }
        assert_eq!(clip_chars("日本", 1), "日");
        assert_eq!(clip_chars("日本", 2), "日本");
        assert_eq!(clip_marked("ää", 3), "ä…");
        assert_eq!(clip_marked("ää", 4), "ää");
        assert_eq!(clip_clean("a\u{1b}\nbä", 3), "ab");
        assert_eq!(clip_clean("a\tb", 9), "ab");
    }
}
