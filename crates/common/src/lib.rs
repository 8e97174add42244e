//! Small things that several crates need: chains of errors, single flight, fair slots, the size of
//! folders.

pub mod causes;
pub mod disk;
pub mod fair;
pub mod single_flight;
pub mod turns;
pub mod units;
