//! Entries of a store: found, replaced, removed, flushed, and bounded in size.

use super::entry::modified;
use super::*;
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

fn open(root: &Path, limit: u64) -> Store {
    let trash = Arc::new(Trash::open(root).unwrap());
    Store::open(root.join("things"), trash, limit, Duration::from_secs(100)).unwrap()
}

fn bounds(bytes: u64) -> Bounds {
    Bounds { bytes, keep: Duration::from_secs(100) }
}

fn publish(store: &Store, key: &str, text: &str) -> Arc<Entry> {
    let scratch = store.contents.index.shared().trash.scratch().unwrap();
    fs::write(scratch.path().join("text"), text).unwrap();
    store.publish(key, scratch).unwrap()
}

#[test]
fn an_entry_is_found_again_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    drop(publish(&open(root.path(), 1 << 20), "a", "one"));
    let store = open(root.path(), 1 << 20);
    let entry = store.get("a").unwrap();
    assert_eq!(fs::read_to_string(entry.path().join("text")).unwrap(), "one");
    assert!(store.get("b").is_none());
}

/// A power cut is simulated by a flush that fails: the text is cut short, for it never reached the
/// disk.
#[test]
fn an_entry_that_was_not_flushed_is_not_found_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let trash = Arc::new(Trash::open(root.path()).unwrap());
    let folder = root.path().join("things");
    let cut = |_: &Path, _: &[&Path]| Err(std::io::Error::other("the power is cut"));
    let store = Store::with(folder, trash, bounds(1 << 20), None, cut).unwrap();
    let entry = publish(&store, "a", "one");
    assert!(store.get("a").is_some() && store.get_in_memory("a").is_some());
    drop(store);
    fs::write(entry.path().join("text"), "").unwrap();
    let store = open(root.path(), 1 << 20);
    assert!(store.get("a").is_none() && store.all().is_empty());
    assert!(!entry.path().exists());
}

#[test]
fn an_entry_is_marked_after_it_was_flushed_and_whatever_else_is_marked_with_it() {
    let root = tempfile::tempdir().unwrap();
    let trash = Arc::new(Trash::open(root.path()).unwrap());
    let folder = root.path().join("things");
    let check = |_: &Path, folders: &[&Path]| {
        for folder in folders {
            assert!(folder.join("text").exists(), "in place before it is flushed");
            assert!(!folder.join("sealed").exists());
        }
        flush::flush(folders[0], folders)
    };
    let store = Store::with(folder, trash, bounds(1 << 20), None, check).unwrap();
    let entry = publish(&store, "a", "one");
    fs::create_dir(entry.path().join("part")).unwrap();
    entry.mark_when_flushed(entry.path().join("part"), entry.path().join("sealed"));
    store.settle();
    assert!(entry.marker().exists() && entry.path().join("sealed").exists());
}

#[test]
fn a_byte_that_the_disk_has_changed_is_seen_by_the_next_process() {
    let root = tempfile::tempdir().unwrap();
    let trash = Arc::new(Trash::open(root.path()).unwrap());
    let folder = root.path().join("things");
    let open = || {
        let keep = Duration::from_secs(100);
        Store::open_growing(folder.clone(), trash.clone(), 1 << 20, keep, "cache").unwrap()
    };
    let store = open();
    let entry = publish(&store, "a", "one");
    fs::create_dir(entry.path().join("cache")).unwrap();
    drop(store);
    let store = open();
    let found = store.get("a").unwrap();
    fs::write(found.path().join("cache/later"), "x").unwrap();
    assert!(found.is_intact().unwrap() && found.is_untouched().unwrap());
    fs::write(found.path().join("text"), "onE").unwrap();
    assert!(found.is_intact().unwrap(), "read once a process");
    assert!(!found.is_untouched().unwrap());
    found.doubt();
    assert!(!found.is_intact().unwrap());
    drop(store);
    assert!(!open().get("a").unwrap().is_intact().unwrap());
}

#[test]
fn entries_of_an_earlier_version_need_no_marker() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1 << 20);
    let entry = publish(&store, "a", "one");
    drop(store);
    fs::remove_file(entry.marker()).unwrap();
    fs::remove_file(root.path().join("things").join(MARKED_SINCE)).unwrap();
    // Names say whole seconds.
    std::thread::sleep(Duration::from_millis(1001));
    let store = open(root.path(), 1 << 20);
    assert!(store.get("a").is_some());
    let entry = publish(&store, "b", "two");
    drop(store);
    fs::remove_file(entry.marker()).unwrap();
    let store = open(root.path(), 1 << 20);
    assert!(store.has("a") && !store.has("b"));
}

