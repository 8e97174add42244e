//! The exit statuses of the command line.

use server::calls::{Code, Fault};

/// The function or its package failed.
pub(crate) const FUNCTION: u8 = 1;
/// The command line or the request is wrong.
pub(crate) const USAGE: u8 = 2;
/// The server, its host or the source's host failed.
pub(crate) const SERVER: u8 = 3;

/// The exit status of a failure with this code.
pub(super) fn of_code(code: Code) -> u8 {
    match code.fault() {
        Fault::Caller => USAGE,
        Fault::Function => FUNCTION,
        Fault::Busy | Fault::Operator | Fault::Upstream | Fault::Server => SERVER,
    }
}
