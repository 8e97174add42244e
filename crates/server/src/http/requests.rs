//! Passes the requests of one connection to the router, and its answers back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::calls::Phase;
use crate::http::peer::Peer;

type Routes = TowerToHyperService<Router>;

/// The requests of one connection.
pub(super) struct Requests {
    routes: Routes,
    phase: Phase,
    /// Whether a request has arrived.
    begun: Arc<AtomicBool>,
    /// The peer of the connection.
    peer: Peer,
}

impl Requests {
    pub(super) fn new(router: Router, phase: Phase, begun: Arc<AtomicBool>, peer: Peer) -> Self {
        Self { routes: TowerToHyperService::new(router), phase, begun, peer }
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = PendingAnswer;

    fn call(&self, mut request: Request<Incoming>) -> PendingAnswer {
        request.extensions_mut().insert(self.peer);
        self.begun.store(true, Ordering::Relaxed);
        PendingAnswer { answer: self.routes.call(request), phase: self.phase.clone() }
    }
}

/// The answer to a request. While the server is stopping, the connection closes after the answer.
pub(super) struct PendingAnswer {
    answer: <Routes as Service<Request<Incoming>>>::Future,
    phase: Phase,
}

impl Future for PendingAnswer {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = ready!(Pin::new(&mut self.answer).poll(context))?;
        if self.phase.is_ending() {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(answer))
    }
}
