// Oracle answers for texts on standard input what Go's own parser says about them as calls.
//
// Each text is preceded by its length in bytes and a newline. Each answer is a line of fields
// separated by tabs, in the order of type answer. With the argument "classes" it prints instead
// the version of Unicode and the ranges of Go's letters, digits and upper-case letters.
package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"unicode"
)

type answer struct {
	expression bool   // parser.ParseExpr takes it
	argument   bool   // it is the one argument of the one call in the generated main
	statement  bool   // it is the one expression statement in the generated main
	comment    bool   // there is a comment in it
	guard      bool   // there is a .(type) outside the header of a type switch
	qualifier  string // what stands before the first operand, if that is exported
	function   string // the first operand's exported identifier, or nothing
	column     int    // its offset
	packages   string // name:Exported,Exported;name:Exported, or ? if the parser cannot tell
	names      string // Exported,Exported
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "classes" {
		classes()
		return
	}
	in := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return
		}
		length, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		text := make([]byte, length)
		if _, err := io.ReadFull(in, text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		a := ask(string(text))
		fmt.Fprintf(out, "%t\t%t\t%t\t%t\t%t\t%s\t%s\t%d\t%s\t%s\n", a.expression, a.argument,
			a.statement, a.comment, a.guard, a.qualifier, a.function, a.column, a.packages, a.names)
	}
}

func ask(text string) (a answer) {
	_, err := parser.ParseExpr(text)
	a.expression = err == nil
	whole, file, comment := generated("fmt.Print(\n", text, ")", func(s ast.Stmt) ast.Expr {
		print, ok := s.(*ast.ExprStmt).X.(*ast.CallExpr)
		if !ok || len(print.Args) != 1 || print.Ellipsis.IsValid() {
			return nil
		}
		selector, ok := print.Fun.(*ast.SelectorExpr)
		if !ok {
			return nil
		}
		if name, ok := selector.X.(*ast.Ident); !ok || name.Name != "fmt" {
			return nil
		}
		return print.Args[0]
	})
	a.argument = whole != nil
	a.comment = comment
	statement, _, _ := generated("", text, "", func(s ast.Stmt) ast.Expr {
		return s.(*ast.ExprStmt).X
	})
	a.statement = statement != nil
	if whole != nil {
		a.guard = hasLooseGuard(whole)
		qualifier, function := firstOperand(whole)
		if function != nil {
			a.qualifier, a.function = qualifier, function.Name
			a.column = int(function.Pos() - whole.Pos())
		}
		a.packages, a.names = "?", "?"
		if !isUnresolvable(whole) {
			a.packages, a.names = outerNames(file, whole)
		}
	}
	return a
}

// generated parses a file whose main is the text between before and after, and answers the
// expression if main is one statement, the expression in it is exactly the text, and the file has
// no comment besides our own.
func generated(before, text, after string, pick func(ast.Stmt) ast.Expr) (ast.Expr, *ast.File, bool) {
	const directive = "/*line call:1:1*/"
	begin := "package main\n\nfunc main() {\n" + before + directive
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "main.go", begin+text+after+"\n}\n", parser.ParseComments)
	comment := file != nil && (len(file.Comments) != 1 || len(file.Comments[0].List) != 1 ||
		file.Comments[0].List[0].Text != directive)
	if err != nil || comment || len(file.Decls) != 1 {
		return nil, nil, comment
	}
	function, ok := file.Decls[0].(*ast.FuncDecl)
	if !ok || function.Name.Name != "main" || len(function.Body.List) != 1 {
		return nil, nil, false
	}
	if _, ok := function.Body.List[0].(*ast.ExprStmt); !ok {
		return nil, nil, false
	}
	x := pick(function.Body.List[0])
	if x == nil {
		return nil, nil, false
	}
	offset := func(p token.Pos) int { return set.PositionFor(p, false).Offset }
	if offset(x.Pos()) != len(begin) || offset(x.End()) != len(begin)+len(text) {
		return nil, nil, false
	}
	return x, file, false
}

