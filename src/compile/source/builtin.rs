//! The kinds that stackc brings, as `templates/` has them.

macro_rules! builtin {
    ($($path:literal),* $(,)?) => {
        /// Name to text; the names begin with `builtin:` where a workspace has `templates/`.
        pub const FILES: &[(&str, &str)] = &[$((
            concat!("builtin:", $path),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $path)),
        )),*];
    };
}

builtin![
    "app/deploy_app.sh.tera",
    "app/kind.toml",
    "base/kind.toml",
    "base/sshd.conf",
    "node-app/kind.toml",
    "python-app/kind.toml",
    "single-binary/app.service.tera",
    "single-binary/kind.toml",
    "static-site/kind.toml",
    "static-site/nginx.service.tera",
    "static-site/site.conf.tera",
];
