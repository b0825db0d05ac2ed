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

bench: build
	/usr/bin/python3 bench/bench.py

clean:
	rm -rf $(BUILD)
