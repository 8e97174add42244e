//! A function request as JSON, and the call request that it is parsed into.

use std::sync::Arc;

use goexpr::Call;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::calls::code::Code;
use crate::calls::failure::Failure;
use crate::calls::fields::{UNKNOWN, from_json, or_default};
use crate::calls::id::CallId;
use crate::calls::stage::Stage;
use crate::compile::is_standard;
use crate::principal::Principal;
use crate::source::{ImportPath, PackageRequest, Version};

/// The most packages in `imports`.
const MAX_IMPORTS: usize = 32;

/// A request to call a function.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FunctionRequest)]
pub struct FunctionRequest {
    /// The import path of a Go package: `github.com/mmcloughlin/geohash`.
    pub url: String,
    /// A Go expression that begins with an exported name of the package: `Encode(100.1, 80.9)`.
    pub call: String,
    /// A tag, a branch, a commit or a pseudo-version; without it, the newest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Import paths of packages that the call names, where the server cannot tell them from the
    /// call.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
    /// Whether the function gets a network address.
    #[serde(default, deserialize_with = "or_default")]
    pub ip4: bool,
    /// Look the version up, fetch and build again.
    #[serde(default, deserialize_with = "or_default")]
    pub cache_bust: bool,
}

/// A parsed request.
#[derive(Clone)]
pub struct CallRequest {
    /// The package that is called.
    pub package: PackageRequest,
    /// The expression.
    pub call: Arc<Call>,
    /// All packages that the call imports, including packages of the standard library.
    pub imports: Vec<ImportPath>,
    /// Whether the function gets a network address.
    pub ip4: bool,
    /// Look the version up, fetch and build again.
    pub cache_bust: bool,
}

/// A call with its id, its principal and its request.
pub(super) struct AdmittedCall {
    pub(super) id: CallId,
    pub(super) principal: Principal,
    pub(super) request: CallRequest,
}

impl FunctionRequest {
    /// Reads JSON. An unknown field has a code of its own.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Failure> {
        from_json(bytes).map_err(|error| {
            let text = error.to_string();
            let code = if text.starts_with(UNKNOWN) { Code::UnknownField } else { Code::Malformed };
            Failure::new(
                code,
                Stage::Request,
                format!("the body is not a function request: {text}"),
            )
        })
    }

    /// Parses the fields.
    pub fn parse(&self) -> Result<CallRequest, Failure> {
        let refuse = |code, detail: String| Failure::new(code, Stage::Request, detail);
        let path = ImportPath::parse(&self.url).map_err(|e| refuse(Code::Url, e.to_string()))?;
        let call = Call::parse(&self.call).map_err(|e| refuse(Code::Call, e.to_string()))?;
        let asked =
            self.version.as_deref().filter(|version| !version.is_empty() && *version != "latest");
        let version = asked.map(Version::parse).transpose();
        let version = version.map_err(|e| refuse(Code::VersionText, e.to_string()))?;
        if self.imports.len() > MAX_IMPORTS {
            return Err(refuse(
                Code::Imports,
                format!(
                    "imports: {} packages exceed the limit of {MAX_IMPORTS}",
                    self.imports.len()
                ),
            ));
        }
        let imports = self.imports.iter().map(|text| ImportPath::parse_import(text));
        let mut imports = imports
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| refuse(Code::Imports, e.to_string()))?;
        if let Some(path) =
            imports.iter().find(|path| !path.has_host() && !is_standard(path.as_str()))
        {
            let detail = format!(
                "imports: {path} is neither a package of the standard library nor an import path with a host"
            );
            return Err(refuse(Code::Imports, detail));
        }
        imports.sort();
        imports.dedup();
        let of_module = imports.iter().filter(|path| path.has_host()).cloned().collect();
        Ok(CallRequest {
            package: PackageRequest { path, version, imports: of_module },
            call: Arc::new(call),
            imports,
            ip4: self.ip4,
            cache_bust: self.cache_bust,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_field_has_its_own_code() {
        let table = [
            (r#"{"url": "a.b/c", "call": "F()", "colour": 1}"#, Code::UnknownField),
            (r#"{"url": "a.b/c"}"#, Code::Malformed),
            (r#"["#, Code::Malformed),
            (r#"{"url": 3, "call": "F()"}"#, Code::Malformed),
            (r#"{"url": "nodot/c", "call": "F()"}"#, Code::Url),
            (r#"{"url": "a.b/c", "call": "F("}"#, Code::Call),
            (r#"{"url": "a.b/c", "call": "F()", "version": "a b"}"#, Code::VersionText),
            (r#"{"url": "a.b/c", "call": "F()", "imports": ["../x"]}"#, Code::Imports),
            (r#"{"url": "a.b/c", "call": "F()", "imports": ["C"]}"#, Code::Imports),
        ];
        for (json, code) in table {
            let failure =
                FunctionRequest::from_json(json.as_bytes()).and_then(|it| it.parse()).err();
            assert_eq!(failure.map(|failure| failure.code), Some(code), "{json}");
        }
    }

    #[test]
    fn packages_of_the_standard_library_are_not_fetched() {
        let json =
            r#"{"url": "a.b/c", "call": "F(rand.N(1))", "imports": ["math/rand/v2", "a.b/c/sub"]}"#;
        let call = FunctionRequest::from_json(json.as_bytes()).unwrap().parse().unwrap();
        assert_eq!(call.imports.len(), 2);
        assert_eq!(call.package.imports.len(), 1);
    }
}
