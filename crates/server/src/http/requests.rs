//! The requests of one connection, on their way to the router and back.

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
    /// Whether there was a first one.
    begun: Arc<AtomicBool>,
    /// Who asks.
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
    type Future = Answer;

    fn call(&self, mut request: Request<Incoming>) -> Answer {
        request.extensions_mut().insert(self.peer);
        self.begun.store(true, Ordering::Relaxed);
        Answer { answer: self.routes.call(request), phase: self.phase.clone() }
    }
}

/// The answer to a request. It is the last one of its connection if the server ends.
pub(super) struct Answer {
    answer: <Routes as Service<Request<Incoming>>>::Future,
    phase: Phase,
}

impl Future for Answer {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = ready!(Pin::new(&mut self.answer).poll(context))?;
        if self.phase.is_ending() {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(answer))
    }
}
