//! What the launcher makes for a function's jail before it makes the jail, and removes after the
//! jail is gone: the mounts on the island's folder, and the limits on the jail's name.
//!
//! Invariants: the parts are made in order and undone in the reverse order, each by one system
//! call; a step is noted before it is taken; the folder is removed last, so that a folder that is
//! gone proves that nothing else is left; a step that failed is tried again by the next attempt.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::freebsd::mounts::Mount;

/// The parts of one jail. A tool's jail has none, because the server makes its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailParts {
    /// The empty folder that the first mount covers, which the server has made.
    pub folder: Option<PathBuf>,
    /// What is mounted and where, as the host sees it, in order.
    pub mounts: Vec<(PathBuf, Mount)>,
    /// The rules of rctl(4) on the name of the jail.
    pub rules: Vec<String>,
    /// The subject of the rules, such as `jail:NAME`.
    pub subject: String,
}

/// The system calls that make and undo parts.
pub trait Kernel {
    /// nmount(2).
    fn mount(&mut self, what: &Mount, at: &Path) -> io::Result<()>;
    /// unmount(2), by force. A folder without a mount is no error.
    fn unmount(&mut self, at: &Path) -> io::Result<()>;
    /// rctl_add_rule(2).
    fn add_rule(&mut self, rule: &str) -> io::Result<()>;
    /// rctl_remove_rule(2), of all rules of a subject. A subject without rules is no error.
    fn remove_rules(&mut self, subject: &str) -> io::Result<()>;
    /// rmdir(2). A folder that is gone is no error.
    fn remove_folder(&mut self, folder: &Path) -> io::Result<()>;
}

