//! Answers of a git host: references and packs that lie, grow or never end, and answers that are
//! no repository's.

use std::sync::Arc;

use git2::Oid;
use libtest_mimic::Trial;

use crate::pack::Pack;
use crate::row::Expect::{self, Answers, Fails};
use crate::row::title;
use crate::site::{Reply, Site, whole};
use crate::world::{World, call};

const ADVERT: &str = "application/x-git-upload-pack-advertisement";
pub(crate) const RESULT: &str = "application/x-git-upload-pack-result";
/// The most bytes of a pack in one packet.
const BAND: usize = 60_000;

/// A host: what it answers, and what comes of a call.
pub(crate) struct Host {
    what: &'static str,
    advisory: &'static str,
    serve: fn(&Repository<'_>),
    expect: Expect,
}

/// Where the answers of one repository lie.
pub(crate) struct Repository<'a> {
    site: &'a Site,
    name: String,
}

impl Repository<'_> {
    pub(crate) fn refs(&self, reply: Reply) {
        self.site.put(&format!("/git/{}.git/info/refs", self.name), reply);
    }

    /// Advertises the commit under these names.
    pub(crate) fn advertise(&self, commit: Oid, names: &[&str]) {
        self.refs(whole(ADVERT, advert(commit, names)));
    }

    pub(crate) fn pack(&self, reply: Reply) {
        self.site.put(&format!("/git/{}.git/git-upload-pack", self.name), reply);
    }

    /// Advertises a commit as the only branch, and sends a pack with it.
    pub(crate) fn serve(&self, commit: Oid, pack: &[u8]) {
        self.advertise(commit, &["HEAD", "refs/heads/master"]);
        self.pack(whole(RESULT, sent(pack)));
    }
}

/// A packet.
pub(crate) fn packet(data: &[u8]) -> Vec<u8> {
    let mut out = format!("{:04x}", data.len() + 4).into_bytes();
    out.extend_from_slice(data);
    out
}

/// An advertisement of the first protocol.
fn advert(commit: Oid, names: &[&str]) -> Vec<u8> {
    let mut out = packet(b"# service=git-upload-pack\n");
    out.extend_from_slice(b"0000");
    for (n, name) in names.iter().enumerate() {
        let abilities = if n == 0 { "\0side-band-64k ofs-delta shallow" } else { "" };
        out.extend(packet(format!("{commit} {name}{abilities}\n").as_bytes()));
    }
    out.extend_from_slice(b"0000");
    out
}

/// A pack as a host sends it.
pub(crate) fn sent(pack: &[u8]) -> Vec<u8> {
    let mut out = packet(b"NAK\n");
    for part in pack.chunks(BAND) {
        out.extend(packet(&[b"\x01", part].concat()));
    }
    out.extend_from_slice(b"0000");
    out
}

/// One test for each row; `slug` begins the names of their repositories.
pub(crate) fn trials(world: &Arc<World>, slug: &'static str, table: &'static [Host]) -> Vec<Trial> {
    let trial = |(n, row): (usize, &'static Host)| {
        world.trial(title("git host", row.what, row.advisory), move |world, server| {
            let name = format!("{slug}{n}");
            (row.serve)(&Repository { site: &world.site, name: name.clone() });
            row.expect.check(&call(server, &format!("host.test/{name}"), "F()", None)?)
        })
    };
    table.iter().enumerate().map(trial).collect()
}

