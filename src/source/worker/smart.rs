//! Git's smart HTTP, the reading half: what a repository advertises, and packs of it.
//!
//! Protocol version 2, which lets us ask for a few names instead of all, for any commit by its id and for a
//! history without files; version 0 where a server knows no better. Every exchange is stateless: a POST holds
//! all that the server must know. A pack's bytes go straight into git2's indexer and are believed to be nothing
//! before it has checked them.

use std::io::{self, Write};

use git2::{Odb, Oid};

use super::budget::{OverBudget, over_budget};
use super::http::{Ask, Http, HttpError, Reply};
use super::pkt::{self, Pkt, PktReader};
use super::refs::Ref;

const AGENT: &str = concat!("agent=sky-island/", env!("CARGO_PKG_VERSION"));
/// More names than this are not listed; the largest public repositories have a few hundred thousand.
const MAX_REFS: usize = 1_000_000;

/// Why a repository could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmartError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("there is no git repository (HTTP status {0})")]
    NoRepository(u16),
    #[error("its host failed (HTTP status {0})")]
    Host(u16),
    #[error("it does not have that commit: {0}")]
    NoCommit(String),
    #[error("it answered against git's protocol: {0}")]
    Protocol(&'static str),
    #[error("it refused: {0}")]
    Refused(String),
    #[error("the connection broke off: {0}")]
    Broken(#[source] io::Error),
    #[error("its pack is broken: {0}")]
    Pack(#[source] git2::Error),
    #[error(transparent)]
    Budget(#[from] OverBudget),
}

impl From<io::Error> for SmartError {
    fn from(error: io::Error) -> Self {
        match over_budget(&error) {
            Some(over) => Self::Budget(over),
            None => Self::Broken(error),
        }
    }
}

/// How much of a history to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// The commits asked for, with their files and without their parents.
    One,
    /// Every commit before them as well; without files where the server can leave them out.
    History,
    /// Everything, files too.
    Full,
}

enum Protocol {
    V2 { shallow: bool, filter: bool, sha1: bool },
    V0 { refs: Vec<Ref>, shallow: bool, any: bool },
}

/// A repository that has answered.
pub(super) struct Remote<'a> {
    http: &'a Http,
    url: String,
    protocol: Protocol,
}

impl<'a> Remote<'a> {
    /// Asks a URL whether a repository is there.
    pub(super) fn connect(http: &'a Http, url: &str) -> Result<Self, SmartError> {
        let ask = format!("{url}/info/refs?service=git-upload-pack");
        let headers = [("git-protocol", "version=2")];
        let reply = http.send(&Ask { url: &ask, body: None, headers: &headers })?;
        let reply = checked(reply, "application/x-git-upload-pack-advertisement")?;
        let end = reply.url.find("/info/refs").unwrap_or(reply.url.len());
        let url = reply.url[..end].to_owned();
        let protocol = advertisement(PktReader::new(reply.body))?;
        Ok(Self { http, url, protocol })
    }

    /// The references that begin with one of the prefixes (an old server sends all that it has).
    pub(super) fn refs(&self, prefixes: &[String]) -> Result<Vec<Ref>, SmartError> {
        match &self.protocol {
            Protocol::V0 { refs, .. } => Ok(refs.clone()),
            Protocol::V2 { sha1, .. } => {
                let mut body = Vec::new();
                command(&mut body, "ls-refs", *sha1);
                pkt::line(&mut body, "peel");
                for prefix in prefixes {
                    pkt::line(&mut body, &format!("ref-prefix {prefix}"));
                }
                pkt::flush(&mut body);
                list(PktReader::new(self.post(&body)?.body))
            }
        }
    }

    /// Whether a commit can be fetched that no reference points to.
    pub(super) fn serves_any_commit(&self) -> bool {
        match self.protocol {
            Protocol::V2 { .. } => true,
            Protocol::V0 { any, .. } => any,
        }
    }

    /// Whether a history can be fetched without its files.
    pub(super) fn filters(&self) -> bool {
        matches!(self.protocol, Protocol::V2 { filter: true, .. })
    }

    /// Fetches `wants` into `odb`.
    pub(super) fn fetch(
        &self,
        wants: &[Oid],
        extent: Extent,
        odb: &Odb<'_>,
    ) -> Result<(), SmartError> {
        let body = match &self.protocol {
            Protocol::V2 { shallow, filter, sha1 } => {
                let mut body = Vec::new();
                command(&mut body, "fetch", *sha1);
                pkt::line(&mut body, "ofs-delta");
                pkt::line(&mut body, "no-progress");
                for want in wants {
                    pkt::line(&mut body, &format!("want {want}"));
                }
                if extent == Extent::One && *shallow {
                    pkt::line(&mut body, "deepen 1");
                }
                if extent == Extent::History && *filter {
                    pkt::line(&mut body, "filter tree:0");
                }
                pkt::line(&mut body, "done");
                pkt::flush(&mut body);
                body
            }
            Protocol::V0 { shallow, .. } => {
                let mut body = Vec::new();
                let shallow = extent == Extent::One && *shallow;
                let mut caps = format!(" ofs-delta side-band-64k no-progress {AGENT}");
                if shallow {
                    caps.push_str(" shallow");
                }
                for want in wants {
                    pkt::line(&mut body, &format!("want {want}{}", std::mem::take(&mut caps)));
                }
                if shallow {
                    pkt::line(&mut body, "deepen 1");
                }
                pkt::flush(&mut body);
                pkt::line(&mut body, "done");
                body
            }
        };
        let mut packets = PktReader::new(self.post(&body)?.body);
        match self.protocol {
            Protocol::V2 { .. } => skip_to_pack(&mut packets)?,
            Protocol::V0 { .. } => skip_to_nak(&mut packets)?,
        }
        receive(&mut packets, odb)
    }

    fn post(&self, body: &[u8]) -> Result<Reply, SmartError> {
        let url = format!("{}/git-upload-pack", self.url);
        let mut headers = vec![
            ("content-type", "application/x-git-upload-pack-request"),
            ("accept", "application/x-git-upload-pack-result"),
        ];
        if matches!(self.protocol, Protocol::V2 { .. }) {
            headers.push(("git-protocol", "version=2"));
        }
        let reply = self.http.send(&Ask { url: &url, body: Some(body), headers: &headers })?;
        checked(reply, "application/x-git-upload-pack-result")
    }
}

fn command(body: &mut Vec<u8>, name: &str, sha1: bool) {
    pkt::line(body, &format!("command={name}"));
    pkt::line(body, AGENT);
    if sha1 {
        pkt::line(body, "object-format=sha1");
    }
    pkt::delim(body);
}

/// A host that wants a login does not say so of what does not exist, so both mean the same to us.
fn checked(reply: Reply, content_type: &str) -> Result<Reply, SmartError> {
    match reply.status {
        200 if reply.content_type.starts_with(content_type) => Ok(reply),
        // A web page in place of a repository.
        200 | 300..=499 if reply.status != 429 && reply.status != 408 => {
            Err(SmartError::NoRepository(reply.status))
        }
        status => Err(SmartError::Host(status)),
    }
}

fn advertisement<R: io::Read>(mut packets: PktReader<R>) -> Result<Protocol, SmartError> {
    let mut first = packets.expect()?;
    if first.text().is_some_and(|t| t.starts_with("# service=")) {
        packets.expect()?;
        first = packets.expect()?;
    }
    if first.text() == Some("version 2") {
        return capabilities(packets);
    }
    let (mut refs, mut caps, mut next) = (Vec::new(), String::new(), first);
    while let Some(text) = next.text().map(str::to_owned) {
        let (text, tail) = text.split_once('\0').unwrap_or((&text, ""));
        if refs.is_empty() && caps.is_empty() {
            tail.clone_into(&mut caps);
        }
        if let Some(message) = text.strip_prefix("ERR ") {
            return Err(refusal(message));
        }
        // "version 1" and "shallow …" lines name no object.
        if let Some((oid, name)) = text.split_once(' ')
            && let Ok(oid) = parse_oid(oid)
            && name != "capabilities^{}"
        {
            add_v0(&mut refs, oid, name)?;
        }
        next = packets.expect()?;
    }
    if next != Pkt::Flush {
        return Err(SmartError::Protocol("its list of references does not end"));
    }
    let has = |cap: &str| caps.split(' ').any(|c| c == cap);
    if !refs.is_empty() && !has("side-band-64k") {
        return Err(SmartError::Protocol("it cannot multiplex a pack"));
    }
    if caps.split(' ').any(|c| c == "object-format=sha256") {
        return Err(SmartError::Protocol("its objects are named by SHA-256"));
    }
    let any = has("allow-reachable-sha1-in-want") || has("allow-any-sha1-in-want");
    Ok(Protocol::V0 { refs, shallow: has("shallow"), any })
}

fn capabilities<R: io::Read>(mut packets: PktReader<R>) -> Result<Protocol, SmartError> {
    let (mut shallow, mut filter, mut sha1, mut fetches) = (false, false, false, false);
    loop {
        let packet = packets.expect()?;
        let Some(text) = packet.text() else {
            break;
        };
        match text.split_once('=').unwrap_or((text, "")) {
            ("fetch", features) => {
                fetches = true;
                shallow = features.split(' ').any(|f| f == "shallow");
                filter = features.split(' ').any(|f| f == "filter");
            }
            ("object-format", "sha1") => sha1 = true,
            ("object-format", _) => {
                return Err(SmartError::Protocol("its objects are named by SHA-256"));
            }
            _ => {}
        }
    }
    if !fetches {
        return Err(SmartError::Protocol("it serves no packs"));
    }
    Ok(Protocol::V2 { shallow, filter, sha1 })
}

fn add_v0(refs: &mut Vec<Ref>, oid: Oid, name: &str) -> Result<(), SmartError> {
    if let Some(tag) = name.strip_suffix("^{}") {
        if let Some(last) = refs.last_mut().filter(|r| r.name == tag) {
            last.peeled = Some(oid);
        }
        return Ok(());
    }
    if refs.len() >= MAX_REFS {
        return Err(SmartError::Protocol("it has too many references"));
    }
    refs.push(Ref { name: name.to_owned(), oid, peeled: None });
    Ok(())
}

fn list<R: io::Read>(mut packets: PktReader<R>) -> Result<Vec<Ref>, SmartError> {
    let mut refs = Vec::new();
    loop {
        let packet = packets.expect()?;
        let text = match &packet {
            Pkt::Flush => return Ok(refs),
            // A name that is not UTF-8 cannot be the one that was asked for.
            Pkt::Data(_) => match packet.text() {
                Some(text) => text,
                None => continue,
            },
            _ => return Err(SmartError::Protocol("its list of references does not end")),
        };
        if let Some(message) = text.strip_prefix("ERR ") {
            return Err(refusal(message));
        }
        let mut words = text.split(' ');
        let (Some(oid), Some(name)) = (words.next(), words.next()) else {
            return Err(SmartError::Protocol("a reference has no name"));
        };
        if oid == "unborn" {
            continue;
        }
        if refs.len() >= MAX_REFS {
            return Err(SmartError::Protocol("it has too many references"));
        }
        let peeled = words.find_map(|w| w.strip_prefix("peeled:"));
        refs.push(Ref {
            name: name.to_owned(),
            oid: parse_oid(oid)?,
            peeled: peeled.map(parse_oid).transpose()?,
        });
    }
}

fn parse_oid(text: &str) -> Result<Oid, SmartError> {
    // git2 pads a short id with zeros.
    if text.len() != 40 {
        return Err(SmartError::Protocol("an object's name is not 40 digits"));
    }
    Oid::from_str(text).map_err(|_| SmartError::Protocol("an object's name is not hexadecimal"))
}

fn refusal(message: &str) -> SmartError {
    let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    if message.contains("not our ref") || message.contains("no such remote ref") {
        SmartError::NoCommit(message)
    } else {
        SmartError::Refused(message)
    }
}

/// Version 2: sections come before the pack, each ended by a delimiter.
fn skip_to_pack<R: io::Read>(packets: &mut PktReader<R>) -> Result<(), SmartError> {
    loop {
        let packet = packets.expect()?;
        match packet.text() {
            Some("packfile") => return Ok(()),
            Some(text) => {
                if let Some(message) = text.strip_prefix("ERR ") {
                    return Err(refusal(message));
                }
            }
            None if packet == Pkt::Flush => return Err(SmartError::Protocol("it sent no pack")),
            None => {}
        }
    }
}

/// Version 0: the boundary of a shallow history, then the end of a negotiation that had nothing to offer.
fn skip_to_nak<R: io::Read>(packets: &mut PktReader<R>) -> Result<(), SmartError> {
    loop {
        let packet = packets.expect()?;
        match packet.text() {
            Some("NAK") => return Ok(()),
            Some(text) if text.starts_with("shallow ") || text.starts_with("unshallow ") => {}
            Some(text) => match text.strip_prefix("ERR ") {
                Some(message) => return Err(refusal(message)),
                None => return Err(SmartError::Protocol("it negotiates where nothing is to be")),
            },
            None if packet == Pkt::Flush => {}
            None => return Err(SmartError::Protocol("it sent no pack")),
        }
    }
}

/// The pack, out of its side band, into the object store.
fn receive<R: io::Read>(packets: &mut PktReader<R>, odb: &Odb<'_>) -> Result<(), SmartError> {
    let mut writer = odb.packwriter().map_err(SmartError::Pack)?;
    let mut empty = true;
    loop {
        match packets.next()? {
            Some(Pkt::Data(data)) => match data.split_first() {
                Some((1, pack)) => {
                    empty = false;
                    // git2 puts the reason where its own last error is; the commit below reads it as well.
                    writer.write_all(pack).map_err(|_| SmartError::Pack(last_error()))?;
                }
                Some((2, _progress)) => {}
                Some((3, message)) => return Err(refusal(&String::from_utf8_lossy(message))),
                _ => return Err(SmartError::Protocol("its pack is not multiplexed")),
            },
            Some(Pkt::Flush | Pkt::End) | None => break,
            Some(Pkt::Delim) => return Err(SmartError::Protocol("its pack is not multiplexed")),
        }
    }
    if empty {
        return Err(SmartError::Protocol("it sent no pack"));
    }
    writer.commit().map(drop).map_err(SmartError::Pack)
}

fn last_error() -> git2::Error {
    git2::Error::from_str("it cannot be indexed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn packets(lines: &[&str]) -> PktReader<io::Cursor<Vec<u8>>> {
        let mut out = Vec::new();
        for text in lines {
            if text.is_empty() { pkt::flush(&mut out) } else { pkt::line(&mut out, text) }
        }
        PktReader::new(io::Cursor::new(out))
    }

    #[test]
    fn an_old_advertisement_gives_names_and_abilities() {
        let head = format!("{A} HEAD\0side-band-64k shallow allow-reachable-sha1-in-want");
        let (tag, peeled) = (format!("{A} refs/tags/v1"), format!("{B} refs/tags/v1^{{}}"));
        let lines = ["# service=git-upload-pack", "", &head, &tag, &peeled, ""];
        let Ok(Protocol::V0 { refs, shallow, any }) = advertisement(packets(&lines)) else {
            panic!("not version 0")
        };
        assert!(shallow && any);
        assert_eq!(refs.len(), 2);
        assert_eq!(refs[1].target().to_string(), B);
    }

    #[test]
    fn an_empty_repository_advertises_nothing() {
        let none = format!("{} capabilities^{{}}\0side-band-64k", "0".repeat(40));
        let found = advertisement(packets(&["# service=git-upload-pack", "", &none, ""]));
        assert!(matches!(found, Ok(Protocol::V0 { refs, .. }) if refs.is_empty()));
    }

    #[test]
    fn a_new_advertisement_gives_features() {
        let lines = ["version 2", "ls-refs=unborn", "fetch=shallow wait-for-done filter", ""];
        let found = advertisement(packets(&lines));
        assert!(matches!(found, Ok(Protocol::V2 { shallow: true, filter: true, sha1: false })));
        let sha256 = ["version 2", "fetch", "object-format=sha256", ""];
        assert!(matches!(advertisement(packets(&sha256)), Err(SmartError::Protocol(_))));
    }

    #[test]
    fn a_list_of_references_is_read_or_refused() {
        let tag = format!("{A} refs/tags/v1 peeled:{B}");
        let head = format!("{A} HEAD symref-target:refs/heads/x");
        let refs = list(packets(&[&tag, &head, "unborn HEAD", ""])).ok().unwrap();
        assert_eq!(refs.len(), 2);
        assert_eq!(refs[0].target().to_string(), B);
        assert_eq!(refs[1].name, "HEAD");
        for bad in [&["ERR no"][..], &["aaaa refs/x", ""], &["x", ""], &[&tag]] {
            assert!(list(packets(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_missing_commit_is_told_from_other_refusals() {
        assert!(matches!(refusal("upload-pack: not our ref 12"), SmartError::NoCommit(_)));
        assert!(matches!(refusal("go away"), SmartError::Refused(_)));
    }
}
