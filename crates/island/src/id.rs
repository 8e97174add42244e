//! The name of an island, legal as a jail, a cgroup and a file name.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The prefix of everything that this program makes in the operating system.
const PREFIX: &str = "si_";

/// An island's name: `si_`, eight hex digits that differ from one start of the program to the next,
/// and a counter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IslandId(String);

impl IslandId {
    /// A name that no other island of this host has.
    pub fn mint() -> Self {
        static INSTANCE: OnceLock<u32> = OnceLock::new();
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let instance = INSTANCE.get_or_init(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let clock = since.map_or(0, |since| since.as_nanos() as u64);
            (clock ^ (clock >> 32)) as u32 ^ std::process::id().rotate_left(16)
        });
        Self(format!("{PREFIX}{instance:08x}_{:x}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Reads a name back from what the operating system lists; none for the name of anything else.
    pub fn parse(name: &str) -> Option<Self> {
        let (instance, number) = name.strip_prefix(PREFIX)?.split_once('_')?;
        let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let legal =
            instance.len() == 8 && matches!(number.len(), 1..=8) && hex(instance) && hex(number);
        legal.then(|| Self(name.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IslandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IslandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_name_reads_back_and_is_never_minted_twice() {
        let (one, two) = (IslandId::mint(), IslandId::mint());
        assert_ne!(one, two);
        assert_eq!(IslandId::parse(one.as_str()), Some(one));
    }

    #[test]
    fn names_of_other_things_are_not_read() {
        let foreign = [
            "",
            "si_",
            "si_x",
            "si_0123abcd",
            "si_0123abcd_",
            "si_0123ABCD_1",
            "si_0123abcd_1/..",
            "xx_0123abcd_1",
            "si_0123abcd_1.2",
        ];
        for name in foreign {
            assert_eq!(IslandId::parse(name), None, "{name}");
        }
    }
}
