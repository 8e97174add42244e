# Works with GNU make and BSD make. `make demo` shows the main job, `make test` runs every test; both first install what
# is missing, and say so. All recipes go through scripts/with-tools.sh, which finds or installs compiler, Rust and Go.

TOOLS = sh scripts/with-tools.sh

.PHONY: all build demo run test test-freebsd lint bench clean

all: build

build:
	@$(TOOLS) cargo build --release --locked

demo: build
	@$(TOOLS) sh scripts/demo.sh

run: build
	@$(TOOLS) target/release/sky-island serve

test:
	@$(TOOLS) sh scripts/test.sh

# The promises of islands on a FreeBSD host that init has prepared; elsewhere it says that it needs one.
test-freebsd:
	@sh scripts/test-freebsd.sh

lint:
	@$(TOOLS) sh scripts/lint.sh

bench:
	@$(TOOLS) cargo bench --locked --bench cached_call

clean:
	rm -rf target
