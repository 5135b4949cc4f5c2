//! Relative links between documents lead somewhere.

use std::path::Path;

use super::Files;

pub(super) fn findings(files: &Files) -> Vec<String> {
    let mut findings = Vec::new();
    for path in files.ending(".md") {
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        for (number, target) in files.text(path).iter().flat_map(|text| targets(text)) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !files.root.join(folder).join(file).exists() {
                findings.push(format!("{path}:{number}: the link to {target} leads nowhere"));
            }
        }
    }
    findings
}

/// Line and target of every relative link outside code.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every other part lies between back-ticks and is code.
        for part in line.split('`').step_by(2) {
            let links = part
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split([')', ' ']).next());
            let relative = links.filter(|target| {
                !target.contains("://") && !target.contains("::") && !target.starts_with("mailto:")
            });
            found.extend(relative.map(|target| (number, target.to_owned())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_links_outside_code_are_found() {
        let text = "see [a](docs/a.md#x), [b](https://b.example) and [c](d.md \"title\")\n```\n[no](no.md)\n```\n`[no](no.md)` [e](crate::X)\n[f `g`](h.md)\n";
        let found = targets(text);
        let found: Vec<(usize, &str)> = found
            .iter()
            .map(|(line, target)| (*line, target.as_str()))
            .collect();
        assert_eq!(found, [(1, "docs/a.md#x"), (1, "d.md"), (6, "h.md")]);
    }
}
