//! Which files are meant, and what they say once they are put together: one tree, with every variable in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::node::{At, Node};
use super::{dotenv, interpolate, merge, yaml};
use crate::failure::Failure;

/// The names of the file, the first being the one to take where there are several.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// A file that stands over the one found, where it lies beside it.
const OVERRIDES: [&str; 4] =
    ["compose.override.yaml", "compose.override.yml", "docker-compose.override.yaml", "docker-compose.override.yml"];

/// The longest file that is read.
const FILE_MAX: u64 = 4 << 20;

/// What was typed, or nothing of it.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `-f`.
    pub files: Vec<PathBuf>,
    /// `--env-file`.
    pub env_files: Vec<PathBuf>,
    /// `-p`.
    pub name: Option<String>,
    /// `--project-directory`.
    pub directory: Option<PathBuf>,
    /// `--profile`.
    pub profiles: Vec<String>,
}

/// What the files say.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The project's name.
    pub name: String,
    /// What relative paths of the files are relative to; absolute.
    pub directory: PathBuf,
    /// The files as one, variables put in.
    pub tree: Node,
    /// The client's environment over `.env`.
    pub environment: BTreeMap<String, String>,
    /// The profiles that are on.
    pub profiles: Vec<String>,
    /// What a person should hear.
    pub warnings: Vec<String>,
}

/// Finds the files, reads them, and puts them together.
pub fn load(wanted: &Wanted, environment: &BTreeMap<String, String>) -> Result<Loaded, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::Io("cannot tell the directory".to_owned(), error))?;
    let located = locate(wanted, &here, environment)?;
    let trees: Vec<_> = located.files.iter().map(|file| parsed(file)).collect::<Result<_, _>>()?;
    put_together(&trees, located.directory, located.environment, wanted)
}

/// Where a project is.
struct Located {
    files: Vec<PathBuf>,
    directory: PathBuf,
    environment: BTreeMap<String, String>,
}

/// Finds the files: those that were typed, else those of `COMPOSE_FILE`, else the one that lies here or above.
fn locate(wanted: &Wanted, here: &Path, environment: &BTreeMap<String, String>) -> Result<Located, Failure> {
    let typed = wanted.directory.as_ref().map(|directory| here.join(directory));
    let directory_of = |files: &[PathBuf]| {
        let parent = files.first().and_then(|file| file.parent()).unwrap_or(Path::new(""));
        typed.clone().unwrap_or_else(|| here.join(parent))
    };
    let variables = |directory: &Path| with_dotenv(environment.clone(), directory, &wanted.env_files);
    if !wanted.files.is_empty() {
        let directory = directory_of(&wanted.files);
        return Ok(Located { files: wanted.files.clone(), environment: variables(&directory)?, directory });
    }
    let start = typed.clone().unwrap_or_else(|| here.to_owned());
    let environment = variables(&start)?;
    if let Some(files) = listed(&start, &environment) {
        return Ok(Located { directory: directory_of(&files), files, environment });
    }
    let files = found(&start)?;
    // It may lie above, and then `.env` does too.
    let directory = directory_of(&files);
    Ok(Located { files, environment: variables(&directory)?, directory })
}

/// The files of `COMPOSE_FILE`.
fn listed(directory: &Path, environment: &BTreeMap<String, String>) -> Option<Vec<PathBuf>> {
    let listed = environment.get("COMPOSE_FILE").filter(|listed| !listed.is_empty())?;
    let separator = environment.get("COMPOSE_PATH_SEPARATOR").map_or(":", String::as_str);
    Some(listed.split(separator).map(|file| directory.join(file)).collect())
}

