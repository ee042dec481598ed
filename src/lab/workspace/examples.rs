//! The worked examples, as they are in the tree, inside the operator's binary: `lab demo` needs no checkout.

/// A file of the tree, by its path below the top, with its bytes.
macro_rules! file {
    ($path:expr) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)).as_slice()
    };
}

/// Definitions: path in the workspace, text.
macro_rules! definitions {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)))),*]
    };
}

/// Files of an app: path in its repository, bytes.
macro_rules! app {
    ($name:literal: $($path:literal),* $(,)?) => {
        ($name, [$(($path, file!(concat!("stacks/apps/", $name, "/", $path)))),*].as_slice())
    };
}

pub(super) const DEFINITIONS: &[(&str, &str)] = definitions![
    "stacks/site.toml",
    "stacks/shop.toml",
    "stacks/reports.toml",
    "stacks/manual.toml",
    "stacks/rates.toml",
    "stacks/lock.toml",
];

type App = (&'static str, &'static [(&'static str, &'static [u8])]);

pub(super) const APPS: [App; 4] = [
    app!["shop":
        ".gitignore",
        "README.md",
        "VERSION",
        "backend/migrate.js",
        "backend/migrations/1-goods.js",
        "backend/package-lock.json",
        "backend/package.json",
        "backend/server.js",
        "backend/store.js",
        "backend/vendor/money-1.0.0.tgz",
        "frontend/build.js",
        "frontend/package-lock.json",
        "frontend/package.json",
        "frontend/server.js",
        "frontend/src/index.html",
        "frontend/vendor/page-1.0.0.tgz",
        "packages/money/index.js",
        "packages/money/package.json",
        "packages/page/index.js",
        "packages/page/package.json",
    ],
    app!["reports":
        ".gitignore",
        "README.md",
        "VERSION",
        "packages/tally/METADATA",
        "packages/tally/WHEEL",
        "packages/tally/tally/__init__.py",
        "service/database.py",
        "service/job.py",
        "service/main.py",
        "service/migrate.py",
        "service/migrations/0001_reports.sql",
        "service/requirements.txt",
        "service/vendor/tally-1.0.0-py3-none-any.whl",
    ],
    app!["manual":
        ".gitignore",
        "README.md",
        "VERSION",
        "build.sh",
        "pages/goods.html",
        "pages/index.html",
        "style.css",
    ],
    app!["rates":
        ".gitignore",
        "README.md",
        "src/__main__.py",
        "src/rates/VERSION",
        "src/rates/__init__.py",
        "src/rates/rates.json",
    ],
];
