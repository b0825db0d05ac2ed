# SPDX-License-Identifier: Apache-2.0
# A thin front for meson: the targets that people type. BUILD is the build directory.
BUILD ?= build
PREFIX ?= /usr/local
MESON_FLAGS ?=

.PHONY: build install uninstall check bench clean

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD)
	@ln -sf src/cmd/creel/creel $(BUILD)/creel

$(BUILD)/build.ninja:
	meson setup $(BUILD) --prefix="$(PREFIX)" $(MESON_FLAGS)

install: build
	@meson configure $(BUILD) -Dprefix="$(PREFIX)"
	DESTDIR="$(DESTDIR)" meson install -C $(BUILD)

uninstall:
	ninja -C $(BUILD) uninstall

check:
	./check

# The second build can leave out what the benchmark weighs (CREEL_ABLATE): it is for nothing else.
bench: build
	@ninja -C $(BUILD) src/audit/bench-audit src/store/bench-store
	@test -e $(BUILD)/ablation/build.ninja || \
		meson setup $(BUILD)/ablation -Dablation=true -Dtests=disabled
	@ninja -C $(BUILD)/ablation src/cmd/creel/creel
	CREEL_BUILD="$(BUILD)" /usr/bin/python3 bench/bench.py $(BENCH_FLAGS)

clean:
	rm -rf $(BUILD)
