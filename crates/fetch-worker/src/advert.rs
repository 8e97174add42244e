//! The advertisement of a repository: capabilities and references, in both versions of git's
//! protocol.
//!
//! Pure parsing of untrusted packets: every input gives a value or an error.

use std::io;

use git2::Oid;

use super::pkt::{Packet, PacketReader};
use super::refs::Ref;
use super::smart_error::{SmartError, refusal};

/// The most references that are read; the largest public repositories have a few hundred thousand.
const MAX_REFS: usize = 1_000_000;

/// The protocol of a repository, with its capabilities.
pub(super) enum Protocol {
    /// Version 2: the client asks for each thing. The features are those of `fetch`.
    V2 { shallow: bool, filter: bool, sha1: bool },
    /// Version 0: the host has sent all names at once. `any`: the host also serves commits that no
    /// name points to.
    V0 { refs: Vec<Ref>, shallow: bool, any: bool },
}

/// Reads the answer to the first request.
pub(super) fn advertisement<R: io::Read>(
    mut packets: PacketReader<R>,
) -> Result<Protocol, SmartError> {
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
    if next != Packet::Flush {
        return Err(SmartError::Protocol("the list of references has no end"));
    }
    let has = |cap: &str| caps.split(' ').any(|c| c == cap);
    if !refs.is_empty() && !has("side-band-64k") {
        return Err(SmartError::Protocol("the capability side-band-64k is missing"));
    }
    if caps.split(' ').any(|c| c == "object-format=sha256") {
        return Err(SmartError::Protocol(
            "the repository uses SHA-256, and only SHA-1 is supported",
        ));
    }
    let any = has("allow-reachable-sha1-in-want") || has("allow-any-sha1-in-want");
    Ok(Protocol::V0 { refs, shallow: has("shallow"), any })
}

fn capabilities<R: io::Read>(mut packets: PacketReader<R>) -> Result<Protocol, SmartError> {
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
                return Err(SmartError::Protocol(
                    "the repository uses SHA-256, and only SHA-1 is supported",
                ));
            }
            _ => {}
        }
    }
    if !fetches {
        return Err(SmartError::Protocol("the host offers no fetch command"));
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
        return Err(SmartError::Protocol("the repository has more than 1,000,000 references"));
    }
    refs.push(Ref { name: name.to_owned(), oid, peeled: None });
    Ok(())
}

/// The answer to `ls-refs`.
pub(super) fn list<R: io::Read>(mut packets: PacketReader<R>) -> Result<Vec<Ref>, SmartError> {
    let mut refs = Vec::new();
    loop {
        let packet = packets.expect()?;
        let text = match &packet {
            Packet::Flush => return Ok(refs),
            // A name that is not UTF-8 cannot be the requested one.
            Packet::Data(_) => match packet.text() {
                Some(text) => text,
                None => continue,
            },
            _ => return Err(SmartError::Protocol("the list of references has no end")),
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
            return Err(SmartError::Protocol("the repository has more than 1,000,000 references"));
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
        return Err(SmartError::Protocol("an object id has not 40 digits"));
    }
    Oid::from_str(text).map_err(|_| SmartError::Protocol("an object id is not hexadecimal"))
}

#[cfg(test)]
mod tests {
    use super::super::pkt;
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn packets(lines: &[&str]) -> PacketReader<io::Cursor<Vec<u8>>> {
        let mut out = Vec::new();
        for text in lines {
            if text.is_empty() { pkt::flush(&mut out) } else { pkt::line(&mut out, text) }
        }
        PacketReader::new(io::Cursor::new(out))
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
}
