//! Compiles the program of a call in attempts: the compiler's diagnostics of one attempt decide how
//! the next one looks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use goexpr::FunctionForm;

use super::build_trace::BuildTrace;
use super::compiler::Compiler;
use super::error::BuildError;
use super::job::{CompileJob, CompileMode};
use super::layering::Layering;
use super::output::BuildOutput;
use super::render::{self, ResultForm, Target};
use super::request::{BuildRequest, ProgramPlan};
use super::shape::Shape;
use super::ttl_cache::TtlCache;
use crate::compile::diagnostics;
use crate::compile::diagnostics::Diagnostic;
use crate::source::Checkout;

/// Functions whose shapes are kept, and for how long. A shape never changes for its checkout; the
/// age only frees the memory of functions that are not called any more.
const SHAPES: usize = 4096;
const SHAPE_AGE: Duration = Duration::from_secs(24 * 3600);
/// Build traces that are kept, each up to 256 KiB and usually 10, and for how long.
const TRACES: usize = 128;
const TRACE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Compiles programs, and learns what functions look like.
pub(super) struct Programs {
    compiler: ArcSwap<Compiler>,
    shapes: TtlCache<Shape>,
    traces: TtlCache<Arc<BuildTrace>>,
}

impl Programs {
    pub(super) fn new(compiler: Compiler) -> Self {
        let compiler = ArcSwap::from_pointee(compiler);
        let shapes = TtlCache::new(SHAPES, SHAPE_AGE);
        Self { compiler, shapes, traces: TtlCache::new(TRACES, TRACE_AGE) }
    }

    /// The current compiler.
    pub(super) fn compiler(&self) -> Arc<Compiler> {
        self.compiler.load_full()
    }

    /// Changes the compiler from the next program on.
    pub(super) fn set_compiler(&self, compiler: Compiler) {
        self.compiler.store(Arc::new(compiler));
    }

    /// Whether a function can take this number of arguments, as far as its shape is known.
    pub(super) fn may_take(&self, request: &BuildRequest, function: &FunctionForm) -> bool {
        let shape = self.shapes.get(&shape_key(request, function));
        shape.is_none_or(|shape| shape.takes(function.argument_count(), function.is_spread()))
    }