/// Why a part was not made or not undone.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// nmount(2) failed.
    #[error("{what} cannot be mounted at {}", at.display())]
    Mount {
        /// What was to be mounted.
        what: &'static str,
        /// Where.
        at: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// unmount(2) failed.
    #[error("{} cannot be unmounted", at.display())]
    Unmount {
        /// The mount point.
        at: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// rctl_add_rule(2) failed.
    #[error("the limit {rule} cannot be set")]
    Rule {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// rctl_remove_rule(2) failed.
    #[error("the limits of {subject} cannot be removed")]
    Rules {
        /// The subject.
        subject: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// rmdir(2) failed.
    #[error("{} cannot be removed", folder.display())]
    Folder {
        /// The island's folder.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The parts that may be there.
#[derive(Debug, Default)]
pub struct MadeParts {
    folder: Option<PathBuf>,
    /// In the order of mounting.
    mounts: Vec<PathBuf>,
    /// There may be rules on this subject.
    rules: Option<String>,
}

impl JailParts {
    /// Makes the parts. After a failure it undoes what it made; whatever cannot be undone then is
    /// left, below a folder that is still there.
    pub fn make(&self, kernel: &mut impl Kernel) -> Result<MadeParts, PartsError> {
        let mut made = MadeParts { folder: self.folder.clone(), ..MadeParts::default() };
        match self.make_each(kernel, &mut made) {
            Ok(()) => Ok(made),
            Err(error) => {
                // The server finds the folder, and undoes the rest by commands.
                let _ = made.undo(kernel);
                Err(error)
            }
        }
    }

    fn make_each(&self, kernel: &mut impl Kernel, made: &mut MadeParts) -> Result<(), PartsError> {
        for (at, mount) in &self.mounts {
            kernel.mount(mount, at).map_err(|cause| PartsError::Mount {
                what: mount.name(),
                at: at.clone(),
                cause,
            })?;
            // A mount that failed is not there: nmount(2) has no part of an effect.
            made.mounts.push(at.clone());
        }
        for rule in &self.rules {
            made.rules = Some(self.subject.clone());
            let failed = |cause| PartsError::Rule { rule: rule.clone(), cause };
            kernel.add_rule(rule).map_err(failed)?;
        }
        Ok(())
    }
}

impl MadeParts {
    /// Undoes the parts, the last one first. After a failure the caller may try again.
    pub fn undo(&mut self, kernel: &mut impl Kernel) -> Result<(), PartsError> {
        if let Some(subject) = &self.rules {
            let failed = |cause| PartsError::Rules { subject: subject.clone(), cause };
            kernel.remove_rules(subject).map_err(failed)?;
            self.rules = None;
        }
        while let Some(at) = self.mounts.last() {
            let failed = |cause| PartsError::Unmount { at: at.clone(), cause };
            kernel.unmount(at).map_err(failed)?;
            self.mounts.pop();
        }
        if let Some(folder) = &self.folder {
            let failed = |cause| PartsError::Folder { folder: folder.clone(), cause };
            kernel.remove_folder(folder).map_err(failed)?;
            self.folder = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel in which the call with one number fails, and what it has.
    #[derive(Default)]
    struct Model {
        has: Vec<String>,
        calls: usize,
        fails: Vec<usize>,
        log: Vec<String>,
    }

    impl Model {
        fn call(&mut self, what: String) -> io::Result<()> {
            self.log.push(what);
            self.calls += 1;
            match self.fails.contains(&(self.calls - 1)) {
                true => Err(io::ErrorKind::ResourceBusy.into()),
                false => Ok(()),
            }
        }
    }

    impl Kernel for Model {
        fn mount(&mut self, _: &Mount, at: &Path) -> io::Result<()> {
            self.call(format!("mount {}", at.display()))?;
            assert!(self.has.contains(&"folder".to_owned()), "the root's folder is there");
            self.has.push(format!("mount {}", at.display()));
            Ok(())
        }

        fn unmount(&mut self, at: &Path) -> io::Result<()> {
            self.call(format!("unmount {}", at.display()))?;
            let of = format!("mount {}", at.display());
            let above = |it: &&String| it.starts_with(&format!("{of}/"));
            assert_eq!(self.has.iter().find(above), None, "unmounted before what lies above");
            self.has.retain(|it| *it != of);
            Ok(())
        }

        fn add_rule(&mut self, rule: &str) -> io::Result<()> {
            self.call(format!("add {rule}"))?;
            self.has.push(rule.to_owned());
            Ok(())
        }

        fn remove_rules(&mut self, subject: &str) -> io::Result<()> {
            self.call(format!("remove {subject}"))?;
            self.has.retain(|it| !it.starts_with(&format!("{subject}:")));
            Ok(())
        }

        fn remove_folder(&mut self, _: &Path) -> io::Result<()> {
            self.call("rmdir".to_owned())?;
            assert_eq!(self.has, ["folder"], "the folder goes last");
            self.has.clear();
            Ok(())
        }
    }

    fn parts() -> JailParts {
        let root = PathBuf::from("/run/i");
        let view = Mount::Folder { source: "/artifacts/a".into(), writable: false };
        JailParts {
            folder: Some(root.clone()),
            mounts: vec![
                (root.clone(), view),
                (root.join("dev"), Mount::Devices),
                (root.join("tmp"), Mount::Tmp(1)),
            ],
            rules: vec!["jail:i:maxproc:deny=1".into(), "jail:i:nthr:deny=1".into()],
            subject: "jail:i".into(),
        }
    }

    fn model(fails: &[usize]) -> Model {
        Model { has: vec!["folder".into()], fails: fails.to_vec(), ..Model::default() }
    }

    #[test]
    fn parts_are_made_in_order_and_undone_in_the_reverse_order() {
        let mut kernel = model(&[]);
        let mut made = parts().make(&mut kernel).unwrap();
        made.undo(&mut kernel).unwrap();
        assert!(kernel.has.is_empty());
        let expected = [
            "mount /run/i",
            "mount /run/i/dev",
            "mount /run/i/tmp",
            "add jail:i:maxproc:deny=1",
            "add jail:i:nthr:deny=1",
            "remove jail:i",
            "unmount /run/i/tmp",
            "unmount /run/i/dev",
            "unmount /run/i",
            "rmdir",
        ];
        assert_eq!(kernel.log, expected);
        made.undo(&mut kernel).unwrap();
        assert_eq!(kernel.log.len(), expected.len(), "nothing is undone twice");
    }

    #[test]
    fn a_failure_at_any_step_leaves_nothing() {
        for step in 0..5 {
            let mut kernel = model(&[step]);
            let error = parts().make(&mut kernel).unwrap_err();
            assert!(kernel.has.is_empty(), "{step}: {:?}", kernel.has);
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn an_undoing_that_fails_at_any_step_goes_on_from_there_and_keeps_the_folder() {
        for step in 5..10 {
            let mut kernel = model(&[step]);
            let mut made = parts().make(&mut kernel).unwrap();
            made.undo(&mut kernel).unwrap_err();
            assert!(kernel.has.contains(&"folder".to_owned()), "{step}");
            made.undo(&mut kernel).unwrap();
            assert!(kernel.has.is_empty(), "{step}: {:?}", kernel.has);
            assert_eq!(kernel.calls, 11, "{step}: {:?}", kernel.log);
        }
    }

    #[test]
    fn a_making_whose_undoing_fails_too_keeps_the_folder() {
        for (step, undoing) in [(1, 2), (2, 3), (4, 5)] {
            let mut kernel = model(&[step, undoing]);
            parts().make(&mut kernel).unwrap_err();
            assert!(kernel.has.contains(&"folder".to_owned()), "{step}: {:?}", kernel.has);
        }
    }

    #[test]
    fn a_tools_jail_has_no_parts() {
        let mut kernel = model(&[]);
        JailParts::default().make(&mut kernel).unwrap().undo(&mut kernel).unwrap();
        assert!(kernel.log.is_empty());
    }

    #[test]
    fn parts_reach_the_launcher_as_they_are() {
        let text = serde_json::to_string(&parts()).unwrap();
        assert_eq!(serde_json::from_str::<JailParts>(&text).unwrap(), parts());
    }
}
