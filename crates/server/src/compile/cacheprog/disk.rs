//! The go command's own on-disk format of a build cache, in layers: for each action a file that
//! names the action's output, for each output a file with the output's bytes, both in a folder
//! named by their first byte.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// The length of a file that names an output: `v1 ACTION OUTPUT SIZE TIME` and a line end, the
/// numbers in 20 columns.
const ENTRY_BYTES: usize = 3 + 64 + 1 + 64 + 1 + 20 + 1 + 20 + 1;
/// The file in the upper folder that is being written. There is one writer.
const ASIDE: &str = "aside";
/// A body is written to disk in pieces of this many bytes.
const PIECE: usize = 64 << 10;

/// The name of an action or of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id([u8; 32]);

impl Id {
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    }

    fn from_hex(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
        let bytes: Option<Vec<u8>> = text.chunks_exact(2).map(byte).collect();
        Self::new(&bytes?)
    }
}

/// Folders of entries: one that is written, over others that are only read.
pub struct Layers {
    upper: String,
    /// The topmost first.
    lower: Vec<String>,
}

/// A found entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) output: Id,
    pub(super) size: u64,
    /// The file with the output's bytes.
    pub(super) path: String,
}

/// A layer whose files could not be named to the go command.
#[derive(Debug, thiserror::Error)]
#[error("the layer {0:?} is not an absolute path")]
pub struct NotAbsolute(String);

impl Layers {
    /// The upper folder, which is written, and the read-only folders below, the topmost first;
    /// absolute paths.
    pub fn new(upper: String, lower: Vec<String>) -> Result<Self, NotAbsolute> {
        match std::iter::once(&upper).chain(&lower).find(|layer| !layer.starts_with('/')) {
            Some(layer) => Err(NotAbsolute(layer.clone())),
            None => Ok(Self { upper, lower }),
        }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.upper).chain(&self.lower).map(String::as_str)
    }

    /// The topmost whole entry of an action.
    pub(super) fn get(&self, action: &Id) -> Option<Hit> {
        let name = action.hex();
        self.all().find_map(|layer| {
            let entry = read_entry(&path(layer, &name, 'a')).ok()?;
            let (output, size) = parse_entry(&entry, &name)?;
            let name = output.hex();
            // A layer made by a mount lacks the bytes of an output that a lower layer had already.
            let mut files =
                std::iter::once(layer).chain(self.all()).map(|layer| path(layer, &name, 'd'));
            let path = files.find(|path| is_whole(path, size))?;
            Some(Hit { output, size, path })
        })
    }

    /// Keeps `body` as the output of an action; returns the file that has it. The body must have
    /// `size` bytes, and the output's name must be their hash.
    pub(super) fn put(
        &self,
        action: &Id,
        output: &Id,
        size: u64,
        body: &mut dyn Read,
    ) -> io::Result<String> {
        let aside = format!("{}/{ASIDE}", self.upper);
        let file = path(&self.upper, &output.hex(), 'd');
        let written = write_body(&aside, output, size, body);
        if let Err(error) = written {
            // A full disk may be the reason, so the room is freed.
            let _ = fs::remove_file(&aside);
            return Err(error);
        }
        place(&aside, &file)?;
        fs::write(&aside, format_entry(action, output, size))?;
        place(&aside, &path(&self.upper, &action.hex(), 'a'))?;
        Ok(file)
    }
}

fn path(layer: &str, name: &str, kind: char) -> String {
    format!("{layer}/{}/{name}-{kind}", &name[..2])
}

fn read_entry(path: &str) -> io::Result<Vec<u8>> {
    // A damaged layer may have a pipe there, which must not block.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut entry = vec![0; ENTRY_BYTES + 1];
    // One read is enough for a regular file, and the smallest program has hundreds of entries.
    let length = file.read(&mut entry)?;
    entry.truncate(length);
    Ok(entry)
}

fn is_whole(path: &str, size: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == size)
}

/// The output that an entry names for the action `name`, and its size.
fn parse_entry(entry: &[u8], name: &str) -> Option<(Id, u64)> {
    let column = |text: &str| text.trim_start_matches(' ').parse::<i64>().ok();
    let text = std::str::from_utf8(entry).ok().filter(|text| text.len() == ENTRY_BYTES)?;
    let rest = text.strip_prefix("v1 ")?.strip_prefix(name)?.strip_prefix(' ')?;
    let (output, rest) = rest.split_at_checked(64)?;
    let (size, rest) = rest.strip_prefix(' ')?.split_at_checked(20)?;
    let (time, end) = rest.strip_prefix(' ')?.split_at_checked(20)?;
    let timed = column(time).is_some_and(|time| time >= 0) && end == "\n";
    let size = u64::try_from(column(size)?).ok()?;
    Some((Id::from_hex(output.as_bytes())?, size)).filter(|_| timed)
}

