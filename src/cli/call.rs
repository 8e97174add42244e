//! `sky-island call`: runs one call, in this process or by a server.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine;
use clap::Args;
use serde_json::Value;
use server::calls::{CallRequest, Code, Collected, Failure, FunctionRequest, Reply, Times};
use server::config::Config;
use server::principal::Principal;
use server::serve::{Parts, StartupError};
use server::state::StateError;

use crate::cli::operate::server::Server;
use crate::cli::process::{complain, runtime, say, start_log};
use crate::cli::request::RequestArgs;
use crate::cli::settings::{config_status, settings};
use crate::cli::status;

/// How long a server may take to answer.
const SERVER_WAIT: Duration = Duration::from_secs(300);

#[derive(Args)]
pub(super) struct CallArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Print the whole answer as JSON.
    #[arg(long)]
    json: bool,
    /// Print the time of each stage on stderr, even if stderr is not a terminal.
    #[arg(long)]
    timing: bool,
    /// The server that runs the call: http(s)://HOST:PORT, HOST:PORT or unix:/PATH. Without
    /// --server and -c, the server that SKY_ISLAND_SERVER names.
    #[arg(long, value_name = "SERVER")]
    server: Option<Server>,
    /// The configuration file, for a call without a server.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How an answer is shown.
#[derive(Clone, Copy)]
struct Style {
    json: bool,
    timing: bool,
}

/// The output of the subcommand, and its exit status.
struct CallOutput {
    status: u8,
    /// For stdout.
    data: Vec<u8>,
    /// For stderr.
    notes: Vec<String>,
}

pub(super) fn run(args: CallArgs) -> ExitCode {
    start_log("warn");
    let request = args.request.request();
    let style = Style { json: args.json, timing: args.timing || std::io::stderr().is_terminal() };
    let server = match args.server {
        // A configuration file asks for a call without a server.
        None if args.config.is_none() => Server::of_environment(),
        server => Ok(server),
    };
    let output = match server {
        Ok(Some(server)) => by_server(&server, &request, style),
        Ok(None) => match settings(args.config.as_deref()) {
            Ok(settings) => without_server(settings.config(), &request, style),
            Err(error) => return config_status(&error),
        },
        Err(error) => {
            say(format_args!("sky-island: SKY_ISLAND_SERVER in the environment: {error}"));
            return ExitCode::from(status::USAGE);
        }
    };
    for note in output.notes {
        say(format_args!("{note}"));
    }
    if std::io::stdout().write_all(&output.data).and_then(|()| std::io::stdout().flush()).is_err() {
        return ExitCode::from(status::SERVER);
    }
    ExitCode::from(output.status)
}

fn without_server(config: &Config, request: &FunctionRequest, style: Style) -> CallOutput {
    let call = match request.parse() {
        Ok(call) => call,
        Err(failure) => return failed(&failure),
    };
    let Some(runtime) = runtime() else {
        return no_answer("the call could not start: the system has no threads left");
    };
    let config = of_one_call(config);
    runtime.block_on(async {
        progress("preparing");
        match Parts::assemble(&config).await {
            Ok(parts) => by_parts(parts, call, style).await,
            // The certificate's host name of a TLS server is not known here: the user must name the
            // server by --server.
            Err(StartupError::State(StateError::InUse { server: Some(name), .. }))
                if !name.starts_with("https://") =>
            {
                progress(&format!("the server {name} uses the caches, so it runs the call"));
                let request = request.clone();
                let asked = tokio::task::spawn_blocking(move || match name.parse::<Server>() {
                    Ok(server) => by_server(&server, &request, style),
                    Err(error) => no_answer(&error.to_string()),
                });
                asked.await.unwrap_or_else(|error| no_answer(&error.to_string()))
            }
            Err(error) => {
                complain(&error);
                no_answer("the call could not start; see the error above")
            }
        }
    })
}

