//! Bundles on disk: `out/`.