fn format_entry(action: &Id, output: &Id, size: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("v1 {} {} {size:20} {now:20}\n", action.hex(), output.hex())
}

/// Writes `body` to a file. Fails where the size or the hash differs from the announced one.
fn write_body(path: &str, output: &Id, size: u64, body: &mut dyn Read) -> io::Result<()> {
    let mut file = File::create(path)?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        body.take(PIECE as u64).read_to_end(&mut piece)?;
        length += piece.len() as u64;
        if piece.is_empty() || length > size {
            break;
        }
        hash.update(&piece);
        file.write_all(&piece)?;
    }
    if length != size || hash.finalize()[..] != *output.bytes() {
        let why = format!("the body differs from the announced size of {size} bytes or hash");
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    Ok(())
}

/// Renames a file that was written aside into its folder, which is made where there is none.
fn place(aside: &str, path: &str) -> io::Result<()> {
    match fs::rename(aside, path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = std::path::Path::new(path).parent().unwrap_or(std::path::Path::new("/"));
            fs::create_dir(folder)?;
            fs::rename(aside, path)
        }
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    const TEXT: &[u8] = b"package m";

    fn hash(bytes: &[u8]) -> Id {
        Id(Sha256::digest(bytes).into())
    }

    /// A folder with two layers, of which the lower one has an entry, and the entry's action.
    fn site() -> (tempfile::TempDir, Layers, Id) {
        let site = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = site.path().join(name);
            fs::create_dir(&path).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (upper, lower) = (folder("upper"), folder("lower"));
        let action = hash(b"action");
        let below = Layers::new(lower.clone(), Vec::new()).unwrap();
        below.put(&action, &hash(TEXT), TEXT.len() as u64, &mut &TEXT[..]).unwrap();
        let layers = Layers::new(upper, vec![lower]).unwrap();
        (site, layers, action)
    }

    fn files(layers: &Layers, action: &Id) -> [String; 2] {
        let lower = &layers.lower[0];
        [path(lower, &action.hex(), 'a'), path(lower, &hash(TEXT).hex(), 'd')]
    }

    #[test]
    fn an_entry_has_the_form_that_the_go_command_writes() {
        // From a cache of Go 1.26.
        let name = "00f2d1ca899a8c0c32e6831e3dd05b49fd09675698f88538ab2e7db6fa89f7e3";
        let rest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855                    0  1795267359141567129\n";
        let entry = format!("v1 {name} {rest}");
        let (output, size) = parse_entry(entry.as_bytes(), name).unwrap();
        assert_eq!((&output.hex()[..8], size), ("e3b0c442", 0));
        let action = Id::from_hex(name.as_bytes()).unwrap();
        let timeless = ENTRY_BYTES - 21;
        assert_eq!(format_entry(&action, &output, size)[..timeless], entry[..timeless]);
    }

    proptest! {
        #[test]
        fn every_entry_that_is_written_is_read_back(
            action: [u8; 32], output: [u8; 32], size in 0..=i64::MAX as u64
        ) {
            let (action, output) = (Id(action), Id(output));
            let entry = format_entry(&action, &output, size);
            prop_assert_eq!(parse_entry(entry.as_bytes(), &action.hex()), Some((output, size)));
        }

        #[test]
        fn no_bytes_crash_the_reader(entry: Vec<u8>) {
            prop_assert_eq!(parse_entry(&entry, &hash(b"action").hex()), None);
        }
    }

    #[test]
    fn an_entry_below_is_found_where_it_lies() {
        let (_site, layers, action) = site();
        let [_, data] = files(&layers, &action);
        let hit = Hit { output: hash(TEXT), size: TEXT.len() as u64, path: data };
        assert_eq!(layers.get(&action), Some(hit));
        assert_eq!(layers.get(&hash(b"another")), None);
    }

    #[test]
    fn an_entry_above_hides_the_one_below() {
        let (_site, layers, action) = site();
        let path = layers.put(&action, &hash(b"new"), 3, &mut &b"new"[..]).unwrap();
        assert!(path.starts_with(&layers.upper));
        assert_eq!(layers.get(&action).unwrap().path, path);
    }

    #[test]
    fn a_damaged_entry_is_a_miss() {
        let damages: [(&str, fn(&str, &str)); 10] = [
            ("no output", |_, data| fs::remove_file(data).unwrap()),
            ("a longer output", |_, data| fs::write(data, "package more").unwrap()),
            ("a shorter output", |_, data| fs::write(data, "").unwrap()),
            ("a folder", |_, data| {
                fs::remove_file(data).unwrap();
                fs::create_dir(data).unwrap();
            }),
            ("a link", |entry, data| {
                fs::rename(data, format!("{data}2")).unwrap();
                std::os::unix::fs::symlink(format!("{data}2"), data).unwrap();
                assert!(Path::new(entry).exists());
            }),
            ("an empty entry", |entry, _| fs::write(entry, "").unwrap()),
            ("a short entry", |entry, _| {
                let text = fs::read_to_string(entry).unwrap();
                fs::write(entry, &text[..ENTRY_BYTES - 1]).unwrap();
            }),
            ("a long entry", |entry, _| {
                let text = fs::read_to_string(entry).unwrap();
                fs::write(entry, text + "\n").unwrap();
            }),
            ("another action's entry", |entry, _| {
                let (output, size) = (hash(TEXT), TEXT.len() as u64);
                fs::write(entry, format_entry(&hash(b"another"), &output, size)).unwrap();
            }),
            ("a pipe", |entry, _| {
                fs::remove_file(entry).unwrap();
                nix::unistd::mkfifo(entry, nix::sys::stat::Mode::S_IRUSR).unwrap();
            }),
        ];
        for (what, damage) in damages {
            let (_site, layers, action) = site();
            let [entry, data] = files(&layers, &action);
            damage(&entry, &data);
            assert_eq!(layers.get(&action), None, "{what}");
            // A new entry replaces the damaged one.
            layers.put(&action, &hash(TEXT), TEXT.len() as u64, &mut &TEXT[..]).unwrap();
            assert_eq!(layers.get(&action).map(|hit| hit.output), Some(hash(TEXT)), "{what}");
        }
    }

    #[test]
    fn columns_that_are_no_numbers_are_no_entry() {
        let (action, output) = (hash(b"action"), hash(TEXT));
        let good = format_entry(&action, &output, 9);
        let column = |text: &str| format!(" {text:>20} ");
        for (from, to) in [
            ("v1".into(), "v2".into()),
            (column("9"), column("-9")),
            (column("9"), column("9x")),
            (column("9"), column("")),
            (column("9"), column("99999999999999999999")),
            (column("9"), column("9").replace("9 ", "9x")),
            (output.hex(), output.hex().replace(|digit: char| digit.is_ascii_digit(), "z")),
            (good[154..].into(), format!("{:>20}\n", -5)),
            (good[154..].into(), format!("{:>20}\n", "soon")),
            ("\n".into(), " ".into()),
        ] {
            let bad = good.replace(&from, &to);
            assert!(bad != good && bad.len() == ENTRY_BYTES, "{from:?} {to:?}");
            assert_eq!(parse_entry(bad.as_bytes(), &action.hex()), None, "{from:?} {to:?}");
        }
    }

    #[test]
    fn an_entry_above_may_name_an_output_below() {
        let (_site, layers, action) = site();
        let [entry, data] = files(&layers, &action);
        // A mount leaves this: its go command saw that the output was there already.
        let above = path(&layers.upper, &action.hex(), 'a');
        fs::create_dir(Path::new(&above).parent().unwrap()).unwrap();
        fs::rename(entry, above).unwrap();
        assert_eq!(layers.get(&action).unwrap().path, data);
    }

    #[test]
    fn a_refused_body_leaves_no_entry() {
        let (_site, layers, _) = site();
        let action = hash(b"new");
        for (size, body) in [(3, "ne"), (3, "newer"), (3, "old"), (0, "new")] {
            let why = layers.put(&action, &hash(b"new"), size, &mut body.as_bytes()).unwrap_err();
            assert!(why.to_string().contains("announced"), "{why}");
            assert_eq!(layers.get(&action), None, "{body}");
            assert_eq!(fs::read_dir(&layers.upper).unwrap().count(), 0, "{body}");
        }
        layers.put(&action, &hash(b""), 0, &mut io::empty()).unwrap();
        assert_eq!(layers.get(&action).unwrap().size, 0);
    }

    #[test]
    fn a_layer_without_an_absolute_path_is_refused() {
        let layers = |upper: &str, lower: &str| Layers::new(upper.into(), vec![lower.into()]);
        assert!(layers("/a", "/b").is_ok());
        for (upper, lower) in [("a", "/b"), ("/a", "b"), ("", "/b")] {
            assert!(layers(upper, lower).is_err(), "{upper} {lower}");
        }
    }
}
