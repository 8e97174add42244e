//! Function literals and the statements in them.

use super::generate::Generator;

impl Generator<'_> {
    pub fn function(&mut self) {
        self.word("func");
        self.deeper(|g| {
            g.signature();
            g.block();
        });
    }

    fn block(&mut self) {
        self.word("{");
        self.statements();
        self.word("}");
    }

    fn statements(&mut self) {
        let count = if self.chance(70) { 1 } else { 2 };
        for at in 0..count {
            if at > 0 {
                self.separator();
            }
            self.deeper(Self::statement);
        }
        if self.chance(20) {
            self.separator();
        }
    }

    fn simple(&mut self) {
        match self.one_of(9) {
            0..=2 => {
                self.names();
                self.word(":=");
                self.values();
            }
            3 | 4 => {
                self.values();
                self.assign();
                self.values();
            }
            5 => {
                self.expression();
                self.word("++");
            }
            6 => {
                self.expression();
                self.word("<-");
                self.expression();
            }
            _ => self.expression(),
        }
    }

    fn statement(&mut self) {
        match self.one_of(22) {
            0..=3 => self.simple(),
            4 => {
                self.word("return");
                if self.chance(70) {
                    self.values();
                }
            }
            5 | 6 => {
                self.word("var");
                self.group(Self::variables);
            }
            7 => {
                self.word("const");
                self.group(Self::constants);
            }
            8 => self.branch(),
            9 | 10 => {
                self.word("type");
                self.group(Self::type_declaration);
            }
            11 => self.block(),
            12 | 13 => self.if_else(),
            14 | 15 => self.for_loop(),
            16 | 17 => self.switch(),
            18 => self.type_switch(),
            19 => self.select(),
            20 => {
                let word = if self.chance(50) { "go" } else { "defer" };
                self.word(word);
                self.expression();
                self.word("(");
                self.word(")");
            }
            _ => {
                self.word("Loop");
                self.word(":");
                if self.chance(80) {
                    self.statement();
                }
            }
        }
    }

    fn group(&mut self, one: fn(&mut Self)) {
        if !self.chance(25) {
            return one(self);
        }
        self.word("(");
        for _ in 0..2 {
            if self.chance(70) {
                one(self);
                self.separator();
            }
        }
        self.word(")");
    }

    fn variables(&mut self) {
        self.names();
        let typed = self.chance(60);
        if typed {
            self.type_();
        }
        if !typed || self.chance(40) {
            self.word("=");
            self.values();
        }
    }

    fn constants(&mut self) {
        self.names();
        if self.chance(30) {
            self.type_();
        }
        if self.chance(80) {
            self.word("=");
            self.values();
        }
    }

    fn branch(&mut self) {
        if self.chance(20) {
            return self.word("fallthrough");
        }
        let word = if self.chance(50) { "break" } else { "continue" };
        self.word(word);
        if self.chance(50) {
            self.word("Loop");
        } else if self.chance(30) {
            self.word(";");
            self.word("goto");
            self.word("Loop");
        }
    }

    fn header(&mut self) {
        if self.chance(40) {
            self.simple();
            self.separator();
        }
    }

    fn if_else(&mut self) {
        self.word("if");
        self.header();
        self.expression();
        self.block();
        if self.chance(40) {
            self.word("else");
            if self.chance(50) { self.block() } else { self.if_else() }
        }
    }

    fn for_loop(&mut self) {
        self.word("for");
        match self.one_of(9) {
            0 => {}
            1 => self.expression(),
            2..=4 => {
                self.names();
                let assign = if self.chance(70) { ":=" } else { "=" };
                self.word(assign);
                self.word("range");
                self.expression();
            }
            5 => {
                self.word("range");
                self.expression();
            }
            _ => {
                if self.chance(70) {
                    self.simple();
                }
                self.word(";");
                if self.chance(70) {
                    self.expression();
                }
                self.word(";");
                if self.chance(70) {
                    self.simple();
                }
            }
        }
        self.block();
    }

    fn cases(&mut self, case: fn(&mut Self)) {
        self.word("{");
        for _ in 0..2 {
            if self.chance(60) {
                self.word("case");
                case(self);
                self.word(":");
                self.statements();
                self.separator();
            }
        }
        if self.chance(30) {
            self.word("default");
            self.word(":");
            self.statements();
        }
        self.word("}");
    }

    fn switch(&mut self) {
        self.word("switch");
        self.header();
        if self.chance(60) {
            self.expression();
        }
        self.cases(Self::values);
    }

    fn type_switch(&mut self) {
        self.word("switch");
        self.header();
        if self.chance(60) {
            let name = if self.chance(60) { "v" } else { "Foo" };
            self.word(name);
            self.word(":=");
        }
        self.word("x");
        for token in [".", "(", "type", ")"] {
            self.word(token);
        }
        self.cases(Self::type_);
    }

    fn select(&mut self) {
        self.word("select");
        self.cases(|g| match g.one_of(9) {
            0..=2 => {
                g.expression();
                g.word("<-");
                g.expression();
            }
            3..=5 => {
                g.names();
                let assign = if g.chance(70) { ":=" } else { "=" };
                g.word(assign);
                g.word("<-");
                g.expression();
            }
            _ => {
                g.word("<-");
                g.expression();
            }
        });
    }
}
