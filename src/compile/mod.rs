//! Text to definitions to model to bundle. Pure.
