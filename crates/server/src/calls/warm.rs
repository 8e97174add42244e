//! What can be done for a call before it comes: its source fetched, its program built, and islands that stand by.

use std::time::Instant;

use crate::calls::failure::{Code, Failure, Stage};
use crate::calls::request::CallRequest;
use crate::calls::{BuildRequest, CallService, Times, failure};
use crate::source::Revision;

/// What was made ready.
#[derive(Clone, Debug)]
pub struct Warmed {
    /// What its version means.
    pub revision: Revision,
    /// The program, by its name among the artifacts.
    pub artifact: String,
    /// Islands that stand by and are ready.
    pub islands: usize,
}

impl CallService {
    /// Makes everything ready for a call, and calls nothing. `times` is filled as far as it gets.
    pub async fn warm(&self, call: &CallRequest, times: &mut Times) -> Result<Warmed, Failure> {
        let Ok(_admitted) = self.admission.try_acquire() else {
            let detail = "the server has all the calls that it takes";
            return Err(Failure::new(Code::Busy, Stage::Queue, detail));
        };
        let began = Instant::now();
        let found = self.sources.find(&call.want, call.cache_bust).await;
        times.fetch = began.elapsed();
        let checkout = found.map_err(failure::of_source)?;
        let began = Instant::now();
        let revision = checkout.revision().clone();
        let wanted =
            BuildRequest { checkout, call: call.call.clone(), imports: call.imports.clone() };
        let mut built = self.builder.find(&wanted, call.cache_bust).await;
        if built.as_ref().is_ok_and(|built| built.name.is_none()) {
            // A call that was compiled as it stands is worth an island when it comes again, and now it has.
            built = self.builder.find(&wanted, false).await;
        }
        times.build = began.elapsed();
        let (function, spec) =
            self.island(call, built.map_err(failure::of_build)?, &self.terms.load());
        let began = Instant::now();
        let (artifact, islands) = match function {
            // Islands with an address are not made ahead.
            Some(function) if !call.ip4 => {
                let islands = self.warm_pool.warm(&function, &spec).await;
                (function.artifact, islands)
            }
            Some(function) => (function.artifact, 0),
            None => (String::new(), 0),
        };
        times.start = began.elapsed();
        let artifact = artifact.split('.').next().unwrap_or_default().to_owned();
        Ok(Warmed { revision, artifact, islands })
    }
}
