//! How a build island sees the Go build cache: which folders of the host are mounted where, and the
//! environment of the go command.
//!
//! Invariants: the island can write no layer but the upper one.

use std::path::{Path, PathBuf};

use island::{Bind, Overlay};

use super::job::PROGRAM;

/// The path on the island of the upper folder, or of all layers in one.
const CACHE: &str = "/gocache";
/// The folder on the island of separate lower layers, which are named by their index in the list.
const LOWER: &str = "/layers";

/// How layers are laid over each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layering {
    /// The kernel mounts them as one folder.
    Mount,
    /// The go command asks a program of this server on the island.
    Program,
}

impl Layering {
    /// The choice for a host whose kernel can mount overlays or not.
    pub(super) fn choose(overlays: bool) -> Self {
        if overlays { Self::Mount } else { Self::Program }
    }
}

/// The folders of the host that make up a build cache.
pub(super) struct Folders<'a> {
    /// Read-only layers, the topmost first.
    pub(super) lower: &'a [PathBuf],
    /// The layer that builds write.
    pub(super) upper: &'a Path,
    /// An empty folder beside it, which the kernel needs for an overlay.
    pub(super) work: &'a Path,
}

/// The mounts and the environment of an island.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IslandFolders {
    pub(super) binds: Vec<Bind>,
    pub(super) overlay: Option<Overlay>,
    /// For the go command, as `NAME=value`.
    pub(super) env: Vec<String>,
}

/// Lays the folders over each other. Without lower layers the upper folder is a cache by itself.
pub(super) fn lay(layering: Layering, folders: &Folders<'_>, program: &Path) -> IslandFolders {
    let Folders { lower, upper, work } = *folders;
    let native = vec![format!("GOCACHE={CACHE}")];
    match (layering, lower) {
        (Layering::Mount, [_, ..]) => {
            let overlay = Overlay {
                lower: lower.to_vec(),
                upper: upper.into(),
                work: work.into(),
                target: CACHE.into(),
            };
            IslandFolders { binds: Vec::new(), overlay: Some(overlay), env: native }
        }
        (Layering::Program, [_, ..]) => {
            let target = |index: usize| format!("{LOWER}/{index}");
            let mut binds = vec![writable(upper), read_only(program, PROGRAM)];
            let mut command = format!("GOCACHEPROG={PROGRAM} cache-worker {CACHE}");
            for (index, layer) in lower.iter().enumerate() {
                binds.push(read_only(layer, target(index)));
                command.push_str(&format!(" {}", target(index)));
            }
            // The go command still needs a GOCACHE folder, where it makes 256 folders and keeps
            // nothing that a build needs. The bottom layer was made by a go command, so all of
            // these folders are there.
            let own = format!("GOCACHE={}", target(lower.len() - 1));
            IslandFolders { binds, overlay: None, env: vec![own, command] }
        }
        (_, []) => IslandFolders { binds: vec![writable(upper)], overlay: None, env: native },
    }
}

fn writable(source: &Path) -> Bind {
    Bind { source: source.into(), target: CACHE.into(), writable: true }
}

fn read_only(source: &Path, target: impl Into<PathBuf>) -> Bind {
    Bind { source: source.into(), target: target.into(), writable: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPPER: &str = "/state/upper";

    fn seen(layering: Layering, lower: &[&str]) -> IslandFolders {
        let lower: Vec<PathBuf> = lower.iter().map(PathBuf::from).collect();
        let (upper, work) = (Path::new(UPPER), Path::new("/state/work"));
        lay(layering, &Folders { lower: &lower, upper, work }, Path::new("/usr/bin/sky-island"))
    }

    #[test]
    fn a_single_layer_is_the_go_commands_own_cache() {
        for layering in [Layering::choose(true), Layering::choose(false)] {
            let seen = seen(layering, &[]);
            assert_eq!(seen.binds, [writable(Path::new(UPPER))]);
            assert_eq!((seen.overlay, seen.env), (None, vec!["GOCACHE=/gocache".into()]));
        }
    }

    #[test]
    fn a_mount_has_all_layers_in_one_folder() {
        let IslandFolders { binds, overlay, env } =
            seen(Layering::Mount, &["/state/own", "/state/base"]);
        let expected = Overlay {
            lower: vec!["/state/own".into(), "/state/base".into()],
            upper: UPPER.into(),
            work: "/state/work".into(),
            target: "/gocache".into(),
        };
        assert_eq!(
            (binds, overlay, env),
            (vec![], Some(expected), vec!["GOCACHE=/gocache".into()])
        );
    }

    #[test]
    fn the_program_gets_the_layers_and_can_write_the_upper_one() {
        let IslandFolders { binds, overlay, env } =
            seen(Layering::Program, &["/state/own", "/state/base"]);
        assert_eq!(overlay, None);
        let program = "GOCACHEPROG=/sky-island cache-worker /gocache /layers/0 /layers/1";
        assert_eq!(env, ["GOCACHE=/layers/1", program]);
        assert_eq!(
            binds,
            [
                writable(Path::new(UPPER)),
                read_only(Path::new("/usr/bin/sky-island"), "/sky-island"),
                read_only(Path::new("/state/own"), "/layers/0"),
                read_only(Path::new("/state/base"), "/layers/1"),
            ]
        );
    }
}
