//! Which program is made of a call, and how it is compiled: attempts, each of which the compiler's complaint leads on from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use goexpr::{Call, FunctionForm};

use super::build_trace::BuildTrace;
use super::compiler::{BuildError, Compiler};
use super::job::{CompileJob, CompileMode};
use super::layering::Layering;
use super::output::BuildOutput;
use super::render::{self, ResultForm, Target};
use super::shape::Shape;
use super::ttl_cache::TtlCache;
use crate::compile::builder::BuildRequest;
use crate::compile::diagnostics;
use crate::compile::diagnostics::Diagnostic;
use crate::source::Checkout;

/// Functions whose shapes are remembered, and for how long: a shape stays true for its checkout, so this only lets go of
/// what nobody asks for any more.
const SHAPES: usize = 4096;
const SHAPE_AGE: Duration = Duration::from_secs(24 * 3600);
/// Recipes that are remembered, each up to 256 KiB and usually 10, and for how long.
const RECIPES: usize = 128;
const RECIPE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Which program is made of a call.
#[derive(Clone, Debug)]
pub(super) enum ProgramPlan {
    /// The call as it stands.
    Exact,
    /// The function, which receives the arguments at run time.
    Function(FunctionForm),
}

impl ProgramPlan {
    /// What is compiled, for people: the function, or the call.
    pub(super) fn text<'a>(&'a self, call: &'a Call) -> &'a str {
        match self {
            Self::Exact => call.text(),
            Self::Function(function) => function.callee(),
        }
    }
}

/// Compiles programs, and learns what functions look like.
pub(super) struct Programs {
    compiler: ArcSwap<Compiler>,
    shapes: TtlCache<Shape>,
    recipes: TtlCache<Arc<BuildTrace>>,
}

impl Programs {
    pub(super) fn new(compiler: Compiler) -> Self {
        let compiler = ArcSwap::from_pointee(compiler);
        let shapes = TtlCache::new(SHAPES, SHAPE_AGE);
        Self { compiler, shapes, recipes: TtlCache::new(RECIPES, RECIPE_AGE) }
    }

    /// What compiles now.
    pub(super) fn compiler(&self) -> Arc<Compiler> {
        self.compiler.load_full()
    }

    /// What compiles from the next program on.
    pub(super) fn set_compiler(&self, compiler: Compiler) {
        self.compiler.store(Arc::new(compiler));
    }

    /// Whether a function may take so many arguments, as far as its shape is known.
    pub(super) fn may_take(&self, wanted: &BuildRequest, function: &FunctionForm) -> bool {
        let shape = self.shapes.get(&shape_key(wanted, function));
        shape.is_none_or(|shape| shape.takes(function.argument_count(), function.is_spread()))
    }

