//! The making of an island, step by step.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::net::{Lease, alias};

use crate::backend::StartError;
use crate::freebsd::host::Host;
use crate::freebsd::plan::{self, IslandPlan, Root};
use crate::freebsd::protocol::JailRequest;
use crate::freebsd::reason::refused;
use crate::freebsd::resources::JailResources;
use crate::freebsd::{devices, mounts, params, rules};
use crate::id::IslandId;
use crate::launcher::wire;
use crate::spec::Resources;

/// The socket on which an island's first process receives its program.
type Control = OwnedFd;

impl Host {
    /// Makes an island up to the moment when its first process waits for a program. Each step is noted
    /// in `resources` before it is taken.
    pub(super) async fn make(
        &self,
        plan: &IslandPlan,
        limits: &Resources,
        user: u32,
        lease: Option<Arc<Lease>>,
        resources: &mut JailResources,
    ) -> Result<Control, StartError> {
        let id = resources.id.clone();
        let exec = &*self.exec;
        let writing = self.writers.take(plan.writes()).map_err(|folder| {
            StartError::Refused(format!(
                "another island may write {} at the moment",
                folder.display()
            ))
        })?;
        resources.writing = Some(writing);
        resources.root = true;
        let root = self.root(&id, plan).await?;
        for (at, mount) in &plan.mounts {
            let at = root.join(at.strip_prefix("/").unwrap_or(at));
            resources.mounts.push(at.clone());
            mounts::mount(exec, mount, &at).await.map_err(refused)?;
        }
        if self.counts {
            resources.rules = true;
            let limits = rules::rules(&id, plan, limits, self.processors);
            rules::add(exec, &limits).await.map_err(refused)?;
        }
        if let Some(lease) = lease {
            resources.lease = Some(lease.clone());
            lease.assign(id.as_str());
            alias::put(exec, &self.ledger, &lease).await.map_err(refused)?;
        }
        self.prepare(&id, plan, user, &root, resources)
    }

    async fn root(&self, id: &IslandId, plan: &IslandPlan) -> Result<PathBuf, StartError> {
        let root = match &plan.root {
            Root::Function(program) => self.storage.function_root(id, program).await,
            Root::Tool(pieces) => {
                let pieces = pieces.clone();
                let add = move |root: &Path| plan::add_pieces(root, &pieces);
                self.storage.tool_root(id, add).await
            }
        };
        Ok(root.map_err(refused)?.folder)
    }

    fn prepare(
        &self,
        id: &IslandId,
        plan: &IslandPlan,
        user: u32,
        root: &Path,
        resources: &mut JailResources,
    ) -> Result<Control, StartError> {
        let root = root.to_str().ok_or_else(|| refused("the path of the root is not UTF-8"))?;
        let jail = params::parameters(id, root, devices::RULESET, plan.reach, &self.permissions);
        let prepare = JailRequest {
            id: id.to_string(),
            jail,
            last: params::last_denial(id, &self.permissions),
            user,
            bounds: plan.bounds,
            memory: plan.memory,
            background: plan.background,
        };
        let (control, far) = wire::pair().map_err(StartError::Descriptors)?;
        resources.jail = true;
        resources.exit = Some(self.link.prepare(id, prepare, vec![far], None)?);
        Ok(control)
    }
}
