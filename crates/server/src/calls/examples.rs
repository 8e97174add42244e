//! An example of each failure of calls, made by the code that makes the real failure. For tests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use common::fair::Shares;
use fetch_job::{FailureCode, FetchFailure};
use host::net::{Family, NoAddress};
use island::{Bounds, Ending, Limits, Outcome, Resources, StartError};

use crate::calls::admission::Admission;
use crate::calls::deadline::Deadline;
use crate::calls::failure::{self, Failure};
use crate::calls::policy::{CallPolicy, Capacity};
use crate::calls::request::FunctionRequest;
use crate::calls::stage::Stage;
use crate::compile::{BuildError, Diagnostic};
use crate::principal::Principal;
use crate::source::{ImportPath, SourceError};

/// Failures, each with the limits, keys and values that its detail has to name. The caller pauses
/// the clock of its runtime.
pub(crate) async fn examples() -> Vec<(Failure, &'static [&'static str])> {
    let mut all = requests();
    all.extend(limits().await);
    all.extend(sources());
    all.extend(builds());
    all.extend(runs());
    all
}

fn requests() -> Vec<(Failure, &'static [&'static str])> {
    let table: [(&str, &[&str]); 9] = [
        (r#"{"url": "a.b/c"}"#, &["call"]),
        (r#"[]"#, &[]),
        (r#"{"url": "a.b/c", "call": "F()", "verison": "v1"}"#, &["verison"]),
        (r#"{"url": "hello", "call": "F()"}"#, &["hello"]),
        (r#"{"url": "a.b/c", "call": "F("}"#, &["call:1:"]),
        (r#"{"url": "a.b/c", "call": "F()", "version": "a b"}"#, &["a b"]),
        (r#"{"url": "a.b/c", "call": "F()", "imports": ["../x"]}"#, &["../x"]),
        (r#"{"url": "a.b/c", "call": "F()", "imports": ["C"]}"#, &["imports", "C"]),
        (r#"{"url": "a.b/c", "call": "F()", "imports": ["none"]}"#, &["imports", "none"]),
    ];
    let failure = |json: &str| {
        let request = FunctionRequest::from_json(json.as_bytes());
        request.and_then(|request| request.parse()).err().unwrap_or_else(|| panic!("{json}"))
    };
    let mut all: Vec<_> = table.map(|(json, names)| (failure(json), names)).into();
    let imports = (0..33).map(|number| format!("a.b/c/{number}")).collect();
    let many = FunctionRequest {
        url: "a.b/c".into(),
        call: "F()".into(),
        imports,
        ..FunctionRequest::default()
    };
    all.push((many.parse().err().unwrap(), &["imports", "33", "32"]));
    all
}

/// Failures of the limits of the server, and of the server itself.
async fn limits() -> Vec<(Failure, &'static [&'static str])> {
    let (none, client) = (Shares { slots: 0, per_client: 1 }, Principal::Admin.client());
    let full = Admission::new(Capacity { calls: none, running: none });
    let refused = full.admit(client).err().unwrap();
    let package = ImportPath::parse("a.b/c").unwrap();
    let late = full.slot(client, &package, Duration::from_secs(7)).await.err().unwrap();
    let no_share = Shares { slots: 9, per_client: 0 };
    let unfair = Admission::new(Capacity { calls: no_share, running: no_share });
    let over_share = unfair.admit(client).err().unwrap();
    let over_slots = unfair.slot(client, &package, Duration::from_secs(7)).await.err().unwrap();
    let no_address = NoAddress { family: Family::V4, total: 5 };
    let no_pools = "no pools of addresses are configured; set network.pools";
    vec![
        (refused, &["limits.calls = 0"]),
        (late, &["7 s", "limits.queue_wait", "limits.concurrency = 0"]),
        (over_share, &["limits.per_client.calls", "0"]),
        (over_slots, &["7 s", "limits.queue_wait", "limits.per_client.concurrency", "0"]),
        (
            Deadline::after(Duration::from_secs(90)).failure(Stage::Build),
            &["90 s", "build", "limits.call_timeout"],
        ),
        (failure::of_lease(no_address), &["5", "network.ip4", "network.pools"]),
        (failure::of_network(no_pools.into()), &["network.pools", "ip4"]),
        (failure::of_start(StartError::Refused("no".into())), &["log", "call_id"]),
        (Failure::draining(Stage::Request), &[]),
        (failure::abandoned(Stage::Queue), &["hung up"]),
        (Failure::internal(Stage::Run, Arc::new(io::Error::other("no"))), &["log", "call_id"]),
    ]
}

/// Failures of fetches. The worker writes the details of its failures.
fn sources() -> Vec<(Failure, &'static [&'static str])> {
    let table: [(FailureCode, &str); 10] = [
        (FailureCode::Repository, "a.b/c: no source has the repository a.b/c"),
        (FailureCode::Package, "a.b/c/d: the module a.b/c has no package a.b/c/d"),
        (FailureCode::Version, "a.b/c: the repository has no version v9.9.9"),
        (FailureCode::Unreachable, "a.b/c: https://a.b/c does not answer"),
        (FailureCode::TooLarge, "a.b/c: the source exceeds the limit of 64 MiB"),
        (FailureCode::MainPackage, "a.b/c is a program (package main); name a package"),
        (FailureCode::Cgo, "a.b/c needs cgo, which this server does not have"),
        (FailureCode::NewerGo, "a.b/c needs Go 1.99, and this server has Go 1.27"),
        (FailureCode::Module, "a.b/c: go.mod cannot be read"),
        (FailureCode::Internal, "the disk is full"),
    ];
    let failed = |(code, detail): (FailureCode, &str)| {
        let failure = FetchFailure { code, detail: detail.into() };
        let failure = failure::of_source(Arc::new(SourceError::Failed(failure)));
        let names: &[&str] = if code == FailureCode::TooLarge { &["64 MiB"] } else { &[] };
        (failure, names)
    };
    let mut all: Vec<_> = table.map(failed).into();
    all.push((failure::of_source(Arc::new(SourceError::Stopped)), &["operator"]));
    all
}

/// Failures of builds. The compiler writes the details of what it refuses.
fn builds() -> Vec<(Failure, &'static [&'static str])> {
    let refused = |diagnostic, text: &str| BuildError::Refused(diagnostic, text.into());
    let qualifier = BuildError::Qualifier { found: "geo".into(), name: "geohash".into() };
    let table: [(BuildError, &[&str]); 6] = [
        (refused(Diagnostic::NoFunction, "call:1:1: undefined: Nope"), &["Nope"]),
        (refused(Diagnostic::Refused, "call:1:8: cannot use \"a\" as int"), &["call:1:8"]),
        (refused(Diagnostic::Cgo, "a.b/c: needs cgo"), &["cgo"]),
        (refused(Diagnostic::NewerGo, "a.b/c: requires go >= 1.99"), &["1.99"]),
        (qualifier, &["geo", "geohash"]),
        (BuildError::Stopped, &["operator"]),
    ];
    table.map(|(error, names)| (failure::of_build(Arc::new(error)), names)).into()
}

/// Failures of functions that ran.
fn runs() -> Vec<(Failure, &'static [&'static str])> {
    let resources = Resources {
        memory: 64 << 20,
        processes: 16,
        processor_time: None,
        tmp: 8 << 20,
        disk: None,
    };
    let bounds = Bounds { deadline: Duration::from_secs(2), output: 4096 };
    let limits = Limits { resources, bounds };
    let policy = CallPolicy { limits, queue_wait: Duration::ZERO, timeout: Duration::ZERO };
    let table: [(Ending, &str, &[&str]); 9] = [
        (Ending::Exited(2), "panic: boom\n\ngoroutine 1 [running]:", &["panicked", "boom"]),
        (Ending::Exited(3), "bye", &["status 3", "bye"]),
        (Ending::Exited(4), "", &["status 4"]),
        (Ending::Signaled(9), "", &["signal 9"]),
        (Ending::Stopped, "", &["operator"]),
        (Ending::Memory, "", &["64 MiB", "limits.memory"]),
        (Ending::Output, "", &["4 KiB", "limits.output"]),
        (Ending::Disk, "", &["8 MiB", "limits.tmp"]),
        (Ending::Deadline, "", &["2 s", "jails.exec_timeout"]),
    ];
    let failure = |(ending, stderr, names): (Ending, &str, &'static [&'static str])| {
        let (start, run) = (Duration::ZERO, Duration::ZERO);
        let (stdout, stderr) = (Vec::new(), stderr.into());
        let outcome = Outcome { ending, stdout, stderr, start, run, warm: false };
        (failure::of_run(&outcome, &policy), names)
    };
    table.map(failure).into()
}
