//! The codes of failures: what failed, as programs read it, and which side is at fault.

/// Which side is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is wrong.
    Caller,
    /// The function or its package is wrong.
    Function,
    /// The server has no room now.
    Busy,
    /// An operator ended the call.
    Operator,
    /// The host of the source failed.
    Upstream,
    /// The server or its host failed.
    Server,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $fault:ident $title:literal,)*) => {
        /// What failed. Answers, metrics and the log use the code's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code's name in answers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The code of this name.
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == name)
            }

            /// A short title for people, the same for every failure of this code.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// Which side is at fault.
            pub fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)* }
            }
        }
    };
}

codes! {
    /// The body is not a function request.
    Malformed "malformed" Caller "Bad Request",
    /// The body has a field that requests do not have.
    UnknownField "unknown_field" Caller "Unknown field",
    /// The url is not an import path.
    Url "url" Caller "Bad url",
    /// The call is not a Go call expression.
    Call "call" Caller "Bad call",
    /// The version is not a version text.
    VersionText "version_text" Caller "Bad version",
    /// The imports are not package paths.
    Imports "imports" Caller "Bad imports",
    /// The body is too large.
    TooLarge "too_large" Caller "Request too large",
    /// The body did not arrive in time.
    Slow "slow" Caller "Request too slow",
    /// The path names no resource.
    NotFound "not_found" Caller "Not Found",
    /// A query parameter is unknown, or its value is not allowed.
    Parameter "parameter" Caller "Bad parameter",
    /// The object to be changed is in use.
    InUse "in_use" Caller "In use",
    /// The request is addressed to a host that the server is not.
    Host "host" Caller "Unknown host",
    /// A browser made the request for a page of another origin.
    Origin "origin" Caller "Foreign page",
    /// The body is not JSON by its content type.
    MediaType "media_type" Caller "Bad content type",
    /// The resource does not have this method.
    Method "method" Caller "Method not allowed",
    /// No source has the repository.
    Repository "repository" Function "No such repository",
    /// The module does not have the package.
    Package "package" Function "No such package",
    /// The module does not have the version.
    Version "version" Function "No such version",
    /// The package does not have the function.
    Function "function" Function "No such function",
    /// The package or the call does not compile.
    Build "build" Function "Does not build",
    /// The function panicked.
    Panicked "panicked" Function "The function panicked",
    /// The function exited with a status other than 0.
    Exited "exited" Function "The function exited",
    /// A signal ended the function.
    Signaled "signaled" Function "A signal ended the function",
    /// An operator ended the call's island.
    Killed "killed" Operator "Killed by an operator",
    /// The function or the build needs more memory than its limit.
    OutOfMemory "out_of_memory" Function "Out of memory",
    /// The function writes more than its limit.
    Output "output" Function "Too much output",
    /// The package is a program.
    MainPackage "main_package" Function "Not importable: a program",
    /// The package needs cgo.
    Cgo "cgo" Function "Not importable: needs cgo",
    /// The module needs a newer Go.
    NewerGo "newer_go" Function "Not importable: needs a newer Go",
    /// The module or its dependencies cannot be read or found.
    Module "module" Function "Not importable: bad module",
    /// The source is too large.
    SourceSize "source_size" Function "Source too large",
    /// The host of the source failed.
    Source "source" Upstream "The source failed",
    /// The server has no room for the call.
    Busy "busy" Busy "Busy",
    /// The client hung up before its call began.
    Abandoned "abandoned" Caller "Client hung up",
    /// The client holds its whole share of the server.
    OverShare "over_share" Busy "Over its share",
    /// The server is stopping.
    Draining "draining" Busy "Draining",
    /// A time limit passed.
    Deadline "deadline" Function "Deadline passed",
    /// All addresses of the pools are in use.
    NoAddress "no_address" Busy "No address free",
    /// The server has no addresses for islands.
    NoNetwork "no_network" Caller "No network",
    /// The server failed.
    Internal "internal" Server "Internal Server Error",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_codes_share_a_name() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
