//! `init` prepares a FreeBSD host: datasets, the base system, Go, the build jail. `destroy` removes
//! them.
//!
//! Invariants: everything is made under another name and renamed when it is whole, so that a
//! dataset or file with its final name is finished; a step is skipped where its result is there;
//! only datasets with the mark of `init` are removed; no archive is extracted whose SHA-256 sum was
//! not checked.

mod base;
mod build;
mod busy;
mod check;
mod checksum;
mod desired;
mod destroy;
mod download;
mod error;
mod extract;
mod facts;
mod holders;
mod host_lock;
mod manifest;
mod mark;
mod mirror;
mod names;
mod progress;
mod steps;

pub use checksum::{Sha256, SumError};
pub use desired::{DesiredGo, DesiredState, DiskSpace};
pub use destroy::Removal;
pub use download::DownloadError;
pub use error::InitError;
pub use manifest::ManifestError;
pub use mirror::{Mirror, MirrorError};
pub use names::{GoVersion, Machine, NameError, SetName};
pub use progress::Progress;

use std::time::Instant;

use host::exec::{Command, ExecError, Shared};
use host::zfs::Zfs;

use facts::Facts;
use steps::Step;

/// The Go workspace in the build jail. It is not below /root, which only root can enter: builds run
/// as another user.
pub const WORKSPACE: &str = "/go";

/// A host and its desired state. Needs a tokio runtime.
pub struct Init {
    wanted: DesiredState,
    exec: Shared,
    zfs: Zfs,
    progress: Progress,
}

impl Init {
    /// Runs commands by `exec`, and prints to `progress`.
    pub fn new(wanted: DesiredState, exec: Shared, progress: Progress) -> Self {
        Self { wanted, zfs: Zfs::new(exec.clone()), exec, progress }
    }

    /// Prepares the host: looks at what is there, and does the remaining steps. The future may be
    /// dropped at any time, and run again.
    pub async fn run(&self) -> Result<(), InitError> {
        self.check_user()?;
        let _held = host_lock::HostLock::take(&self.wanted.lock)?;
        let mut facts = self.look().await?;
        let steps = steps::plan(&self.wanted);
        let rest = steps.iter().any(|step| !facts.done(*step, &self.wanted));
        // A server need not stop where nothing has to be done.
        let _state = if rest { host_lock::no_server(&self.wanted.state_dir)? } else { None };
        self.check(&facts).await?;
        for step in steps {
            let title = step.title(&self.wanted);
            if facts.done(step, &self.wanted) {
                self.progress.say(&format!("{title}: there already"));
                continue;
            }
            self.progress.say(&title);
            let began = Instant::now();
            self.act(step, &facts).await?;
            facts = self.look().await?;
            self.progress.say(&format!("  done in {:.1?}", began.elapsed()));
        }
        Ok(())
    }

    async fn look(&self) -> Result<Facts, InitError> {
        Ok(Facts::look(&self.wanted, &self.zfs).await?)
    }

    async fn act(&self, step: Step, facts: &Facts) -> Result<(), InitError> {
        match step {
            Step::Jails => self.make_jails(facts).await,
            Step::Releases => self.make_holder(mark::Part::Releases).await,
            Step::Artifacts => self.make_holder(mark::Part::Artifacts).await,
            Step::Run => self.make_holder(mark::Part::Run).await,
            Step::FetchSets => self.fetch_sets().await,
            Step::ExtractSets => self.extract_sets(facts).await,
            Step::Update => self.update().await,
            Step::Settings => self.write_settings().await,
            Step::FinishBase => self.finish_base(facts).await,
            Step::FetchGo => self.fetch_go().await,
            Step::ExtractGo => self.extract_go(facts).await,
            Step::Workspace => self.make_workspace().await,
            Step::FinishBuild => self.finish_build(facts).await,
            Step::Tidy => self.tidy(facts).await,
        }
    }

    /// Runs a command that has to succeed. The command ends with this process: a tar(1) that goes
    /// on alone would write into a dataset that the next `init` removes.
    async fn command(&self, command: &Command) -> Result<String, ExecError> {
        self.exec.run(&command.clone().tied()).await?.success(command)
    }
}
