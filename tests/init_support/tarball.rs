//! Small tar archives, as published: files, folders, hard links, symbolic links, set-id bits.

/// One member of an archive.
pub enum Member<'a> {
    Folder(&'a str, u32),
    File(&'a str, u32, &'a [u8]),
    Hard(&'a str, &'a str),
    Symbolic(&'a str, &'a str),
}

/// The archive, uncompressed: every tar(1) reads it, whatever its name says.
pub fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for member in members {
        let (name, mode, kind, link, content): (_, _, _, _, &[u8]) = match *member {
            Member::Folder(name, mode) => (name, mode, b'5', "", &[]),
            Member::File(name, mode, content) => (name, mode, b'0', "", content),
            Member::Hard(name, target) => (name, 0o644, b'1', target, &[]),
            Member::Symbolic(name, target) => (name, 0o777, b'2', target, &[]),
        };
        archive.extend(header(name, mode, kind, link, content.len()));
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn header(name: &str, mode: u32, kind: u8, link: &str, size: usize) -> [u8; 512] {
    let mut block = [0u8; 512];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    // Who runs the tests owns the files, as no other user could give them away.
    let (user, group) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, &format!("{user:07o}"));
    put(116, &format!("{group:07o}"));
    put(124, &format!("{size:011o}"));
    put(136, "14000000000");
    put(148, "        ");
    put(157, link);
    put(257, "ustar");
    put(263, "00");
    block[156] = kind;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
