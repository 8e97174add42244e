//! What the host offers on its network while an island looks for it.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the host offers while a function looks for it.
pub struct Offers {
    tcp: Vec<TcpListener>,
    udp: UdpSocket,
    unix: Named,
}

impl Offers {
    pub fn open() -> Self {
        let tcp: Vec<_> = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"]
            .iter()
            .filter_map(|address| TcpListener::bind(address).ok())
            .collect();
        assert!(!tcp.is_empty());
        for listener in &tcp {
            listener.set_nonblocking(true).unwrap();
        }
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        Self { tcp, udp, unix: Named::open() }
    }

    /// Networks and addresses, as Go's net.Dial wants them.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let addresses = self.tcp.iter().filter_map(|listener| listener.local_addr().ok());
        let mut pairs: Vec<_> = addresses.map(|address| ("tcp", address.to_string())).collect();
        pairs.push(("udp", self.udp.local_addr().unwrap().to_string()));
        pairs.push(("udp", "192.0.2.1:53".into()));
        pairs.push(("tcp", "192.0.2.1:53".into()));
        pairs.push(("unix", self.unix.address.clone()));
        pairs
    }

    pub fn were_not_used(&self) {
        assert!(self.tcp.iter().all(|listener| listener.accept().is_err()));
        assert!(self.udp.recv(&mut [0; 16]).is_err());
        assert!(self.unix.listener.accept().is_err());
    }
}

/// A socket with a name that everybody knows.
struct Named {
    /// As Go's net.Dial wants it.
    address: String,
    listener: UnixListener,
    #[cfg(not(target_os = "linux"))]
    _folder: tempfile::TempDir,
}

impl Named {
    /// In the host's abstract space, which a file system's walls do not shut in.
    #[cfg(target_os = "linux")]
    fn open() -> Self {
        use std::os::linux::net::SocketAddrExt;
        let name = name();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { address: format!("@{name}"), listener }
    }

    /// At a path: there are no other names.
    #[cfg(not(target_os = "linux"))]
    fn open() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let everybody = std::fs::Permissions::from_mode(0o777);
        let folder = tempfile::Builder::new().permissions(everybody.clone()).tempdir().unwrap();
        let path = folder.path().join(name());
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, everybody).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { address: path.display().to_string(), listener, _folder: folder }
    }
}

fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("sky-island-suite-{}-{number}", std::process::id())
}
