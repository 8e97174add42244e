//! What the fuzz targets of this crate do with their bytes; `fuzz/` and `tests/corpora.rs` use it.
//!
//! Each function gives the bytes to parsers, and panics where an accepted input breaks a promise.
#![doc(hidden)]

use std::fs;
use std::io;
use std::path::Path;

use git2::{ObjectType, Oid, Repository};

use super::advert::{Protocol, advertisement, list};
use super::budget::Budget;
use super::locate::{LookupPlan, RepositoryLocation, is_import_path, plan};
use super::module::{has_go_line, join, path_of};
use super::pkt::{self, Packet, PacketReader};
use super::refs::{Ref, VersionMatch, VersionQuery, major, pseudo_commit};
use super::scratch::Scratch;
use super::vanity::{below, matching, meta_imports};
use super::verdict::{Verdict, refused, verdict};
use super::{smart, text, tree};

/// The most bytes that a tree of an input may write.
const ROOM: u64 = 1 << 20;
/// The most objects that are looked at after a pack.
const OBJECTS: usize = 64;

/// Packet lines: what is read is written the same again.
pub fn packets(bytes: &[u8]) {
    let mut reader = PacketReader::new(bytes);
    let (mut written, mut all) = (Vec::new(), Vec::new());
    while let Ok(Some(packet)) = reader.next() {
        match &packet {
            Packet::Flush => pkt::flush(&mut written),
            Packet::Delim => pkt::delim(&mut written),
            Packet::End => written.extend_from_slice(b"0002"),
            Packet::Data(data) => {
                written.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
                written.extend_from_slice(data);
            }
        }
        if let Some(text) = packet.text() {
            let mut line = Vec::new();
            pkt::line(&mut line, text);
            let again = PacketReader::new(&line[..]).next();
            assert_eq!(again.ok().flatten().as_ref().and_then(Packet::text), Some(text));
        }
        all.push(packet);
    }
    // Hex digits of a length may be large ones.
    assert!(bytes[..written.len()].eq_ignore_ascii_case(&written) || has_data(&all));
    let mut reader = PacketReader::new(&written[..]);
    let again: Vec<Packet> = std::iter::from_fn(|| reader.next().ok().flatten()).collect();
    assert_eq!(again, all);
}

/// Whether a packet has bytes, among which the case of letters counts.
fn has_data(packets: &[Packet]) -> bool {
    packets.iter().any(|packet| matches!(packet, Packet::Data(_)))
}

/// The first byte chooses the answer: an advertisement, or the answer to `ls-refs`.
pub fn references(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let refs = match kind % 2 {
        0 => list(PacketReader::new(rest)).unwrap_or_default(),
        _ => match advertisement(PacketReader::new(rest)) {
            Ok(Protocol::V0 { refs, .. }) => refs,
            _ => return,
        },
    };
    assert!(refs.len() <= rest.len() / 40, "each reference was in the bytes");
    for name in ["v1.2.3", "main", "abcdef0", "sub/v1.0.0"] {
        resolves(&refs, &VersionQuery::parse(Some(name)));
    }
    for query in [VersionQuery::Default, VersionQuery::Major(2)] {
        resolves(&refs, &query);
    }
    for one in &refs {
        let name = one.name.strip_prefix("refs/tags/").unwrap_or(&one.name);
        resolves(&refs, &VersionQuery::parse(Some(name)));
    }
}

/// A version resolves to a commit that was among the references, or to none of them.
fn resolves(refs: &[Ref], query: &VersionQuery) {
    if let VersionMatch::Commit(oid) = query.meaning(refs, "sub/deep") {
        let known = refs.iter().any(|one| one.target() == oid);
        assert!(known || *query == VersionQuery::Commit(oid), "{query:?} {oid}");
    }
}

/// The answer to a fetch: packets with a pack in the side band, which goes into a new repository.
/// The commits that arrived are written to a folder.
pub fn packs(bytes: &[u8]) {
    let scratch = Scratch::new().expect("a scratch folder");
    let repository = Repository::init_bare(scratch.path().join("git")).expect("a repository");
    let odb = repository.odb().expect("its objects");
    if smart::receive(&mut PacketReader::new(bytes), &odb).is_err() {
        return;
    }
    let mut commits = Vec::new();
    let mut seen = 0;
    let _ = odb.foreach(|id| {
        if odb.read_header(*id).is_ok_and(|(_, kind)| kind == ObjectType::Commit) {
            commits.push(*id);
        }
        seen += 1;
        seen < OBJECTS
    });
    for commit in commits {
        written(&repository, commit, &scratch);
    }
}

