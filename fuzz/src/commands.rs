//! The output of the host's commands: ip(8) and ifconfig(8), zfs(8), jls(8), mount(8), devfs(8), and
//! the counters of rctl(8).

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use host::exec::{Command, ExecError, Executor, Output};
use host::net::{Interface, ifconfig, iproute};
use host::zfs::{DatasetName, Zfs};
use island::freebsd::{devices, jails, mounts};

/// The folder of islands in the inputs.
const RUN: &str = "/zroot/jails/run";

/// Every command prints the input. The first byte is the status of the command: most end well.
pub fn check(bytes: &[u8]) {
    let Some((status, printed)) = bytes.split_first() else { return };
    let exec = Arc::new(Printer {
        code: if *status < 0xf0 { 0 } else { 1 },
        text: String::from_utf8_lossy(printed).into_owned(),
    });
    let interface = Interface::parse("si0").expect("a name");
    let _ = now(iproute::link(&*exec, &interface));
    let _ = now(iproute::addresses(&*exec, &interface));
    let _ = now(iproute::ports(&*exec, &interface));
    if let Some(Ok(found)) = now(ifconfig::addresses(&*exec, &interface)) {
        for it in found {
            let most = if it.address.is_ipv4() { 32 } else { 128 };
            assert!(it.prefix <= most);
        }
    }
    let zfs = Zfs::new(exec.clone());
    let root = DatasetName::parse("zroot/jails").expect("a name");
    if let Some(Ok(found)) = now(zfs.tree(&root)) {
        for it in found {
            if let Some(name) = it.filesystem() {
                assert_eq!(DatasetName::parse(name.as_str()).ok().as_ref(), Some(name));
                let climbs = name.as_str().split('/').any(|part| matches!(part, "" | "." | ".."));
                assert!(!climbs, "{name:?}");
            }
            assert!(it.mountpoint.is_none_or(|at| at.is_absolute()));
        }
    }
    let _ = now(zfs.survey(&root));
    let _ = now(jails::list(&*exec, Path::new(RUN)));
    let _ = now(jails::addresses(&*exec, Path::new(RUN)));
    if let Some(Ok(found)) = now(mounts::below(&*exec, Path::new(RUN))) {
        // What is found is unmounted, so nothing else may be in the list.
        assert!(found.iter().all(|at| at.starts_with(RUN) && at != Path::new(RUN)));
    }
    let _ = now(devices::prepare(&*exec));
    let _ = island::freebsd::usage::parse(&exec.text);
}

struct Printer {
    code: i32,
    text: String,
}

impl Executor for Printer {
    fn run<'a>(
        &'a self,
        _: &'a Command,
    ) -> Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>> {
        let (stdout, stderr) = match self.code {
            0 => (self.text.clone(), String::new()),
            _ => (String::new(), self.text.clone()),
        };
        Box::pin(async move { Ok(Output { code: Some(self.code), stdout, stderr }) })
    }
}

/// The result of a future that needs no runtime; none where it waits for the time.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
