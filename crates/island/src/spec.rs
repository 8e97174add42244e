//! What an island is for, what it may see, and what it may use.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host::net::Lease;
use uuid::Uuid;

/// The most descriptors that a process of an island may have open.
pub const OPEN_FILES: u64 = 1024;

/// An island to run.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What the island is made with.
    pub setup: Setup,
    /// What each use of the island is bounded by.
    pub bounds: Bounds,
    /// The program.
    pub program: Program,
    /// The argument vector, the program's name first.
    pub args: Vec<String>,
    /// The whole environment, as `NAME=value`.
    pub env: Vec<String>,
    /// The working folder, a path on the island.
    pub folder: String,
    /// What the program reads from stdin before the end of the file.
    pub stdin: Vec<u8>,
    /// The arguments that the program gets on its call channel; none for a program without one.
    pub arguments: Option<Vec<u8>>,
    /// What the island is for, as operators see it.
    pub label: Label,
}

/// What an island is made with: its root, its user, its network, and how much of the host it may
/// use. None of it changes while the island lives, so a warm island serves only calls that ask for
/// the same setup.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What the island sees and may reach: decides its root, its user and its network.
    pub rights: Rights,
    /// How much of the host it may use.
    pub resources: Resources,
    /// The address that a function has; none for no network at all. The backend keeps the lease
    /// until nothing of the address is left in the system, however the island ends.
    pub address: Option<Arc<Lease>>,
}

impl Setup {
    /// Whether an island made with this setup can serve a call that asks for `other`. An address
    /// belongs to one island.
    pub fn serves(&self, other: &Self) -> bool {
        let without_address = self.address.is_none() && other.address.is_none();
        without_address && self.rights == other.rights && self.resources == other.resources
    }
}

/// What an island is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The package that the island fetches, compiles or calls.
    pub module: Option<Arc<str>>,
    /// The call that the island runs; none while it is warm, and where several calls may wait for
    /// it.
    pub call: Option<Uuid>,
}

/// The program of an island.
#[derive(Clone, Debug)]
pub enum Program {
    /// An open executable, which the island itself cannot see.
    File(Arc<File>),
    /// A path on the island.
    Path(String),
}

/// The two kinds of island.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// An untrusted function: an empty read-only root, a private /tmp, no network but the one of
    /// its address.
    Function,
    /// A tool of this program or of the host that handles untrusted bytes.
    Tool(ToolRights),
}

/// What a tool's island sees besides the programs and libraries of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRights {
    /// What the tool does: decides the user and the network.
    pub purpose: Purpose,
    /// Files and folders of the host.
    pub binds: Vec<Bind>,
    /// A writable folder over read-only ones.
    pub overlay: Option<Overlay>,
    /// No call waits for the tool, so all other processes come first.
    pub background: bool,
}

/// What a tool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Gets source code; has loopback alone, or the network of the host, as
    /// [`Capabilities::gates`](crate::Capabilities) says.
    Fetch,
    /// Compiles; has no network.
    Build,
}

/// A file or folder of the host on an island.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The path on the host.
    pub source: PathBuf,
    /// The path on the island.
    pub target: PathBuf,
    /// Whether the island may write.
    pub writable: bool,
}

/// Folders of the host that lie over each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Read-only folders, the topmost first.
    pub lower: Vec<PathBuf>,
    /// The folder for what the island writes.
    pub upper: PathBuf,
    /// An empty folder beside `upper`, for the kernel.
    pub work: PathBuf,
    /// The path on the island.
    pub target: PathBuf,
}

/// Both kinds of limits, as a configuration sets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What an island is made with.
    pub resources: Resources,
    /// What each use of an island is bounded by.
    pub bounds: Bounds,
}

/// What one use of an island is bounded by. Each call brings its own bounds, and a warm island
/// serves calls with any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the start of the use to its end.
    pub deadline: Duration,
    /// Bytes of stdout, and as many of stderr.
    pub output: u64,
}

/// How much of the host an island may use, from its making to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of memory.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u64,
    /// How long all its processors may be busy; none for no limit but the deadline. At least the
    /// longest deadline that a call may have.
    pub processor_time: Option<Duration>,
    /// Bytes in a function's private /tmp.
    pub tmp: u64,
    /// Bytes that a tool may leave in a folder of the host.
    pub disk: Option<Disk>,
}

/// What a tool may leave on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The folders of the host that it may write.
    pub folders: Vec<PathBuf>,
    /// Bytes in all of them together.
    pub bytes: u64,
}

impl Spec {
    /// The island of a function: the artifact alone, with the environment of every function.
    pub fn function(artifact: Arc<File>, limits: Limits) -> Self {
        // A garbage collector that knows a limit stays below it. The last tenth is for stacks and
        // the runtime.
        let Limits { resources, bounds } = limits;
        let soft = resources.memory / 10 * 9;
        let env = [
            "HOME=/tmp".to_owned(),
            "TMPDIR=/tmp".to_owned(),
            "PATH=/".to_owned(),
            "ZONEINFO=/zoneinfo.zip".to_owned(),
            format!("GOMEMLIMIT={soft}"),
        ];
        Self {
            setup: Setup { rights: Rights::Function, resources, address: None },
            bounds,
            program: Program::File(artifact),
            args: vec!["function".to_owned()],
            env: env.to_vec(),
            folder: "/tmp".to_owned(),
            stdin: Vec::new(),
            arguments: None,
            label: Label::default(),
        }
    }
}
