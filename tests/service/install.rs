//! What `make install` puts where, and that `make deinstall` takes just that away.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use server::config::Config;

use super::host::{has, make_by};
use crate::skip;

/// What is installed on each system: the place below PREFIX and its mode.
const FILES: [(&str, &[(&str, u32)]); 2] = [
    (
        "FreeBSD",
        &[
            ("bin/sky-island", 0o555),
            ("etc/newsyslog.conf.d/sky_island.conf", 0o444),
            ("etc/rc.d/sky_island", 0o555),
            ("etc/sky-island/config.json.sample", 0o644),
            ("share/man/man8/sky-island.8", 0o444),
        ],
    ),
    (
        "Linux",
        &[
            ("bin/sky-island", 0o555),
            ("etc/sky-island/config.json.sample", 0o644),
            ("lib/systemd/system/sky-island.service", 0o444),
            ("lib/systemd/system/sky-island.socket", 0o444),
            ("share/man/man8/sky-island.8", 0o444),
        ],
    ),
];
/// A user and group that do not exist.
const SOMEBODY: u32 = 64_321;
const SERVER: &str = "#!/bin/sh\necho the server\n";

/// A staging area, and a program to install.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("program"), SERVER).unwrap();
        fs::create_dir(folder.path().join("a stage")).unwrap();
        Self { folder }
    }

    fn top(&self) -> String {
        self.folder.path().join("a stage").to_str().unwrap().to_owned()
    }

    fn run(&self, program: &str, target: &str, os: &str, prefix: &str) -> Output {
        make_by(program)
            .arg(target)
            .arg(format!("DESTDIR={}", self.top()))
            .arg(format!("PREFIX={prefix}"))
            // By the environment as well as on the command line.
            .env("OS", os)
            .env("PROGRAM", self.folder.path().join("program"))
            .output()
            .unwrap()
    }

    /// Every file below the staging area, with its mode.
    fn files(&self) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        collect(Path::new(&self.top()), Path::new(&self.top()), &mut found);
        found
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(format!("{}{path}", self.top())).unwrap()
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.top()).unwrap().next().is_none()
    }
}

fn collect(top: &Path, folder: &Path, found: &mut BTreeMap<String, u32>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(top, &path, found);
        } else {
            let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
            let below = path.strip_prefix(top).unwrap();
            found.insert(format!("/{}", below.display()), mode);
        }
    }
}