pub(crate) const fn row(
    what: &'static str,
    advisory: &'static str,
    serve: fn(&Repository<'_>),
    expect: Expect,
) -> Host {
    Host { what, advisory, serve, expect }
}

pub(crate) fn some_commit() -> Oid {
    Pack::default().package()
}

/// The module proxy, which is asked next, knows nothing of these repositories.
const BROKEN: Expect = Fails(404, "repository", &["the connection to the git host broke"]);
pub(crate) const CORRUPT: Expect = Fails(404, "repository", &["the pack is corrupt"]);
const UNANSWERED: Expect = Fails(404, "repository", &["cannot be reached"]);
const NOT_FOLLOWED: Expect = Fails(404, "repository", &["is not followed"]);

pub(crate) const TABLE: &[Host] = &[
    row(
        "references without an end",
        "",
        |it| {
            let line = packet(format!("{} refs/heads/x\n", some_commit()).as_bytes());
            let begin = packet(b"# service=git-upload-pack\n");
            it.refs(Reply::Endless(ADVERT, [&begin[..], b"0000"].concat(), line));
        },
        Fails(422, "source_size", &["limits.fetch_size"]),
    ),
    row(
        "references of which a byte comes now and then",
        "CVE-2007-6750",
        |it| {
            let line = packet(format!("{} refs/heads/x\n", some_commit()).as_bytes());
            let begin = packet(b"# service=git-upload-pack\n");
            it.refs(Reply::Slow(ADVERT, [&begin[..], b"0000"].concat(), line));
        },
        Fails(504, "deadline", &["limits.fetch_timeout"]),
    ),
    row(
        "references that climb and that are options",
        "CVE-2017-1000117",
        |it| {
            let mut pack = Pack::default();
            let commit = pack.package();
            let names = [
                "HEAD",
                "refs/heads/../../../etc",
                "refs/heads/--upload-pack=x",
                "refs/heads/master",
                "-x",
            ];
            it.advertise(commit, &names);
            it.pack(whole(RESULT, sent(&pack.bytes())));
        },
        Answers("packed"),
    ),
    row(
        "references with control characters",
        "",
        |it| {
            let mut pack = Pack::default();
            let commit = pack.package();
            it.advertise(commit, &["HEAD", "refs/heads/\x1b[2J\x07", "refs/heads/master"]);
            it.pack(whole(RESULT, sent(&pack.bytes())));
        },
        Answers("packed"),
    ),
    row(
        "a packet whose length is no number",
        "",
        |it| {
            it.refs(whole(ADVERT, "zzzz# service=git-upload-pack\n0000"));
        },
        BROKEN,
    ),
    row(
        "a packet that is longer than what comes",
        "",
        |it| {
            it.refs(whole(ADVERT, "fff0# service=git-upload-pack\n"));
        },
        BROKEN,
    ),
    row(
        "a packet whose length is below its own",
        "",
        |it| {
            it.refs(whole(ADVERT, "0003# service=git-upload-pack\n0000"));
        },
        BROKEN,
    ),
    row(
        "a refusal that steers a terminal",
        "CVE-2024-52005",
        |it| {
            it.advertise(some_commit(), &["HEAD", "refs/heads/master"]);
            it.pack(whole(RESULT, packet(b"ERR \x1b]0;evil\x07\x1b[2Jgone\n")));
        },
        Fails(404, "repository", &["the git host refused the request", "gone"]),
    ),
    row(
        "a page instead of references",
        "",
        |it| {
            it.refs(whole("text/html", "<html>please sign in</html>"));
        },
        Fails(404, "repository", &[]),
    ),
    row(
        "an answer that is no HTTP",
        "",
        |it| {
            it.refs(Reply::Raw(b"SSH-2.0-OpenSSH_9.0\r\n".to_vec()));
        },
        UNANSWERED,
    ),
    row(
        "a head of a mebibyte",
        "",
        |it| {
            let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
            it.refs(Reply::Raw(head.into_bytes()));
        },
        UNANSWERED,
    ),
    row(
        "a redirect to a file of the host",
        "CVE-2009-0037",
        |it| {
            it.refs(Reply::Raw(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()));
        },
        NOT_FOLLOWED,
    ),
    row(
        "a redirect to a program of the host",
        "CVE-2017-1000117",
        |it| {
            it.refs(Reply::Raw(b"HTTP/1.1 302 Found\r\nLocation: ext::sh -c id\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()));
        },
        NOT_FOLLOWED,
    ),
    row(
        "a redirect to an option of ssh",
        "CVE-2017-1000117",
        |it| {
            it.refs(Reply::Raw(b"HTTP/1.1 302 Found\r\nLocation: ssh://-oProxyCommand=id/x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()));
        },
        NOT_FOLLOWED,
    ),
    row(
        "an answer that is packed to a thousandth",
        "",
        |it| {
            use std::io::Write;
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            packed.write_all(&packet(b"# service=git-upload-pack\n")).expect("memory");
            packed.write_all(b"0000").expect("memory");
            let line = packet(format!("{} refs/heads/x\n", some_commit()).as_bytes());
            packed.write_all(&line.repeat(1_000_000)).expect("memory");
            let body = packed.finish().expect("memory");
            let mut reply = format!("HTTP/1.1 200 OK\r\nContent-Type: {ADVERT}\r\nContent-Encoding: gzip\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
            reply.extend(body);
            it.refs(Reply::Raw(reply));
        },
        Fails(422, "source_size", &["limits.fetch_size"]),
    ),
];
