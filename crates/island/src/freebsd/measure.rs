//! How much address space a Go program takes that does nothing, which is what the limit of memory is put on top of.
//!
//! Go reserves more than a gigabyte before `main` begins, how much depends on the release. So an empty program is
//! compiled by the toolchain that compiles the functions, and started in less and less address space until it no longer
//! starts. Source and compiler are ours and the Go project's; no stranger has a say in either.
//!
//! What must always hold: the answer is kept as a property of the build jail, whose toolchain it belongs to, and goes
//! with it; without one, islands have what Go 1.26 was seen to take.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::exec::{Command, ExecError, Executor};
use host::layout::Layout;
use host::zfs::{Zfs, ZfsError};

/// What Go 1.26 was seen to take on FreeBSD 15, in bytes.
pub(super) const UNMEASURED: u64 = 1170 << 20;
/// The property that has the answer, in MiB.
const PROPERTY: &str = "sky-island:address-space";
/// The most that is tried, and how exact the answer is, in MiB.
const MOST: u64 = 8192;
const EXACT: u64 = 8;
/// How long the compiler may take, which has no cache to look into.
const COMPILE: Duration = Duration::from_secs(900);
/// How long an empty program may take.
const START: Duration = Duration::from_secs(20);
const SOURCE: &str = "package main\n\nfunc main() {}\n";

/// Why the address space of an empty program was not measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeasureError {
    /// The source of the program cannot be written.
    #[error("the empty program cannot be written to {}", folder.display())]
    Write {
        /// The folder for it.
        folder: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// The compiler failed.
    #[error("the empty program cannot be compiled")]
    Compile(#[source] ExecError),
    /// limits(1) failed.
    #[error("the empty program cannot be started")]
    Start(#[source] ExecError),
    /// The program starts in no address space that is tried.
    #[error("the empty program does not start in {MOST} MiB of address space")]
    NeverStarts,
    /// The result cannot be kept.
    #[error("the property {PROPERTY} of the build jail cannot be set")]
    Keep(#[source] ZfsError),
}

/// What was found out earlier, in bytes.
pub(super) async fn known(zfs: &Zfs, layout: &Layout) -> Option<u64> {
    let text = zfs.get(&layout.build(), PROPERTY).await.ok()??;
    let mib: u64 = text.parse().ok()?;
    (1..=MOST).contains(&mib).then_some(mib << 20)
}

/// Finds it out, in bytes, and keeps it. `folder` is made, and removed again.
pub(super) async fn measure(
    exec: &dyn Executor,
    zfs: &Zfs,
    layout: &Layout,
    folder: &Path,
) -> Result<u64, MeasureError> {
    let found = compile_and_start(exec, layout, folder).await;
    // What cannot be removed is overwritten the next time.
    let _ = std::fs::remove_dir_all(folder);
    let mib = found?;
    let kept = zfs.set(&layout.build(), &[(PROPERTY, mib.to_string().as_str())]).await;
    kept.map_err(MeasureError::Keep)?;
    Ok(mib << 20)
}

async fn compile_and_start(
    exec: &dyn Executor,
    layout: &Layout,
    folder: &Path,
) -> Result<u64, MeasureError> {
    let (source, program) = (folder.join("empty.go"), folder.join("empty"));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&source, SOURCE))
        .map_err(|cause| MeasureError::Write { folder: folder.to_owned(), cause })?;
    let goroot = layout.goroot();
    let compile = Command::program(goroot.join("bin/go"))
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(&program)
        .arg(&source)
        .env("GOROOT", &goroot)
        .env("GOCACHE", folder.join("cache"))
        .env("HOME", folder)
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GO111MODULE", "off")
        .deadline(COMPILE);
    let compiled = exec.run(&compile).await.and_then(|output| output.success(&compile));
    compiled.map_err(MeasureError::Compile)?;
    least(exec, &program).await
}

/// The least address space that a program starts in, in MiB.
async fn least(exec: &dyn Executor, program: &Path) -> Result<u64, MeasureError> {
    let (mut fails, mut starts) = (0, MOST);
    if !starts_in(exec, program, starts).await? {
        return Err(MeasureError::NeverStarts);
    }
    while starts - fails > EXACT {
        let middle = (fails + starts) / 2;
        if starts_in(exec, program, middle).await? {
            starts = middle;
        } else {
            fails = middle;
        }
    }
    Ok(starts)
}

async fn starts_in(exec: &dyn Executor, program: &Path, mib: u64) -> Result<bool, MeasureError> {
    let command =
        Command::program("limits").args(["-v", &format!("{mib}m")]).arg(program).deadline(START);
    let output = exec.run(&command).await.map_err(MeasureError::Start)?;
    Ok(output.code == Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::{ExecError, Output, Script};
    use host::layout::Release;

    /// A host on which a program starts in this much.
    struct Needs(u64);

    impl Executor for Needs {
        fn run<'a>(
            &'a self,
            command: &'a Command,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>>
        {
            let words = command.to_string();
            let given = words.strip_prefix("limits -v ").and_then(|rest| rest.split('m').next());
            let given: u64 = given.expect("a limit").parse().expect("a number");
            let code = Some(if given >= self.0 { 0 } else { 2 });
            Box::pin(async move { Ok(Output { code, ..Output::default() }) })
        }
    }

    #[tokio::test]
    async fn the_answer_is_enough_and_hardly_more() {
        for needs in [1, 7, 500, 1133, 1197, 4096, MOST] {
            let found = least(&Needs(needs), Path::new("/x")).await.unwrap();
            assert!(found >= needs && found < needs + EXACT + 1, "{needs} {found}");
        }
        assert!(least(&Needs(MOST + 1), Path::new("/x")).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_is_kept_with_the_build_jail() {
        let layout = Layout::new("z", None, Release::parse("15.1-RELEASE").unwrap()).unwrap();
        let get = "zfs get -H -p -o value sky-island:address-space z/jails/build";
        for (answer, expected) in [("1200\n", Some(1200 << 20)), ("-\n", None), ("much\n", None)] {
            let script = Script::new().expect(get, 0, answer, "");
            assert_eq!(known(&Zfs::new(script.shared()), &layout).await, expected, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_compiler_that_fails_is_said_to_have_and_leaves_nothing() {
        let layout = Layout::new("z", None, Release::parse("15.1-RELEASE").unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("measure");
        let place = folder.display();
        let script = Script::new().expect(
            &format!(
                "/z/jails/build/usr/local/go/bin/go build -trimpath \"-ldflags=-s -w\" -o {place}/empty {place}/empty.go"
            ),
            1,
            "",
            "go: cannot find GOROOT",
        );
        let zfs = Zfs::new(script.shared());
        let error = measure(&script, &zfs, &layout, &folder).await.unwrap_err();
        let error = common::causes::chain(&error);
        assert!(error.contains("GOROOT") && !folder.exists(), "{error}");
    }
}
