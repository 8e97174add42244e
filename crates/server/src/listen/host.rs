//! A name by which clients address the server: `islands.example.org`, or `*` for every name.

use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// The longest name, as in DNS.
const LONGEST: usize = 253;

/// A host that requests may be addressed to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ServedHost {
    /// Every host.
    Any,
    /// This name, in lower case and without a trailing dot.
    Name(String),
}

/// Why a text is not a name of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a host; write islands.example.org or *, without a scheme, a port or a path"
)]
pub struct ServedHostError(String);

impl ServedHost {
    /// Whether requests to `name` are for this host. Names have no case, and a dot at the end
    /// changes nothing.
    pub fn is_named(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(own) => name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(own),
        }
    }

    /// The names of this host as the system knows them: its host name, and the first label of that.
    pub fn of_system() -> Vec<Self> {
        let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let name = name.unwrap_or_default();
        let short = name.split('.').next().unwrap_or_default();
        let mut names: Vec<Self> = [&name, short].iter().filter_map(|it| it.parse().ok()).collect();
        names.dedup();
        names
    }
}

impl FromStr for ServedHost {
    type Err = ServedHostError;

    fn from_str(text: &str) -> Result<Self, ServedHostError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let plain = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        match name.len() <= LONGEST && name.split('.').all(plain) {
            true => Ok(Self::Name(name)),
            false => Err(ServedHostError(text.to_owned())),
        }
    }
}

impl Serialize for ServedHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Any => "*",
            Self::Name(name) => name,
        })
    }
}

impl TryFrom<String> for ServedHost {
    type Error = ServedHostError;

    fn try_from(text: String) -> Result<Self, ServedHostError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_labels_with_dots_between_them() {
        let name = |text: &str| text.parse::<ServedHost>().ok();
        let named = |text: &str| Some(ServedHost::Name(text.to_owned()));
        assert_eq!(name("*"), Some(ServedHost::Any));
        assert_eq!(name("Islands.Example.org."), named("islands.example.org"));
        assert_eq!(name("box"), named("box"));
        for text in
            ["", ".", "a..b", "https://a.b", "a.b:80", "a.b/c", "user@a.b", "a b", "[::1]", "ä.b"]
        {
            assert_eq!(name(text), None, "{text}");
        }
        assert_eq!(name(&"a.".repeat(200)), None);
    }

    #[test]
    fn names_have_no_case_and_no_dot_at_their_end() {
        let host: ServedHost = "islands.example.org".parse().unwrap();
        for name in ["islands.example.org", "ISLANDS.example.org", "islands.example.org."] {
            assert!(host.is_named(name), "{name}");
        }
        for name in ["example.org", "x.islands.example.org", "islands.example.org..", ""] {
            assert!(!host.is_named(name), "{name}");
        }
        assert!(ServedHost::Any.is_named("anything"));
    }
}
