//! One build of a plan: its layers, its turn, the compiler, and the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::Builder;
use crate::blocking::blocking;
use crate::compile::artifact::{About, Artifact};
use crate::compile::compiler::Compiler;
use crate::compile::error::BuildError;
use crate::compile::gocache;
use crate::compile::output::BuildOutput;
use crate::compile::request::{BuildRequest, ProgramPlan};
use crate::principal::Client;
use crate::source::Checkout;
use crate::store::Entry;

impl Builder {
    /// Compiles a plan; none if there is no such function form. A failure that damaged files would
    /// explain has the files read again, and is tried once more if they were damaged.
    pub(super) async fn build(
        &self,
        client: Client,
        key: &str,
        request: &BuildRequest,
        plan: &ProgramPlan,
    ) -> Result<Option<Arc<Artifact>>, BuildError> {
        let BuildRequest { checkout, call, .. } = request;
        if let Some(found) = call.qualifier()
            && found != checkout.package_name()
        {
            let name = checkout.package_name().to_owned();
            return Err(BuildError::Qualifier { found: found.to_owned(), name });
        }
        let compiler = self.programs.compiler();
        self.check(checkout).await?;
        let layers = self.cache.layers(&compiler).await?;
        let built = self.build_on(client, key, request, plan, &layers).await;
        let Err(error) = built else { return built };
        if !error.may_be_of_damage() {
            return Err(error);
        }
        self.cache.doubt().await;
        checkout.doubt();
        self.check(checkout).await?;
        let again = self.cache.layers(&compiler).await?;
        let same = again.iter().zip(&layers).all(|(now, then)| Arc::ptr_eq(now, then));
        if same && again.len() == layers.len() {
            return Err(error);
        }
        self.build_on(client, key, request, plan, &again).await
    }

    /// Fails for a checkout that is damaged.
    async fn check(&self, checkout: &Arc<Checkout>) -> Result<(), BuildError> {
        let checkout = checkout.clone();
        let intact = blocking(move || Ok(checkout.is_untouched()? && checkout.is_intact()?));
        let intact: std::io::Result<bool> = intact.await;
        if intact? { Ok(()) } else { Err(BuildError::Damaged) }
    }

    /// Compiles a plan on these layers of the build cache.
    async fn build_on(
        &self,
        client: Client,
        key: &str,
        request: &BuildRequest,
        plan: &ProgramPlan,
        layers: &[Arc<Entry>],
    ) -> Result<Option<Arc<Artifact>>, BuildError> {
        let checkout = &request.checkout;
        let compiler = self.programs.compiler();
        let mut layers: Vec<_> = layers.iter().map(|entry| entry.path().join("upper")).collect();
        // The first build of a checkout fills the checkout's own layer, which one build at a time
        // may write; later builds only read it.
        let wait = *self.wait.lock();
        let busy = |_| BuildError::Busy(wait);
        let alone = match checkout.is_sealed() {
            true => None,
            false => Some(timeout(wait, checkout.building.lock()).await.map_err(busy)?),
        };
        let slot = timeout(wait, self.slots.acquire(&client, checkout.import_path())).await;
        let Ok(_slot) = slot else { return Err(self.busy(client, wait)) };
        let own = checkout.build_cache();
        if checkout.is_sealed() {
            drop(alone);
            layers.insert(0, own.join("upper"));
            let output = self.compile(request, plan, &layers, None).await?;
            return self.publish(key, request, plan, output).await;
        }
        if checkout.take_unsealed() {
            self.empty_cache(&compiler, request).await?;
        }
        let output = self.compile(request, plan, &layers, Some(&own)).await;
        if matches!(output, Err(BuildError::Size(_))) {
            self.empty_cache(&compiler, request).await?;
        }
        let output = output?;
        if output.is_some() {
            gocache::seal(own.join("upper")).await?;
            checkout.seal();
            self.check(checkout).await?;
        }
        self.publish(key, request, plan, output).await
    }

    /// Why a client got no slot in time.
    fn busy(&self, client: Client, wait: Duration) -> BuildError {
        match self.slots.has_share(&client) {
            true => BuildError::OverShare { share: self.slots.shares().per_client, wait },
            false => BuildError::Busy(wait),
        }
    }

    async fn compile(
        &self,
        request: &BuildRequest,
        plan: &ProgramPlan,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Option<BuildOutput>, BuildError> {
        let began = Instant::now();
        let compiled = self.programs.compile(request, plan, layers, cache).await;
        self.metrics.built(began.elapsed());
        compiled
    }

    async fn empty_cache(
        &self,
        compiler: &Arc<Compiler>,
        request: &BuildRequest,
    ) -> Result<(), BuildError> {
        let (compiler, checkout) = (compiler.clone(), request.checkout.clone());
        Ok(blocking(move || compiler.empty_cache(&checkout)).await?)
    }

    /// Puts a program into the store, if one was made.
    async fn publish(
        &self,
        key: &str,
        request: &BuildRequest,
        plan: &ProgramPlan,
        output: Option<BuildOutput>,
    ) -> Result<Option<Arc<Artifact>>, BuildError> {
        let Some(output) = output else { return Ok(None) };
        let about = About {
            package: request.checkout.import_path().to_string(),
            revision: request.checkout.revision().to_string(),
            call: plan.text(&request.call).to_owned(),
        };
        let (key, artifacts) = (key.to_owned(), self.artifacts.clone());
        let compiler = self.programs.compiler();
        let published = blocking(move || {
            let scratch = compiler.trash.scratch()?;
            artifacts.publish(&key, scratch, &output.program, &about)
        });
        published.await.map(Some)
    }
}
