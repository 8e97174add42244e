//! The making of an island, step by step: a tool's by commands of the host, a function's by the
//! launcher.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use host::net::{Lease, alias};

use crate::backend::StartError;
use crate::freebsd::host::Host;
use crate::freebsd::parts::JailParts;
use crate::freebsd::plan::{self, IslandPlan, Piece, RootPlan};
use crate::freebsd::protocol::JailRequest;
use crate::freebsd::reason::refused;
use crate::freebsd::resources::JailResources;
use crate::freebsd::{devices, folders, mounts, params, rules, view};
use crate::id::IslandId;
use crate::launcher::wire;
use crate::spec::Resources;

/// The socket on which an island's first process receives its program.
type Control = OwnedFd;

impl Host {
    /// Makes an island up to the moment when its first process waits for a program. Each step is
    /// noted in `resources` before it is taken.
    pub(super) async fn make(
        &self,
        plan: &IslandPlan,
        limits: &Resources,
        user: u32,
        lease: Option<Arc<Lease>>,
        resources: &mut JailResources,
    ) -> Result<Control, StartError> {
        let id = resources.id.clone();
        let writing = self.writers.take(plan.writes()).map_err(|folder| {
            StartError::Refused(format!(
                "another island may write {} at the moment",
                folder.display()
            ))
        })?;
        resources.writing = Some(writing);
        let root = self.folder(&id);
        let rules = match self.counts {
            true => rules::rules(&id, plan, limits, self.processors),
            false => Vec::new(),
        };
        let parts = match &plan.root {
            RootPlan::Function(program) => {
                let artifact = self.storage.artifact(program).await.map_err(refused)?;
                let source = artifact.folder().to_owned();
                resources.artifact = Some(artifact);
                view::parts(&id, plan, &root, source, rules)
            }
            RootPlan::Tool(pieces) => {
                self.make_tool_root(plan, pieces, &root, &rules, resources).await?;
                JailParts::default()
            }
        };
        if let Some(lease) = lease {
            resources.lease = Some(lease.clone());
            lease.assign(id.as_str());
            alias::put(&*self.exec, &self.ledger, &lease).await.map_err(refused)?;
        }
        if let Some(folder) = &parts.folder {
            resources.folder = true;
            folders::make(folder).await.map_err(refused)?;
        }
        self.prepare(&id, plan, parts, user, &root, resources)
    }

    /// Makes a tool's root and limits by commands of the host.
    async fn make_tool_root(
        &self,
        plan: &IslandPlan,
        pieces: &[Piece],
        root: &Path,
        rules: &[String],
        resources: &mut JailResources,
    ) -> Result<(), StartError> {
        let pieces = pieces.to_owned();
        let add = move |root: &Path| plan::add_pieces(root, &pieces);
        resources.root = true;
        self.storage.tool_root(&resources.id, add).await.map_err(refused)?;
        for (at, mount) in plan.mounts_in(root) {
            resources.mounts.push(at.clone());
            mounts::mount(&*self.exec, &mount, &at).await.map_err(refused)?;
        }
        if !rules.is_empty() {
            resources.rules = true;
            rules::add(&*self.exec, rules).await.map_err(refused)?;
        }
        Ok(())
    }

    fn prepare(
        &self,
        id: &IslandId,
        plan: &IslandPlan,
        parts: JailParts,
        user: u32,
        root: &Path,
        resources: &mut JailResources,
    ) -> Result<Control, StartError> {
        let root = root.to_str().ok_or_else(|| refused("the path of the root is not UTF-8"))?;
        let jail = params::parameters(id, root, devices::RULESET, plan.reach, &self.permissions);
        let request = JailRequest {
            id: id.to_string(),
            parts,
            jail,
            last: params::last_denial(id, &self.permissions),
            user,
            bounds: plan.bounds,
            memory: plan.memory,
            background: plan.background,
        };
        let (control, far) = wire::pair().map_err(StartError::Descriptors)?;
        resources.jail = true;
        resources.exit = Some(self.launcher.prepare(id, request, vec![far], None)?);
        Ok(control)
    }
}
