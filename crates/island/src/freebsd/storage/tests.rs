//! The commands of storage, and what it does when each of them fails. ZFS itself is asked in `tests/zfs_storage.rs`.

use std::fs::create_dir_all;
use std::io::Write;
use std::time::Duration;

mod artifacts;

use host::exec::{Command, ExecError, Executor, Output, Script};
use host::layout::Release;

use super::*;
use crate::freebsd::storage::key::Key;

const BUSY: &str = "cannot unmount '/z/jails/run/x': pool or dataset is busy\n";
const MISSING: &str = "cannot open 'x': dataset does not exist\n";
const NO_SNAPSHOT: &str = "could not find any snapshots to destroy; check snapshot names.\n";
const CLONES: &str = "cannot destroy 'x@ready': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\nz/jails/run/x\n";
const CHILDREN: &str = "cannot destroy 'x': filesystem has children\nuse '-r' to destroy the following datasets:\nx@auto\n";
const EXISTS: &str = "cannot create 'x': dataset already exists\n";
const FULL: &str = "cannot create 'x': out of space\n";
const OPTIONS: &str = "-o setuid=off -o atime=off -o sync=disabled";

/// A host whose folders are there and whose ZFS is a script.
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
    snapshot: String,
    ready: String,
}

fn sample(text: &str) -> Sample {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let base = layout(Path::new("/x")).base_snapshot();
    let key = Key::of(&file, &base, io::sink()).unwrap();
    let dataset = format!("z/jails/artifacts/{key}");
    Sample {
        program: Arc::new(file),
        clone: format!("zfs clone {OPTIONS} z/jails/releases/15.1-RELEASE@p1 {dataset}"),
        snapshot: format!("zfs snapshot {dataset}@ready"),
        ready: format!("{dataset}@ready"),
        dataset,
    }
}

impl World {
    /// Makes the folder that a clone would be mounted at.
    fn mounted(&self, dataset: &str) -> PathBuf {
        let folder = self.folder.path().join(dataset.strip_prefix("z/jails/").unwrap());
        create_dir_all(&folder).unwrap();
        folder
    }

    /// Waits for what goes on in the background.
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

fn function_clone(sample: &Sample, island: &IslandId) -> String {
    format!(
        "zfs clone {OPTIONS} -o readonly=on -o exec=on -o quota=1M {} z/jails/run/{island}",
        sample.ready
    )
}

fn why(error: &StorageError) -> Why {
    match error {
        StorageError::Zfs(error) => error.why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_call_makes_an_artifact_and_the_next_only_a_clone() {
    let (one, two, sample) = (IslandId::mint(), IslandId::mint(), sample("a program"));
    let script = Script::new()
        .quiet(&sample.clone)
        .quiet(&sample.snapshot)
        .quiet(&function_clone(&sample, &one))
        .quiet(&function_clone(&sample, &two));
    let world = world(9, script);
    let folder = world.mounted(&sample.dataset);
    let root = world.storage.function_root(&one, &sample.program).await.unwrap();
    assert_eq!(root, world.storage.root_of(&one));
    assert_eq!(root.dataset.as_str(), format!("z/jails/run/{one}"));
    assert_eq!(root.folder, world.folder.path().join("run").join(one.as_str()));
    let program = folder.join(FUNCTION_PROGRAM.trim_start_matches('/'));
    assert_eq!(std::fs::read(program).unwrap(), b"a program");
    world.storage.function_root(&two, &sample.program).await.unwrap();
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
    // The folder is there already, so that this preparation fails.
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
async fn a_root_that_is_gone_is_destroyed_and_one_that_is_busy_is_not() {
    let island = IslandId::mint();
    let destroy = format!("zfs destroy z/jails/run/{island}");
    let tree = format!("zfs destroy -r z/jails/run/{island}");
    let script = Script::new()
        .expect(&destroy, 1, "", MISSING)
        .expect(&destroy, 1, "", BUSY)
        // Somebody's snapshots of all datasets.
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

/// Answers everything after a while, and remembers in what order.
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
async fn a_root_whose_maker_left_is_destroyed_after_it_was_made() {
    let (slow, folder) = (Slow::default(), tempfile::tempdir().unwrap());
    let zfs = Zfs::new(Arc::new(slow.clone()));
    let storage = Storage::opening(zfs, layout(folder.path()), folder::open, 9);
    let (island, sample) = (IslandId::mint(), sample("a program"));
    create_dir_all(folder.path().join(sample.dataset.strip_prefix("z/jails/").unwrap())).unwrap();
    let making = storage.function_root(&island, &sample.program);
    assert!(tokio::time::timeout(Duration::from_millis(1), making).await.is_err());
    storage.destroy(&island).await.unwrap();
    assert_eq!(*slow.0.lock(), ["clone", "snapshot", "clone", "destroy"]);
}

#[test]
fn the_path_on_the_island_is_where_the_program_is_put() {
    assert_eq!(FUNCTION_PROGRAM, format!("/{}", folder::PROGRAM));
}
