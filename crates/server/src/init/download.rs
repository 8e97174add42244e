//! Downloads over https: of limited size, resumed where they stopped, checked against their sum.
//!
//! Invariants: a file has its name only after its bytes had the expected sum and were on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::checksum::Sha256;
use super::mirror::on_loopback;
use super::progress::Bar;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(30);
/// How long a site may stay silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long one try may take; the next one resumes where this one stopped.
const TRY: Duration = Duration::from_secs(3600);
/// Tries of one download, and the pause between two.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
/// The largest archive, in bytes.
const ARCHIVE: u64 = 4 << 30;
/// The largest list of sums, in bytes. That of all releases of Go is a few MiB.
const LIST: u64 = 32 << 20;
/// The most redirects that are followed.
const REDIRECTS: u32 = 5;
/// How much is written at once, in bytes.
const CHUNK: usize = 1 << 17;

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The site does not have the file, or refuses it.
    #[error("{url}: the site answered {status}{}", hint(*.status))]
    Status {
        /// The URL.
        url: String,
        /// The status of the answer.
        status: u16,
    },
    /// The site cannot be reached. What was downloaded is kept.
    #[error("{url} cannot be downloaded; check the network and the mirror, and run init again")]
    Transport {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The connection broke. What was downloaded is kept.
    #[error("{url}: the download broke off; run init again to go on")]
    Broken {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is too large.
    #[error("{url} has more than {limit} bytes, the most that init downloads")]
    Large {
        /// The URL.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why, such as a full disk.
        #[source]
        source: io::Error,
    },
    /// The file is not the published one, and was removed.
    #[error(
        "{url} has the SHA-256 sum {found}, but {expected} was published; nothing of it was used"
    )]
    Sum {
        /// The URL.
        url: String,
        /// The sum of the file.
        found: Sha256,
        /// The sum that was published.
        expected: Sha256,
    },
    /// Init was stopped.
    #[error("{url}: the download was stopped; run init again to go on")]
    Stopped {
        /// The URL.
        url: String,
    },
}

impl DownloadError {
    fn is_passing(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }
}

fn hint(status: u16) -> &'static str {
    if status == 404 { "; check that the release exists for this machine" } else { "" }
}

/// One download: the URL, the path of the file, and its sum.
pub(super) struct Download {
    pub(super) url: String,
    pub(super) target: PathBuf,
    pub(super) sum: Sha256,
}

impl Download {
    /// Downloads the file. `stop` ends that early; what was downloaded stays for the next run.
    pub(super) fn run(&self, bar: &Bar, stop: &AtomicBool) -> Result<(), DownloadError> {
        for attempt in 1.. {
            let part = self.part();
            let before = part.metadata().map_or(0, |metadata| metadata.len());
            let result = self.receive(&part, bar, stop).and_then(|()| self.check(&part, stop));
            match result {
                Ok(()) => return self.settle(&part),
                // The part from an earlier run may belong to another file.
                Err(DownloadError::Sum { .. }) if before > 0 && attempt < TRIES => {}
                Err(error) if error.is_passing() && attempt < TRIES => std::thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last try returns")
    }

    fn part(&self) -> PathBuf {
        let mut name = self.target.clone().into_os_string();
        name.push(".part");
        name.into()
    }

    fn write_error(&self, path: &Path, source: io::Error) -> DownloadError {
        DownloadError::Write { path: path.to_owned(), source }
    }

    fn receive(&self, path: &Path, bar: &Bar, stop: &AtomicBool) -> Result<(), DownloadError> {
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| self.write_error(path, error))?;
        let length = file.seek(SeekFrom::End(0)).map_err(|error| self.write_error(path, error))?;
        let mut response = ask(&self.url, length)?;
        let begin = match response.status().as_u16() {
            206 if starts_at(&response, length) => length,
            // The part on disk is as long as the file: its sum tells whether it is the file.
            416 => return Ok(()),
            200 => 0,
            206 => {
                response = ask(&self.url, 0)?;
                0
            }
            status => return Err(DownloadError::Status { url: self.url.clone(), status }),
        };
        if begin < length {
            let emptied = file.set_len(0).and_then(|()| file.rewind());
            emptied.map_err(|error| self.write_error(path, error))?;
        }
        if let Some(rest) = response.body().content_length() {
            bar.total(begin + rest);
        }
        self.copy(response.body_mut().as_reader(), &mut file, path, begin, bar, stop)
    }

    fn copy(
        &self,
        mut from: impl Read,
        file: &mut File,
        path: &Path,
        begin: u64,
        bar: &Bar,
        stop: &AtomicBool,
    ) -> Result<(), DownloadError> {
        let (mut buffer, mut total) = (vec![0; CHUNK], begin);
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(DownloadError::Stopped { url: self.url.clone() });
            }
            let count = from
                .read(&mut buffer)
                .map_err(|source| DownloadError::Broken { url: self.url.clone(), source })?;
            if count == 0 {
                return Ok(());
            }
            total += count as u64;
            if total > ARCHIVE {
                return Err(DownloadError::Large { url: self.url.clone(), limit: ARCHIVE });
            }
            file.write_all(&buffer[..count]).map_err(|error| self.write_error(path, error))?;
            bar.at(total);
        }
    }

    fn check(&self, path: &Path, stop: &AtomicBool) -> Result<(), DownloadError> {
        let found = File::open(path)
            .and_then(|mut file| Sha256::of_file(&mut file, |_| !stop.load(Ordering::Relaxed)))
            .map_err(|error| self.write_error(path, error))?;
        if found == self.sum {
            return Ok(());
        }
        std::fs::remove_file(path).map_err(|error| self.write_error(path, error))?;
        Err(DownloadError::Sum { url: self.url.clone(), found, expected: self.sum.clone() })
    }

    fn settle(&self, part: &Path) -> Result<(), DownloadError> {
        settle(part, &self.target).map_err(|error| self.write_error(&self.target, error))
    }
}

/// Gives a whole file its name, after its bytes are on the disk.
pub(super) fn settle(part: &Path, target: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    std::fs::rename(part, target)?;
    target.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Downloads a short text; none where the site does not have it.
pub(super) fn text(url: &str) -> Result<Option<String>, DownloadError> {
    let mut response = ask(url, 0)?;
    match response.status().as_u16() {
        200 => {}
        404 | 410 => return Ok(None),
        status => return Err(DownloadError::Status { url: url.to_owned(), status }),
    }
    let broken = |source| DownloadError::Broken { url: url.to_owned(), source };
    let mut bytes = Vec::new();
    response.body_mut().as_reader().take(LIST + 1).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() as u64 > LIST {
        return Err(DownloadError::Large { url: url.to_owned(), limit: LIST });
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Requests a URL from a byte on. A response with any status is no error.
fn ask(url: &str, from: u64) -> Result<ureq::http::Response<ureq::Body>, DownloadError> {
    // With http, which is allowed on loopback alone, no redirect may lead to another host.
    let local = on_loopback(url);
    let agent = ureq::Agent::config_builder()
        .https_only(!local)
        .max_redirects(if local { 0 } else { REDIRECTS })
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(SILENCE))
        .timeout_global(Some(TRY))
        .build()
        .new_agent();
    // A range of a compressed response is not a range of the file.
    let mut request = agent.get(url).header("accept-encoding", "identity");
    if from > 0 {
        request = request.header("range", format!("bytes={from}-"));
    }
    request
        .call()
        .map_err(|error| DownloadError::Transport { url: url.to_owned(), source: Box::new(error) })
}

fn starts_at(response: &ureq::http::Response<ureq::Body>, offset: u64) -> bool {
    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