/// A repository whose trees are the bytes: parts between lines of `==`, each `MODE NAME CONTENT`
/// on lines of its own. The content of a folder is the number of an earlier part.
pub fn trees(bytes: &[u8]) {
    let scratch = Scratch::new().expect("a scratch folder");
    let repository = Repository::init_bare(scratch.path().join("git")).expect("a repository");
    let odb = repository.odb().expect("its objects");
    let mut made: Vec<Oid> = Vec::new();
    for part in bytes.split(|byte| *byte == 0xff).take(16) {
        let mut raw = Vec::new();
        for line in part.split(|byte| *byte == b'\n').take(64) {
            let mut words = line.splitn(3, |byte| *byte == b' ');
            let (Some(mode), Some(name), Some(content)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let id = match mode {
                b"40000" | b"160000" => {
                    let number = content.first().map_or(0, |byte| usize::from(byte % 16));
                    made.get(number).copied()
                }
                _ => odb.write(ObjectType::Blob, content).ok(),
            };
            let Some(id) = id else { continue };
            raw.extend_from_slice(mode);
            raw.push(b' ');
            // A tree's name may be anything but empty bytes.
            raw.extend(name.iter().map(|byte| if *byte == 0xfe { b'/' } else { *byte }));
            raw.push(0);
            raw.extend_from_slice(id.as_bytes());
        }
        if let Ok(id) = odb.write(ObjectType::Tree, &raw) {
            made.push(id);
        }
    }
    let Some(top) = made.last() else { return };
    let head = format!("tree {top}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nm\n");
    let Ok(commit) = odb.write(ObjectType::Commit, head.as_bytes()) else { return };
    written(&repository, commit, &scratch);
}

/// Writes a commit's files; everything lies in the folder, no link leads out, and no git folder is
/// written.
fn written(repository: &Repository, commit: Oid, scratch: &Scratch) {
    let outside = scratch.folder("outside").expect("a folder");
    let dest = outside.join("dest");
    let _ = tree::write(repository, commit, &dest, &Budget::new(ROOM));
    let beside = fs::read_dir(&outside).expect("the folder").count();
    assert!(beside <= 1, "something was written beside the folder");
    let top = fs::read_dir(scratch.path()).expect("the scratch folder").count();
    assert!(top <= 2, "something was written above the folder");
    if dest.exists() {
        let root = dest.canonicalize().expect("the folder");
        stays_inside(&dest, &root).expect("what was written can be read");
    }
    super::scratch::remove_tree(&dest).expect("the folder can be removed");
}

fn stays_inside(folder: &Path, root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        assert!(!name.eq_ignore_ascii_case(".git"), "{}", entry.path().display());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            let target = entry.path().canonicalize()?;
            assert!(target.starts_with(root), "{} leads out", entry.path().display());
        } else if kind.is_dir() {
            stays_inside(&entry.path(), root)?;
        } else {
            assert!(kind.is_file(), "{}", entry.path().display());
        }
    }
    Ok(())
}

/// An import path: where it is looked up.
pub fn path(text: &str) {
    let Ok(found) = plan(text, &[]) else { return };
    assert!(is_import_path(text) && !text.split('/').any(|element| element == ".."));
    let candidates = match found {
        LookupPlan::Try(candidates) => candidates,
        LookupPlan::Discover(candidate) => candidate.into_iter().collect(),
    };
    for candidate in candidates {
        assert!(below(text, &candidate.root).is_some(), "{candidate:?} is no part of {text:?}");
        match candidate.place {
            RepositoryLocation::Url(url) => {
                let host = text.split('/').next().unwrap_or_default();
                assert!(url.starts_with(&format!("https://{host}/")), "{url:?} of {text:?}");
            }
            RepositoryLocation::Folder(folder) => panic!("no mirror names {}", folder.display()),
        }
    }
}

/// A version: what references it needs.
pub fn version(text: &str) {
    let query = VersionQuery::parse(Some(text));
    assert_eq!(query, VersionQuery::parse(Some(text)));
    for prefix in query.prefixes("sub/deep") {
        assert!(prefix == "HEAD" || prefix.starts_with("refs/"), "{prefix:?}");
    }
    if let Some(commit) = pseudo_commit(text) {
        assert!(commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    assert!(major(text).is_none_or(|number| number >= 2));
}

/// Answers of a module proxy through the go command, and pages of a module's host.
pub fn modules(bytes: &[u8]) {
    let tags = meta_imports(bytes);
    for path in ["example.com/a", "example.com/a/b"] {
        if let Ok(tag) = matching(tags.clone(), path) {
            assert!(below(path, &tag.prefix).is_some(), "{tag:?}");
            assert!(tag.vcs == "git" && tag.repo.starts_with("https://"), "{tag:?}");
            let authority = tag.repo["https://".len()..].split('/').next().unwrap_or_default();
            assert!(!authority.contains('@'), "{tag:?}");
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(path) = path_of(text) {
        assert!(!path.is_empty() && !path.starts_with('/'), "{path:?}");
        for element in path.split('/') {
            assert!(!matches!(element, "" | "." | ".."), "{path:?}");
        }
        assert_eq!(path_of(&format!("module {path}\n")).as_deref(), Some(&*path));
        assert_eq!(join(&path, ""), path);
    }
    let _ = has_go_line(text);
    for line in text.lines().chain([text]) {
        if let Verdict::NewerGo { needs, running } = verdict(line) {
            assert!(line.contains(&needs) && line.contains(&running));
        }
        let _ = refused(line);
        let short = text::bounded(line);
        assert_eq!(text::bounded(&short), short);
        let _ = text::hide_paths(line);
        version(line);
    }
}
