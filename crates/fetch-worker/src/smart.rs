//! The reading half of git's smart HTTP: the advertisement of a repository, and packs. Version 2 of
//! the protocol can ask for a few names instead of all, for any commit by its id, and for a history
//! without files. Version 0 is used where a host knows no other. Every exchange is stateless: a
//! POST has all that the host must know. The bytes of a pack go straight into git2's indexer, and
//! nothing is used before the indexer has checked it.

use std::io::{self, Write};

use git2::{Odb, Oid};

use super::advert::{Protocol, advertisement, list};
use super::http::{Http, HttpRequest, HttpResponse};
use super::pkt::{self, Packet, PacketReader};
use super::refs::Ref;
use super::smart_error::{SmartError, refusal};

const AGENT: &str = concat!("agent=sky-island/", env!("CARGO_PKG_VERSION"));

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

/// A repository that has answered.
pub(super) struct Remote<'a> {
    http: &'a Http,
    url: String,
    protocol: Protocol,
    /// References that are known already: the prefixes that were asked for, and the answer.
    early: Option<(Vec<String>, Vec<Ref>)>,
}

impl<'a> Remote<'a> {
    /// Reads the advertisement of the repository at a URL.
    pub(super) fn connect(http: &'a Http, url: &str) -> Result<Self, SmartError> {
        let ask = format!("{url}/info/refs?service=git-upload-pack");
        let headers = [("git-protocol", "version=2")];
        let reply = http.send(&HttpRequest { url: &ask, body: None, headers: &headers })?;
        let reply = checked(reply, "application/x-git-upload-pack-advertisement")?;
        let end = reply.url.find("/info/refs").unwrap_or(reply.url.len());
        let url = reply.url[..end].to_owned();
        let protocol = advertisement(PacketReader::new(reply.body))?;
        Ok(Self { http, url, protocol, early: None })
    }

    /// Asks a URL for references without reading the advertisement first, which saves a round trip:
    /// nearly all hosts speak version 2 and support shallow histories. `None` when the answer is
    /// anything but references, for example because the repository has moved; [`Remote::connect`]
    /// then finds the reason.
    pub(super) fn guess(http: &'a Http, url: &str, prefixes: &[String]) -> Option<Self> {
        let protocol = Protocol::V2 { shallow: true, filter: false, sha1: false };
        let mut remote = Self { http, url: url.to_owned(), protocol, early: None };
        let refs = remote.refs(prefixes).ok()?;
        remote.early = Some((prefixes.to_vec(), refs));
        Some(remote)
    }

    /// The references that begin with one of the prefixes (an old host sends all references).
    pub(super) fn refs(&self, prefixes: &[String]) -> Result<Vec<Ref>, SmartError> {
        if let Some((_, refs)) = self.early.as_ref().filter(|(asked, _)| asked == prefixes) {
            return Ok(refs.clone());
        }
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
                list(PacketReader::new(self.post(&body)?.body))
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
        let mut packets = PacketReader::new(self.post(&body)?.body);
        match self.protocol {
            Protocol::V2 { .. } => skip_to_pack(&mut packets)?,
            Protocol::V0 { .. } => skip_to_nak(&mut packets)?,
        }
        receive(&mut packets, odb)
    }

    fn post(&self, body: &[u8]) -> Result<HttpResponse, SmartError> {
        let url = format!("{}/git-upload-pack", self.url);
        let mut headers = vec![
            ("content-type", "application/x-git-upload-pack-request"),
            ("accept", "application/x-git-upload-pack-result"),
        ];
        if matches!(self.protocol, Protocol::V2 { .. }) {
            headers.push(("git-protocol", "version=2"));
        }
        let reply =
            self.http.send(&HttpRequest { url: &url, body: Some(body), headers: &headers })?;
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

/// A host that requires a login does not reveal what exists, so "login required" and "not found"
/// are the same error.
fn checked(reply: HttpResponse, content_type: &str) -> Result<HttpResponse, SmartError> {
    match reply.status {
        200 if reply.content_type.starts_with(content_type) => Ok(reply),
        // A web page instead of a repository.
        200 | 300..=499 if reply.status != 429 && reply.status != 408 => {
            Err(SmartError::NoRepository(reply.status))
        }
        status => Err(SmartError::Host(status)),
    }
}

/// Version 2: sections come before the pack, each ended by a delimiter.
fn skip_to_pack<R: io::Read>(packets: &mut PacketReader<R>) -> Result<(), SmartError> {
    loop {
        let packet = packets.expect()?;
        match packet.text() {
            Some("packfile") => return Ok(()),
            Some(text) => {
                if let Some(message) = text.strip_prefix("ERR ") {
                    return Err(refusal(message));
                }
            }
            None if packet == Packet::Flush => {
                return Err(SmartError::Protocol("no pack was sent"));
            }
            None => {}
        }
    }
}

/// Version 0: the boundary of a shallow history, then the end of a negotiation that had nothing to
/// offer.
fn skip_to_nak<R: io::Read>(packets: &mut PacketReader<R>) -> Result<(), SmartError> {
    loop {
        let packet = packets.expect()?;
        match packet.text() {
            Some("NAK") => return Ok(()),
            Some(text) if text.starts_with("shallow ") || text.starts_with("unshallow ") => {}
            Some(text) => match text.strip_prefix("ERR ") {
                Some(message) => return Err(refusal(message)),
                None => {
                    return Err(SmartError::Protocol(
                        "the host negotiates although nothing was offered",
                    ));
                }
            },
            None if packet == Packet::Flush => {}
            None => return Err(SmartError::Protocol("no pack was sent")),
        }
    }
}

/// Writes the pack from its side band into the object store.
pub(super) fn receive<R: io::Read>(
    packets: &mut PacketReader<R>,
    odb: &Odb<'_>,
) -> Result<(), SmartError> {
    let mut writer = odb.packwriter().map_err(SmartError::Pack)?;
    let mut empty = true;
    loop {
        match packets.next()? {
            Some(Packet::Data(data)) => match data.split_first() {
                Some((1, pack)) => {
                    empty = false;
                    // The writer does not expose git2's reason.
                    let broken = |_| git2::Error::from_str("the pack cannot be indexed");
                    writer.write_all(pack).map_err(broken).map_err(SmartError::Pack)?;
                }
                Some((2, _progress)) => {}
                Some((3, message)) => return Err(refusal(&String::from_utf8_lossy(message))),
                _ => return Err(SmartError::Protocol("the pack is not multiplexed")),
            },
            Some(Packet::Flush | Packet::End) | None => break,
            Some(Packet::Delim) => return Err(SmartError::Protocol("the pack is not multiplexed")),
        }
    }
    if empty {
        return Err(SmartError::Protocol("no pack was sent"));
    }
    writer.commit().map(drop).map_err(SmartError::Pack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_commit_is_told_from_other_refusals() {
        assert!(matches!(refusal("upload-pack: not our ref 12"), SmartError::NoCommit(_)));
        let old = "want 12 not valid";
        assert!(matches!(refusal(old), SmartError::Unadvertised(_)));
        assert!(matches!(refusal("go away"), SmartError::Refused(_)));
    }
}
