//! Parses Rust source just well enough to measure it.

mod circles;
pub mod modules;

/// A word, a `::`, or one character; comments are left out, and literals are a `"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

pub fn tokens(source: &str) -> Vec<Token> {
    let letters: Vec<char> = source.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&letter) = letters.get(at) {
        let end = end_of_token(&letters, at);
        let text: String = letters[at..end].iter().collect();
        let comment = text.starts_with("//") || text.starts_with("/*");
        let literal =
            text.ends_with('"') || text.ends_with('#') && text.contains('"') || letter == '\'';
        if literal {
            found.push(Token {
                text: "\"".to_owned(),
                line,
            });
        } else if !comment && !letter.is_whitespace() {
            let text = text.clone();
            found.push(Token { text, line });
        }
        line += text.matches('\n').count();
        at = end;
    }
    found
}

fn end_of_token(letters: &[char], at: usize) -> usize {
    let next = |offset: usize| letters.get(at + offset).copied().unwrap_or('\0');
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let until = |stop: &dyn Fn(usize) -> bool| (at + 1..letters.len()).find(|&at| stop(at));
    match letters[at] {
        '/' if next(1) == '/' => until(&|at| letters[at] == '\n').unwrap_or(letters.len()),
        '/' if next(1) == '*' => end_of_comment(letters, at),
        ':' if next(1) == ':' => at + 2,
        '"' => end_of_string(letters, at + 1),
        // A lifetime has no second quote after its first letter.
        '\'' if next(1) != '\\' && next(2) != '\'' => {
            until(&|at| !word(letters[at])).unwrap_or(letters.len())
        }
        '\'' => {
            let from = at + if next(1) == '\\' { 3 } else { 2 };
            let closing = (from..letters.len()).find(|&at| letters[at] == '\'');
            closing.map_or(letters.len(), |at| at + 1)
        }
        letter if word(letter) => {
            let end = until(&|at| !word(letters[at])).unwrap_or(letters.len());
            let prefix: String = letters[at..end].iter().collect();
            let raw = ["r", "br", "cr"].contains(&prefix.as_str());
            let hashes = letters[end..]
                .iter()
                .take_while(|&&letter| letter == '#')
                .count();
            match letters.get(end + hashes) {
                Some('"') if raw => end_of_raw(letters, end + hashes + 1, hashes),
                Some('"') if hashes == 0 && ["b", "c"].contains(&prefix.as_str()) => {
                    end_of_string(letters, end + 1)
                }
                _ => end,
            }
        }
        _ => at + 1,
    }
}

fn end_of_comment(letters: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < letters.len() {
        match (letters[at], letters[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    letters.len()
}

fn end_of_string(letters: &[char], mut at: usize) -> usize {
    while let Some(&letter) = letters.get(at) {
        match letter {
            '"' => return at + 1,
            '\\' => at += 2,
            _ => at += 1,
        }
    }
    letters.len()
}

fn end_of_raw(letters: &[char], start: usize, hashes: usize) -> usize {
    let closes = |at: &usize| {
        letters[*at] == '"'
            && letters[at + 1..]
                .iter()
                .take(hashes)
                .filter(|it| **it == '#')
                .count()
                == hashes
    };
    let closing = (start..letters.len()).find(closes);
    closing.map_or(letters.len(), |at| at + 1 + hashes)
}

/// What an opening brace belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Function { name: String, line: usize },
    Module(String),
    Loop,
    Other,
}

/// Calls `see` with every token and the blocks around it; a closing brace comes while its block is
/// still there.
pub fn walk(tokens: &[Token], mut see: impl FnMut(usize, &Token, &[Block])) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut outer: Vec<usize> = Vec::new();
    let (mut nested, mut header) = (0_usize, 0);
    for (at, token) in tokens.iter().enumerate() {
        see(at, token, &blocks);
        match token.text.as_str() {
            "(" | "[" => nested += 1,
            ")" | "]" => nested = nested.saturating_sub(1),
            ";" if nested == 0 => header = at + 1,
            "{" => {
                blocks.push(block(&tokens[header..at]));
                outer.push(std::mem::take(&mut nested));
                header = at + 1;
            }
            "}" => {
                blocks.pop();
                nested = outer.pop().unwrap_or(0);
                header = at + 1;
            }
            _ => {}
        }
    }
}

fn block(header: &[Token]) -> Block {
    let word = |at: usize| header.get(at).map_or("", |token| token.text.as_str());
    let named = |keyword: &str| {
        let at = (0..header.len()).rfind(|&at| word(at) == keyword)?;
        let name = word(at + 1);
        name.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
            .then(|| (name.to_owned(), header[at].line))
    };
    if let Some((name, line)) = named("fn") {
        return Block::Function { name, line };
    }
    if let Some((name, _)) = named("mod") {
        return Block::Module(name);
    }
    let turns = header
        .iter()
        .any(|token| ["while", "loop", "for"].contains(&token.text.as_str()));
    if turns { Block::Loop } else { Block::Other }
}

/// Every path of more than one segment, groups of `use` taken apart: line, inline modules around
/// it, segments.
pub fn paths(tokens: &[Token]) -> Vec<(usize, Vec<String>, Vec<String>)> {
    let mut found = Vec::new();
    walk(tokens, |at, token, blocks| {
        let follows = at
            .checked_sub(1)
            .is_some_and(|before| tokens[before].text == "::");
        let leads = tokens.get(at + 1).is_some_and(|next| next.text == "::");
        if follows || !leads || token.text == "\"" {
            return;
        }
        let modules = blocks.iter().filter_map(|block| match block {
            Block::Module(name) => Some(name.clone()),
            _ => None,
        });
        let modules: Vec<String> = modules.collect();
        let mut all = Vec::new();
        tree(tokens, at, Vec::new(), &mut all);
        found.extend(
            all.into_iter()
                .map(|path| (token.line, modules.clone(), path)),
        );
    });
    found
}

/// Follows one path from `at`, branching at braces. Returns where it ends.
fn tree(
    tokens: &[Token],
    mut at: usize,
    mut path: Vec<String>,
    all: &mut Vec<Vec<String>>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    loop {
        if text(at) == "{" {
            at += 1;
            while !["}", ""].contains(&text(at)) {
                at = if text(at) == "," {
                    at + 1
                } else {
                    tree(tokens, at, path.clone(), all)
                };
            }
            return at + 1;
        }
        path.push(text(at).to_owned());
        at += 1;
        if text(at) != "::" || text(at + 1) == "<" {
            break;
        }
        at += 1;
    }
    if text(at) == "as" {
        at += 2;
    }
    all.push(path);
    // Whatever else follows is no part of a list of paths; it is passed over, so that a list that
    // is none comes to its end.
    at + usize::from(!["}", ",", ""].contains(&text(at)))
}
