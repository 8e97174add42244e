//! How the islands of functions are made.

use island::ZygoteReuse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the islands of functions are made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Island {
    /// Whether islands of functions may use the same user id, cgroup, /tmp and namespaces (but for
    /// the pid namespace) one after the other, on Linux. `when_clean`: another island may, if the
    /// last one has left no process, file, socket or memory behind. `never`: they are made anew for
    /// each island, which makes each start slower. On FreeBSD each island is a jail of its own, and
    /// the key has no effect.
    pub reuse: Reuse,
}

/// When islands may share what a zygote keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// After an island that has left nothing.
    #[default]
    WhenClean,
    /// Never.
    Never,
}

impl From<Reuse> for ZygoteReuse {
    fn from(reuse: Reuse) -> Self {
        match reuse {
            Reuse::WhenClean => Self::WhenClean,
            Reuse::Never => Self::Never,
        }
    }
}
