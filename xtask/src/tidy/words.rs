//! Nothing in the repository speaks of one particular machine.

use super::Files;

/// Top-level folders that exist on one machine and not on the reader's.
const MACHINE_FOLDERS: &[&str] = &["home", "root", "Users", "work", "workspace"];

/// First labels of hosts that serve packages: a manifest or a mirror setting names those, the repository does not.
const PACKAGE_HOSTS: &[&str] = &["index", "registry", "static", "deb", "files"];

/// Endings of files that people read or write; everything else is data.
const READ: &[&str] = &[
    ".rs", ".md", ".toml", ".wgsl", ".yml", ".yaml", ".json", ".sh", ".html", ".css", ".js", ".snap", ".txt",
    ".csv", "/run",
];

pub(super) fn findings(files: &Files) -> Vec<String> {
    let read = files
        .paths
        .iter()
        .filter(|path| READ.iter().any(|ending| path.ends_with(ending)));
    let texts = read.filter_map(|path| Some((path, files.text(path)?)));
    texts
        .flat_map(|(path, text)| text_findings(path, &text))
        .collect()
}

fn text_findings(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(folder) = MACHINE_FOLDERS.iter().find(|folder| names_folder(line, folder)) {
            findings.push(format!(
                "{path}:{number}: a path below /{folder} exists on one machine only"
            ));
        }
        if let Some(host) = PACKAGE_HOSTS.iter().find(|host| names_host(line, host)) {
            findings.push(format!(
                "{path}:{number}: the host of a package registry ({host}...) has no place here"
            ));
        }
    }
    findings
}

/// Whether `line` holds the absolute path `/folder/...`.
fn names_folder(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|char| !char.is_alphanumeric() && !"._-}~*/)".contains(char))
    })
}

fn names_host(line: &str, host: &str) -> bool {
    ["https", "http"]
        .iter()
        .any(|scheme| line.contains(&format!("{scheme}://{host}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_are_found_and_relative_ones_are_not() {
        for folder in MACHINE_FOLDERS {
            assert_eq!(text_findings("a.md", &format!("see /{folder}/x")).len(), 1);
            assert_eq!(
                text_findings("a.md", &format!("see docs/{folder}/x and ../{folder}/x")).len(),
                0
            );
        }
    }

    #[test]
    fn registry_hosts_are_found() {
        let host = PACKAGE_HOSTS[0];
        assert_eq!(
            text_findings("a.toml", &format!("url = \"https://{host}.example/\"")).len(),
            1
        );
        assert_eq!(
            text_findings("a.toml", &format!("url = \"https://example/{host}.html\"")).len(),
            0
        );
    }
}
