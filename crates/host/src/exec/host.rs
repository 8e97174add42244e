//! The executor that runs commands on this host.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

use crate::exec::command::Command;
use crate::exec::error::ExecError;
use crate::exec::executor::Executor;
use crate::exec::output::Output;
use crate::exec::tied;

/// Where the system keeps its programs, on FreeBSD and on Linux.
const PATH: &str = "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin";
/// How long a killed command may take to end; a command that waits for a disk ends when the disk
/// answers.
const KILL_WAIT: Duration = Duration::from_secs(30);

/// Runs commands on this host. Needs a tokio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host;

impl Executor for Host {
    fn run<'a>(
        &'a self,
        command: &'a Command,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>> {
        Box::pin(run(command))
    }
}

async fn run(command: &Command) -> Result<Output, ExecError> {
    let start = |source| ExecError::Start { command: command.to_string(), source };
    let mut child = spawn(command).await.map_err(start)?;
    let result = tokio::time::timeout(command.deadline, finish(command, &mut child)).await;
    let result = result.unwrap_or_else(|_| {
        Err(ExecError::Deadline { command: command.to_string(), deadline: command.deadline })
    });
    if result.is_err() {
        // A command that goes on could change the host after the caller has cleaned up.
        let _ = tokio::time::timeout(KILL_WAIT, child.kill()).await;
    }
    result
}

async fn spawn(command: &Command) -> std::io::Result<Child> {
    let stdin = match &command.stdin {
        Some(file) => Stdio::from(file.try_clone()?),
        None => Stdio::null(),
    };
    let mut child = tokio::process::Command::new(&command.program);
    child
        .args(&command.args)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if command.tied { tied::spawn(child).await } else { child.spawn() }
}

async fn finish(command: &Command, child: &mut Child) -> Result<Output, ExecError> {
    let start = |source| ExecError::Start { command: command.to_string(), source };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = async {
        tokio::try_join!(collect(stdout, command.output), collect(stderr, command.output))
    };
    let Ok((stdout, stderr)) = read.await else {
        return Err(ExecError::Output { command: command.to_string(), limit: command.output });
    };
    let status = child.wait().await.map_err(start)?;
    Ok(Output { code: status.code(), stdout, stderr })
}

struct TooMuch;

async fn collect(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> Result<String, TooMuch> {
    let Some(pipe) = pipe else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    // A broken pipe has no more output.
    let _ = pipe.take(limit + 1).read_to_end(&mut bytes).await;
    if bytes.len() as u64 > limit {
        return Err(TooMuch);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use std::sync::Arc;
    use std::time::Instant;

    fn sh(text: &str) -> Command {
        Command::program("sh").args(["-c", text])
    }

    #[tokio::test]
    async fn a_command_gives_its_status_and_both_outputs() {
        let output = Host.run(&sh("echo out; echo err >&2; exit 3")).await.unwrap();
        let expected = Output { code: Some(3), stdout: "out\n".into(), stderr: "err\n".into() };
        assert_eq!(output, expected);
    }

    #[tokio::test]
    async fn a_command_sees_only_the_environment_that_it_was_given() {
        let output = Host.run(&Command::program("env").env("GIVEN", "a b")).await.unwrap();
        let mut lines: Vec<_> = output.stdout.lines().collect();
        lines.sort_unstable();
        let path = format!("PATH={PATH}");
        assert_eq!(lines, ["GIVEN=a b", "LC_ALL=C", path.as_str()]);
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_killed_at_its_deadline() {
        let began = Instant::now();
        let command = Command::program("sleep").arg("30").deadline(Duration::from_millis(50));
        let error = Host.run(&command).await.unwrap_err();
        assert!(matches!(error, ExecError::Deadline { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[tokio::test]
    async fn a_killed_command_has_ended_when_the_error_is_returned() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        for text in ["exec sleep 30", "exec yes"] {
            let text = format!("echo $$ > {}; {text}", file.display());
            let command = sh(&text).deadline(Duration::from_millis(200)).output(1000);
            Host.run(&command).await.unwrap_err();
            let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
            let found = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None);
            assert_eq!(found, Err(nix::errno::Errno::ESRCH), "{text}");
        }
    }

    #[tokio::test]
    async fn a_command_that_prints_without_end_is_killed_for_it() {
        let command = Command::program("yes").output(1000);
        let error = Host.run(&command).await.unwrap_err();
        assert!(matches!(error, ExecError::Output { limit: 1000, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = Host.run(&Command::program("no-such-program")).await.unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
        assert!(matches!(error, ExecError::Start { .. }));
    }

    #[tokio::test]
    async fn the_owner_of_the_input_sees_how_far_it_was_read() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'x'; 5000]).unwrap();
        file.rewind().unwrap();
        let file = Arc::new(file);
        let output = Host.run(&Command::program("cat").stdin(file.clone())).await.unwrap();
        assert_eq!(output.stdout.len(), 5000);
        assert_eq!((&*file).stream_position().unwrap(), 5000);
    }
}
