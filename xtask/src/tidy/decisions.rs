//! Decision records are numbered without a gap, complete, and listed.

use super::Files;

const FOLDER: &str = "docs/adr/";

/// Headings that every record has.
const SECTIONS: &[&str] = &[
    "## Status",
    "## Context",
    "## Decision",
    "## Consequences",
    "## References",
];

pub(super) fn findings(files: &Files) -> Vec<String> {
    let list = files.text(&format!("{FOLDER}README.md")).unwrap_or_default();
    let names = files
        .paths
        .iter()
        .filter_map(|path| path.strip_prefix(FOLDER))
        .filter(|name| *name != "README.md");
    let records: Vec<(String, String)> = names
        .map(|name| {
            (
                name.to_owned(),
                files.text(&format!("{FOLDER}{name}")).unwrap_or_default(),
            )
        })
        .collect();
    record_findings(&list, &records)
}

/// What is wrong with the records, given as name and text in the order of their names. Number 0000 is the template.
fn record_findings(list: &str, records: &[(String, String)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (expected, (name, text)) in records.iter().enumerate() {
        if !name.starts_with(&format!("{expected:04}-")) || !name.ends_with(".md") {
            findings.push(format!("{FOLDER}{name}: expected {expected:04}-SUBJECT.md here"));
        }
        if !list.contains(&format!("]({name})")) {
            findings.push(format!("{FOLDER}README.md does not list {name}"));
        }
        let missing = SECTIONS
            .iter()
            .filter(|section| !text.lines().any(|line| line == **section));
        findings.extend(missing.map(|section| format!("{FOLDER}{name} lacks the section {section:?}")));
    }
    if records.is_empty() {
        findings.push(format!("{FOLDER} holds no record"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> (String, String) {
        (name.to_owned(), SECTIONS.join("\n\ntext\n"))
    }

    #[test]
    fn complete_records_pass() {
        let records = [record("0000-template.md"), record("0001-gpu.md")];
        assert_eq!(
            record_findings("[a](0000-template.md) [b](0001-gpu.md)", &records),
            Vec::<String>::new()
        );
    }

    #[test]
    fn gaps_missing_lines_and_missing_sections_are_found() {
        let mut records = [record("0000-template.md"), record("0002-gpu.md")];
        records[1].1 = SECTIONS[1..].join("\n");
        let found = record_findings("[a](0000-template.md)", &records);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(record_findings("", &[]).len(), 1);
    }
}