fn well(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn exactly_these_files_are_installed_and_nothing_is_left_of_them() {
    for program in ["make", "bmake"].into_iter().filter(|program| has(program)) {
        for (os, files) in FILES {
            for prefix in ["/usr/local", "/opt/sky-1.0"] {
                let stage = Stage::new();
                let expected: BTreeMap<_, _> =
                    files.iter().map(|(path, mode)| (format!("{prefix}/{path}"), *mode)).collect();
                for time in ["first", "second"] {
                    let output = stage.run(program, "install", os, prefix);
                    well(&output);
                    assert_eq!(stage.files(), expected, "{program}, {os}, the {time} time");
                    let said = String::from_utf8(output.stdout).unwrap();
                    assert_eq!(said.lines().count(), files.len(), "{said}");
                }
                assert_eq!(stage.read(&format!("{prefix}/bin/sky-island")), SERVER);
                for time in ["first", "second"] {
                    well(&stage.run(program, "deinstall", os, prefix));
                    assert!(stage.is_empty(), "{program}, {os}, the {time} time");
                }
            }
        }
    }
}

#[test]
fn a_configuration_is_neither_written_over_nor_taken_away() {
    let stage = Stage::new();
    let config = "/usr/local/etc/sky-island/config.json";
    fs::create_dir_all(format!("{}/usr/local/etc/sky-island", stage.top())).unwrap();
    fs::write(format!("{}{config}", stage.top()), "{\"listen\": \"127.0.0.1:1\"}").unwrap();
    well(&stage.run("make", "install", "FreeBSD", "/usr/local"));
    well(&stage.run("make", "deinstall", "FreeBSD", "/usr/local"));
    assert_eq!(stage.files().into_keys().collect::<Vec<_>>(), [config]);
    assert_eq!(stage.read(config), "{\"listen\": \"127.0.0.1:1\"}");
}

#[test]
fn what_is_installed_names_its_prefix_and_no_staging_area() {
    for (os, files) in FILES {
        let stage = Stage::new();
        well(&stage.run("make", "install", os, "/opt/sky"));
        for (path, _) in files {
            let text = stage.read(&format!("/opt/sky/{path}"));
            assert!(!text.contains("%%") && !text.contains(&stage.top()), "{path}: {text}");
            assert!(!text.contains("/usr/local/etc"), "{path}: {text}");
        }
    }
}

#[test]
fn a_real_prefix_keeps_the_folders_that_others_use() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    let program = folder.path().join("program");
    fs::write(&program, SERVER).unwrap();
    let run = |target: &str| {
        let mut make = make_by("make");
        make.args([target, "OS=FreeBSD"]).env("PREFIX", &prefix).env("PROGRAM", &program);
        let output = make.output().unwrap();
        well(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let said = run("install");
    assert!(said.contains("sysrc sky_island_enable=YES"), "{said}");
    run("deinstall");
    assert!(prefix.join("etc/rc.d").is_dir() && prefix.join("bin").is_dir());
    assert!(!prefix.join("etc/rc.d/sky_island").exists());
    assert!(!prefix.join("etc/sky-island").exists());
}

#[test]
fn the_sample_is_a_configuration_that_fits_any_host() {
    for (os, _) in FILES {
        let stage = Stage::new();
        well(&stage.run("make", "install", os, "/usr/local"));
        let path = format!("{}/usr/local/etc/sky-island/config.json.sample", stage.top());
        let config = Config::load(Some(Path::new(&path))).unwrap();
        assert_eq!((config.state_dir, config.go.command), (None, None), "{os}");
    }
}

#[test]
fn a_place_or_system_that_cannot_be_is_refused_before_anything_is_written() {
    let table = [
        ("FreeBSD", "usr/local", "absolute"),
        ("FreeBSD", "/usr/lo cal", "letters"),
        ("Linux", "/usr/lo|cal", "letters"),
        ("Plan9", "/usr/local", "FreeBSD and for Linux"),
    ];
    for (os, prefix, says) in table {
        let stage = Stage::new();
        for target in ["install", "deinstall"] {
            let output = stage.run("make", target, os, prefix);
            assert!(!output.status.success(), "{prefix}: {output:?}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains(says), "{prefix}: {said}");
        }
        assert!(stage.is_empty(), "{prefix}");
    }
}

/// A checkout with one source file, whose `make` writes down that it was asked to build.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path();
    for name in [
        "scripts",
        "src",
        "crates",
        "templates",
        "rc.d",
        "newsyslog.conf.d",
        "man",
        "target/release",
    ] {
        fs::create_dir_all(top.join(name)).unwrap();
    }
    let real = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in [
        "scripts/install.sh",
        "rc.d/sky_island",
        "newsyslog.conf.d/sky_island.conf",
        "man/sky-island.8",
        "config.example.json",
    ] {
        fs::copy(real.join(name), top.join(name)).unwrap();
    }
    for name in ["Cargo.toml", "Cargo.lock", "src/main.rs"] {
        fs::write(top.join(name), "").unwrap();
    }
    let make = "#!/bin/sh\necho \"made $*\"\nprintf new >target/release/sky-island\n\
        chmod 755 target/release/sky-island\n";
    fs::write(top.join("make"), make).unwrap();
    fs::set_permissions(top.join("make"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(top, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Installs from a checkout, as this user or as another.
fn install_from(checkout: &Path, user: Option<u32>, stage: &Path) -> Output {
    let mut command = Command::new("sh");
    command.arg(checkout.join("scripts/install.sh")).arg("install");
    command.env("DESTDIR", stage).env("OS", "FreeBSD").env("MAKE", checkout.join("make"));
    command.env_remove("PREFIX").env_remove("PROGRAM");
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command.output().unwrap()
}

/// Dates a file to an hour ago.
fn age(path: &Path) {
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
}

#[test]
fn a_program_that_is_missing_or_old_is_built_by_the_checkouts_owner_and_a_new_one_is_not_built() {
    let (folder, stage) = (checkout(), tempfile::tempdir().unwrap());
    let top = folder.path();
    let installed = stage.path().join("usr/local/bin/sky-island");
    let program = top.join("target/release/sky-island");
    let built = |output: &Output| output.stdout.starts_with(b"made build\n");
    let missing = install_from(top, None, stage.path());
    well(&missing);
    assert_eq!((built(&missing), fs::read_to_string(&installed).unwrap()), (true, "new".into()));
    let new = install_from(top, None, stage.path());
    well(&new);
    assert!(!built(&new), "{new:?}");
    age(&program);
    let old = install_from(top, None, stage.path());
    well(&old);
    assert!(built(&old), "{old:?}");
}

#[test]
fn another_user_than_the_owner_installs_but_does_not_build() {
    if let Err(why) = skip::root() {
        return skip::skip("an installation by another user", &why);
    }
    let (folder, stage) = (checkout(), tempfile::tempdir().unwrap());
    let top = folder.path();
    std::os::unix::fs::chown(stage.path(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let refused = install_from(top, Some(SOMEBODY), stage.path());
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("make build as the owner"), "{said}");
    well(&install_from(top, None, tempfile::tempdir().unwrap().path()));
    well(&install_from(top, Some(SOMEBODY), stage.path()));
    age(&top.join("target/release/sky-island"));
    let refused = install_from(top, Some(SOMEBODY), stage.path());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(3) && said.contains("older than Cargo.toml"), "{said}");
}

#[test]
fn systemd_finds_nothing_in_the_units() {
    if !has("systemd-analyze") {
        return;
    }
    let stage = Stage::new();
    well(&stage.run("make", "install", "Linux", "/usr/local"));
    let units = ["sky-island.service", "sky-island.socket"];
    for unit in units {
        let text = stage.read(&format!("/usr/local/lib/systemd/system/{unit}"));
        // It looks for the program where the unit says.
        let text = text.replace("/usr/local/bin/sky-island", "/bin/true");
        let text = text.replace("Documentation=man:sky-island(8)\n", "");
        fs::write(stage.folder.path().join(unit), text).unwrap();
    }
    let paths = units.map(|unit| stage.folder.path().join(unit));
    let read = Command::new("systemd-analyze").arg("verify").args(paths).output().unwrap();
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(!units.iter().any(|unit| said.contains(unit)), "{said}");
}

#[test]
fn newsyslog_signals_the_process_whose_log_it_turns_over() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(top.join("rc.d/sky_island")).unwrap();
    let value = |name: &str| {
        let line = script.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("the script sets no {name}")).to_owned()
    };
    let entry = fs::read_to_string(top.join("newsyslog.conf.d/sky_island.conf")).unwrap();
    let lines: Vec<_> = entry.lines().filter(|line| !line.starts_with('#')).collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    let fields: Vec<_> = line.split_whitespace().collect();
    assert_eq!(fields[..2], [value("log"), "600".to_owned()]);
    // A signal number would come last; without one it is SIGHUP.
    assert_eq!((fields[5].contains('B'), fields[6..].concat()), (true, value("pidfile")));
}
