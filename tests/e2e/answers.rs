//! What every answer has around its data, and the other paths of the server.

use std::collections::BTreeSet;
use std::sync::Arc;

use libtest_mimic::Trial;
use serde_json::json;

use crate::client::{Client, FUNCTION};
use crate::problem::Problem;
use crate::refusals::largest_body;
use crate::tables::is_commit;
use crate::world::World;

/// The most milliseconds that looking up a cached checkout or artifact may take.
const CACHED: f64 = 5.0;

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    vec![
        world.trial("a success has the fields timestamp and data and no others", |_, server| {
            has_fields(&server.client, "Greet(\"Ada\")", &["timestamp", "data"])
        }),
        world.trial("a success in base64 has the field encoding beside them", |_, server| {
            has_fields(&server.client, "Raw()", &["timestamp", "data", "encoding"])
        }),
        world.trial("a success is application/json", |_, server| {
            let answer = server.client.call(&hello("Which()"))?;
            match answer.header("content-type")? {
                kind if kind.starts_with("application/json") => Ok(()),
                kind => Err(format!("it is {kind}")),
            }
        }),
        world.trial("the second same call finds everything cached", |_, server| {
            let call = hello("Greet(\"twice\")");
            let first = server.client.call(&call)?;
            let second = server.client.call(&call)?;
            let timing = second.timing()?;
            if timing["fetch"] > CACHED || timing["build"] > CACHED {
                return Err(format!("it was fetched or built again: {timing:?}"));
            }
            if first.header("x-call-id")? == second.header("x-call-id")? {
                return Err("both calls have the same X-Call-Id".to_owned());
            }
            let revision = first.header("x-revision")?;
            if !is_commit(revision) || revision != second.header("x-revision")? {
                return Err(format!("{revision} is not the commit of both calls"));
            }
            Ok(())
        }),
        world.trial(
            "a call in another spelling of the url gives the same revision",
            |_, server| {
                let plain = server.client.call(&hello("Which()"))?;
                let mut spelled = hello("hello.Which()");
                spelled["url"] = "https://example.test/hello.git".into();
                let spelled = server.client.call(&spelled)?;
                same(plain.header("x-revision")?, spelled.header("x-revision")?)
            },
        ),
        world.trial("a body of exactly 64 KiB is read", |_, server| {
            same(server.client.post(&largest_body())?.data()?, json!({"data": "first edition"}))
        }),
        world.trial("ip4 without a pool of addresses fails with 501 no_network", |_, server| {
            let mut call = hello("Which()");
            call["ip4"] = true.into();
            let answer = server.client.call(&call)?;
            same((answer.status, Problem::read(&answer)?.code.as_str()), (501, "no_network"))
        }),
        world.trial("ip4 set to false changes nothing", |_, server| {
            let mut call = hello("Which()");
            call["ip4"] = false.into();
            same(server.client.call(&call)?.data()?, json!({"data": "first edition"}))
        }),
        world.trial("another package's name before the function fails", |_, server| {
            let answer = server.client.call(&hello("os.Exit(0)"))?;
            let problem = Problem::read(&answer)?;
            match (answer.status, problem.code.as_str()) {
                (400, "call") | (404, "function") => Ok(()),
                got => Err(format!("got {got:?}: {}", problem.detail)),
            }
        }),
        world.trial("a package of another module among the imports fails", |_, server| {
            let mut call = hello("Greet(geohash.Encode(1, 2))");
            call["imports"] = json!(["github.com/mmcloughlin/geohash"]);
            let answer = server.client.call(&call)?;
            let problem = Problem::read(&answer)?;
            match (answer.status, problem.code.as_str()) {
                (400, "imports") | (404, "package") if problem.detail.contains("geohash") => Ok(()),
                got => Err(format!("got {got:?}: {}", problem.detail)),
            }
        }),
        world.trial("the healthcheck answers 200 on both paths", |_, server| {
            for path in ["/healthcheck", "/api/v1/healthcheck"] {
                same((path, server.client.get(path)?.status), (path, 200))?;
            }
            Ok(())
        }),
        world.trial("other methods than POST on the function fail with 405", |_, server| {
            for method in ["GET", "PUT", "DELETE"] {
                let answer = server.client.send(method, FUNCTION, b"{}")?;
                same(Problem::read(&answer)?.stage.as_str(), "request")?;
                same((method, answer.status), (method, 405))?;
                if !answer.header("allow")?.contains("POST") {
                    return Err(format!("Allow does not name POST: {:?}", answer.headers));
                }
            }
            Ok(())
        }),
        world.trial("a path that there is not fails with 404", |_, server| {
            for path in ["/", "/api/v1/functions", "/api/v2/function", "/healthcheck/../x"] {
                let answer = server.client.get(path)?;
                Problem::read(&answer)?;
                same((path, answer.status), (path, 404))?;
            }
            Ok(())
        }),
        world.trial("a call_id of a failure is in the log", |_, server| {
            let call = json!({"url": "example.test/faulty", "call": "Exit(4)"});
            let answer = server.client.call(&call)?;
            let problem = Problem::read(&answer)?;
            crate::logs::line(|| server.log(), &problem.call_id).map(|_| ())
        }),
    ]
}

fn hello(call: &str) -> serde_json::Value {
    json!({"url": "example.test/hello", "call": call})
}

fn has_fields(client: &Client, call: &str, fields: &[&str]) -> Result<(), String> {
    let answer = client.call(&hello(call))?;
    answer.data()?;
    let body = answer.json()?;
    let keys: BTreeSet<_> =
        body.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    same(keys, fields.iter().copied().collect())
}

/// Fails unless both are equal.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("got {got:?}, but expected {expected:?}")) }
}
