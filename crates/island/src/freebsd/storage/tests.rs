//! The commands that storage gives, and each of their failures. `tests/zfs_storage.rs` runs on ZFS
//! itself.

use std::fs::create_dir_all;
use std::io::Write;
use std::time::Duration;

mod artifacts;

use host::exec::{Command, ExecError, Executor, Output, Script};
use host::layout::Release;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::layout::Layout;
use host::zfs::{DatasetName, Why, Zfs};

use crate::freebsd::storage::error::StorageError;
use crate::freebsd::storage::folder::{self, PROGRAM_PATH};
use crate::freebsd::storage::key::Key;
use crate::freebsd::storage::leftovers::Leftovers;
use crate::freebsd::storage::roots::Storage;
use crate::id::IslandId;

const BUSY: &str = "cannot unmount '/z/jails/run/x': pool or dataset is busy\n";
const MISSING: &str = "cannot open 'x': dataset does not exist\n";
const CHILDREN: &str = "cannot destroy 'x': filesystem has children\nuse '-r' to destroy the following datasets:\nx@auto\n";
const EXISTS: &str = "cannot create 'x': dataset already exists\n";
const FULL: &str = "cannot create 'x': out of space\n";
const OPTIONS: &str = "-o setuid=off -o atime=off -o sync=disabled";

/// A host with real folders and a scripted ZFS.
struct World {
    folder: tempfile::TempDir,
    script: Script,
    storage: Arc<Storage>,
}

fn layout(folder: &Path) -> Layout {
    Layout::new("z", Some(folder), Release::parse("15.1-RELEASE").unwrap()).unwrap()
}

fn world(limit: usize, script: Script) -> World {
    let folder = tempfile::tempdir().unwrap();
    let zfs = Zfs::new(script.shared());
    let storage = Storage::opening(zfs, layout(folder.path()), folder::open, limit);
    World { folder, script, storage }
}

/// A program, its artifact's dataset, and the commands that make that.
struct Sample {
    program: Arc<File>,
    dataset: String,
    clone: String,
    set: String,
    get: String,
    destroy: String,
}

fn sample(text: &str) -> Sample {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let base = layout(Path::new("/x")).base_snapshot();
    let key = Key::of(&file, &base, io::sink()).unwrap();
    let dataset = format!("z/jails/artifacts/{key}");
    Sample {
        program: Arc::new(file),
        clone: format!("zfs clone {OPTIONS} -o exec=on z/jails/releases/15.1-RELEASE@p1 {dataset}"),
        set: format!("zfs set readonly=on sky-island:whole=yes {dataset}"),
        get: format!("zfs get -H -p -o value sky-island:whole {dataset}"),
        destroy: format!("zfs destroy {dataset}"),
        dataset,
    }
}

/// Adds the commands that make an artifact.
fn making(script: Script, sample: &Sample) -> Script {
    script.quiet(&sample.clone).quiet(&sample.set)
}

impl World {
    /// Makes the folder that an artifact is mounted at, with its program in it.
    fn whole(&self, sample: &Sample) -> PathBuf {
        let folder = self.mounted(&sample.dataset);
        std::fs::write(folder.join(folder::PROGRAM), "").unwrap();
        folder
    }

    /// Makes the folder that a clone would be mounted at.
    fn mounted(&self, dataset: &str) -> PathBuf {
        let folder = self.folder.path().join(dataset.strip_prefix("z/jails/").unwrap());
        create_dir_all(&folder).unwrap();
        folder
    }

    /// Waits for the tasks in the background.
    async fn done(&self) {
        for _ in 0..400 {
            if self.script.left().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.script.left(), [""; 0]);
    }
}

