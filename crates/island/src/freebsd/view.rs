//! The root of a function's island: a read-only view of the artifact, with devices and a private
//! /tmp of the island's own in it.
//!
//! Invariants: no two islands have one root. The kernel tells the names of shared memory objects
//! apart by the path of a jail's root.

use std::path::{Path, PathBuf};

use crate::freebsd::mounts::Mount;
use crate::freebsd::parts::JailParts;
use crate::freebsd::plan::IslandPlan;
use crate::freebsd::rules;
use crate::id::IslandId;

/// What the launcher makes for a function: the view of the artifact's folder at `root`, the mounts
/// of the plan in it, and these rules.
pub(super) fn parts(
    id: &IslandId,
    plan: &IslandPlan,
    root: &Path,
    artifact: PathBuf,
    rules: Vec<String>,
) -> JailParts {
    let view = Mount::Folder { source: artifact, writable: false };
    let mut mounts = vec![(root.to_owned(), view)];
    mounts.extend(plan.mounts_in(root));
    JailParts { folder: Some(root.to_owned()), mounts, rules, subject: rules::subject(id) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::freebsd::plan;
    use crate::spec::{Bounds, Limits, Resources, Spec};

    #[test]
    fn a_functions_root_is_a_read_only_view_that_all_its_other_mounts_lie_in() {
        let resources =
            Resources { memory: 1, processes: 1, processor_time: None, tmp: 4096, disk: None };
        let bounds = Bounds { deadline: Duration::from_secs(1), output: 1 };
        let program = Arc::new(tempfile::tempfile().unwrap());
        let spec = Spec::function(program, Limits { resources, bounds });
        let plan = plan::plan(&spec, 1000, None).unwrap();
        let (id, root) = (IslandId::parse("si_0123abcd_1").unwrap(), Path::new("/j/run/i"));
        let parts = parts(&id, &plan, root, "/j/artifacts/a".into(), vec!["a rule".into()]);
        let view = Mount::Folder { source: "/j/artifacts/a".into(), writable: false };
        let expected = [
            (root.to_owned(), view),
            (root.join("dev"), Mount::Devices),
            (root.join("tmp"), Mount::Tmp(4096)),
        ];
        assert_eq!(parts.mounts, expected);
        assert_eq!(parts.folder.as_deref(), Some(root));
        assert_eq!((&*parts.subject, parts.rules.len()), ("jail:si_0123abcd_1", 1));
    }
}
