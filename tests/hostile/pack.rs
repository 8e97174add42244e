//! Git packs as their bytes, with what an honest writer refuses: sizes that lie, deltas that copy
//! what is not there or grow without measure.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use git2::{ObjectType, Oid};

/// The kinds of objects in a pack.
pub(crate) const COMMIT: u8 = 1;
pub(crate) const TREE: u8 = 2;
pub(crate) const BLOB: u8 = 3;
/// A delta on the object of an id.
const REF_DELTA: u8 = 7;

/// A pack that grows object by object.
#[derive(Default)]
pub(crate) struct Pack {
    objects: Vec<u8>,
    count: u32,
}

impl Pack {
    /// Adds an object, and returns its id.
    pub(crate) fn add(&mut self, kind: u8, data: &[u8]) -> Oid {
        self.entry(kind, data.len() as u64, &[], data);
        let kind = match kind {
            COMMIT => ObjectType::Commit,
            TREE => ObjectType::Tree,
            _ => ObjectType::Blob,
        };
        Oid::hash_object(kind, data).expect("an id")
    }

    /// Adds a file that says another size than it has, and returns its id.
    pub(crate) fn lying(&mut self, size: u64, data: &[u8]) -> Oid {
        self.entry(BLOB, size, &[], data);
        let text = [format!("blob {size}\0").as_bytes(), data].concat();
        Oid::from_bytes(&sha1(&text)).expect("an id")
    }

    /// Adds a delta on the object `base`, from its instructions.
    pub(crate) fn delta(&mut self, base: Oid, delta: &[u8]) {
        self.entry(REF_DELTA, delta.len() as u64, base.as_bytes(), delta);
    }

    /// Adds a package `m` whose function F answers "packed", and returns its commit.
    pub(crate) fn package(&mut self) -> Oid {
        self.package_with(None)
    }

    /// The same, with another file beside it.
    pub(crate) fn package_with(&mut self, file: Option<Oid>) -> Oid {
        let go_mod = self.add(BLOB, b"module hostile.test/m\n\ngo 1.21\n");
        let go = self.add(BLOB, b"package m\n\nfunc F() string { return \"packed\" }\n");
        let mut tree = b"100644 go.mod\0".to_vec();
        tree.extend_from_slice(go_mod.as_bytes());
        tree.extend_from_slice(b"100644 m.go\0");
        tree.extend_from_slice(go.as_bytes());
        if let Some(file) = file {
            tree.extend_from_slice(b"100644 other\0");
            tree.extend_from_slice(file.as_bytes());
        }
        let tree = self.add(TREE, &tree);
        let who = "a <a@example.com> 1500000000 +0000";
        let commit = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nm\n");
        self.add(COMMIT, commit.as_bytes())
    }

    fn entry(&mut self, kind: u8, size: u64, base: &[u8], data: &[u8]) {
        let mut rest = size >> 4;
        let mut byte = kind << 4 | (size & 15) as u8;
        while rest > 0 {
            self.objects.push(byte | 0x80);
            byte = (rest & 127) as u8;
            rest >>= 7;
        }
        self.objects.push(byte);
        self.objects.extend_from_slice(base);
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(data).expect("memory");
        self.objects.extend_from_slice(&packed.finish().expect("memory"));
        self.count += 1;
    }

    /// The bytes of the pack.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.counted(self.count)
    }

    /// The same, where the pack says that it has so many objects.
    pub(crate) fn counted(&self, count: u32) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend_from_slice(&count.to_be_bytes());
        pack.extend_from_slice(&self.objects);
        let sum = sha1(&pack);
        pack.extend_from_slice(&sum);
        pack
    }
}

/// The instructions of a delta from an object of `base` bytes to one of `made` bytes.
pub(crate) fn delta(base: u64, made: u64, instructions: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for mut size in [base, made] {
        while size > 127 {
            out.push((size & 127) as u8 | 0x80);
            size >>= 7;
        }
        out.push(size as u8);
    }
    out.extend_from_slice(instructions);
    out
}

/// Copies this many bytes, at most 0xffffff, from an offset of the base.
pub(crate) fn copy(offset: u32, length: u32) -> Vec<u8> {
    let mut out = vec![0xff];
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes()[..3]);
    out
}

/// The sum at the end of a pack (FIPS 180-4).
fn sha1(text: &[u8]) -> [u8; 20] {
    let mut padded = text.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(text.len() as u64 * 8).to_be_bytes());
    let mut h: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks_exact(64) {
        let mut w = [0_u32; 80];
        for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        }
        for t in 16..80 {
            w[t] = (w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = h;
        for (t, word) in w.iter().enumerate() {
            let (f, k) = match t {
                0..20 => (b & c | !b & d, 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc_u32),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e);
            let next = next.wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in h.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut out = [0; 20];
    for (bytes, word) in out.chunks_exact_mut(4).zip(h) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}