fn why(error: &StorageError) -> Why {
    match error {
        StorageError::Zfs(error) => error.why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_call_makes_an_artifact_and_the_next_needs_no_command() {
    let sample = sample("a program");
    let world = world(9, making(Script::new(), &sample));
    let folder = world.mounted(&sample.dataset);
    let artifact = world.storage.artifact(&sample.program).await.unwrap();
    assert_eq!((artifact.folder(), artifact.dataset().as_str()), (&*folder, &*sample.dataset));
    let program = folder.join(PROGRAM_PATH.trim_start_matches('/'));
    assert_eq!(std::fs::read(program).unwrap(), b"a program");
    world.storage.artifact(&sample.program).await.unwrap();
    world.done().await;
}

#[tokio::test]
async fn a_tools_root_is_prepared_and_then_made_read_only() {
    let island = IslandId::mint();
    let dataset = format!("z/jails/run/{island}");
    let clone = format!("zfs clone {OPTIONS} -o exec=on -o quota=1G z/jails/build@p1 {dataset}");
    let set = format!("zfs set readonly=on {dataset}");
    let script = Script::new()
        .quiet(&clone)
        .quiet(&set)
        .quiet(&clone)
        .quiet(&clone)
        .expect(&set, 1, "", BUSY);
    let world = world(9, script);
    let folder = world.mounted(&dataset);
    let root = world.storage.tool_root(&island, |folder| std::fs::create_dir(folder.join("src")));
    assert_eq!(root.await.unwrap().folder, folder);
    // The preparation fails, because the folder is there already.
    let root = world.storage.tool_root(&island, |folder| std::fs::create_dir(folder.join("src")));
    let error = root.await.unwrap_err();
    assert!(matches!(error, StorageError::Folder { .. }), "{error:?}");
    let error = world.storage.tool_root(&island, |_| Ok(())).await.unwrap_err();
    assert_eq!(why(&error), Why::Busy);
    world.done().await;
}

#[tokio::test]
async fn a_preparation_that_panics_is_an_error() {
    let island = IslandId::mint();
    let clone =
        format!("zfs clone {OPTIONS} -o exec=on -o quota=1G z/jails/build@p1 z/jails/run/{island}");
    let world = world(9, Script::new().quiet(&clone));
    world.mounted(&format!("z/jails/run/{island}"));
    let prepare =
        |_: &Path| -> io::Result<()> { std::panic::resume_unwind(Box::new("on purpose")) };
    let error = world.storage.tool_root(&island, prepare).await.unwrap_err();
    assert!(matches!(error, StorageError::Lost), "{error:?}");
}

#[tokio::test]
async fn destroying_succeeds_for_a_root_that_is_gone_and_fails_for_a_busy_one() {
    let island = IslandId::mint();
    let destroy = format!("zfs destroy z/jails/run/{island}");
    let tree = format!("zfs destroy -r z/jails/run/{island}");
    let script = Script::new()
        .expect(&destroy, 1, "", MISSING)
        .expect(&destroy, 1, "", BUSY)
        // Another program makes snapshots of all datasets.
        .expect(&destroy, 1, "", CHILDREN)
        .expect(&tree, 1, "", BUSY)
        .expect(&destroy, 1, "", CHILDREN)
        .expect(&tree, 1, "", MISSING);
    let world = world(9, script);
    world.storage.destroy(&island).await.unwrap();
    assert_eq!(world.storage.destroy(&island).await.unwrap_err().why, Why::Busy);
    assert_eq!(world.storage.destroy(&island).await.unwrap_err().why, Why::Busy);
    world.storage.destroy(&island).await.unwrap();
    world.done().await;
}

/// Runs each command after a while, and notes the order.
#[derive(Clone, Default)]
struct Slow(Arc<parking_lot::Mutex<Vec<String>>>);

impl Executor for Slow {
    fn run<'a>(
        &'a self,
        command: &'a Command,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            self.0.lock().push(command.vector()[1].to_string_lossy().into_owned());
            Ok(Output { code: Some(0), ..Output::default() })
        })
    }
}

#[tokio::test]
async fn a_root_whose_caller_left_is_destroyed_after_it_was_made() {
    let (slow, folder) = (Slow::default(), tempfile::tempdir().unwrap());
    let zfs = Zfs::new(Arc::new(slow.clone()));
    let storage = Storage::opening(zfs, layout(folder.path()), folder::open, 9);
    let island = IslandId::mint();
    create_dir_all(folder.path().join("run").join(island.as_str())).unwrap();
    let making = storage.tool_root(&island, |_| Ok(()));
    assert!(tokio::time::timeout(Duration::from_millis(1), making).await.is_err());
    storage.destroy(&island).await.unwrap();
    assert_eq!(*slow.0.lock(), ["clone", "set", "destroy"]);
}

#[test]
fn the_path_on_the_island_is_where_the_program_is_put() {
    assert_eq!(PROGRAM_PATH, format!("/{}", folder::PROGRAM));
}
