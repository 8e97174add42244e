//! An error with its causes, on one line, as logs and people read it.

use std::error::Error;

/// The error's own text, and those of all causes below it, with colons between them.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("above")]
    struct Above(#[source] std::io::Error);

    #[test]
    fn every_cause_is_named_in_its_order() {
        assert_eq!(chain(&Above(std::io::Error::other("below"))), "above: below");
    }
}
