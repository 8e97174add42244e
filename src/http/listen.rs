//! Connections: how many there are, how long they may be silent, and how they end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Peer;

/// Connections at once; further ones wait in the system's own queue.
const CONNECTIONS: usize = 4096;
/// How long a connection may take to send the head of its next request.
const HEAD_WAIT: Duration = Duration::from_secs(60);
/// How long to wait when the system has no descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `stop` resolves, then lets requests under way end and returns when the last has.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let accepting = async {
        loop {
            let Ok(permit) = connections.clone().acquire_owned().await else { return };
            let (stream, peer) = accept(&listener).await;
            let watched = graceful.watch(connection(stream, peer, router.clone()));
            tokio::spawn(async move {
                // How a connection ended is its client's affair.
                let _ = watched.await;
                drop(permit);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // An answer is one small packet; waiting to fill it would only cost time.
                let _ = stream.set_nodelay(true);
                return (stream, Peer::Address(address));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A router that is told who asks.
#[derive(Clone)]
struct Told {
    peer: Peer,
    router: TowerToHyperService<Router>,
}

impl hyper::service::Service<Request<Incoming>> for Told {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future =
        <TowerToHyperService<Router> as hyper::service::Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.router.call(request)
    }
}

fn connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
) -> http1::Connection<TokioIo<TcpStream>, Told> {
    http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).serve_connection(
        TokioIo::new(stream),
        Told { peer, router: TowerToHyperService::new(router) },
    )
}
