//! `sky-island call`: one call, without a server or by one.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine;
use clap::Args;
use serde_json::Value;
use server::calls::{CallTrace, Code, Failure, Fault, FunctionRequest, Reply, Times};
use server::config::Config;
use server::serve::{Parts, StartupError};
use server::state::StateError;

use super::request::RequestArgs;
use super::{complain, runtime, start_log, status};
use crate::cli::operate::{BadServer, Server};

/// How long a server may take to answer.
const SERVER_WAIT: Duration = Duration::from_secs(300);

#[derive(Args)]
pub(super) struct CallArgs {
    #[command(flatten)]
    form: RequestArgs,
    /// Print the whole answer as JSON.
    #[arg(long)]
    json: bool,
    /// Say on stderr where the time went, even when it is no terminal.
    #[arg(long)]
    timing: bool,
    /// Have this server run it: http(s)://HOST:PORT, HOST:PORT or unix:/PATH; without it and without -c
    /// SKY_ISLAND_SERVER may name one.
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

/// What came back, from wherever.
struct Answer {
    status: u8,
    /// On stdout.
    data: Vec<u8>,
    /// On stderr.
    notes: Vec<String>,
}

pub(super) fn run(args: CallArgs) -> ExitCode {
    start_log("warn");
    let form = args.form.form();
    let style = Style { json: args.json, timing: args.timing || std::io::stderr().is_terminal() };
    let named = match args.server {
        // Whoever names a configuration wants a call without a server.
        None if args.config.is_none() => Server::of_environment(),
        named => Ok(named),
    };
    let answer = match named {
        Ok(Some(server)) => by_server(&server, &form, style),
        Ok(None) => match super::settings(args.config.as_deref()) {
            Ok(settings) => by_ourselves(settings.config(), &form, style),
            Err(error) => {
                return super::config_status(&error);
            }
        },
        Err(error) => {
            eprintln!("sky-island: SKY_ISLAND_SERVER in the environment: {error}");
            return ExitCode::from(status::USAGE);
        }
    };
    for note in answer.notes {
        eprintln!("{note}");
    }
    if std::io::stdout().write_all(&answer.data).and_then(|()| std::io::stdout().flush()).is_err() {
        return ExitCode::from(status::OURS);
    }
    ExitCode::from(answer.status)
}

fn by_ourselves(config: &Config, form: &FunctionRequest, style: Style) -> Answer {
    let call = match form.parse() {
        Ok(call) => call,
        Err(failure) => return failed(&failure),
    };
    let Some(runtime) = runtime() else { return ours("there is no runtime") };
    runtime.block_on(async {
        progress("preparing");
        let parts = match Parts::assemble(config).await {
            Ok(parts) => parts,
            // Only a name could be verified: one that speaks TLS has to be said, by --server.
            Err(StartupError::State(StateError::InUse { server: Some(place), .. }))
                if !place.starts_with("https://") =>
            {
                progress(&format!("a server has the caches; it runs the call: {place}"));
                let form = form.clone();
                let asked = tokio::task::spawn_blocking(move || match place.parse() {
                    Ok(server) => by_server(&server, &form, style),
                    Err(error) => ours(&BadServer::to_string(&error)),
                })
                .await;
                return asked.unwrap_or_else(|error| ours(&error.to_string()));
            }
            Err(error) => {
                complain(&error);
                return ours("the call could not start");
            }
        };
        progress("fetching, building and running");
        let mut trace = CallTrace::default();
        let result = parts.calls.invoke(&call, &mut trace).await;
        parts.close().await;
        match result {
            Ok(reply) => succeeded(reply, &trace.times, style),
            Err(failure) => {
                if failure.code == Code::Internal {
                    return ours(&failure.chain());
                }
                failed(&failure)
            }
        }
    })
}

fn succeeded(reply: Reply, times: &Times, style: Style) -> Answer {
    let mut notes = Vec::new();
    if style.timing {
        let spent = times.stages().map(|(stage, span)| format!("{} {:.1?}", stage.as_str(), span));
        notes.push(format!("{} ({})", reply.revision, spent.join(", ")));
    }
    let data = if style.json { whole(&reply.data) } else { reply.data };
    Answer { status: 0, data, notes }
}

fn whole(data: &[u8]) -> Vec<u8> {
    let mut text = serde_json::to_vec(&server::http::Success::now(data)).unwrap_or_default();
    text.push(b'\n');
    text
}

fn failed(failure: &Failure) -> Answer {
    let note = format!("sky-island: {}: {}", failure.code.title(), failure.detail);
    Answer { status: exit_status(failure.code), data: Vec::new(), notes: vec![note] }
}

fn ours(note: &str) -> Answer {
    Answer { status: status::OURS, data: Vec::new(), notes: vec![format!("sky-island: {note}")] }
}

/// The exit status of a failure with this code.
pub(super) fn exit_status(code: Code) -> u8 {
    match code.fault() {
        Fault::Caller => status::USAGE,
        Fault::Function => status::FUNCTION,
        Fault::Busy | Fault::Operator | Fault::Upstream | Fault::Ours => status::OURS,
    }
}

fn by_server(server: &Server, form: &FunctionRequest, style: Style) -> Answer {
    let (url, agent) = (server.url("/api/v1/function"), server.agent(SERVER_WAIT));
    let began = Instant::now();
    let answer = agent.post(&url).send_json(form).and_then(|mut response| {
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
        Err(error) => ours(&format!("{server}: {error}")),
    }
}

fn from_server(body: &[u8], note: String, style: Style) -> Answer {
    let notes = Some(note).filter(|_| style.timing).into_iter().collect();
    if style.json {
        return Answer { status: 0, data: [body, b"\n"].concat(), notes };
    }
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(text) = answer["data"].as_str() else {
        return ours("the server's answer has no data");
    };
    let data = match answer["encoding"].as_str() {
        Some("base64") => {
            base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
        }
        _ => text.as_bytes().to_vec(),
    };
    Answer { status: 0, data, notes }
}

fn refused_by_server(body: &[u8]) -> Answer {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| problem[key].as_str().unwrap_or("").to_owned();
    let status = Code::of_name(&text("code")).map_or(status::OURS, exit_status);
    let note = format!("sky-island: {}: {}", text("title"), text("detail"));
    Answer { status, data: Vec::new(), notes: vec![note] }
}

/// Says what is being done, to a person.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("sky-island: {text}");
    }
}
