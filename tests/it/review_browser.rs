//! The page of `build --review` in a real browser, where one is installed: its script runs under its own policy.

use crate::{compile_cli::stackc, left_out::is_left_out, review::changed};
use std::{fs, path::Path, process::Command};

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn browser() -> Option<&'static str> {
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    BROWSERS.into_iter().find(runs)
}

/// What the browser makes of the page once its script has run: the document, and what it had to complain about.
fn opened(browser: &str, folder: &Path, query: &str) -> (String, String) {
    let profile = tempfile::tempdir().expect("a folder");
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120", browser])
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("--dump-dom")
        .arg(format!("file://{}/page.html{query}", folder.display()))
        .output()
        .expect("it runs");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// What the page's console says.
fn told(complaints: &str) -> Vec<&str> {
    complaints.lines().filter(|line| line.contains("CONSOLE")).collect()
}

/// The opening tags of a document that have this text.
fn tags<'a>(document: &'a str, with: &str) -> Vec<&'a str> {
    let tags = document.split('<').filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag));
    tags.filter(|tag| tag.contains(with)).collect()
}

#[test]
fn a_browser_searches_the_page_and_finds_nothing_to_complain_about() {
    let browser = browser();
    if is_left_out("chromium", browser.is_some()) {
        return;
    }
    let browser = browser.expect("it is there");
    let folder = changed();
    stackc(folder.path()).args(["build", "shop/prod"]).assert().success();
    let file = folder.path().join("page.html");
    stackc(folder.path()).args(["build", "--review"]).arg(&file).assert().success();
    let (whole, complaints) = opened(browser, folder.path(), "");
    assert_eq!(tags(&whole, "data-guest=\"shop/qa\"").len(), 3, "fleet, ports, changes: {whole}");
    assert_eq!(tags(&whole, "data-guest=\"shop/prod\"").len(), 2, "it has no changes");
    assert!(tags(&whole, "data-guest=").iter().all(|tag| !tag.contains("hidden")));
    assert!(tags(&whole, "id=\"search\"").iter().all(|tag| !tag.contains("hidden")), "it ran");
    assert_eq!(told(&complaints), Vec::<&str>::new());

    let (searched, _) = opened(browser, folder.path(), "?q=alert%20log_level");
    assert!(searched.contains("<output>1 of 3 guests</output>"), "{searched}");
    for tag in tags(&searched, "data-guest=") {
        assert_eq!(tag.contains("hidden"), !tag.contains("shop/dev"), "{tag}");
    }
    let shown: Vec<_> = searched
        .split("<details ")
        .filter(|part| part.contains("/srv/app/.env.dev</code>"))
        .collect();
    assert!(shown[0].split_once('>').is_some_and(|(tag, _)| tag.contains("open")), "{shown:?}");

    let (changing, _) = opened(browser, folder.path(), "?changes=on");
    assert!(changing.contains("<output>2 of 3 guests</output>"), "{changing}");
    for tag in tags(&changing, "data-guest=") {
        assert_eq!(tag.contains("hidden"), tag.contains("shop/prod"), "{tag}");
    }

    // Another script than its own does not run: its policy names it by its hash.
    let page = fs::read_to_string(&file).expect("it was written");
    let other = page.replace("form.hidden = false", "form.hidden = false && true");
    assert_ne!(page, other);
    fs::write(&file, other).expect("written");
    let (unsearchable, complaints) = opened(browser, folder.path(), "?q=alert");
    assert!(tags(&unsearchable, "id=\"search\"").iter().all(|tag| tag.contains("hidden")));
    assert!(!told(&complaints).is_empty());
}
