//! The rules of the architecture that a reader can rely on. docs/architecture.md gives the reasons.
//!
//! Each rule is a function from text to findings. One test runs the rule over the repository, and
//! another shows by an example that the rule can fail.

mod tidy {
    mod circles;
    mod crates;
    mod files;
    mod glossary;
    mod identifiers;
    mod modules;
    mod parts;
    mod places;
    mod signatures;
    mod sources;
    mod syntax;
    mod words;
}
