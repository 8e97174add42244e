//! What an artifact is found by: the hash of a program's bytes and of its base system.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use host::zfs::SnapshotName;
use sha2::{Digest, Sha256};

/// What the hash begins with. Another way to make an artifact gets another number, so that
/// artifacts made in the old way are not found.
const VERSION: &str = "sky-island function 2";
/// How much of a program is read at once, in bytes.
const CHUNK: usize = 256 << 10;

/// An artifact's key: 64 hex digits, which are also its dataset's name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(String);

impl Key {
    /// Reads a key from a dataset's name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == 64 && hex).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of a program in a base system. Copies the program's bytes to `copy`, and leaves the
    /// file's own offset as it is.
    pub(super) fn of(
        program: &File,
        base: &SnapshotName,
        mut copy: impl Write,
    ) -> io::Result<Self> {
        let mut hash = Sha256::new();
        hash.update(format!("{VERSION}\n{base}\n"));
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        loop {
            let read = match program.read_at(&mut buffer, offset) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hash.update(&buffer[..read]);
            copy.write_all(&buffer[..read])?;
            offset += read as u64;
        }
        Ok(Self(format!("{:x}", hash.finalize())))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom};
    use std::sync::Arc;

    fn base(text: &str) -> SnapshotName {
        SnapshotName::parse(text).unwrap()
    }

    fn program(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[test]
    fn a_key_depends_on_the_bytes_and_the_base_alone() {
        let (one, two) = (base("z/base@p1"), base("z/other@p1"));
        let of =
            |bytes: &[u8], base: &SnapshotName| Key::of(&program(bytes), base, io::sink()).unwrap();
        assert_eq!(of(b"a program", &one), of(b"a program", &one));
        assert_ne!(of(b"a program", &one), of(b"a programme", &one));
        assert_ne!(of(b"a program", &one), of(b"a program", &two));
        assert_eq!(Key::parse(of(b"", &one).as_str()), Some(of(b"", &one)));
    }

    #[test]
    fn the_copy_is_hashed_and_the_offset_stays() {
        let bytes: Vec<u8> = (0..CHUNK * 2 + 17).map(|i| (i % 251) as u8).collect();
        let mut file = program(&bytes);
        Arc::get_mut(&mut file).unwrap().seek(SeekFrom::Start(5)).unwrap();
        let mut copy = Vec::new();
        let key = Key::of(&file, &base("z/base@p1"), &mut copy).unwrap();
        assert!(copy == bytes);
        assert_eq!(key, Key::of(&file, &base("z/base@p1"), io::sink()).unwrap());
        assert_eq!((&*file).stream_position().unwrap(), 5);
    }

    #[test]
    fn other_names_are_not_keys() {
        let good = "0123456789abcdef".repeat(4);
        assert!(Key::parse(&good).is_some());
        for bad in ["", "abc", &good[1..], &good.to_uppercase(), &good.replace('0', "/")] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
    }
}
