//! Rules of the house that the compiler does not hold: which crate may use which, where MongoDB may be named,
//! and how a file begins.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Whom each of our packages may use in its product code.
const DIRECTIONS: [(&str, &[&str]); 6] = [
    ("daemon/core", &[]),
    ("daemon/wire", &[]),
    ("daemon/store", &["kontena-core", "kontena-wire"]),
    ("daemon/server", &["kontena-core", "kontena-store", "kontena-wire"]),
    ("daemon", &["kontena-core", "kontena-server", "kontena-store", "kontena-wire"]),
    ("tui", &["kontena-wire"]),
];

/// What a package must never depend on, however convenient.
const BANNED: [(&str, &[&str]); 5] = [
    ("daemon/core", &["tokio", "mongodb", "bson", "axum", "reqwest", "rustix"]),
    ("daemon/wire", &["tokio", "mongodb", "bson", "axum"]),
    ("daemon/server", &["mongodb", "bson"]),
    ("daemon/store", &["axum"]),
    ("tui", &["mongodb", "bson", "axum", "kontena-core", "kontena-server", "kontena-store"]),
];

/// All that may stand at the top of the repository, besides dot files.
const TOP: [&str; 11] = [
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "daemon",
    "packaging",
    "systemd",
    "target",
    "tests",
    "tui",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The names in the tables of a manifest whose name satisfies `wanted`.
fn dependencies(package: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let path = root().join(package).join("Cargo.toml");
    let manifest = manifest(&path);
    let tables = manifest.iter().filter(|(name, _)| wanted(name));
    tables.filter_map(|(_, table)| table.as_table()).flat_map(|table| table.keys().cloned()).collect()
}

fn manifest(path: &Path) -> toml::Table {
    let parsed = fs::read_to_string(path).ok().and_then(|text| text.parse().ok());
    assert!(parsed.is_some(), "{} is no manifest", path.display());
    parsed.unwrap_or_default()
}

fn sources() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found
}

#[test]
fn dependencies_point_one_way() {
    for (package, allowed) in DIRECTIONS {
        for used in dependencies(package, |table| table == "dependencies" || table == "build-dependencies") {
            let ours = used.starts_with("kontena-");
            assert!(!ours || allowed.contains(&used.as_str()), "{package} must not use {used}");
        }
    }
}

#[test]
fn heavy_and_foreign_things_stay_where_they_belong() {
    for (package, banned) in BANNED {
        let used = dependencies(package, |table| table.ends_with("dependencies"));
        for name in banned {
            assert!(!used.contains(*name), "{package} must not use {name}");
        }
    }
}

#[test]
fn every_member_shares_versions_and_lints() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    for member in members.iter().filter_map(toml::Value::as_str) {
        let text = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        assert!(text.contains("[lints]\nworkspace = true"), "{member} has lints of its own");
        let table: toml::Table = text.parse().unwrap();
        for name in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (dependency, wanted) in table.get(name).and_then(toml::Value::as_table).into_iter().flatten()
            {
                let shared = wanted.get("workspace").is_some_and(|shared| shared.as_bool() == Some(true));
                assert!(
                    shared,
                    "{member}: the version of {dependency} belongs into the workspace's manifest"
                );
            }
        }
    }
}

#[test]
fn every_file_begins_by_saying_why_it_exists() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|path| !fs::read_to_string(path).is_ok_and(|text| text.starts_with("//! ")))
        .collect();
    assert!(silent.is_empty(), "without a first line that starts with //!: {silent:#?}");
}

/// The modules that a file names, and the files that it names by their path.
fn named_by(text: &str) -> (Vec<&str>, Vec<&str>) {
    let modules = text.lines().filter_map(|line| {
        let (before, name) = line.trim().strip_suffix(';')?.rsplit_once(' ')?;
        let visibility = before.strip_suffix("mod")?.trim();
        let known = visibility.is_empty() || visibility == "pub" || visibility.starts_with("pub(");
        known.then_some(name)
    });
    let paths = text.lines().filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    (modules.collect(), paths.collect())
}

