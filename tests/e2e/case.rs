//! The form of one row in the tables of calls.

/// A call and the answer that it has to give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub url: &'static str,
    pub version: Option<&'static str>,
    pub call: &'static str,
    pub imports: &'static [&'static str],
    pub data: Data,
}

/// What a function answers: text, or bytes that come as base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Text(&'static str),
    Bytes(&'static [u8]),
}

pub(crate) const fn case(url: &'static str, call: &'static str, data: Data) -> Case {
    Case { url, version: None, call, imports: &[], data }
}

pub(crate) const fn text(text: &'static str) -> Data {
    Data::Text(text)
}

pub(crate) const fn bytes(bytes: &'static [u8]) -> Data {
    Data::Bytes(bytes)
}

impl Case {
    /// The same call at a version.
    pub(crate) const fn at(mut self, version: &'static str) -> Self {
        self.version = Some(version);
        self
    }

    /// The same call with the packages that its selectors mean.
    pub(crate) const fn imports(mut self, imports: &'static [&'static str]) -> Self {
        self.imports = imports;
        self
    }
}
