//! A function request as arguments of the command line.

use clap::Args;
use server::calls::FunctionRequest;

#[derive(Args)]
pub(super) struct RequestArgs {
    /// The import path of the Go package: github.com/mmcloughlin/geohash
    url: String,
    /// A Go expression that begins with an exported name of the package: 'Encode(100.1, 80.9)'
    call: String,
    /// A tag, branch, commit or pseudo-version; without it, the newest version.
    #[arg(long)]
    version: Option<String>,
    /// The import path of a package that the call names, where the server cannot tell it from the
    /// call. May be given several times.
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
    /// The function request.
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
