//! What has to happen to get from what is recorded and observed to a bundle. Pure.