#[test]
fn publications_to_a_full_store_seldom_look_at_all_entries() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1 << 20);
    let size = || {
        store.settle();
        store.contents.index.shared().total.load(Ordering::Relaxed)
    };
    publish(&store, "first", "one");
    let limit = 50 * size();
    store.set_bounds(limit, Duration::from_secs(100));
    for index in 0..150 {
        publish(&store, &format!("{index}"), "one");
        assert!(size() <= limit, "{index}");
    }
    let shrunk = store.contents.shrunk.load(Ordering::Relaxed);
    assert!((1..=25).contains(&shrunk), "{shrunk}");
    assert!((40..=50).contains(&store.all().len()), "{}", store.all().len());
    assert_eq!(size(), store.all().iter().map(|(_, entry)| entry.bytes()).sum::<u64>());
}

#[test]
fn the_newer_of_two_entries_of_one_key_counts_after_a_crash() {
    let root = tempfile::tempdir().unwrap();
    let any = publish(&open(root.path(), 1 << 20), "a", "any");
    let place = any.path().parent().unwrap();
    fs::remove_dir_all(any.path()).unwrap();
    let folders = ["old", "new"].map(|text| {
        let entry = publish(&open(root.path(), 1 << 20), text, text);
        let unique = entry.path().extension().unwrap().to_str().unwrap();
        let folder = place.join(format!("a.{unique}"));
        fs::rename(entry.path(), &folder).unwrap();
        folder
    });
    let store = open(root.path(), 1 << 20);
    let entry = store.get("a").unwrap();
    assert_eq!(fs::read_to_string(entry.path().join("text")).unwrap(), "new");
    assert!(!folders[0].exists() && folders[1].exists());
}

#[test]
fn the_time_of_the_last_use_survives_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let entry = publish(&open(root.path(), 1 << 20), "a", "one");
    let long_ago = UNIX_EPOCH + Duration::from_secs(now() - 90);
    fs::File::open(entry.path()).unwrap().set_modified(long_ago).unwrap();
    let store = open(root.path(), 1 << 20);
    store.purge();
    assert_eq!(store.all()[0].1.used(), now() - 90);
    store.get("a");
    store.purge();
    assert!(modified(entry.path()) >= now() - 1);
}

#[test]
fn an_entrys_facts_are_its_size_its_age_and_its_hits() {
    let root = tempfile::tempdir().unwrap();
    let begin = now();
    let entry = publish(&open(root.path(), 1 << 20), "a", "one");
    let store = open(root.path(), 1 << 20);
    let facts = store.all()[0].1.facts("a");
    assert!((begin..=now()).contains(&facts.made), "{facts:?}");
    assert!(facts.bytes > 0 && facts.hits == 0, "{facts:?}");
    store.get("a");
    store.get("a");
    assert_eq!(store.all()[0].1.facts("a").hits, 2);
    assert!(store.remove("a") && !store.remove("a"));
    drop(entry);
}

#[test]
fn a_purge_removes_what_exceeds_new_bounds() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1 << 20);
    drop(publish(&store, "a", "one"));
    store.set_bounds(1, Duration::from_secs(100));
    assert_eq!((store.purge(), store.has("a")), (0, false));
}

#[test]
fn a_purge_removes_what_was_not_used_for_too_long() {
    let root = tempfile::tempdir().unwrap();
    let entry = publish(&open(root.path(), 1 << 20), "a", "one");
    let long_ago = UNIX_EPOCH + Duration::from_secs(now() - 200);
    fs::File::open(entry.path()).unwrap().set_modified(long_ago).unwrap();
    let store = open(root.path(), 1 << 20);
    store.purge();
    assert!(!store.has("a") && !entry.path().exists());
}

#[test]
fn a_replaced_entry_stays_until_its_last_user_is_done() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1 << 20);
    let old = publish(&store, "a", "old");
    publish(&store, "a", "new");
    assert_eq!(fs::read_to_string(old.path().join("text")).unwrap(), "old");
    let path = old.path().to_owned();
    store.settle();
    drop(old);
    assert!(!path.exists());
    let new = store.get("a").unwrap();
    assert_eq!(fs::read_to_string(new.path().join("text")).unwrap(), "new");
}

#[test]
fn a_purge_removes_what_exceeds_the_size() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 0);
    publish(&store, "a", "text");
    assert_eq!(store.purge(), 0);
    assert!(store.get("a").is_none());
    assert!(store.all().is_empty());
}

#[test]
fn the_oldest_are_removed_first_and_only_as_many_as_must() {
    let keep = Duration::from_secs(100);
    let table: [(&[(u64, u64)], u64, &[usize], u64); 4] = [
        (&[(1000, 5), (990, 5), (995, 5)], 10, &[1], 10),
        (&[(1000, 5), (990, 5), (995, 5)], 15, &[], 15),
        (&[(1000, 5), (800, 1)], 100, &[1], 5),
        (&[(1000, 50)], 10, &[0], 0),
    ];
    for (entries, limit, leave, remaining) in table {
        assert_eq!(surplus(entries, 1000, keep, limit), (leave.to_vec(), remaining));
    }
}
