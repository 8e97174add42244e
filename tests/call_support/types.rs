//! Types and their declarations.

use super::generate::{ASSIGN, EXPORTED, Generator, NAMES, STRINGS};

impl Generator<'_> {
    pub fn type_(&mut self) {
        self.nested(|g| match g.choose(3, 16) {
            0 | 1 => g.pick(NAMES),
            2 => {
                g.pick(NAMES);
                g.put(".");
                g.pick(EXPORTED);
            }
            3 => {
                g.pick(EXPORTED);
                g.put("[");
                g.list(1, 2, true, Self::type_);
                g.put("]");
            }
            4 | 5 => {
                g.put("[");
                g.put("]");
                g.type_();
            }
            6 => {
                g.put("[");
                g.expression();
                g.put("]");
                g.type_();
            }
            7 => {
                g.put("*");
                g.type_();
            }
            8 => {
                g.put("map");
                g.put("[");
                g.type_();
                g.put("]");
                g.type_();
            }
            9 => {
                let channel: &[&str] = g.random.pick(&[
                    &["chan"][..],
                    &["<-", "chan"],
                    &["chan", "<-"],
                    &["<-", "chan", "<-", "chan"],
                    &["chan", "<-", "chan"],
                ]);
                channel.iter().for_each(|token| g.put(token));
                g.type_();
            }
            10 => {
                g.put("(");
                g.type_();
                g.put(")");
            }
            11 => {
                g.put("func");
                g.signature();
            }
            12 | 13 => g.structure(),
            14 => g.interface(),
            _ => g.pick(EXPORTED),
        });
    }

    pub fn signature(&mut self) {
        self.put("(");
        self.parameters(true);
        self.put(")");
        match self.random.below(4) {
            0 => self.type_(),
            1 => {
                self.put("(");
                self.parameters(false);
                self.put(")");
            }
            _ => {}
        }
    }

    fn parameters(&mut self, variadic: bool) {
        let named = self.random.percent(60);
        let count = self.random.below(4);
        for at in 0..count {
            if at > 0 {
                self.put(",");
            }
            let last = at + 1 == count;
            if named {
                self.any_name(80);
                if !last && self.random.percent(30) {
                    continue;
                }
            }
            if variadic && last && self.random.percent(20) {
                self.put("...");
            }
            self.type_();
        }
        if count > 0 && self.random.percent(10) {
            self.put(",");
        }
    }

    fn structure(&mut self) {
        self.put("struct");
        self.put("{");
        for _ in 0..self.random.below(3) {
            match self.random.below(5) {
                0 => self.pick(EXPORTED),
                1 => {
                    self.put("*");
                    self.pick(NAMES);
                    self.put(".");
                    self.pick(EXPORTED);
                }
                2 => {
                    self.pick(EXPORTED);
                    self.put("[");
                    self.expression();
                    self.put("]");
                    if self.random.percent(50) {
                        self.type_();
                    }
                }
                _ => {
                    self.list(1, 2, false, |g| g.pick(NAMES));
                    self.type_();
                }
            }
            if self.random.percent(20) {
                self.pick(STRINGS);
            }
            self.separator();
        }
        self.put("}");
    }

    fn interface(&mut self) {
        self.put("interface");
        self.put("{");
        for _ in 0..self.random.below(3) {
            if self.random.percent(50) {
                self.pick(EXPORTED);
                self.signature();
            } else {
                self.union();
            }
            self.separator();
        }
        self.put("}");
    }

    fn union(&mut self) {
        for at in 0..1 + self.random.below(3) {
            if at > 0 {
                self.put("|");
            }
            if self.random.percent(30) {
                self.put("~");
            }
            self.type_();
        }
    }

    pub fn type_declaration(&mut self) {
        self.any_name(70);
        match self.random.below(6) {
            0 | 1 => {
                self.put("[");
                for at in 0..1 + self.random.below(2) {
                    if at > 0 {
                        self.put(",");
                    }
                    self.list(1, 2, false, |g| g.pick(NAMES));
                    self.union();
                }
                if self.random.percent(30) {
                    self.put(",");
                }
                self.put("]");
            }
            2 => {
                self.put("[");
                self.expression();
                if self.random.percent(20) {
                    self.put(",");
                }
                self.put("]");
            }
            3 => self.put("="),
            _ => {}
        }
        self.type_();
    }

    pub fn separator(&mut self) {
        let separator = if self.random.percent(60) { ";" } else { "\n" };
        self.put(separator);
    }

    pub fn names(&mut self) {
        self.list(1, 2, false, |g| g.any_name(70));
    }

    pub fn values(&mut self) {
        self.list(1, 2, false, Self::expression);
    }

    pub fn assign(&mut self) {
        let common = self.random.percent(60);
        self.pick(if common { &ASSIGN[..2] } else { ASSIGN });
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.random.percent(percent)
    }

    pub fn word(&mut self, word: &str) {
        self.put(word);
    }

    pub fn one_of(&mut self, all: usize) -> usize {
        self.choose(9, all)
    }

    pub fn deeper(&mut self, inside: impl FnOnce(&mut Self)) {
        self.nested(inside);
    }
}
