//! What is said about the configuration, held to its definitions; and the program as an operator
//! configures it.

#[path = "configuration/program.rs"]
mod program;
#[path = "configuration/said.rs"]
mod said;
