//! Warming: fetches the source, builds the program and keeps islands warm for a call to come.

use std::time::Instant;

use island::WarmPool;

use crate::calls::execution::Execution;
use crate::calls::failure::Failure;
use crate::calls::trace::Times;
use crate::source::Revision;

/// The result of warming.
#[derive(Clone, Debug)]
pub struct Warmed {
    /// The revision that the version means.
    pub revision: Revision,
    /// The id of the program's artifact; empty for a call in its exact form that was not cached
    /// yet.
    pub artifact: String,
    /// Warm islands that are ready.
    pub islands: usize,
}

/// Prepares everything for a call, without calling the function.
pub(super) async fn prepare(
    mut execution: Execution<'_>,
    warm_pool: &WarmPool,
) -> Result<(Warmed, Times), Failure> {
    let (request, mut built) = execution.program().await?;
    let revision = request.checkout.revision().clone();
    if built.name.is_none() {
        // No islands are kept warm for the first call in an exact form. A warmed call is expected
        // to come, so this counts as its second one.
        built = execution.build_again(&request).await?;
    }
    let has_address = execution.has_address();
    let (function, spec) = execution.island(built);
    let began = Instant::now();
    let (artifact, islands) = match function {
        // No islands are kept warm for calls with an address.
        Some(function) if !has_address => {
            let islands = warm_pool.warm(&function, &spec).await;
            (function.artifact, islands)
        }
        Some(function) => (function.artifact, 0),
        None => (String::new(), 0),
    };
    let times = Times { start: began.elapsed(), ..execution.into_trace().times };
    let artifact = artifact.split('.').next().unwrap_or_default().to_owned();
    Ok((Warmed { revision, artifact, islands }, times))
}
