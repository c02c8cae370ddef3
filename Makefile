# Everything a person does with this project. `make help` lists it.

CARGO ?= cargo
AGENTS ?= 12
# Where the demo serves HTTP; port 0 picks a free one.
LISTEN ?= $(if $(ONCE),127.0.0.1:0,127.0.0.1:8080)
# The tests run under nextest where it is installed: each in a process of its own, heavy ones in
# groups. Plain `cargo test` runs the same tests.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help build demo test lint fmt doc clean-demo sim sim-planted bench bench-offline bench-clone bench-placement bench-schedules soak-placement

help:
	@echo "make demo          build, start a whole fleet on this machine, and show it at work (Ctrl-C ends it)"
	@echo "make demo ONCE=1   the same, and end by itself: status 0 when everything was seen to happen"
	@echo "make test          run every test; installs the Debian packages it needs"
	@echo "make sim SEEDS=n   run n simulated worlds from FIRST_SEED (one nobody has tried); SEED=x replays one"
	@echo "make sim-planted   plant faults one at a time, and say how many worlds it takes to find each"
	@echo "make bench         how fast everything is, in one table; ONLY=name measures one figure"
	@echo "make bench-offline what offline work costs, in one table; ONLY=name measures one figure"
	@echo "make bench-clone   how long it takes from a fresh clone to the first task placed; builds everything"
	@echo "make bench-placement  how fast the best agent of a million is found, and what sampling loses"
	@echo "make bench-schedules  how fast schedules are"
	@echo "make soak-placement   the placement index against the full scan, millions of times; WORLDS=n"
	@echo "make lint          formatting, lints, documentation and licences, all without a warning"

build:
	$(CARGO) build --workspace --bins

demo: build
	$(CARGO) run --quiet --package cloud-core --bin ambit -- dev --agents $(AGENTS) --listen $(LISTEN) --tour $(if $(ONCE),--once)

test:
	./scripts/prepare
	$(CARGO) build --workspace --bins
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --workspace
	$(CARGO) test --workspace --doc --quiet
else
	$(CARGO) test --workspace
endif
	./scripts/protocol-agent $${CARGO_TARGET_DIR:-target}/debug/ambit
	./scripts/api-properties $${CARGO_TARGET_DIR:-target}/debug/ambit
	./scripts/decide-alike

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny check licenses bans sources; \
	else \
		echo "cargo-deny is not installed: licences and sources are not checked"; \
	fi

# The simulator, on every processor: docs/SIMULATION.md.
SIMULATE = $(CARGO) run --quiet --release --package simulator --bin simulate --features simulate --

sim:
	$(SIMULATE) --seed "$(SEED)" --cut "$(CUT)" $(if $(EVERYTHING),--everything) $(if $(SHRINK),--shrink) \
		--first-seed "$(FIRST_SEED)" --seeds "$(SEEDS)" --agents "$(SIM_AGENTS)"

# Does it bite? Faults are put in on purpose, one at a time, in a build of its own.
sim-planted:
	$(CARGO) run --quiet --release --package simulator --bin simulate --features simulate,planted -- --planted

# What is measured, and how: docs/BENCHMARKS.md. Measures and never asserts: it fails only when
# something does not work.
BENCH = $(CARGO) run --quiet --release --package benchmarks --bin bench --features bench -- \
	$(if $(ONLY),--only "$(ONLY)",$(1))

bench bench-offline:
	$(CARGO) build --quiet --release --bins --package cloud-core --package edge-agent \
		--package benchmarks --features benchmarks/bench
	$(CARGO) build --quiet --profile board --package edge-agent
	$(call BENCH,$(if $(filter bench,$@),speed,offline))

# In a folder of its own, with nothing built: takes as long as it says.
bench-clone:
	@./scripts/bench-clone

# Needs no programs of ours. docs/PLACEMENT.md.
bench-placement:
	$(call BENCH,placement)

bench-schedules:
	$(call BENCH,schedules)

# Worlds of each scene, a thousand questions in each; from a seed that nobody has tried, unless SEED
# names the first.
soak-placement:
	AMBIT_SOAK=$(or $(WORLDS),400) AMBIT_SOAK_SEED=$(or $(SEED),$(shell date +%s)) \
		$(CARGO) test --release --package cloud-core-logic --lib placement::tests::exactness
	AMBIT_SOAK=1 $(CARGO) test --release --package shared --lib geo::distance::tests::nor_over
