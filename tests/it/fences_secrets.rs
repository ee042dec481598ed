//! No secret is in the tree: private keys, tokens of known shapes, and passwords that look like real ones.

use crate::tree;

/// A value of fewer characters is a word, not a secret.
const SHORTEST: usize = 16;

/// Bits a character: English words and paths have less than 3.5, random text of base 64 has about 4.5 at this length.
const ENTROPY: f64 = 3.6;

#[test]
fn tree_holds_no_secret() {
    let found: Vec<String> = tree::files()
        .iter()
        .filter(|file| file.path != "Cargo.lock")
        .flat_map(|file| {
            let lines = file.text.lines().enumerate();
            let hits = lines.filter_map(|(index, line)| Some((index + 1, secret_in(line)?)));
            hits.map(|(number, what)| format!("{}:{number}: {what}", file.path)).collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "secrets in the tree:\n{}", found.join("\n"));
}

#[test]
fn planted_secrets_are_found() {
    // Put together here, so that the scan does not find this file.
    let random = ["hT7q2ZxW", "9LmP4vRk", "8sNd"].concat();
    let uuid = ["1f0c9b7e", "55d2", "4c1a", "9e63", "0d8b7a2f4c11"].join("-");
    let planted = [
        format!("-----BEGIN OPENSSH {} KEY-----", "PRIVATE"),
        format!("-----BEGIN {} KEY-----", "PRIVATE"),
        format!("Authorization: PVEAPIToken=root@pam!ci={uuid}"),
        format!("token = \"root@pam!stackc={uuid}\""),
        format!("aws = AK{}IOSFODNN7EXAMPLE", "IA"),
        format!("gh{}_16C7e42F292c6912E7710c838347Ae178B4a", "p"),
        format!("database_password = \"{random}\""),
        format!("export DB_PASSWORD={random}"),
        format!("postgres://app:{random}@10.0.0.1/app"),
    ];
    for line in planted {
        assert!(secret_in(&line).is_some(), "not found: {line}");
    }
}

#[test]
fn names_of_secrets_and_code_that_carries_them_are_no_secrets() {
    for line in [
        "PGPASSWORD = { secret = \"reports/dev/database_password\" }",
        "token = { secret = \"proxmox/token\" }            # USER@REALM!TOKENID=UUID",
        "let secret_token = SecretValue::new(token_of_environment(&name)?);",
        "password: Option<SecretName>,",
        "tag_key = \"0000000000000000000000000000000000000000000000000000000000000000\"",
        "postgres://app:PASSWORD@10.0.0.1/app",
    ] {
        assert_eq!(secret_in(line), None, "{line}");
    }
}

/// What kind of secret a line holds.
fn secret_in(line: &str) -> Option<&'static str> {
    // In two halves, so that the scan does not find this file.
    if line.contains(&["PRIVATE", " KEY-----"].concat()) {
        return Some("a private key");
    }
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c));
    if words.any(is_known_token) {
        return Some("a token of a known service");
    }
    if line.rsplit_once('!').is_some_and(|(_, rest)| rest.split('=').skip(1).any(starts_with_uuid))
    {
        return Some("a Proxmox API token");
    }
    if password_of_url(line).is_some_and(is_random) {
        return Some("a password in a URL");
    }
    assigned(line).is_some_and(is_random).then_some("a value that looks like a secret")
}

fn is_known_token(word: &str) -> bool {
    let prefixes = [("AKIA", 20), ("ghp_", 40), ("gho_", 40), ("glpat-", 26), ("xoxb-", 30)];
    prefixes.iter().any(|(prefix, length)| word.starts_with(prefix) && word.len() >= *length)
}

fn starts_with_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.splitn(5, '-').collect();
    let hex = |group: &&str| group.chars().take(12).filter(char::is_ascii_hexdigit).count();
    let zero = text.chars().take(36).all(|c| "0-".contains(c));
    groups.iter().map(hex).eq([8, 4, 4, 4, 12]) && !zero
}

fn password_of_url(line: &str) -> Option<&str> {
    let (_, authority) = line.split_once("://")?;
    let (user, _) = authority.split_once('@')?;
    Some(user.split_once(':')?.1)
}

/// The value that a line gives to a name of a secret: quoted, or bare as in an env file.
fn assigned(line: &str) -> Option<&str> {
    let at = line.find(['=', ':'])?;
    let (name, value) = (line[..at].to_ascii_lowercase(), line[at + 1..].trim());
    let names = ["password", "passwd", "secret", "token", "api_key", "apikey", "tag_key"];
    let last = name.trim_end_matches(|c: char| !c.is_alphanumeric());
    if !names.iter().any(|secret| last.ends_with(secret)) {
        return None;
    }
    match value.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.split(['"', '\'']).next(),
        None => value.split_whitespace().next().filter(|_| !line.ends_with([';', ',', '{'])),
    }
}

/// Long, of letters and digits mixed, and without the repetitions of words.
fn is_random(text: &str) -> bool {
    let of = |class: fn(&char) -> bool| text.chars().any(|c| class(&c));
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "+/=_-".contains(c));
    text.len() >= SHORTEST
        && plain
        && of(char::is_ascii_digit)
        && of(char::is_ascii_alphabetic)
        && entropy(text) > ENTROPY
}

/// Shannon's entropy, in bits a character.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = f64::from(counts.iter().sum::<u32>());
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / length);
    shares.map(|share| -share * share.log2()).sum()
}
