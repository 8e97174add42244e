//! Zip archives as their bytes, with what an honest writer refuses: names that climb, modes of
//! links, sizes and sums that lie.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write;

/// One file of an archive.
pub(crate) struct Entry {
    pub name: String,
    pub data: Vec<u8>,
    /// The mode of a Unix system.
    pub mode: u32,
    /// The size that the archive says, if another than the data's.
    pub said: Option<u32>,
    /// Whether the sum is another one.
    pub wrong_sum: bool,
}

/// An ordinary file.
pub(crate) fn file(name: impl Into<String>, data: impl Into<Vec<u8>>) -> Entry {
    Entry { name: name.into(), data: data.into(), mode: 0o100_644, said: None, wrong_sum: false }
}

/// The archive.
pub(crate) fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for entry in entries {
        let mut sum = flate2::Crc::new();
        sum.update(&entry.data);
        let sum = sum.sum() ^ u32::from(entry.wrong_sum);
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&entry.data).expect("memory");
        let packed = packed.finish().expect("memory");
        let (name, at) = (entry.name.as_bytes(), out.len() as u32);
        let size = entry.said.unwrap_or(entry.data.len() as u32);
        // Version, flags (UTF-8), method (deflate), time, date.
        let mut common = Vec::new();
        for half in [20, 0x800, 8, 0, 33] {
            common.extend_from_slice(&u16::to_le_bytes(half));
        }
        for word in [sum, packed.len() as u32, size] {
            common.extend_from_slice(&word.to_le_bytes());
        }
        common.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&common);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(name);
        out.extend_from_slice(&packed);
        // Made by a Unix system, so that the mode counts.
        list.extend_from_slice(b"PK\x01\x02\x14\x03");
        list.extend_from_slice(&common);
        // No extra field, no comment, disk 0, no internal attributes.
        list.extend_from_slice(&[0; 8]);
        list.extend_from_slice(&(entry.mode << 16).to_le_bytes());
        list.extend_from_slice(&at.to_le_bytes());
        list.extend_from_slice(name);
    }
    let (begin, count) = (out.len() as u32, entries.len() as u16);
    out.extend_from_slice(&list);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(list.len() as u32).to_le_bytes());
    out.extend_from_slice(&begin.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}
