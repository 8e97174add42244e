//! Which program is made of a call, and how it is compiled: attempts, each of which the compiler's complaint leads on from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::compile::{BuildError, Compiler, Job, Ran};
use super::remembered::Remembered;
use super::render::{self, Form, Target};
use super::shape::Shape;
use super::{Complaint, Wanted, diagnose};
use crate::call::FunctionForm;

/// Functions whose shapes are remembered, and for how long: a shape stays true for its checkout, so this only lets go of
/// what nobody asks for any more.
const SHAPES: usize = 4096;
const SHAPE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Which program is made of a call.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// The call as it stands.
    Exact,
    /// The function, which receives the arguments at run time.
    Function(FunctionForm),
}

/// Compiles programs, and learns what functions look like.
pub(super) struct Programs {
    compiler: ArcSwap<Compiler>,
    shapes: Remembered<Shape>,
}

impl Programs {
    pub(super) fn new(compiler: Compiler) -> Self {
        let compiler = ArcSwap::from_pointee(compiler);
        Self { compiler, shapes: Remembered::new(SHAPES, SHAPE_AGE) }
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
    pub(super) fn may_take(&self, wanted: &Wanted, function: &FunctionForm) -> bool {
        let shape = self.shapes.get(&shape_key(wanted, function));
        shape.is_none_or(|shape| shape.takes(function.argument_count(), function.is_spread()))
    }

    /// Compiles a plan; none if there is no such function form.
    pub(super) async fn compile(
        &self,
        wanted: &Wanted,
        plan: &Plan,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Option<Ran>, BuildError> {
        match plan {
            Plan::Exact => self.exact(wanted, layers, cache).await.map(Some),
            Plan::Function(function) => self.function(wanted, function, layers, cache).await,
        }
    }

    /// Compiles a call as it stands, in the form that it needs.
    async fn exact(
        &self,
        wanted: &Wanted,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Ran, BuildError> {
        let Wanted { checkout, call, imports } = wanted;
        let compiler = self.compiler();
        let (target, minor) = (Target::of(checkout), compiler.toolchain.minor());
        for form in [Form::Values, Form::Statement] {
            let main_go = render::main_go(&target, call, imports, form, minor);
            let job = Job::Program { checkout, main_go: &main_go };
            let ran = compiler.run(job, layers, cache).await?;
            match ran.complaint().map(|stderr| diagnose::read(&stderr, call)) {
                Some((Complaint::NoValue, _)) if form == Form::Values => continue,
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
        wanted: &Wanted,
        function: &FunctionForm,
        layers: &[PathBuf],
        cache: Option<&Path>,
    ) -> Result<Option<Ran>, BuildError> {
        let Wanted { checkout, call, imports } = wanted;
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
            let job = Job::Program { checkout, main_go: &main_go };
            let ran = compiler.run(job, layers, cache).await?;
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
                None if diagnose::is_of_the_call(&stderr) => return Ok(None),
                None => {
                    let (complaint, text) = diagnose::read(&stderr, call);
                    return Err(refusal(complaint, text, checkout.lacks_cgo()));
                }
            }
        }
    }
}

/// What tells a function from all others: neither a key nor an import path has a line end.
fn shape_key(wanted: &Wanted, function: &FunctionForm) -> String {
    let imports: String = wanted.imports.iter().map(|path| format!("{path}\n")).collect();
    format!("{}\n{imports}\n{}", wanted.checkout.key(), function.callee())
}

/// What a complaint means for a package of which cgo may have left files out.
fn refusal(complaint: Complaint, text: String, lacks_cgo: bool) -> BuildError {
    let outside_the_call = complaint == Complaint::Refused && !text.contains("call:");
    if lacks_cgo && (complaint == Complaint::NoFunction || outside_the_call) {
        let text = format!("{text}\nfiles of the package need cgo, which is not to be had here");
        return BuildError::Refused(Complaint::Cgo, text);
    }
    BuildError::Refused(complaint, text)
}
