//! How to install a software Vulkan driver with the package manager of the system.

use std::env;
use std::process::{Command, Stdio};

use crate::process;

/// A package manager and the commands that bring Mesa's lavapipe and the Vulkan loader.
struct Manager {
    program: &'static str,
    commands: &'static [&'static [&'static str]],
}

const MANAGERS: &[Manager] = &[
    Manager {
        program: "apt-get",
        commands: &[
            &["apt-get", "update"],
            &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "install",
                "-y",
                "mesa-vulkan-drivers",
                "libvulkan1",
            ],
        ],
    },
    Manager {
        program: "dnf",
        commands: &[&["dnf", "install", "-y", "mesa-vulkan-drivers", "vulkan-loader"]],
    },
    Manager {
        program: "pacman",
        commands: &[&[
            "pacman",
            "-S",
            "--needed",
            "--noconfirm",
            "vulkan-swrast",
            "vulkan-icd-loader",
        ]],
    },
    Manager {
        program: "zypper",
        commands: &[&[
            "zypper",
            "--non-interactive",
            "install",
            "libvulkan_lvp",
            "libvulkan1",
        ]],
    },
    Manager {
        program: "apk",
        commands: &[&["apk", "add", "mesa-vulkan-swrast", "vulkan-loader"]],
    },
];

/// What matters about the machine and the user for installing something.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Programs of [`MANAGERS`] that are on the search path.
    managers: Vec<&'static str>,
    /// Whether this user is root.
    root: bool,
    /// Whether sudo works without asking for a password.
    sudo: bool,
}

impl Machine {
    /// This machine and user.
    pub(crate) fn this() -> Self {
        let known = MANAGERS.iter().map(|manager| manager.program);
        let root = Command::new("id").arg("-u").stderr(Stdio::null()).output();
        let root = root.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
        let sudo = !root && process::succeeds(Command::new("sudo").args(["-n", "true"]));
        Self {
            managers: known.filter(|program| is_on_path(program)).collect(),
            root,
            sudo,
        }
    }
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Run these.
    Run(Vec<Vec<String>>),
    /// This user may not; the text is the command for one who may.
    MayNot(String),
    /// No known package manager is here.
    NoManager,
}

/// Decides what to run on `machine`.
pub(crate) fn plan(machine: &Machine) -> Plan {
    let present = |manager: &&Manager| machine.managers.contains(&manager.program);
    let Some(manager) = MANAGERS.iter().find(present) else {
        return Plan::NoManager;
    };
    let prefix: &[&str] = if machine.root { &[] } else { &["sudo"] };
    if !machine.root && !machine.sudo {
        let commands = manager
            .commands
            .iter()
            .map(|words| [prefix, *words].concat().join(" "));
        return Plan::MayNot(commands.collect::<Vec<_>>().join(" && "));
    }
    let prefix: &[&str] = if machine.root { &[] } else { &["sudo", "-n"] };
    let commands = manager.commands.iter().map(|words| [prefix, *words].concat());
    Plan::Run(
        commands
            .map(|words| words.into_iter().map(str::to_owned).collect())
            .collect(),
    )
}

fn is_on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_runs_the_commands_as_they_are() {
        let machine = Machine {
            managers: vec!["apt-get"],
            root: true,
            sudo: false,
        };
        let Plan::Run(commands) = plan(&machine) else {
            panic!("root may install")
        };
        assert_eq!(commands[0], ["apt-get", "update"]);
        assert!(
            commands[1].iter().any(|word| word == "mesa-vulkan-drivers"),
            "{commands:?}"
        );
    }

    #[test]
    fn sudo_never_asks() {
        let machine = Machine {
            managers: vec!["dnf", "apk"],
            root: false,
            sudo: true,
        };
        let Plan::Run(commands) = plan(&machine) else {
            panic!("sudo may install")
        };
        assert_eq!(commands[0][..3], ["sudo", "-n", "dnf"]);
    }

    #[test]
    fn others_get_the_command_to_run() {
        let machine = Machine {
            managers: vec!["apt-get"],
            root: false,
            sudo: false,
        };
        let Plan::MayNot(text) = plan(&machine) else {
            panic!("this user may not install")
        };
        assert!(text.starts_with("sudo apt-get update && sudo env"), "{text}");
        assert!(
            text.ends_with("apt-get install -y mesa-vulkan-drivers libvulkan1"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_system_is_told_apart() {
        assert_eq!(
            plan(&Machine {
                managers: vec![],
                root: true,
                sudo: false
            }),
            Plan::NoManager
        );
    }
}
