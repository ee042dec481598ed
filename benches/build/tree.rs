//! A generated workspace: the worked example's site, and projects like its `shop`.

use std::{fmt::Write as _, fs, path::Path};

pub const ENVS_PER_PROJECT: usize = 20;
/// What each env has of its own: files below `rootfs/`, and variables in its env file.
pub const FILES: usize = 12;
pub const VARIABLES: usize = 30;

/// What is left out of what the kind has, so that an env has just that many files.
const LEFT_OUT: &str =
    "[project.log_rotation]\napp = false\n[project.users.appuser]\nsudo = false\n";

/// Something that the author got wrong: what is right, what stands there instead, and what is told of it.
pub struct Slip {
    right: &'static str,
    wrong: &'static str,
    pub told: &'static str,
}

/// Found when the file is read.
pub const MISSPELT: Slip =
    Slip { right: "branch = ", wrong: "brnach = 1\nbranch = ", told: "brnach" };
/// Found only when the guest is compiled.
pub const UNDEFINED: Slip =
    Slip { right: "VALUE_7 = \"", wrong: "VALUE_7 = \"{{ vars.nowhere }} ", told: "vars.nowhere" };

/// Makes the workspace of that many envs.
pub fn generate(workspace: &Path, envs: usize) {
    copy_site(workspace);
    let mut lock = String::new();
    for number in 0..envs / ENVS_PER_PROJECT {
        let text = definition(number, &mut lock);
        fs::write(workspace.join(project_file(number)), text).expect("writable");
    }
    fs::write(workspace.join("stacks/lock.toml"), lock).expect("writable");
}

/// The worked example's site with its keys.
pub fn copy_site(workspace: &Path) {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["stacks", "keys"] {
        fs::create_dir_all(workspace.join(folder)).expect("writable");
    }
    fs::copy(tree.join("stacks/site.toml"), workspace.join("stacks/site.toml")).expect("writable");
    for key in fs::read_dir(tree.join("keys")).expect("the worked example has keys") {
        let key = key.expect("readable");
        fs::copy(key.path(), workspace.join("keys").join(key.file_name())).expect("writable");
    }
}

/// Names that occur in no text of a kind, so that they can be found in what was made for one of them.
pub fn project(number: usize) -> String {
    format!("project-{number}")
}

pub fn env(number: usize) -> String {
    format!("stage-{number}")
}

fn project_file(number: usize) -> String {
    format!("stacks/{}.toml", project(number))
}

/// Makes one mistake, in the last env of a project in the middle, and gives back the text that was there.
pub fn make_mistake(workspace: &Path, envs: usize, slip: &Slip) -> String {
    let path = workspace.join(project_file(envs / ENVS_PER_PROJECT / 2));
    let text = fs::read_to_string(&path).expect("it was generated");
    let (before, after) = text.rsplit_once(slip.right).expect("every env has it");
    fs::write(&path, format!("{before}{}{after}", slip.wrong)).expect("writable");
    text
}

/// Puts back the text of the project that has the mistake.
pub fn mend(workspace: &Path, envs: usize, text: &str) {
    let path = workspace.join(project_file(envs / ENVS_PER_PROJECT / 2));
    fs::write(path, text).expect("writable");
}

fn definition(project_number: usize, lock: &mut String) -> String {
    let project = project(project_number);
    let mut text = format!(
        "[project]\nkind = \"node-app\"\nrepo = \"repos/{project}\"\n\
         [project.ports]\nbackend = 3001\nfrontend = 3000\n{LEFT_OUT}"
    );
    for env_number in 0..ENVS_PER_PROJECT {
        let (env, number) = (env(env_number), project_number * ENVS_PER_PROJECT + env_number);
        let (third, fourth) = (number / 200, number % 200 + 20);
        write!(
            text,
            "[envs.{env}]\nname = \"{project}-{env}\"\nvmid = {}\nip = \"10.0.{third}.{fourth}/16\"\n\
             branch = \"main\"\n[envs.{env}.env_vars]\nAPP_ENV = \"{env}\"\nNUMBER = {number}\n",
            1000 + number
        )
        .expect("text takes it");
        for value in 2..VARIABLES {
            writeln!(text, "VALUE_{value} = \"value {value} of {project} in {env}\"")
                .expect("text takes it");
        }
        let pin = format!("{number:040x}");
        write!(
            lock,
            "[{project}.{env}]\nrepo = \"repos/{project}\"\nbranch = \"main\"\ncommit = \"{pin}\"\ntree = \"{pin}\"\n"
        )
        .expect("text takes it");
    }
    text
}
