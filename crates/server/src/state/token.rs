//! The token of the admin API that the server makes for itself, in the state directory.
//!
//! What must always hold: the file is its owner's alone, is written aside and renamed into place, and what it holds is
//! said to nobody, the log included.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file.
const FILE: &str = "admin-token";
/// Random bytes of a token.
const BYTES: usize = 32;
/// The longest file that is read, in bytes.
const LONGEST: u64 = 4096;

/// A token, and where it is written down.
pub struct AdminToken {
    /// The token, which no log is to have.
    pub text: String,
    /// The file.
    pub path: PathBuf,
    /// It was made just now.
    pub is_new: bool,
}

/// A token that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the admin API's token in {0} cannot be used")]
pub struct TokenError(PathBuf, #[source] io::Error);

/// The token in the state directory of whoever holds it; makes it where there is none.
pub fn admin_token(state: &Path) -> Result<AdminToken, TokenError> {
    let path = state.join(FILE);
    open(&path).map_err(|error| TokenError(path, error))
}

/// The token in the state directory for whoever may read it; none where none was made. Whose file it is does not matter
/// to somebody who only sends it.
pub fn known_admin_token(state: &Path) -> Result<Option<AdminToken>, TokenError> {
    let path = state.join(FILE);
    let known = path.symlink_metadata().and_then(|metadata| text(&path, &metadata));
    match known {
        Ok(text) => Ok(Some(AdminToken { text, path, is_new: false })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TokenError(path, error)),
    }
}

fn open(path: &Path) -> io::Result<AdminToken> {
    let (text, is_new) = match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => (make(path)?, true),
        other => (other?, false),
    };
    Ok(AdminToken { text, path: path.to_owned(), is_new })
}

fn read(path: &Path) -> io::Result<String> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() {
        return wrong("it is no file with a token; remove it to have a new one made");
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return wrong("it is another user's; remove it to have a new one made");
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return wrong("others may have read it; remove it to have a new one made");
    }
    text(path, &metadata)
}

fn text(path: &Path, metadata: &fs::Metadata) -> io::Result<String> {
    if !metadata.is_file() || metadata.len() > LONGEST {
        return wrong("it is no file with a token; remove it to have a new one made");
    }
    let text = fs::read_to_string(path)?.trim().to_owned();
    let good = text.len() >= BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(text) } else { wrong("it has no token; remove it to have a new one made") }
}

fn wrong(what: &str) -> io::Result<String> {
    Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()))
}

fn make(path: &Path) -> io::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let aside = path.with_extension("new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    // Whatever the umask says.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let first = open(&path).unwrap();
        assert!(first.is_new && first.text.len() == 2 * BYTES, "{}", first.text.len());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let second = open(&path).unwrap();
        assert!(!second.is_new && second.text == first.text);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(open(&other.path().join(FILE)).unwrap().text, first.text);
    }

    #[test]
    fn a_file_that_others_may_read_or_that_holds_no_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let refused = |what: &str| {
            let error = open(&path).err().unwrap().to_string();
            assert!(error.contains(what) && error.contains("remove it"), "{error}");
        };
        open(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        refused("others");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for text in ["", "\n", "short", "a token with spaces that is long enough for one"] {
            fs::write(&path, text).unwrap();
            refused("no token");
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        refused("no file");
    }

    #[test]
    fn who_only_sends_it_makes_none_and_reads_what_there_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(known_admin_token(folder.path()).unwrap().is_none());
        assert!(!folder.path().join(FILE).exists());
        let made = admin_token(folder.path()).unwrap();
        assert_eq!(known_admin_token(folder.path()).unwrap().unwrap().text, made.text);
        fs::write(folder.path().join(FILE), "short").unwrap();
        assert!(known_admin_token(folder.path()).is_err());
    }

    #[test]
    fn what_a_crash_left_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(path.with_extension("new"), "half").unwrap();
        assert!(open(&path).unwrap().is_new && !path.with_extension("new").exists());
    }
}
