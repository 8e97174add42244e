//! The system calls of rctl(4), which sys/rctl.h declares and the libc crate lacks.

use std::ffi::{CStr, CString, c_int};
use std::io;

use super::check;

/// Room for the counters of a subject: 25 lines of at most 40 bytes on FreeBSD 15.
const COUNTERS: usize = 8192;

/// Adds a rule.
pub(in crate::freebsd) fn add_rule(rule: &str) -> io::Result<()> {
    let rule = CString::new(rule)?;
    let given = rule.as_bytes_with_nul().len();
    // SAFETY: the kernel reads at most `given` bytes, which end with a NUL, and writes nothing.
    check(unsafe { rctl_add_rule(rule.as_ptr(), given, std::ptr::null_mut(), 0) })
}

/// Removes all rules of a subject such as `jail:NAME`. A subject without rules is no error.
pub(in crate::freebsd) fn remove_rules(subject: &str) -> io::Result<()> {
    let subject = CString::new(subject)?;
    let given = subject.as_bytes_with_nul().len();
    // SAFETY: the kernel reads at most `given` bytes, which end with a NUL, and writes nothing.
    let done = check(unsafe { rctl_remove_rule(subject.as_ptr(), given, std::ptr::null_mut(), 0) });
    match done {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        done => done,
    }
}

/// The counters of a subject such as `jail:NAME`, as rctl_get_racct(2) writes them. A jail that is
/// gone has zeros.
pub(in crate::freebsd) fn counters(subject: &str) -> io::Result<String> {
    let subject = CString::new(subject)?;
    let mut text = vec![0_u8; COUNTERS];
    let given = subject.as_bytes_with_nul().len();
    // SAFETY: the kernel reads at most `given` bytes, which end with a NUL, and writes at most as
    // many bytes as `text` has.
    check(unsafe {
        rctl_get_racct(subject.as_ptr(), given, text.as_mut_ptr().cast(), text.len())
    })?;
    let text = CStr::from_bytes_until_nul(&text).map_err(io::Error::other)?;
    Ok(text.to_string_lossy().into_owned())
}

unsafe extern "C" {
    fn rctl_add_rule(
        rule: *const libc::c_char,
        rule_length: libc::size_t,
        text: *mut libc::c_char,
        text_length: libc::size_t,
    ) -> c_int;
    fn rctl_remove_rule(
        filter: *const libc::c_char,
        filter_length: libc::size_t,
        text: *mut libc::c_char,
        text_length: libc::size_t,
    ) -> c_int;
    fn rctl_get_racct(
        subject: *const libc::c_char,
        subject_length: libc::size_t,
        text: *mut libc::c_char,
        text_length: libc::size_t,
    ) -> c_int;
}
