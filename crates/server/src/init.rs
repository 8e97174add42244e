//! Preparing a FreeBSD host: datasets, the base system, Go, the build jail; and freeing it of them again.
//!
//! What must always hold: everything is made beside its place and renamed into it when it is whole, so that whatever
//! has its final name is finished; each step is skipped where its result is there; only what bears our mark is removed;
//! nothing is extracted whose SHA-256 sum was not checked.

mod base;
mod build;
mod check;
mod checksum;
mod desired;
mod destroy;
mod download;
mod error;
mod extract;
mod facts;
mod hold;
mod holders;
mod manifest;
mod mark;
mod mirror;
mod names;
mod steps;
mod teller;

pub use checksum::{Sha256, SumError};
pub use desired::{DesiredState, Go, Space};
pub use destroy::Removal;
pub use download::DownloadError;
pub use error::InitError;
pub use manifest::ManifestError;
pub use mirror::{Mirror, MirrorError};
pub use names::{GoVersion, Machine, NameError, SetName};
pub use teller::Teller;

use std::time::Instant;

use host::exec::{Command, ExecError, Shared};
use host::zfs::Zfs;

use facts::Facts;
use steps::Step;

/// Where a build finds the Go workspace in its jail. Not below /root, which FreeBSD keeps for root alone while builds run
/// as another user.
pub const WORKSPACE: &str = "/go";

/// A host, and what it is to be prepared as. Needs a tokio runtime.
pub struct Init {
    wanted: DesiredState,
    exec: Shared,
    zfs: Zfs,
    teller: Teller,
}

impl Init {
    /// Prepares by these commands, and says so there.
    pub fn new(wanted: DesiredState, exec: Shared, teller: Teller) -> Self {
        Self { wanted, zfs: Zfs::new(exec.clone()), exec, teller }
    }

    /// Prepares the host: looks what is there, and does the rest. May be dropped, and run again, at any time.
    pub async fn run(&self) -> Result<(), InitError> {
        self.check_user()?;
        let _held = hold::Held::take(&self.wanted.lock)?;
        let mut facts = self.look().await?;
        let steps = steps::plan(&self.wanted);
        let rest = steps.iter().any(|step| !facts.done(*step, &self.wanted));
        // A server may run on while there is nothing to be done.
        let _state = if rest { hold::no_server(&self.wanted.state_dir)? } else { None };
        self.check(&facts).await?;
        for step in steps {
            let title = step.title(&self.wanted);
            if facts.done(step, &self.wanted) {
                self.teller.say(&format!("{title}: there already"));
                continue;
            }
            self.teller.say(&title);
            let began = Instant::now();
            self.act(step, &facts).await?;
            facts = self.look().await?;
            self.teller.say(&format!("  done in {:.1?}", began.elapsed()));
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

    /// Runs a command to its good end.
    async fn command(&self, command: &Command) -> Result<String, ExecError> {
        self.exec.run(command).await?.success(command)
    }
}
