//! What can be done for a call before it comes: its source fetched, its program built, and warm islands.

use std::time::Instant;

use island::WarmPool;

use crate::calls::execution::Execution;
use crate::calls::failure::Failure;
use crate::calls::trace::Times;
use crate::source::Revision;

/// What was made ready.
#[derive(Clone, Debug)]
pub struct Warmed {
    /// What the version means.
    pub revision: Revision,
    /// The program, by its name among the artifacts; empty for a call that is compiled as it stands and was not known.
    pub artifact: String,
    /// Warm islands that are ready.
    pub islands: usize,
}

/// Makes everything ready for a call, and calls nothing.
pub(super) async fn prepare(
    mut execution: Execution<'_>,
    warm_pool: &WarmPool,
) -> Result<(Warmed, Times), Failure> {
    let request = execution.fetch().await?;
    let revision = request.checkout.revision().clone();
    let mut built = execution.build(&request).await?;
    if built.name.is_none() {
        // The first call in the exact form is not kept warm. This one is expected to come again.
        built = execution.build_again(&request).await?;
    }
    let has_address = execution.has_address();
    let (function, spec) = execution.island(built);
    let began = Instant::now();
    let (artifact, islands) = match function {
        // Islands with an address are not made ahead.
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