/// Where a program, a library or a test begins, by the manifest beside it.
fn is_root(path: &Path) -> bool {
    let named_in_manifest = path.ancestors().skip(1).any(|directory| {
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
        path.strip_prefix(directory)
            .is_ok_and(|inside| manifest.contains(&format!("\"{}\"", inside.display())))
    });
    let name =
        path.file_name().is_some_and(|name| name == "lib.rs" || name == "main.rs" || name == "build.rs");
    // Each file right in these directories is a program of its own.
    let parent = path
        .parent()
        .and_then(Path::file_name)
        .is_some_and(|name| name == "examples" || name == "benches" || name == "tests" || name == "bin");
    named_in_manifest || name || parent
}

#[test]
fn every_file_is_named_by_a_module() {
    let sources = sources();
    let mut named = BTreeSet::new();
    for path in &sources {
        let text = fs::read_to_string(path).unwrap();
        let directory = path.parent().unwrap();
        let stem = path.file_stem().unwrap();
        let own = if is_root(path) { directory.to_owned() } else { directory.join(stem) };
        let (modules, paths) = named_by(&text);
        named.extend(modules.into_iter().map(|module| own.join(format!("{module}.rs"))));
        named.extend(paths.into_iter().map(|path| directory.join(path)));
    }
    let lost: Vec<&PathBuf> =
        sources.iter().filter(|path| !is_root(path) && !named.contains(*path)).collect();
    assert!(lost.is_empty(), "no mod names {lost:#?}");
}

#[test]
fn modules_are_found_however_they_are_declared() {
    let text = "mod one;\n    pub mod two;\npub(crate) mod three;\n// mod four;\nlet x = mod five;\n#[path = \"a/six.rs\"]\nmod six;\nmod seven {}\n";
    let (modules, paths) = named_by(text);
    assert_eq!(modules, ["one", "two", "three", "six"]);
    assert_eq!(paths, ["a/six.rs"]);
}

#[test]
fn nothing_but_the_rooms_stands_at_the_top() {
    for entry in fs::read_dir(root()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || TOP.contains(&name.as_str()), "{name} does not belong at the top");
    }
}

#[test]
fn no_room_is_a_dumping_ground() {
    let names = ["utils", "util", "helpers", "helper", "common", "misc", "mod"];
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|path| path.file_stem().is_some_and(|stem| names.iter().any(|name| stem == *name)))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn small_files_have_one_subject() {
    let long: BTreeMap<PathBuf, usize> = sources()
        .into_iter()
        .filter_map(|path| Some((path.clone(), fs::read_to_string(&path).ok()?.lines().count())))
        .filter(|(_, lines)| *lines > 500)
        .collect();
    assert!(long.is_empty(), "above 500 lines: {long:#?}");
}

#[test]
fn every_kind_of_event_is_explained_in_the_catalog() {
    let catalog = fs::read_to_string(root().join("systemd/catalog/kontena-master.catalog")).unwrap();
    let explained: BTreeSet<&str> = catalog.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
    assert_eq!(explained, BTreeSet::from(kontena_server::events::ALL));
}

/// Tests that a page names as `file: function`.
#[test]
fn the_tests_that_stand_for_pains_and_bugs_exist() {
    let pages = ["tests/PAINS.md", "tests/BUGS.md"];
    let page = pages.map(|page| fs::read_to_string(root().join(page)).unwrap_or_default()).concat();
    let named: Vec<(&str, &str)> = page.split('`').filter_map(|code| code.split_once(".rs: ")).collect();
    assert!(named.len() > 50, "the page names {} tests", named.len());
    let missing: Vec<String> = named
        .into_iter()
        .filter(|(file, function)| {
            let text = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
            !text.contains(&format!("fn {function}("))
        })
        .map(|(file, function)| format!("{file}.rs: {function}"))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
