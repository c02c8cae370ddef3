//! What must always hold about the code itself: who may name whom, and the shape of the files.
//! Reads the repository and nothing else; each rule is first shown to find what it is made to
//! find.

mod layers;
mod manifests;
mod shape;
mod source;