/// The configuration of a process that ends with its call: no island waits for a further one.
fn of_one_call(config: &Config) -> Config {
    let mut config = config.clone();
    config.standby.total = 0;
    config
}

async fn by_parts(parts: Parts, call: CallRequest, style: Style) -> CallOutput {
    progress("fetching, building and running");
    let principal = Principal::CommandLine(nix::unistd::getuid().as_raw());
    let finished = parts.calls.run(principal, call, Collected::default()).await;
    parts.close().await;
    match finished.result {
        Ok(reply) => succeeded(reply, &finished.trace.times, style),
        // No server's log has the cause, so it is printed.
        Err(failure) if failure.code == Code::Internal => no_answer(&failure.chain()),
        Err(failure) => failed(&failure),
    }
}

fn succeeded(reply: Reply<Collected>, times: &Times, style: Style) -> CallOutput {
    let mut notes = Vec::new();
    if style.timing {
        let spent = times.stages().map(|(stage, span)| format!("{} {:.1?}", stage.as_str(), span));
        notes.push(format!("{} ({})", reply.revision, spent.join(", ")));
    }
    let data = if style.json { as_json(reply.output.data()) } else { reply.output.into_data() };
    CallOutput { status: 0, data, notes }
}

fn as_json(data: &[u8]) -> Vec<u8> {
    let mut text = serde_json::to_vec(&server::http::Success::now(data)).unwrap_or_default();
    text.push(b'\n');
    text
}

fn failed(failure: &Failure) -> CallOutput {
    let note = format!("sky-island: {}: {}", failure.code.title(), failure.detail);
    CallOutput { status: status::of_code(failure.code), data: Vec::new(), notes: vec![note] }
}

/// The output where this host or a server has failed.
fn no_answer(note: &str) -> CallOutput {
    CallOutput {
        status: status::SERVER,
        data: Vec::new(),
        notes: vec![format!("sky-island: {note}")],
    }
}

fn by_server(server: &Server, request: &FunctionRequest, style: Style) -> CallOutput {
    let (url, agent) = (server.url("/api/v1/function"), server.agent(SERVER_WAIT));
    let began = Instant::now();
    let answer = agent.post(&url).send_json(request).and_then(|mut response| {
        let good = response.status() == 200;
        let timing = response
            .headers()
            .get("server-timing")
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        Ok((good, timing, response.body_mut().read_to_vec()?))
    });
    match answer {
        Ok((true, timing, body)) => {
            let spent = format!("answered in {:.1?}", began.elapsed());
            let note = timing.map_or(spent.clone(), |timing| format!("{spent} ({timing})"));
            from_server(&body, note, style)
        }
        Ok((false, _, body)) => refused_by_server(&body),
        Err(error) => no_answer(&format!("{server} does not answer: {error}")),
    }
}

fn from_server(body: &[u8], note: String, style: Style) -> CallOutput {
    let notes = Some(note).filter(|_| style.timing).into_iter().collect();
    if style.json {
        return CallOutput { status: 0, data: [body, b"\n"].concat(), notes };
    }
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(text) = answer["data"].as_str() else {
        return no_answer("the server's answer has no data; name another server by --server");
    };
    let data = match answer["encoding"].as_str() {
        Some("base64") => {
            base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
        }
        _ => text.as_bytes().to_vec(),
    };
    CallOutput { status: 0, data, notes }
}

fn refused_by_server(body: &[u8]) -> CallOutput {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| problem[key].as_str().unwrap_or("").to_owned();
    let status = Code::of_name(&text("code")).map_or(status::SERVER, status::of_code);
    let note = format!("sky-island: {}: {}", text("title"), text("detail"));
    CallOutput { status, data: Vec::new(), notes: vec![note] }
}

/// Prints the current step, on a terminal.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        say(format_args!("sky-island: {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_one_call_keeps_no_island_warm() {
        let config = Config::default();
        assert!(config.standby.limits().total > 0);
        assert_eq!(of_one_call(&config).standby.limits().total, 0);
    }
}
