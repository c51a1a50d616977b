# The one door. `make demo` and `make test` each work as the only command on a fresh clone.
BIN := .venv/bin
TEST := $(BIN)/pytest -q
# What Python has compiled is kept: the processes that tests start would each compile it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv kernels servers browser sandbox demo check format docs test test-long trust trust-long bench dist lock clean

venv: .venv/.complete

.venv/.complete: requirements.lock pyproject.toml tools/venv.sh
	sh tools/venv.sh

kernels: venv ## the compiled twins of what touches every byte, from C; optional, results are the same without them
	@sh tools/kernels.sh

servers: ## the servers that tests start, from Debian's packages and npm where they are missing
	@sh tools/servers.sh
	@sh tools/stores.sh

browser: ## the Chromium in which tests look at pages, from Debian's package where it is missing
	@sh tools/browser.sh

sandbox: ## the namespaces in which tests run sandboxes, from Debian's package where it is missing
	@sh tools/sandbox.sh

demo: venv ## a real data set, compiled, run twice, verified, tampered with and refused
	rm -rf demo-project
	$(BIN)/osiris demo demo-project
	@echo "osiris is not on the PATH yet: run 'source .venv/bin/activate' first"

check: venv ## format, lint, types, imports, generated pages, words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/docs.py --check
	$(BIN)/python tools/rooms.py
	$(BIN)/python tools/words.py names texts

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: venv ## write the generated reference pages
	$(BIN)/python tools/docs.py
	$(BIN)/python tools/docs.py reference/types.md
	$(BIN)/python tools/docs.py reference/server-types.md

test: venv kernels servers browser sandbox ## the quicker tests, small N, some cases of tests with many, seeds printed
	$(TEST) -n 2 --dist loadfile --no-loadscope-reorder --sample -m "not long and not bench and not trust"

test-long: venv kernels servers browser sandbox ## every test and case, the large N, every command by the console script
	$(TEST) --installed -m "not bench"

trust: venv kernels servers browser sandbox ## everything that is tried against Osiris, small N; writes RELIABILITY.md
	$(BIN)/python -m bench.trust

trust-long: venv kernels servers browser sandbox ## the same with the N of the promises; hours
	$(BIN)/python -m bench.trust --long

bench: venv kernels servers browser sandbox ## every figure; times are asserted only here, as ratios of medians in one run
	$(TEST) -m bench
	$(BIN)/python -m bench

dist: venv ## wheel, source distribution, locked requirements and SBOM in dist/: the same bytes everywhere
	$(BIN)/python tools/dist.py

lock: ## resolve the lock again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--extra dev --upgrade --quiet pyproject.toml --output-file requirements.lock
	$(BIN)/python tools/lock.py

clean:
	rm -rf .venv* demo-project dist bench/data
