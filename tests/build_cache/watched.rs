//! A host's backend with its own answers and with ears, for tests.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use island::{
    Backend, Capabilities, Finding, FolderOwner, IslandId, IslandState, LiveIsland, Purpose, Spec,
    StartError, Started, Stdio, Usage,
};

/// A host's backend, which may be said to lay no folders over each other, and whose go commands say
/// what they do.
pub struct Watched {
    host: Arc<dyn Backend>,
    overlays: bool,
    overheard: bool,
    stderr: Arc<Mutex<Vec<u8>>>,
}

impl Watched {
    pub fn new(host: Arc<dyn Backend>, overlays: bool, overheard: bool) -> Self {
        Self { host, overlays, overheard, stderr: Arc::default() }
    }

    /// Notes the commands of a build trace, as a go command would have said them.
    fn note_replay(&self, trace: &[u8]) {
        let trace: serde_json::Value = serde_json::from_slice(trace).expect("a build trace");
        let mut noted = self.stderr.lock().expect("no panic");
        for step in trace["steps"].as_array().expect("steps") {
            for word in step["command"].as_array().expect("words") {
                noted.extend_from_slice(word.as_str().expect("text").as_bytes());
                noted.push(b' ');
            }
            noted.push(b'\n');
        }
    }

    /// What the go commands have said since the last look.
    pub fn said(&self) -> String {
        let text = std::mem::take(&mut *self.stderr.lock().expect("no panic"));
        String::from_utf8(text).expect("text")
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Backend for Watched {
    fn start<'a>(
        &'a self,
        spec: &'a Spec,
        stdio: Stdio,
    ) -> BoxFuture<'a, Result<Started, StartError>> {
        if self.overheard && spec.args.iter().any(|arg| arg == "build-worker") {
            self.note_replay(&spec.stdin);
        }
        // The compiler of a program is told to say what it does, and somebody listens in on it.
        if !self.overheard || !spec.args.iter().any(|arg| arg == "-overlay=/job/overlay.json") {
            return self.host.start(spec, stdio);
        }
        let mut spec = spec.clone();
        spec.args.insert(2, "-x".into());
        let (stderr, passed_on) = overhear(stdio.stderr, self.stderr.clone());
        let stdio = Stdio { stderr, ..stdio };
        Box::pin(async move {
            let Started { id, exit } = self.host.start(&spec, stdio).await?;
            // The waiter for an end takes all that was written for passed on.
            let exit = Box::pin(async move {
                let exit = exit.await;
                let _ = passed_on.await;
                exit
            });
            Ok(Started { id, exit })
        })
    }

    fn kill(&self, id: &IslandId) {
        self.host.kill(id);
    }

    fn usage<'a>(&'a self, islands: &'a [IslandId]) -> BoxFuture<'a, HashMap<IslandId, Usage>> {
        self.host.usage(islands)
    }

    fn free_memory(&self) -> Option<f64> {
        self.host.free_memory()
    }

    fn seen(&self) -> BoxFuture<'_, Result<Vec<LiveIsland>, StartError>> {
        self.host.seen()
    }

    fn aside(&self) -> Vec<(IslandId, IslandState)> {
        self.host.aside()
    }

    fn list(&self) -> Vec<IslandId> {
        self.host.list()
    }

    fn owner(&self, purpose: Purpose) -> Option<FolderOwner> {
        self.host.owner(purpose)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { overlays: self.overlays, ..self.host.capabilities() }
    }

    fn findings(&self) -> Vec<Finding> {
        self.host.findings()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.host.close()
    }
}

/// A descriptor whose bytes are noted and then go where they would have gone.
fn overhear(to: OwnedFd, noted: Arc<Mutex<Vec<u8>>>) -> (OwnedFd, tokio::task::JoinHandle<()>) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut to = File::from(to);
    let passed_on = tokio::task::spawn_blocking(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut piece) {
            noted.lock().expect("no panic").extend_from_slice(&piece[..length]);
            // A reader that is gone has its outcome already.
            let _ = to.write_all(&piece[..length]);
        }
    });
    (writer.into(), passed_on)
}
