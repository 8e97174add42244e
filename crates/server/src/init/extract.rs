//! Archives: downloaded, checked, extracted. The file descriptor that was checked is the one that
//! is extracted.

use std::fs::File;
use std::io::Seek;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host::exec::{Command, ExecError};

use super::checksum::Sha256;
use super::download::{self, Download, DownloadError};
use crate::init::Init;
use crate::init::error::InitError;

/// How long an archive may take to be extracted.
const EXTRACT: Duration = Duration::from_secs(2 * 3600);
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(200);
/// The errors of tar(1) when no space is left.
const FULL: [&str; 3] = ["No space left on device", "Disc quota exceeded", "Disk quota exceeded"];

/// Stops the work of a thread when the future that waits for it is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs blocking work on a thread of its own. Where the future is dropped, the work gets to know by
/// its argument.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> Result<T, std::io::Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let _guard = StopOnDrop(stop.clone());
    tokio::task::spawn_blocking(move || work(&stop)).await.map_err(std::io::Error::other)
}

impl Init {
    /// Downloads a file, which gets its name only if it has the sum.
    pub(super) async fn download(
        &self,
        url: String,
        target: &Path,
        sum: Sha256,
    ) -> Result<(), InitError> {
        self.progress.say(&format!("  downloading {url}"));
        let bar = self.progress.bar("downloading", 0);
        let download = Download { url, target: target.to_owned(), sum };
        let shown = bar.clone();
        let result = on_thread(move |stop| download.run(&shown, stop)).await;
        bar.end();
        Ok(result.map_err(InitError::file("download", target))??)
    }

    /// Downloads a short text; none where the site does not have it.
    pub(super) async fn text(&self, url: &str) -> Result<Option<String>, InitError> {
        let asked = url.to_owned();
        let result: Result<Option<String>, DownloadError> =
            on_thread(move |_| download::text(&asked))
                .await
                .map_err(InitError::file("download", url))?;
        Ok(result?)
    }

    /// Makes the folder of downloads.
    pub(super) async fn make_downloads(&self) -> Result<(), InitError> {
        self.check_mounted(&self.wanted.layout.releases()).await?;
        let folder = self.wanted.downloads();
        std::fs::create_dir_all(&folder).map_err(InitError::file("make", folder))
    }

    /// Opens an archive if it has the sum. A downloaded one that has another sum is removed, so
    /// that the next run downloads it again.
    pub(super) async fn checked(&self, path: &Path, sum: &Sha256) -> Result<File, InitError> {
        let mut file = File::open(path).map_err(InitError::file("open", path))?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let bar = self.progress.bar("checking", length);
        let shown = bar.clone();
        let result = on_thread(move |stop| {
            let found = Sha256::of_file(&mut file, |bytes| {
                shown.at(bytes);
                !stop.load(Ordering::Relaxed)
            })?;
            file.rewind()?;
            Ok((file, found))
        });
        let result: std::io::Result<(File, Sha256)> = result.await.and_then(|result| result);
        bar.end();
        let (file, found) = result.map_err(InitError::file("read", path))?;
        if found == *sum {
            return Ok(file);
        }
        let ours = path.starts_with(self.wanted.downloads());
        let mut remedy =
            "put the right archive there, or move this one away to have the archive downloaded";
        if ours {
            std::fs::remove_file(path).map_err(InitError::file("remove", path))?;
            remedy = "the archive was removed; run init again to download it again";
        }
        Err(InitError::Sum { path: path.to_owned(), found, expected: sum.clone(), remedy })
    }

    /// Extracts an archive that was checked. FreeBSD's tar(1) keeps file flags, hard links and
    /// set-id bits.
    pub(super) async fn extract(
        &self,
        archive: File,
        name: &Path,
        folder: &Path,
    ) -> Result<(), InitError> {
        let length = archive.metadata().map_or(0, |metadata| metadata.len());
        let archive = Arc::new(archive);
        // By number, for the host may give the names of users other numbers.
        let command = Command::program("tar")
            .args(["-x", "-p", "--numeric-owner", "-f", "-", "-C"])
            .arg(folder)
            .stdin(archive.clone())
            .deadline(EXTRACT);
        let bar = self.progress.bar("extracting", length);
        let result = {
            let run = self.command(&command);
            tokio::pin!(run);
            loop {
                tokio::select! {
                    result = &mut run => break result,
                    () = tokio::time::sleep(TICK) => {
                        bar.at((&*archive).stream_position().unwrap_or_default());
                    }
                }
            }
        };
        bar.end();
        match result {
            Ok(_) => Ok(()),
            Err(error) if is_full(&error) => Err(InitError::Full(name.to_owned())),
            Err(error) => Err(InitError::command("an archive cannot be extracted")(error)),
        }
    }
}

fn is_full(error: &ExecError) -> bool {
    FULL.iter().any(|text| error.stderr().contains(text))
}
