//! What the operating system says of launchers, islands and what was made for them: one file for
//! each system, with the same functions in it.

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(not(target_os = "freebsd"))]
mod linux;
// Compiled on every system, so that what it reads is tried on every system.
#[cfg_attr(not(target_os = "freebsd"), allow(dead_code))]
pub mod tables;

#[cfg(target_os = "freebsd")]
pub use freebsd::*;
#[cfg(not(target_os = "freebsd"))]
pub use linux::*;

pub fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(pid as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it can be killed");
}
