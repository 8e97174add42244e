//! The form of one row in the tables of failures.

/// A request that has to fail, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub ask: Ask,
    pub status: u16,
    pub code: &'static str,
    /// Where on its way the call failed; empty where the specification leaves it open.
    pub stage: &'static str,
    /// What the detail has to say.
    pub says: &'static [&'static str],
    /// The row asks the module proxy.
    pub network: bool,
}

/// The request of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// A body as it stands.
    Body(&'static str),
    /// A body that is too long to write down, with the words that name it.
    Made(&'static str, fn() -> Vec<u8>),
    /// A call.
    Call {
        url: &'static str,
        call: &'static str,
        version: Option<&'static str>,
        imports: &'static [&'static str],
    },
}

/// A body that fails before anything is fetched.
pub(crate) const fn body(body: &'static str, status: u16, code: &'static str) -> Failure {
    Failure::of(Ask::Body(body), status, code).during("request")
}

/// A body made by a function that fails before anything is fetched.
pub(crate) const fn made(
    name: &'static str,
    body: fn() -> Vec<u8>,
    status: u16,
    code: &'static str,
) -> Failure {
    Failure::of(Ask::Made(name, body), status, code).during("request")
}

/// A well-formed body whose values fail.
pub(crate) const fn call(
    url: &'static str,
    call: &'static str,
    status: u16,
    code: &'static str,
) -> Failure {
    Failure::of(Ask::Call { url, call, version: None, imports: &[] }, status, code)
}

impl Failure {
    const fn of(ask: Ask, status: u16, code: &'static str) -> Self {
        Self { ask, status, code, stage: "", says: &[], network: false }
    }

    pub(crate) const fn during(mut self, stage: &'static str) -> Self {
        self.stage = stage;
        self
    }

    pub(crate) const fn says(mut self, says: &'static [&'static str]) -> Self {
        self.says = says;
        self
    }

    pub(crate) const fn at(mut self, asked: &'static str) -> Self {
        if let Ask::Call { version, .. } = &mut self.ask {
            *version = Some(asked);
        }
        self
    }

    pub(crate) const fn imports(mut self, asked: &'static [&'static str]) -> Self {
        if let Ask::Call { imports, .. } = &mut self.ask {
            *imports = asked;
        }
        self
    }

    pub(crate) const fn over_proxy(mut self) -> Self {
        self.network = true;
        self
    }
}
