//! The base system: its archives, its updates, its settings, and its snapshot.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use host::exec::Command;

use super::facts::Facts;
use super::manifest::Manifest;
use super::mark::{Mark, PROPERTY, Part, PartStage};
use crate::init::error::InitError;
use crate::init::{Init, download};

/// How long freebsd-update may take.
const UPDATE: Duration = Duration::from_secs(4 * 3600);
/// freebsd-update prints the name of every file that it changes.
const UPDATE_OUTPUT: u64 = 64 << 20;
/// The largest MANIFEST, resolv.conf or localtime, in bytes.
const SMALL: u64 = 1 << 20;

impl Init {
    /// Downloads the archives and the MANIFEST that are not there yet.
    pub(super) async fn fetch_sets(&self) -> Result<(), InitError> {
        let wanted = &self.wanted;
        self.make_downloads().await?;
        if !wanted.manifest().is_file() {
            let url = wanted.release_mirror.manifest(wanted.layout.release(), wanted.machine);
            self.progress.say(&format!("  downloading {url}"));
            let text = self.text(&url).await?.ok_or(InitError::NoManifest(url.clone()))?;
            Manifest::parse(&text).map_err(|source| InitError::Manifest { at: url, source })?;
            let path = wanted.manifest();
            write_whole(&path, text.as_bytes()).map_err(InitError::file("write", path))?;
        }
        let manifest = self.manifest()?;
        for set in &wanted.sets {
            let path = wanted.set_archive(set);
            if path.is_file() {
                continue;
            }
            let url = wanted.release_mirror.set(wanted.layout.release(), wanted.machine, set);
            let sum = manifest.sum(set).map_err(|source| self.manifest_error(source))?;
            self.download(url, &path, sum.clone()).await?;
        }
        Ok(())
    }

    fn manifest(&self) -> Result<Manifest, InitError> {
        let path = self.wanted.manifest();
        let text = read_small(&path).map_err(InitError::file("read", &path))?;
        Manifest::parse(&String::from_utf8_lossy(&text)).map_err(|e| self.manifest_error(e))
    }

    fn manifest_error(&self, source: super::ManifestError) -> InitError {
        InitError::Manifest { at: self.wanted.manifest().display().to_string(), source }
    }

    /// Extracts the archives into a dataset beside the one of the finished base system.
    pub(super) async fn extract_sets(&self, facts: &Facts) -> Result<(), InitError> {
        let (wanted, name) = (&self.wanted, Part::Base.unfinished(&self.wanted.layout));
        // An extraction that was interrupted begins again. A dataset can be destroyed whatever
        // flags its files have.
        if facts.dataset(&name).is_some() {
            self.remove_unfinished(facts, Part::Base).await?;
        }
        let mark = self.base_mark(PartStage::Begun).to_string();
        self.zfs.create(&name, &[(PROPERTY, mark.as_str())]).await?;
        self.check_mounted(&name).await?;
        let folder = self.folder_of(&name);
        let manifest = self.manifest()?;
        for set in &wanted.sets {
            let path = wanted.set_archive(set);
            if !path.is_file() {
                return Err(InitError::NoArchive(set.clone()));
            }
            let sum = manifest.sum(set).map_err(|source| self.manifest_error(source))?;
            let archive = self.checked(&path, sum).await?;
            self.extract(archive, &path, &folder).await?;
        }
        self.mark(&name, &self.base_mark(PartStage::Extracted)).await
    }

    /// Brings the release's updates into the base system.
    pub(super) async fn update(&self) -> Result<(), InitError> {
        let name = Part::Base.unfinished(&self.wanted.layout);
        self.check_mounted(&name).await?;
        self.make_downloads().await?;
        let work = self.wanted.downloads().join("freebsd-update");
        std::fs::create_dir_all(&work).map_err(InitError::file("make", &work))?;
        // After `fetch`, `install` succeeds where there is nothing to install; alone it fails.
        let command = Command::program("freebsd-update")
            .arg("-b")
            .arg(self.folder_of(&name))
            .arg("-d")
            .arg(&work)
            .args(["--not-running-from-cron", "--currently-running"])
            .arg(self.wanted.layout.release().as_str())
            .args(["fetch", "install"])
            .env("PAGER", "cat")
            .deadline(UPDATE)
            .output(UPDATE_OUTPUT);
        self.command(&command).await.map_err(InitError::update)?;
        self.mark(&name, &self.base_mark(PartStage::Updated)).await
    }

    /// Writes the base system's resolv.conf and localtime.
    pub(super) async fn write_settings(&self) -> Result<(), InitError> {
        let (wanted, name) = (&self.wanted, Part::Base.unfinished(&self.wanted.layout));
        self.check_mounted(&name).await?;
        let etc = self.folder_of(&name).join("etc");
        let hosts = |file: &str| {
            let path = wanted.etc.join(file);
            match read_small(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(InitError::file("read", path)(error)),
            }
        };
        let servers: String =
            wanted.dns.iter().map(|address| format!("nameserver {address}\n")).collect();
        let resolv =
            if servers.is_empty() { hosts("resolv.conf")? } else { Some(servers.into_bytes()) };
        if resolv.is_none() {
            self.progress.say(
                "  note: neither network.ip4.dns nor the host's resolv.conf has a name server; islands will not resolve names of hosts",
            );
        }
        // Without localtime a host uses UTC, and so does the base system.
        for (file, bytes) in [("resolv.conf", resolv), ("localtime", hosts("localtime")?)] {
            if let Some(bytes) = bytes {
                let path = etc.join(file);
                write_whole(&path, &bytes).map_err(InitError::file("write", path))?;
            }
        }
        self.mark(&name, &self.base_mark(PartStage::Ready)).await
    }

    /// Makes the snapshot and gives the base system its name.
    pub(super) async fn finish_base(&self, facts: &Facts) -> Result<(), InitError> {
        self.finish(facts, Part::Base).await
    }

    /// Removes the downloads, and unfinished datasets of an earlier configuration.
    pub(super) async fn tidy(&self, facts: &Facts) -> Result<(), InitError> {
        for part in facts.unfinished(&self.wanted) {
            self.remove_unfinished(facts, part).await?;
        }
        let folder = self.wanted.downloads();
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(InitError::file("remove", folder)(error))
            }
            _ => Ok(()),
        }
    }

    fn base_mark(&self, stage: PartStage) -> Mark {
        Mark { part: Part::Base, stage, of: self.wanted.sets_text() }
    }
}

/// Writes a file: the whole of it or nothing.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut name = std::ffi::OsString::from(".part-");
    name.push(path.file_name().unwrap_or_default());
    let part = folder.join(name);
    let mut file = std::fs::File::create(&part)?;
    file.write_all(bytes)?;
    download::settle(&part, path)
}

/// Reads a file of at most [`SMALL`] bytes.
pub(super) fn read_small(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(SMALL + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SMALL {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, "the file has more than 1 MiB"));
    }
    Ok(bytes)
}