func firstOperand(x ast.Expr) (string, *ast.Ident) {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			if e.IsExported() {
				return "", e
			}
			return "", nil
		case *ast.SelectorExpr:
			name, ok := e.X.(*ast.Ident)
			if ok && !name.IsExported() && e.Sel.IsExported() {
				return name.Name, e.Sel
			}
			x = e.X
		case *ast.UnaryExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		case *ast.BinaryExpr:
			x = e.X
		case *ast.CallExpr:
			x = e.Fun
		case *ast.IndexExpr:
			x = e.X
		case *ast.IndexListExpr:
			x = e.X
		case *ast.SliceExpr:
			x = e.X
		case *ast.TypeAssertExpr:
			x = e.X
		case *ast.CompositeLit:
			x = e.Type
		default:
			return "", nil
		}
	}
}

// hasLooseGuard tells whether there is a .(type) outside the header of a type switch.
func hasLooseGuard(x ast.Expr) bool {
	proper := map[ast.Expr]bool{}
	loose := false
	ast.Inspect(x, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSwitchStmt:
			switch s := n.Assign.(type) {
			case *ast.ExprStmt:
				proper[s.X] = true
			case *ast.AssignStmt:
				proper[s.Rhs[0]] = true
			}
		case *ast.TypeAssertExpr:
			loose = loose || n.Type == nil && !proper[n]
		}
		return true
	})
	return loose
}

// isUnresolvable tells whether the parser's own resolution of names does not hold: it leaves the
// type parameters of one declaration visible to the next ones in the same parentheses, and does
// not look at targets of := that are not names (which the compiler refuses).
func isUnresolvable(x ast.Expr) bool {
	found := false
	targets := func(tok token.Token, list ...ast.Expr) {
		for _, target := range list {
			_, isName := target.(*ast.Ident)
			found = found || tok == token.DEFINE && target != nil && !isName
		}
	}
	ast.Inspect(x, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			targets(n.Tok, n.Lhs...)
		case *ast.RangeStmt:
			targets(n.Tok, n.Key, n.Value)
		case *ast.GenDecl:
			for at, spec := range n.Specs {
				kind, ok := spec.(*ast.TypeSpec)
				found = found || ok && kind.TypeParams != nil && at+1 < len(n.Specs)
			}
		}
		return true
	})
	return found
}

// outerNames lists what the parser could not resolve within the expression.
func outerNames(file *ast.File, x ast.Expr) (string, string) {
	packages := map[string]map[string]bool{}
	names := map[string]bool{}
	outer := map[*ast.Ident]bool{}
	for _, name := range file.Unresolved {
		if name.Pos() >= x.Pos() && name.Pos() < x.End() {
			outer[name] = true
			if name.IsExported() {
				names[name.Name] = true
			}
		}
	}
	ast.Inspect(x, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if name, ok := n.X.(*ast.Ident); ok && outer[name] && n.Sel.IsExported() {
				if packages[name.Name] == nil {
					packages[name.Name] = map[string]bool{}
				}
				packages[name.Name][n.Sel.Name] = true
			}
		case *ast.CompositeLit:
			switch n.Type.(type) {
			case *ast.MapType, *ast.ArrayType:
				for _, element := range n.Elts {
					pair, ok := element.(*ast.KeyValueExpr)
					if !ok {
						continue
					}
					if key, ok := pair.Key.(*ast.Ident); ok && key.Obj == nil && key.IsExported() {
						names[key.Name] = true
					}
				}
			}
		}
		return true
	})
	var list []string
	for _, name := range sorted(packages) {
		list = append(list, name+":"+strings.Join(sorted(packages[name]), ","))
	}
	return strings.Join(list, ";"), strings.Join(sorted(names), ",")
}

func sorted[V any](set map[string]V) []string {
	list := make([]string, 0, len(set))
	for name := range set {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}

func classes() {
	fmt.Println(unicode.Version)
	for _, class := range []func(rune) bool{unicode.IsLetter, unicode.IsDigit, unicode.IsUpper} {
		for first, r := rune(-1), rune(0); r <= unicode.MaxRune+1; r++ {
			if class(r) {
				if first < 0 {
					first = r
				}
			} else if first >= 0 {
				fmt.Printf("%d-%d ", first, r-1)
				first = -1
			}
		}
		fmt.Println()
	}
}
