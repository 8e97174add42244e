//! Downloads from a site on loopback that can be told how to fail.

use std::time::Instant;

use super::*;

#[path = "../../../../tests/support/site.rs"]
mod site;
use site::{Behaviour, Site};

const FILE: &str = "/a/base.txz";

fn body() -> Vec<u8> {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect()
}

fn sum_of(bytes: &[u8]) -> Sha256 {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Sha256::of_file(&mut file, |_| true).unwrap()
}

struct Place {
    site: Site,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let site = Site::start();
        site.put(FILE, body());
        Self { site, folder: tempfile::tempdir().unwrap() }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("base.txz")
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("base.txz.part")
    }

    fn download(&self, sum: Sha256) -> Result<(), DownloadError> {
        let url = format!("{}{FILE}", self.site.url());
        let bar = super::super::Progress::new(std::io::sink(), false).bar("", 0);
        Download { url, target: self.target(), sum }.run(&bar, &AtomicBool::new(false))
    }

    fn holds_the_file(&self) {
        assert_eq!(std::fs::read(self.target()).unwrap(), body());
        assert!(!self.part().exists());
    }
}

#[test]
fn a_file_comes_whole_and_is_not_there_before() {
    let place = Place::new();
    place.download(sum_of(&body())).unwrap();
    place.holds_the_file();
    assert_eq!(place.site.asked(), [FILE]);
}

#[test]
fn a_download_that_breaks_off_is_taken_up_where_it_stopped() {
    let place = Place::new();
    place.site.behave(Behaviour { ranges: true, breaks: (2, 500_000) });
    place.download(sum_of(&body())).unwrap();
    place.holds_the_file();
    let asked = place.site.asked();
    assert_eq!(
        asked,
        [FILE.to_owned(), format!("{FILE} from 500000"), format!("{FILE} from 1000000")]
    );
}

#[test]
fn what_a_run_left_is_used_by_the_next_one() {
    let place = Place::new();
    place.site.behave(Behaviour { ranges: true, breaks: (usize::MAX, 1000) });
    let began = Instant::now();
    let error = place.download(sum_of(&body())).unwrap_err();
    assert!(matches!(error, DownloadError::Broken { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(!place.target().exists());
    place.site.asked();
    place.site.behave(Behaviour::default());
    place.download(sum_of(&body())).unwrap();
    assert_eq!(place.site.asked(), [format!("{FILE} from 4000")]);
    place.holds_the_file();
}

#[test]
fn a_site_without_ranges_gives_it_anew() {
    let place = Place::new();
    std::fs::write(place.part(), &body()[..1000]).unwrap();
    place.site.behave(Behaviour { ranges: false, breaks: (0, 0) });
    place.download(sum_of(&body())).unwrap();
    place.holds_the_file();
}

#[test]
fn a_beginning_of_another_file_is_dropped() {
    let place = Place::new();
    std::fs::write(place.part(), vec![7; 1000]).unwrap();
    place.download(sum_of(&body())).unwrap();
    place.holds_the_file();
    std::fs::write(place.part(), vec![7; body().len() + 5]).unwrap();
    place.download(sum_of(&body())).unwrap();
    place.holds_the_file();
}

#[test]
fn a_whole_file_that_was_not_yet_named_is_only_named() {
    let place = Place::new();
    std::fs::write(place.part(), body()).unwrap();
    place.download(sum_of(&body())).unwrap();
    place.holds_the_file();
    assert_eq!(place.site.asked(), [format!("{FILE} from {}", body().len())]);
}

#[test]
fn other_bytes_than_the_published_ones_are_not_kept() {
    let place = Place::new();
    let error = place.download(sum_of(b"other")).unwrap_err();
    assert!(matches!(error, DownloadError::Sum { .. }), "{error}");
    assert!(error.to_string().contains("nothing of it was used"), "{error}");
    assert!(!place.target().exists() && !place.part().exists());
    assert_eq!(place.site.asked().len(), 1);
}

#[test]
fn a_file_that_the_site_does_not_have_is_not_tried_again() {
    let place = Place::new();
    let url = format!("{}/nope", place.site.url());
    let bar = super::super::Progress::new(std::io::sink(), false).bar("", 0);
    let download = Download { url, target: place.target(), sum: sum_of(b"") };
    let error = download.run(&bar, &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("404; check that the release exists"), "{error}");
    assert_eq!(place.site.asked().len(), 1);
}

#[test]
fn a_download_whose_future_is_dropped_ends() {
    let place = Place::new();
    let url = format!("{}{FILE}", place.site.url());
    let bar = super::super::Progress::new(std::io::sink(), false).bar("", 0);
    let download = Download { url, target: place.target(), sum: sum_of(&body()) };
    let error = download.run(&bar, &AtomicBool::new(true)).unwrap_err();
    assert!(matches!(error, DownloadError::Stopped { .. }), "{error}");
    assert!(!place.target().exists());
}

#[test]
fn without_encryption_only_loopback_is_asked() {
    let error = text("http://192.0.2.1/MANIFEST").unwrap_err();
    assert!(matches!(error, DownloadError::Transport { .. }), "{error}");
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("https"), "{why}");
}

#[test]
fn a_text_is_read_or_known_to_be_missing() {
    let site = Site::start();
    site.put("/MANIFEST", "base.txz\t...");
    assert_eq!(text(&format!("{}/MANIFEST", site.url())).unwrap().unwrap(), "base.txz\t...");
    assert_eq!(text(&format!("{}/other", site.url())).unwrap(), None);
}
