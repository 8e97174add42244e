//! SHA-256 sums: as text, of files, and in the files that publish them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::Digest;

/// How much of a file is read at once, in bytes.
const CHUNK: usize = 1 << 18;

/// A SHA-256 sum, in lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Sha256(String);

/// Why a text is not a sum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-256 sum; write 64 hexadecimal digits")]
pub struct SumError(String);

impl Sha256 {
    /// Reads a sum of 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, SumError> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(SumError(text.to_owned()))
    }

    /// The sum of the rest of a file. `so_far` gets the number of bytes that were read, and stops
    /// the reading by `false`.
    pub fn of_file(file: &mut File, mut so_far: impl FnMut(u64) -> bool) -> io::Result<Self> {
        let mut hasher = sha2::Sha256::new();
        let (mut buffer, mut total) = (vec![0; CHUNK], 0u64);
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(&buffer[..count]);
            total += count as u64;
            if !so_far(total) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        let digits = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(digits))
    }

    /// The sum of `name` in a file of sums: a sum alone, `SUM  NAME` lines, or `SHA256 (NAME) =
    /// SUM` lines.
    pub fn in_list(text: &str, name: &str) -> Option<Self> {
        if let Ok(sum) = Self::parse(text.trim()) {
            return Some(sum);
        }
        text.lines().find_map(|line| {
            if let Some(rest) = line.trim().strip_prefix("SHA256 (") {
                let (of, sum) = rest.split_once(") = ")?;
                return (of == name).then(|| Self::parse(sum).ok()).flatten();
            }
            let (sum, of) = line.trim().split_once(char::is_whitespace)?;
            let of = of.trim_start().trim_start_matches('*');
            (of == name).then(|| Self::parse(sum).ok()).flatten()
        })
    }
}

impl TryFrom<String> for Sha256 {
    type Error = SumError;

    fn try_from(text: String) -> Result<Self, SumError> {
        Self::parse(&text)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_sum_of_a_file_is_that_of_its_bytes() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        file.rewind().unwrap();
        let mut seen = 0;
        let sum = Sha256::of_file(&mut file, |bytes| {
            seen = bytes;
            true
        });
        assert_eq!(sum.unwrap().to_string(), ABC);
        assert_eq!(seen, 3);
        file.rewind().unwrap();
        assert!(Sha256::of_file(&mut file, |_| false).is_err());
    }

    #[test]
    fn files_of_sums_are_read_in_their_three_forms() {
        let sum = Sha256::parse(ABC).unwrap();
        let other = "0".repeat(64);
        let upper = ABC.to_uppercase();
        let good = [
            ABC.to_owned(),
            format!("{upper}\n"),
            format!("{other}  b\n{ABC}  a\n"),
            format!("{ABC} *a\n"),
            format!("SHA256 (b) = {other}\nSHA256 (a) = {ABC}\n"),
        ];
        for text in good {
            assert_eq!(Sha256::in_list(&text, "a"), Some(sum.clone()), "{text}");
        }
        let bad = [
            String::new(),
            "<html></html>".into(),
            ABC[1..].into(),
            format!("{ABC}  b"),
            format!("{}g", &ABC[1..]),
            format!("SHA256 (a) = {}", &ABC[1..]),
        ];
        for text in bad {
            assert_eq!(Sha256::in_list(&text, "a"), None, "{text}");
        }
    }
}