/// What the trees of the files say together.
fn put_together(
    trees: &[Node],
    directory: PathBuf,
    mut environment: BTreeMap<String, String>,
    wanted: &Wanted,
) -> Result<Loaded, Failure> {
    let mut unset = BTreeSet::new();
    let name = project_name(trees, &directory, &environment, wanted, &mut unset)?;
    environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    let lookup = |name: &str| environment.get(name).cloned();
    let mut whole = Node::Null;
    for tree in trees {
        let filled = interpolate::tree(&At::top(tree), &lookup, &mut unset)?;
        whole = if whole == Node::Null { filled } else { merge::merge("", whole, filled) };
    }
    let listed = environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    let listed = listed.split(',').map(|profile| profile.trim().to_owned());
    let profiles = if wanted.profiles.is_empty() { listed.collect() } else { wanted.profiles.clone() };
    let warnings = unset.iter().map(|name| format!("the variable {name} is not set: it is taken as empty")).collect();
    Ok(Loaded { name, directory, tree: whole, environment, profiles, warnings })
}

/// The files in `directory` or above it.
fn found(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let beside = |directory: &Path, names: &[&str]| names.iter().map(|n| directory.join(n)).find(|file| file.is_file());
    let one = directory.ancestors().find_map(|above| beside(above, &NAMES).map(|file| (above, file)));
    let (above, file) = one.ok_or_else(|| {
        Failure::Usage(format!("no compose.yaml in {} or above it; name one with -f", directory.display()))
    })?;
    Ok([file].into_iter().chain(beside(above, &OVERRIDES)).collect())
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text))
    };
    let length = read.map_err(|error| Failure::Io(format!("cannot read {}", file.display()), error))?;
    if length as u64 > FILE_MAX {
        return Err(Failure::Usage(format!("{} is longer than {FILE_MAX} bytes", file.display())));
    }
    Ok(text)
}

fn parsed(file: &Path) -> Result<Node, Failure> {
    yaml::read(&text_of(file)?).map_err(|why| Failure::Usage(format!("{}: {why}", file.display())))
}

/// Variables of a file, each of which may use those that `known` has.
pub fn variables(file: &Path, known: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, Failure> {
    let read = dotenv::read(&text_of(file)?, &|name| known.get(name).cloned());
    read.map_err(|why| Failure::Usage(format!("{}: {why}", file.display())))
}

/// The environment over what `.env` of the directory, or the files named in its place, have.
fn with_dotenv(
    mut environment: BTreeMap<String, String>,
    directory: &Path,
    named: &[PathBuf],
) -> Result<BTreeMap<String, String>, Failure> {
    let usual = directory.join(".env");
    let files = if named.is_empty() { Vec::from_iter(usual.is_file().then_some(usual)) } else { named.to_vec() };
    let mut below = BTreeMap::new();
    for file in files {
        below.extend(variables(&file, &environment)?);
    }
    for (name, value) in below {
        environment.entry(name).or_insert(value);
    }
    Ok(environment)
}

/// `-p`, else the environment's, else the file's, else the directory's.
fn project_name(
    trees: &[Node],
    directory: &Path,
    environment: &BTreeMap<String, String>,
    wanted: &Wanted,
    unset: &mut BTreeSet<String>,
) -> Result<String, Failure> {
    let lookup = |name: &str| environment.get(name).cloned();
    let named = trees.iter().rev().find_map(|tree| At::top(tree).get("name").map(|at| at.node.clone()));
    let named = named.map(|node| match node {
        Node::Text(text, _) => interpolate::expand(&text, &lookup, unset).map_err(Failure::Usage),
        _ => Err(Failure::Usage("name: one word is expected".to_owned())),
    });
    let asked = wanted.name.clone().or_else(|| lookup("COMPOSE_PROJECT_NAME")).filter(|name| !name.is_empty());
    let name = match (asked, named.transpose()?) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => of_directory(directory),
    };
    if is_project_name(&name) {
        return Ok(name);
    }
    Err(Failure::Usage(format!(
        "{name:?} is no project's name: [a-z0-9][a-z0-9_-]*, at most 63 characters; give one with -p"
    )))
}

fn is_project_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63 && name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c == '_' || c == '-')
}