    /// Compiles a plan; none if there is no such function form.
    pub(super) async fn compile(
        &self,
        wanted: &BuildRequest,
        plan: &ProgramPlan,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Option<BuildOutput>, BuildError> {
        match plan {
            ProgramPlan::Exact => self.exact(wanted, layers, cache).await.map(Some),
            ProgramPlan::Function(function) => self.function(wanted, function, layers, cache).await,
        }
    }

    /// Compiles one main.go, by the recipe for its imports where there is one. Then the compiler has no more to say than
    /// what the go command would say, if it is about main.go; anything else is left to the go command.
    async fn attempt(
        &self,
        compiler: &Compiler,
        checkout: &Checkout,
        main_go: &str,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<BuildOutput, BuildError> {
        // Where the kernel lays layers over each other, what is cached lies where it lay, whatever layers there are by now.
        let mounted = compiler.layering() == Layering::Mount;
        let key = recipe_key(checkout, main_go, if mounted { &[] } else { layers });
        // What a first build caches is not there yet.
        let known = self.recipes.get(&key).filter(|_| cache.is_none());
        let job = |how| CompileJob::Program { checkout, main_go, how };
        if let Some(recipe) = &known {
            let ran = compiler.run(job(CompileMode::BuildTrace(recipe)), layers, None).await?;
            let complaint = ran.complaint();
            if ran.accept().is_ok()
                || ran.was_ended()
                || complaint.is_some_and(|it| diagnostics::is_of_the_call_alone(&it))
            {
                return Ok(ran);
            }
            self.recipes.forget(&key);
        }
        // The first build of a module with many dependencies has much to print.
        if cache.is_none() || mounted && !checkout.has_dependencies() {
            let ran = compiler.run(job(CompileMode::Printed), layers, cache).await?;
            if let Some(recipe) = ran.recipe(cache.is_some()) {
                self.recipes.put(&key, Arc::new(recipe));
            }
            if !ran.printed_too_much() {
                return Ok(ran);
            }
        }
        compiler.run(job(CompileMode::Command), layers, cache).await
    }

    /// Compiles a call as it stands, in the form that it needs.
    async fn exact(
        &self,
        wanted: &BuildRequest,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<BuildOutput, BuildError> {
        let BuildRequest { checkout, call, imports } = wanted;
        let compiler = self.compiler();
        let (target, minor) = (Target::of(checkout), compiler.toolchain.minor());
        for form in [ResultForm::Values, ResultForm::Statement] {
            let main_go = render::main_go(&target, call, imports, form, minor);
            let ran = self.attempt(&compiler, checkout, &main_go, layers, cache).await?;
            match ran.complaint().map(|stderr| diagnostics::read(&stderr, call)) {
                Some((Diagnostic::NoValue, _)) if form == ResultForm::Values => continue,
                Some((complaint, text)) => {
                    return Err(refusal(complaint, text, checkout.lacks_cgo()));
                }
                None => {}
            }
            ran.accept()?;
            return Ok(ran);
        }
        Err(BuildError::Broke("the call neither has results nor is a statement".into()))
    }

    /// Compiles a function in the shape that is known or guessed, or else the one that the compiler tells.
    async fn function(
        &self,
        wanted: &BuildRequest,
        function: &FunctionForm,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Option<BuildOutput>, BuildError> {
        let BuildRequest { checkout, call, imports } = wanted;
        let compiler = self.compiler();
        let (target, minor) = (Target::of(checkout), compiler.toolchain.minor());
        let key = shape_key(wanted, function);
        let known = self.shapes.get(&key);
        let mut shape = known.unwrap_or_else(|| Shape::guess(function.argument_count()));
        // What the compiler has told is right.
        let mut told = known.is_some();
        loop {
            if told && !shape.takes(function.argument_count(), function.is_spread()) {
                return Ok(None);
            }
            let main_go = render::function_go(&target, call, function, imports, &shape, minor);
            let ran = self.attempt(&compiler, checkout, &main_go, layers, cache).await?;
            let Some(stderr) = ran.complaint() else {
                ran.accept()?;
                self.shapes.put(&key, shape);
                return Ok(Some(ran));
            };
            match Shape::read(&stderr).filter(|_| !told) {
                Some(found) => {
                    self.shapes.put(&key, found);
                    (shape, told) = (found, true);
                }
                None if diagnostics::is_of_the_call(&stderr) => return Ok(None),
                None => {
                    let (complaint, text) = diagnostics::read(&stderr, call);
                    return Err(refusal(complaint, text, checkout.lacks_cgo()));
                }
            }
        }
    }
}

/// What tells a function from all others: neither a key nor an import path has a line end.
fn shape_key(wanted: &BuildRequest, function: &FunctionForm) -> String {
    let imports: String = wanted.imports.iter().map(|path| format!("{path}\n")).collect();
    format!("{}\n{imports}\n{}", wanted.checkout.key(), function.callee())
}

/// What a recipe depends on.
fn recipe_key(checkout: &Checkout, main_go: &str, layers: &[PathBuf]) -> String {
    let imports = main_go.split_once("import (").and_then(|(_, rest)| rest.split_once("\n)"));
    let imports = imports.map_or(main_go, |(imports, _)| imports);
    let layers: String = layers.iter().map(|layer| format!("{}\n", layer.display())).collect();
    format!("{}\n{imports}\n{layers}", checkout.key())
}

/// What a complaint means for a package of which cgo may have left files out.
fn refusal(complaint: Diagnostic, text: String, lacks_cgo: bool) -> BuildError {
    let outside_the_call = complaint == Diagnostic::Refused && !text.contains("call:");
    if lacks_cgo && (complaint == Diagnostic::NoFunction || outside_the_call) {
        let text = format!("{text}\nfiles of the package need cgo, which is not to be had here");
        return BuildError::Refused(Diagnostic::Cgo, text);
    }
    BuildError::Refused(complaint, text)
}
