//! The name of a network interface: plain enough for any command line, short enough for any kernel.

use std::fmt;

/// The longest name, in bytes; IFNAMSIZ counts the end of the string too.
const LONGEST: usize = 15;

/// An interface by its name: letters, digits, `.`, `_` and `-`, a letter first, at most 15 of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface(String);

/// A text that is not the name of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of an interface: use a letter, then letters, digits, '.', '_' or '-', at most {LONGEST} characters"
)]
pub struct BadInterface(String);

impl Interface {
    /// Parses a name.
    pub fn parse(name: &str) -> Result<Self, BadInterface> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if first && name.len() <= LONGEST && name.bytes().all(plain) {
            return Ok(Self(name.to_owned()));
        }
        Err(BadInterface(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_systems_are_taken() {
        for name in
            ["em0", "vtnet0", "lo1", "br-0a1b2c3d4e5f", "eth0.100", "si_0", "a23456789012345"]
        {
            assert_eq!(Interface::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_a_command_could_take_for_something_else_is_refused() {
        let bad = [
            "",
            "-a",
            "0x",
            "em 0",
            "em0\n",
            "em/0",
            "../em0",
            "em0:1",
            "ém0",
            "a234567890123456",
            ".em",
            "e\0",
        ];
        for name in bad {
            assert!(Interface::parse(name).is_err(), "{name:?}");
        }
    }
}