/// The directory's name with nothing in it that a project's may not have.
fn of_directory(directory: &Path) -> String {
    let real = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let name = real.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let kept: String = name.chars().filter(|c| is_project_name(&format!("a{c}"))).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together(texts: &[&str], environment: &[(&str, &str)], wanted: &Wanted) -> Result<Loaded, Failure> {
        let trees: Vec<_> = texts.iter().map(|text| yaml::read(text).unwrap()).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        put_together(&trees, PathBuf::from("/srv/My App_1"), environment, wanted)
    }

    #[test]
    fn the_name_comes_from_the_nearest() {
        let named = |text: &str, environment: &[(&str, &str)], typed: Option<&str>| {
            let wanted = Wanted { name: typed.map(str::to_owned), ..Wanted::default() };
            together(&[text], environment, &wanted).map(|loaded| loaded.name).map_err(|failure| failure.to_string())
        };
        let environment = [("COMPOSE_PROJECT_NAME", "env")];
        assert_eq!(named("name: file", &environment, Some("typed")).as_deref(), Ok("typed"));
        assert_eq!(named("name: file", &environment, None).as_deref(), Ok("env"));
        assert_eq!(named("name: ${X:-file}", &[], None).as_deref(), Ok("file"));
        assert_eq!(named("services:", &[], None).as_deref(), Ok("myapp_1"));
        assert!(named("name: File", &[], None).unwrap_err().starts_with("\"File\" is no project's name"));
    }

    #[test]
    fn files_are_found_by_what_is_nearest() {
        let top = std::env::temp_dir().join(format!("gantry-locate-{}", std::process::id()));
        let inner = top.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        let write = |name: &str, text: &str| std::fs::write(top.join(name), text).unwrap();
        write("compose.yaml", "");
        write("compose.override.yml", "");
        write("other.yaml", "");
        write(".env", "A=file\nB=file\n");
        let located = |wanted: &Wanted, environment: &[(&str, &str)]| {
            let environment =
                environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let located = locate(wanted, &inner, &environment).unwrap();
            let name = |file: &PathBuf| file.strip_prefix(&top).unwrap_or(file).display().to_string();
            let files: Vec<_> = located.files.iter().map(name).collect();
            let variable = |name: &str| located.environment.get(name).cloned().unwrap_or_default();
            (files.join(" "), located.directory.canonicalize().unwrap() == top.canonicalize().unwrap(), variable("A"))
        };
        let nothing = Wanted::default();
        assert_eq!(
            located(&nothing, &[("A", "shell")]),
            ("compose.yaml compose.override.yml".to_owned(), true, "shell".to_owned())
        );
        assert_eq!(located(&nothing, &[]).2, "file");
        let listed = [("COMPOSE_FILE", "../other.yaml:../compose.yaml")];
        assert_eq!(
            located(&nothing, &listed),
            ("inner/../other.yaml inner/../compose.yaml".to_owned(), true, String::new())
        );
        let typed = Wanted { files: vec!["../other.yaml".into()], ..Wanted::default() };
        assert_eq!(located(&typed, &listed), ("../other.yaml".to_owned(), true, "file".to_owned()));
        let apart = Wanted { directory: Some(".".into()), ..typed };
        assert_eq!(located(&apart, &[]), ("../other.yaml".to_owned(), false, String::new()));
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn files_are_filled_and_put_together() {
        let texts = ["a: {b: $X, c: $COMPOSE_PROJECT_NAME}", "a: {b: 2}"];
        let environment = [("COMPOSE_PROFILES", "one, two")];
        let loaded = together(&texts, &environment, &Wanted::default()).unwrap();
        assert_eq!(yaml::write(&loaded.tree), "a:\n  b: 2\n  c: myapp_1\n");
        assert_eq!(loaded.profiles, ["one", "two"]);
        assert_eq!(loaded.warnings, ["the variable X is not set: it is taken as empty"]);
    }
}