    /// Compiles a plan; none if there is no such function form.
    pub(super) async fn compile(
        &self,
        request: &BuildRequest,
        plan: &ProgramPlan,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Option<BuildOutput>, BuildError> {
        match plan {
            ProgramPlan::Exact => self.exact(request, layers, cache).await.map(Some),
            ProgramPlan::Function(function) => {
                self.function(request, function, layers, cache).await
            }
        }
    }

    /// Compiles one main.go, by replaying the build trace of its imports where there is one. What a
    /// replayed compiler says about main.go is what the go command would say; any other failure is
    /// left to the go command.
    async fn attempt(
        &self,
        compiler: &Arc<Compiler>,
        checkout: &Arc<Checkout>,
        main_go: &str,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<BuildOutput, BuildError> {
        let job = |mode| CompileJob::Program {
            checkout: checkout.clone(),
            main_go: main_go.to_owned(),
            mode,
        };
        if !compiler.replay {
            return compiler.run(job(CompileMode::Command), layers, cache).await;
        }
        // Where the kernel lays layers over each other, a cached file keeps its path whatever
        // layers there are by now.
        let mounted = compiler.layering() == Layering::Mount;
        let key = trace_key(checkout, main_go, if mounted { &[] } else { layers });
        // A first build needs the go command: nothing is cached yet.
        let known = self.traces.get(&key).filter(|_| cache.is_none());
        if let Some(trace) = known {
            let output = compiler.run(job(CompileMode::Replay(trace)), layers, None).await?;
            let text = output.diagnostics();
            if output.accept().is_ok()
                || output.was_ended()
                || text.is_some_and(|text| diagnostics::is_of_the_call_alone(&text))
            {
                return Ok(output);
            }
            self.traces.forget(&key);
        }
        // The first build of a module with many dependencies has much to print.
        if cache.is_none() || mounted && !checkout.has_dependencies() {
            let output = compiler.run(job(CompileMode::Printed), layers, cache).await?;
            if let Some(trace) = output.trace(cache.is_some()) {
                self.traces.put(&key, Arc::new(trace));
            }
            if !output.printed_too_much() {
                return Ok(output);
            }
        }
        compiler.run(job(CompileMode::Command), layers, cache).await
    }

    /// Compiles a call as it stands, in the form that it needs.
    async fn exact(
        &self,
        request: &BuildRequest,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<BuildOutput, BuildError> {
        let BuildRequest { checkout, call, imports } = request;
        let compiler = self.compiler();
        let (target, minor) = (Target::of(checkout), compiler.toolchain.minor());
        for form in [ResultForm::Values, ResultForm::Statement] {
            let main_go = render::main_go(&target, call, imports, form, minor);
            let output = self.attempt(&compiler, checkout, &main_go, layers, cache).await?;
            match output.diagnostics().map(|stderr| diagnostics::read(&stderr, call)) {
                Some((Diagnostic::NoValue, _)) if form == ResultForm::Values => continue,
                Some((diagnostic, text)) => {
                    return Err(refusal(diagnostic, text, checkout.lacks_cgo()));
                }
                None => {}
            }
            output.accept()?;
            return Ok(output);
        }
        Err(BuildError::Broke("the call neither has results nor is a statement".into()))
    }

    /// Compiles a function in the known or guessed shape, or else in the shape that the compiler
    /// names.
    async fn function(
        &self,
        request: &BuildRequest,
        function: &FunctionForm,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Option<BuildOutput>, BuildError> {
        let BuildRequest { checkout, call, imports } = request;
        let compiler = self.compiler();
        let (target, minor) = (Target::of(checkout), compiler.toolchain.minor());
        let key = shape_key(request, function);
        let known = self.shapes.get(&key);
        let mut shape = known.unwrap_or_else(|| Shape::guess(function.argument_count()));
        // A shape that the compiler named is right.
        let mut told = known.is_some();
        loop {
            if told && !shape.takes(function.argument_count(), function.is_spread()) {
                return Ok(None);
            }
            let main_go = render::function_go(&target, call, function, imports, &shape, minor);
            let output = self.attempt(&compiler, checkout, &main_go, layers, cache).await?;
            let Some(stderr) = output.diagnostics() else {
                output.accept()?;
                self.shapes.put(&key, shape);
                return Ok(Some(output));
            };
            match Shape::read(&stderr).filter(|_| !told) {
                Some(found) => {
                    self.shapes.put(&key, found);
                    (shape, told) = (found, true);
                }
                None if diagnostics::is_of_the_call(&stderr) => return Ok(None),
                None => {
                    let (diagnostic, text) = diagnostics::read(&stderr, call);
                    return Err(refusal(diagnostic, text, checkout.lacks_cgo()));
                }
            }
        }
    }
}

/// Identifies a function: neither a key nor an import path has a line end.
fn shape_key(request: &BuildRequest, function: &FunctionForm) -> String {
    let imports: String = request.imports.iter().map(|path| format!("{path}\n")).collect();
    format!("{}\n{imports}\n{}", request.checkout.key(), function.callee())
}

/// What a build trace depends on.
fn trace_key(checkout: &Checkout, main_go: &str, layers: &[PathBuf]) -> String {
    let imports = main_go.split_once("import (").and_then(|(_, rest)| rest.split_once("\n)"));
    let imports = imports.map_or(main_go, |(imports, _)| imports);
    let layers: String = layers.iter().map(|layer| format!("{}\n", layer.display())).collect();
    format!("{}\n{imports}\n{layers}", checkout.key())
}

/// What a diagnostic means for a package that may lack files because they need cgo.
fn refusal(diagnostic: Diagnostic, text: String, lacks_cgo: bool) -> BuildError {
    let outside_the_call = diagnostic == Diagnostic::Refused && !text.contains("call:");
    if lacks_cgo && (diagnostic == Diagnostic::NoFunction || outside_the_call) {
        let text = format!(
            "{text}\nfiles of the package were left out because they need cgo, which this server does not have"
        );
        return BuildError::Refused(Diagnostic::Cgo, text);
    }
    BuildError::Refused(diagnostic, text)
}
