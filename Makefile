# Works with GNU make and BSD make. `make demo` shows the main job, `make check` runs the quick tests and `make test` every
# test; each first installs what is missing, and says so. What compiles goes through scripts/with-tools.sh, which finds or installs compiler, Rust and Go.
# `make install` and `make deinstall` obey PREFIX and DESTDIR, and OS (FreeBSD or Linux) where it is not this host's.

TOOLS = sh scripts/with-tools.sh
PREFIX ?= /usr/local
INSTALL = PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" OS="$(OS)" PROGRAM="$(PROGRAM)" MAKE="$(MAKE)" sh scripts/install.sh

.PHONY: all build demo run docs check test test-freebsd test-zfs test-zfs-long test-vm torture lint minimum-rust bench freebsd clean install deinstall

all: build

# The program is dated by its last build, be it that nothing had to be compiled: `make install` looks whether it is older
# than its source.
build:
	@$(TOOLS) cargo build --release --locked
	@touch -c target/release/sky-island

demo: build
	@$(TOOLS) sh scripts/demo.sh

run: build
	@$(TOOLS) target/release/sky-island serve

# What is written from the program's own definitions.
docs:
	@$(TOOLS) cargo run --quiet --locked -- config reference >docs/configuration.md
	@SKY_ISLAND_WRITE_DOCS=1 $(TOOLS) cargo test --quiet --locked -p server --lib -- metrics openapi

# The tests that need no island, no root and no network: less than a minute once everything is compiled.
check:
	@$(TOOLS) sh scripts/test.sh --check

# Every test, or those of TEST: a program below tests/, a crate below crates/, or a part of tests' names. What follows
# after a program or a crate is a part of its tests' names: make test TEST="sandbox warm::limits".
test:
	@$(TOOLS) sh scripts/test.sh $(TEST)

# The promises of islands on a FreeBSD host that init has prepared; elsewhere it says that it needs one.
test-freebsd:
	@sh scripts/test-freebsd.sh

# The storage of FreeBSD's islands on a real pool: this host's, or a small guest's where one is at hand.
test-zfs:
	@$(TOOLS) sh scripts/test-zfs.sh

# The tests of those that take too long for every day: init interrupted at each of its commands.
test-zfs-long:
	@SKY_ISLAND_TEST_DEADLINE=3600 $(TOOLS) sh scripts/test-zfs.sh --ignored

# Islands and the service on a real Debian with systemd and cgroups of version 2, in a guest: up to 40 minutes.
test-vm:
	@$(TOOLS) sh scripts/test-vm.sh $(TEST)

# The program at the ends of what a host can do to it: about 25 minutes, and one table. PART= runs some of it.
torture:
	@$(TOOLS) sh scripts/torture.sh $(PART)

lint:
	@$(TOOLS) sh scripts/lint.sh

# Whether the program compiles with the oldest Rust that Cargo.toml declares.
minimum-rust:
	@$(TOOLS) sh scripts/minimum-rust.sh

# What calls cost beside what they are compared with; docs/performance.md explains the table.
bench:
	@$(TOOLS) cargo bench --locked --bench table

freebsd:
	@$(TOOLS) sh scripts/freebsd.sh

clean:
	rm -rf target

install:
	@$(INSTALL) install

deinstall:
	@$(INSTALL) deinstall
