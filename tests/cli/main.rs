//! The real binary.
#[test]
fn placeholder() {}
