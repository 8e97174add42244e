//! An executor one of whose commands fails.

use std::fs::File;
use std::io::{Seek, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use host::exec::{Command, ExecError, Executor, Output};
use tokio::sync::Notify;

/// What happens to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is not run, and fails.
    Before,
    /// It does what it should, and then the run ends as if it had failed.
    After,
    /// It does half of it, where it reads an archive; otherwise nothing.
    Half,
    /// It does what it should, and never answers: the future that waits for it is dropped.
    Hang,
}

/// One fault: which command, counted from 0, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub at: usize,
    pub kind: Kind,
}

impl Fault {
    pub fn drop_at(at: usize) -> Self {
        Self { at, kind: Kind::Hang }
    }
}

/// Runs commands, but for one.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Executor>,
    fault: Option<Fault>,
    commands: Arc<Mutex<Vec<String>>>,
    hanging: Arc<Notify>,
}

impl Faulty {
    pub fn new(inner: impl Executor + 'static, fault: Option<Fault>) -> Self {
        let (commands, hanging) = (Arc::default(), Arc::default());
        Self { inner: Arc::new(inner), fault, commands, hanging }
    }

    /// The commands that were sent.
    pub fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }

    /// Resolves when a command hangs.
    pub fn dropped(&self) -> impl Future<Output = ()> + use<> {
        let hanging = self.hanging.clone();
        async move { hanging.notified().await }
    }
}

impl Executor for Faulty {
    fn run<'a>(
        &'a self,
        command: &'a Command,
    ) -> Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>> {
        let index = {
            let mut commands = self.commands.lock().unwrap();
            commands.push(command.to_string());
            commands.len() - 1
        };
        let Some(kind) = self.fault.filter(|fault| fault.at == index).map(|fault| fault.kind)
        else {
            return self.inner.run(command);
        };
        Box::pin(async move {
            let reads = command.vector()[0] == "tar";
            match kind {
                Kind::Before => {}
                Kind::Half if reads => {
                    let archive = half(&self.wanted_archive(command));
                    let _ = self.inner.run(&command.clone().stdin(Arc::new(archive))).await;
                }
                Kind::Half => {}
                Kind::After | Kind::Hang => {
                    let _ = self.inner.run(command).await;
                }
            }
            if kind == Kind::Hang {
                self.hanging.notify_one();
                std::future::pending::<()>().await;
            }
            let stderr = "the test pulled the plug".to_owned();
            Ok(Output { code: Some(1), stdout: String::new(), stderr })
        })
    }
}

impl Faulty {
    /// The archive that a tar command is to extract.
    fn wanted_archive(&self, command: &Command) -> Vec<u8> {
        let into = command.vector().last().unwrap().to_string_lossy().into_owned();
        match into.ends_with("usr/local") {
            true => super::world::go_archive("1.27.3"),
            false => super::world::base_archive(),
        }
    }
}

fn half(archive: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&archive[..archive.len() / 2]).unwrap();
    file.rewind().unwrap();
    file
}
