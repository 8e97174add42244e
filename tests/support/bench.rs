//! One fetch after the other into the same folder, with a folder of repositories as the mirror of
//! example.com.

use std::path::PathBuf;
use std::time::Instant;

use fetch_job::{FetchAnswer, FetchFailure, FetchJob, Fetched, Mirror, Origin, Place, Reach};

use super::TempDir;
use super::git_http::{GitHost, Options};
use super::git_repo::BareRepo;
use super::offline::build_and_run;

pub struct Bench {
    dir: TempDir,
    pub origins: Vec<Origin>,
    pub mirrors: Vec<Mirror>,
}

impl Bench {
    pub fn new(origins: &[Origin]) -> Self {
        let dir = TempDir::new();
        let target = dir.path().join("git").to_str().unwrap().to_owned();
        let mirrors = vec![Mirror { prefix: "example.com".into(), target }];
        Self { dir, origins: origins.to_vec(), mirrors }
    }

    /// A repository for `example.com/name`.
    pub fn repo(&self, name: &str) -> BareRepo {
        BareRepo::create(&self.root().join(format!("{name}.git")))
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("git")
    }

    /// From now on the mirror is a git host.
    pub fn host(&mut self, options: Options) -> Option<GitHost> {
        let host = GitHost::start(&self.root(), options)?;
        self.mirrors[0].target = host.url();
        Some(host)
    }

    pub fn job(&self, import_path: &str, version: Option<&str>) -> FetchJob {
        FetchJob {
            import_path: import_path.into(),
            version: version.map(Into::into),
            imports: vec![],
            origins: self.origins.clone(),
            mirrors: self.mirrors.clone(),
            reach: self.reach(),
            gate: None,
            have: vec![],
            dest: self.dest(),
            go: super::go(),
            max_bytes: 512 << 20,
        }
    }

    /// The hosts of the mirrors, and strangers' hosts.
    pub fn reach(&self) -> Reach {
        let places = self.mirrors.iter().filter_map(|mirror| Place::of_url(&mirror.target));
        Reach { places: places.collect(), ..Reach::default() }
    }

    pub fn fetch(&self, import_path: &str, version: Option<&str>) -> Fetched {
        let started = Instant::now();
        let answer = fetch_worker::run(&self.job(import_path, version));
        println!("{import_path} {version:?}: {} ms", started.elapsed().as_millis());
        match answer {
            FetchAnswer::Fetched(fetched) => fetched,
            other => panic!("{import_path} {version:?}: {other:?}"),
        }
    }

    /// A fetch that fails, leaves nothing and gives away no folder of this host.
    pub fn fail(&self, import_path: &str, version: Option<&str>) -> FetchFailure {
        self.fail_job(&self.job(import_path, version))
    }

    pub fn fail_job(&self, job: &FetchJob) -> FetchFailure {
        let FetchAnswer::Failed(failure) = fetch_worker::run(job) else {
            panic!("{} {:?} did not fail", job.import_path, job.version)
        };
        let here = self.dir.path().to_str().unwrap();
        assert!(!failure.detail.contains(here), "{}", failure.detail);
        for name in ["src", "deps", "overlay"] {
            assert!(!job.dest.join(name).exists(), "{name} is left");
        }
        failure
    }

    pub fn dest(&self) -> PathBuf {
        self.dir.path().join("dest")
    }

    /// What `fmt.Println(expression)` prints, built offline.
    pub fn run(&self, fetched: &Fetched, expression: &str) -> String {
        build_and_run(&super::go(), &self.dest(), fetched, expression)
    }
}

/// A package `m` whose function `N` answers `number`.
pub fn answers(number: u32) -> String {
    format!("package m\n\nfunc N() int {{ return {number} }}\n")
}
