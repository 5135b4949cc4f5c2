//! Rules for source files: their length, and words that mark something unfinished.

use std::collections::BTreeSet;

use super::Files;

/// Lines of a file that are not tests, at most.
const LINES_MAX: usize = 600;

/// What must not stand anywhere, tests included.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "#[ignore"];

pub(super) fn findings(files: &Files) -> Vec<String> {
    let sources: Vec<(&str, String)> = files
        .ending(".rs")
        .filter_map(|path| Some((path, blank_text(&files.text(path)?))))
        .collect();
    let declared: BTreeSet<String> = sources
        .iter()
        .flat_map(|(path, code)| declared_test_files(path, code))
        .collect();
    let mut findings = Vec::new();
    for (path, code) in &sources {
        let tests_only = is_tests_only(path) || declared.contains(*path);
        findings.extend(file_findings(path, code, tests_only));
    }
    for path in files.ending(".wgsl") {
        let lines = files.text(path).map_or(0, |text| text.lines().count());
        if lines > LINES_MAX {
            findings.push(format!(
                "{path} has {lines} lines, allowed are {LINES_MAX}: split it by meaning"
            ));
        }
    }
    findings
}

/// Members and folders that hold nothing but tests.
fn is_tests_only(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn file_findings(path: &str, code: &str, tests_only: bool) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
            findings.push(format!("{path}:{number}: {word} marks something unfinished"));
        }
    }
    if tests_only {
        return findings;
    }
    let code = blank_test_modules(code);
    for (number, line) in (1..).zip(code.lines()) {
        if line.contains(".unwrap()") {
            findings.push(format!(
                "{path}:{number}: .unwrap() outside tests: return the error, or state the invariant"
            ));
        }
    }
    let lines = code.lines().filter(|line| *line != TEST_LINE).count();
    if lines > LINES_MAX {
        findings.push(format!(
            "{path} has {lines} lines without tests, allowed are {LINES_MAX}: split it by meaning"
        ));
    }
    findings
}

/// Stands for a line of a test module.
const TEST_LINE: &str = "\u{1}";

/// `code` with every line of a `#[cfg(test)]` module in braces replaced by [`TEST_LINE`].
fn blank_test_modules(code: &str) -> String {
    let mut kept = String::new();
    let mut lines = code.lines().peekable();
    while let Some(line) = lines.next() {
        let opens = line.trim() == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|next| next.contains("mod ") && next.contains('{'));
        if !opens {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        kept.push_str(TEST_LINE);
        kept.push('\n');
        let mut depth = 0_i64;
        for line in lines.by_ref() {
            kept.push_str(TEST_LINE);
            kept.push('\n');
            depth += line.matches('{').count() as i64 - line.matches('}').count() as i64;
            if depth <= 0 {
                break;
            }
        }
    }
    kept
}

/// Files that `path` declares as `#[cfg(test)] mod name;`.
fn declared_test_files(path: &str, code: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let base = if ["lib", "main"].contains(&stem) {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let names = pairs.filter_map(|pair| {
        let (_, name) = pair[1].strip_suffix(';')?.split_once("mod ")?;
        Some(format!("{base}/{name}.rs"))
    });
    names.collect()
}

/// `text` with the insides of comments, strings and characters blanked, line breaks kept.
fn blank_text(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_text(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
            continue;
        }
        code.extend(
            chars[at..end]
                .iter()
                .map(|char| if *char == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    code
}

/// Where the comment, string or character that starts at `at` ends; `at` itself if none starts there.
fn end_of_text(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    let after_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (chars[at], next(1)) {
        ('/', '/') => position(chars, at, |rest| rest[0] == '\n').unwrap_or(chars.len()),
        ('/', '*') => end_of_block_comment(chars, at),
        ('"', _) => end_of_quoted(chars, at + 1, '"'),
        ('r', '"' | '#') if !after_name => end_of_raw(chars, at),
        ('b', 'r') if !after_name && ['"', '#'].contains(&next(2)) => end_of_raw(chars, at + 1),
        ('\'', '\\') => end_of_quoted(chars, at + 1, '\''),
        ('\'', _) if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut now) = (0, at);
    while now + 1 < chars.len() {
        match (chars[now], chars[now + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') if depth == 1 => return now + 2,
            ('*', '/') => depth -= 1,
            _ => {
                now += 1;
                continue;
            }
        }
        now += 2;
    }
    chars.len()
}

fn end_of_quoted(chars: &[char], from: usize, quote: char) -> usize {
    let mut now = from;
    while now < chars.len() && chars[now] != quote {
        now += if chars[now] == '\\' { 2 } else { 1 };
    }
    (now + 1).min(chars.len())
}

/// The end of `r"..."` or `r#"..."#` with any number of marks; `at` itself for a raw name such as `r#type`.
fn end_of_raw(chars: &[char], at: usize) -> usize {
    let marks = chars[at + 1..].iter().take_while(|char| **char == '#').count();
    let open = at + 1 + marks;
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let close: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', marks))
        .collect();
    position(chars, open + 1, |rest| rest.starts_with(&close))
        .map_or(chars.len(), |start| start + close.len())
}

fn position(chars: &[char], from: usize, found: impl Fn(&[char]) -> bool) -> Option<usize> {
    (from..chars.len()).find(|at| found(&chars[*at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        file_findings("crates/x/src/a.rs", &blank_text(text), false)
    }

    #[test]
    fn words_in_text_do_not_count_and_words_in_code_do() {
        let text = "// todo!()\nlet a = \"x.unwrap() \\\" todo!\";\nlet b = r#\"todo!(\" .unwrap()\"#;\n/* /* todo! */ .unwrap() */\nlet c = '\"';\nlet d = '\\'';\n";
        assert_eq!(found(text), Vec::<String>::new());
        assert_eq!(
            found("fn f<'a>(x: &'a str) {}\nlet c = '\"'; y.unwrap();\n").len(),
            1
        );
        assert_eq!(
            found("fn f() { todo!() }\n#[ignore = \"slow\"]\nfn g() { unimplemented!() }\n").len(),
            3
        );
        assert_eq!(
            found("let r#type = a.unwrap();"),
            ["crates/x/src/a.rs:1: .unwrap() outside tests: return the error, or state the invariant"]
        );
    }

    #[test]
    fn test_modules_may_unwrap_but_not_be_unfinished() {
        let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n fn g() { let x = \"}\"; x.unwrap(); }\n}\n";
        assert_eq!(found(text), Vec::<String>::new());
        assert_eq!(found(&format!("{text}fn h() {{ x.unwrap() }}\n")).len(), 1);
        assert_eq!(found(&text.replace("x.unwrap()", "todo!()")).len(), 1);
    }

    #[test]
    fn only_lines_outside_tests_count() {
        let code = "let x = 1;\n".repeat(LINES_MAX);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(found(&format!("{code}{tests}")), Vec::<String>::new());
        assert_eq!(found(&format!("{code}\n{tests}")).len(), 1);
    }

    #[test]
    fn declared_test_files_are_resolved() {
        let code = "#[cfg(test)]\nmod oracle;\nmod other;\n";
        assert_eq!(
            declared_test_files("crates/x/src/lib.rs", code),
            ["crates/x/src/oracle.rs"]
        );
        assert_eq!(
            declared_test_files("crates/x/src/ops.rs", code),
            ["crates/x/src/ops/oracle.rs"]
        );
    }
}
