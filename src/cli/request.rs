//! A function request on the command line.

use clap::Args;
use server::calls::FunctionRequest;

#[derive(Args)]
pub(super) struct RequestArgs {
    /// The package: github.com/mmcloughlin/geohash
    url: String,
    /// The Go expression: 'Encode(100.1, 80.9)'
    call: String,
    /// A tag, branch, commit or pseudo-version.
    #[arg(long)]
    version: Option<String>,
    /// A package that the call names, where its name does not say which one it is. Can be given several times.
    #[arg(long = "import", value_name = "PATH")]
    imports: Vec<String>,
    /// Look the version up, fetch and build again.
    #[arg(long)]
    cache_bust: bool,
    /// Give the function a network address.
    #[arg(long)]
    ip4: bool,
}

impl RequestArgs {
    /// The request in its JSON form.
    pub(super) fn request(&self) -> FunctionRequest {
        FunctionRequest {
            url: self.url.clone(),
            call: self.call.clone(),
            version: self.version.clone(),
            imports: self.imports.clone(),
            ip4: self.ip4,
            cache_bust: self.cache_bust,
        }
    }
}
