//! Small things that several crates need: chains of errors, single flight, the size of folders.

pub mod causes;
pub mod disk;
pub mod single_flight;
pub mod units;
