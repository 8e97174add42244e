//! Packs of a git host that lie, grow or never end.

use git2::Oid;

use crate::githost::{CORRUPT, Host, RESULT, Repository, packet, row, some_commit};
use crate::pack::{BLOB, Pack, copy, delta};
use crate::row::Expect::{self, Answers, Fails};
use crate::site::Reply;

const ABSENT: Expect = Fails(404, "version", &["has no commit"]);

/// A pack of the package and something else, made by `more` for an object of a kibibyte.
fn serve_with(it: &Repository<'_>, more: fn(&mut Pack, Oid)) {
    let mut pack = Pack::default();
    let commit = pack.package();
    let base = pack.add(BLOB, &[0; 1024]);
    more(&mut pack, base);
    it.serve(commit, &pack.bytes());
}

pub(crate) const TABLE: &[Host] = &[
    row(
        "an ordinary pack",
        "",
        |it| {
            let mut pack = Pack::default();
            let commit = pack.package();
            it.serve(commit, &pack.bytes());
        },
        Answers("packed"),
    ),
    row(
        "a delta that copies from behind its base",
        "CVE-2018-10887",
        |it| {
            serve_with(it, |pack, base| {
                pack.delta(base, &delta(1024, 64, &copy(1 << 20, 64)));
            });
        },
        CORRUPT,
    ),
    row(
        "a delta whose instructions end in the middle",
        "CVE-2018-10888",
        |it| {
            serve_with(it, |pack, base| pack.delta(base, &delta(1024, 64, &[0xff, 1, 2])));
        },
        CORRUPT,
    ),
    row(
        "a delta with the instruction that means nothing",
        "",
        |it| {
            serve_with(it, |pack, base| pack.delta(base, &delta(1024, 64, &[0, 0, 0])));
        },
        CORRUPT,
    ),
    row(
        "a delta that says it makes an exbibyte",
        "",
        |it| {
            serve_with(it, |pack, base| pack.delta(base, &delta(1024, 1 << 60, &copy(0, 64))));
        },
        CORRUPT,
    ),
    row(
        "a delta on an object that is not there",
        "",
        |it| {
            serve_with(it, |pack, _| {
                let none = Oid::from_str(&"1".repeat(40)).expect("an id");
                pack.delta(none, &delta(1024, 64, &copy(0, 64)));
            });
        },
        CORRUPT,
    ),
    row(
        "deltas that make each object a thousand times larger",
        "",
        |it| {
            serve_with(it, |pack, base| {
                let (mut base, mut size) = (base, 1024_u64);
                for _ in 0..2 {
                    let made = size * 1024;
                    pack.delta(base, &delta(size, made, &copy(0, size as u32).repeat(1024)));
                    base = Oid::hash_object(git2::ObjectType::Blob, &vec![0; made as usize])
                        .expect("an id");
                    size = made;
                }
            });
        },
        CORRUPT,
    ),
    row(
        "an object that says it has an exbibyte",
        "",
        |it| {
            let mut pack = Pack::default();
            let file = pack.lying(1 << 60, b"little");
            let commit = pack.package_with(Some(file));
            it.serve(commit, &pack.bytes());
        },
        Fails(422, "source_size", &["limits.fetch_size"]),
    ),
    row(
        "an object with more than it says",
        "",
        |it| {
            let mut pack = Pack::default();
            let file = pack.lying(1, &[7; 100_000]);
            let commit = pack.package_with(Some(file));
            it.serve(commit, &pack.bytes());
        },
        Fails(404, "repository", &["a git object is missing or corrupt"]),
    ),
    row(
        "a pack that says it has four thousand million objects",
        "",
        |it| {
            let mut pack = Pack::default();
            let commit = pack.package();
            it.serve(commit, &pack.counted(u32::MAX));
        },
        CORRUPT,
    ),
    row(
        "a pack with a sum that is wrong",
        "",
        |it| {
            let mut pack = Pack::default();
            let commit = pack.package();
            let mut bytes = pack.bytes();
            *bytes.last_mut().expect("a sum") ^= 1;
            it.serve(commit, &bytes);
        },
        CORRUPT,
    ),
    row(
        "a pack without the commit",
        "",
        |it| {
            let mut pack = Pack::default();
            pack.add(BLOB, b"x");
            it.serve(some_commit(), &pack.bytes());
        },
        ABSENT,
    ),
    row(
        "a pack whose commit is a blob",
        "",
        |it| {
            let mut pack = Pack::default();
            let blob = pack.add(BLOB, b"x");
            it.serve(blob, &pack.bytes());
        },
        ABSENT,
    ),
    row(
        "a pack without an end",
        "",
        |it| {
            it.advertise(some_commit(), &["HEAD", "refs/heads/master"]);
            let more = packet(&[b"\x01", &[0x55; 4096][..]].concat());
            it.pack(Reply::Endless(RESULT, packet(b"NAK\n"), more));
        },
        CORRUPT,
    ),
    row(
        "progress without an end",
        "",
        |it| {
            it.advertise(some_commit(), &["HEAD", "refs/heads/master"]);
            let more = packet(&[b"\x02", &[b'.'; 4096][..]].concat());
            it.pack(Reply::Endless(RESULT, packet(b"NAK\n"), more));
        },
        Fails(422, "source_size", &["limits.fetch_size"]),
    ),
];
