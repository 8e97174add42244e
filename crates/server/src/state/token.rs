//! The admin token that the server makes for itself, in the state directory.
//!
//! Invariants: only the owner can read the file; the file is written aside and renamed into place;
//! the token is never logged.

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

/// A token, and the file that has it.
pub struct AdminToken {
    /// The token, which must not be logged.
    pub text: String,
    /// The file.
    pub path: PathBuf,
    /// Whether the token was made just now.
    pub is_new: bool,
}

/// An admin token that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the admin token in {0} cannot be used")]
pub struct TokenError(PathBuf, #[source] io::Error);

/// The token in a state directory that this process has locked; makes a token where there is none.
pub fn admin_token(state: &Path) -> Result<AdminToken, TokenError> {
    let path = state.join(FILE);
    open(&path).map_err(|error| TokenError(path, error))
}

/// The token in a state directory; none where none was made. A client may use a file of another
/// owner, because it only sends the token.
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
        return wrong(
            "the path is no file with a token; remove it, and the next start makes a new token",
        );
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return wrong(
            "the file belongs to another user; remove it, and the next start makes a new token",
        );
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return wrong(
            "other users may have read the file; remove it, and the next start makes a new token",
        );
    }
    text(path, &metadata)
}

fn text(path: &Path, metadata: &fs::Metadata) -> io::Result<String> {
    if !metadata.is_file() || metadata.len() > LONGEST {
        return wrong(
            "the path is no file with a token; remove it, and the next start makes a new token",
        );
    }
    let text = fs::read_to_string(path)?.trim().to_owned();
    let good = text.len() >= BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good {
        Ok(text)
    } else {
        wrong("the file has no token; remove it, and the next start makes a new token")
    }
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
    // The umask could have taken rights away.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    // Clients keep the token, so a power cut must not undo the rename.
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_can_read_it() {
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
    fn a_file_that_others_may_read_or_that_has_no_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let refused = |what: &str| {
            let error = open(&path).err().unwrap().to_string();
            assert!(error.contains(what) && error.contains("remove it"), "{error}");
        };
        open(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        refused("other users");
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
    fn a_client_makes_no_token_and_reads_the_one_there_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(known_admin_token(folder.path()).unwrap().is_none());
        assert!(!folder.path().join(FILE).exists());
        let made = admin_token(folder.path()).unwrap();
        assert_eq!(known_admin_token(folder.path()).unwrap().unwrap().text, made.text);
        fs::write(folder.path().join(FILE), "short").unwrap();
        assert!(known_admin_token(folder.path()).is_err());
    }

    #[test]
    fn leftovers_of_a_crash_are_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(path.with_extension("new"), "half").unwrap();
        assert!(open(&path).unwrap().is_new && !path.with_extension("new").exists());
    }
}
