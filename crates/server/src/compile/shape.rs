//! The shape of a function: how many parameters and results it has.
//!
//! The shape is guessed from a call. Where the guess is wrong, Go's compiler prints the type of the
//! function, and that text is read here: `func(format string, a ...any) (n int, err error)`.

/// The beginning of the compiler's diagnostic about a wrong guess.
const WRONG_GUESS: &str = "in call to sky_island_shape, type func";
/// A call with more arguments than this gets the shape from the compiler at once.
const MOST_GUESSED: usize = 16;

/// The shape of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many parameters there are; the list of a variadic function is one.
    pub parameters: usize,
    /// Whether the last parameter is a list.
    pub variadic: bool,
    /// How many results there are.
    pub results: usize,
}

impl Shape {
    /// The most likely shape for a call with this number of arguments.
    pub fn guess(arguments: usize) -> Self {
        Self { parameters: arguments.min(MOST_GUESSED), variadic: false, results: 1 }
    }

    /// The shape that the compiler found instead of the guessed one, if that is its diagnostic.
    pub fn read(stderr: &str) -> Option<Self> {
        let (_, text) = stderr.split_once(WRONG_GUESS)?;
        let mut rest = text;
        let parameters = list(&mut rest)?;
        let variadic = parameters.last().is_some_and(|last| {
            last.starts_with("...")
                || last.split_once(' ').is_some_and(|(_, t)| t.starts_with("..."))
        });
        let results = if rest.starts_with(" of ") {
            0
        } else if let Some(mut results) = rest.strip_prefix(' ').filter(|r| r.starts_with('(')) {
            list(&mut results)?.len()
        } else {
            1
        };
        Some(Self { parameters: parameters.len(), variadic, results })
    }

    /// Whether a function of this shape can be called with this number of arguments.
    pub fn takes(&self, arguments: usize, spread: bool) -> bool {
        match (self.variadic, spread) {
            (true, false) => arguments + 1 >= self.parameters,
            (false, true) => false,
            (true, true) | (false, false) => arguments == self.parameters,
        }
    }
}

/// The elements of the list in brackets at the beginning of a text; the text then begins after the
/// list.
fn list<'t>(text: &mut &'t str) -> Option<Vec<&'t str>> {
    let inside = text.strip_prefix('(')?;
    let (mut elements, mut begin, mut depth) = (Vec::new(), 0, 0);
    let mut bytes = inside.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            // A tag in a struct type.
            b'"' => skip_string(&mut bytes)?,
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => {
                let last = inside[begin..at].trim();
                if !last.is_empty() {
                    elements.push(last);
                }
                *text = &inside[at + 1..];
                return Some(elements);
            }
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                elements.push(inside[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// Skips to the quote that ends a string.
fn skip_string(bytes: &mut impl Iterator<Item = (usize, u8)>) -> Option<()> {
    loop {
        match bytes.next()?.1 {
            b'"' => return Some(()),
            b'\\' => _ = bytes.next()?,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_read_from_the_compilers_diagnostic() {
        let table = [
            ("func(f string, a ...interface{}) string", (2, true, 1)),
            ("func(a int) (int, error)", (1, false, 2)),
            ("func(a int)", (1, false, 0)),
            ("func()", (0, false, 0)),
            ("func() int", (0, false, 1)),
            ("func(...int)", (1, true, 0)),
            (
                "func(a int, b func(x ...int) (int, error), c map[string][]int) func(int, int)",
                (3, false, 1),
            ),
            ("func(func(...int))", (1, false, 0)),
            ("func(struct{A, B int \"json:\\\"a,)b\\\"\"}, int) (err error)", (2, false, 1)),
            (
                "func(a [2]struct{F func() (int, int)}, b ...[]int) (a int, b func() (int, int), err error)",
                (2, true, 3),
            ),
            ("func(ctx context.Context, of string) <-chan int", (2, false, 1)),
            (
                "func(p example.com/m.Pair[int, string]) example.com/m.List[example.com/m.Pair[int, string]]",
                (1, false, 1),
            ),
        ];
        for (text, (parameters, variadic, results)) in table {
            let expected = Shape { parameters, variadic, results };
            for diagnostic in [
                format!(
                    "# m\n/call:1:1: in call to sky_island_shape, type {text} of m.F does not match func(sky_island_A0) sky_island_R0 (cannot infer sky_island_A0 and sky_island_R0)\nmore"
                ),
                format!(
                    "/call:1:1: in call to sky_island_shape, type {text} of F does not match inferred type func(int, int) int for func(sky_island_A0, sky_island_A1) sky_island_R0"
                ),
            ] {
                assert_eq!(Shape::read(&diagnostic), Some(expected), "{text}");
            }
        }
    }

    #[test]
    fn other_diagnostics_name_no_shape() {
        for diagnostic in [
            "",
            "/call:1:1: undefined: F",
            "/call:1:1: cannot use generic function F without instantiation",
            "/call:1:1: in call to sky_island_shape, type HandlerFunc of F does not match func(sky_island_A0)",
            "/call:1:1: in call to sky_island_shape, type func(a int",
            "/call:1:1: in call to F, type func(a int) of F does not match",
        ] {
            assert_eq!(Shape::read(diagnostic), None, "{diagnostic}");
        }
    }

    #[test]
    fn a_call_has_as_many_arguments_as_the_function_has_parameters() {
        let shape = |parameters, variadic| Shape { parameters, variadic, results: 1 };
        for (shape, arguments, spread, expected) in [
            (shape(2, false), 2, false, true),
            (shape(2, false), 1, false, false),
            (shape(2, false), 3, false, false),
            (shape(2, false), 2, true, false),
            (shape(2, true), 0, false, false),
            (shape(2, true), 1, false, true),
            (shape(2, true), 5, false, true),
            (shape(2, true), 2, true, true),
            (shape(2, true), 3, true, false),
            (shape(0, false), 0, false, true),
        ] {
            assert_eq!(shape.takes(arguments, spread), expected, "{shape:?} {arguments} {spread}");
        }
    }
}
