# make demo    ten seconds of a headless desktop, streamed and recorded: demo.mp4, demo.png, a table of the latency
# make test    every test
# Both install what they need on Debian 12 and 13, as root or with sudo. make install [DESTDIR=] [PREFIX=/usr] installs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: build demo test install deps toolchain

PREFIX ?= /usr
RUST_MINOR := 89

BUILD_DEPS := gcc g++ cmake nasm libc6-dev libclang-dev libpipewire-0.3-dev libspa-0.2-dev libxkbcommon-dev pkg-config
RUN_DEPS := systemd dbus dbus-user-session passwd sway libpipewire-0.3-common libpipewire-0.3-modules libspa-0.2-modules
TEST_DEPS := ffmpeg foot fonts-dejavu-core mmdebstrap pipewire procps python3-venv strace systemd-container wireplumber \
	qemu-system-x86 busybox-static cpio kmod xz-utils
DEPS := $(BUILD_DEPS) $(RUN_DEPS) $(if $(filter test,$(MAKECMDGOALS)),$(TEST_DEPS))

# Root where it is needed: nothing if we are root, else sudo.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
# Cargo where its owner has it: under `sudo make` that is who called sudo, not root.
OWNER := $(if $(ROOT),,$(filter-out root,$(SUDO_USER)))
OWNER_HOME := $(if $(OWNER),$(shell getent passwd $(OWNER) | cut -d: -f6),$(HOME))
AS_OWNER := $(if $(OWNER),sudo --user=$(OWNER) --set-home )env PATH="$(OWNER_HOME)/.cargo/bin:$$PATH"
CARGO := $(AS_OWNER) cargo
# Tests that need root get it only when they run, so that what cargo builds stays its owner's.
AS_ROOT := --config 'target."cfg(all())".runner=["sudo", "--preserve-env"]'
CARGO_AS_ROOT := $(if $(ROOT)$(OWNER),$(AS_ROOT))

SYSTEM = $(CARGO) test --release --workspace --test system $(CARGO_AS_ROOT) -- --test-threads=1

SERVICES := vdisplayd captured encoded transportd inputd
# Where cargo puts it.
BUILT := $(or $(CARGO_TARGET_DIR),target)/release

build: deps toolchain
	$(CARGO) build --release --workspace

demo: build
	$(ROOT) target/release/lumen-demo

# One set of packages in each line, so that cargo builds every dependency once.
test: build
	$(CARGO) xtask tidy --install
	$(CARGO) test --release --workspace
	$(CARGO) test --release --workspace --test run $(CARGO_AS_ROOT) -- --include-ignored --test-threads=1
	$(SYSTEM)
	$(if $(ROOT),$(ROOT) --preserve-env) $(BUILT)/xtask kill
	$(if $(ROOT),$(ROOT) --preserve-env) $(BUILT)/xtask soak --minutes 4

install:
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/lib/lumen" "$(DESTDIR)$(PREFIX)/lib/systemd/user"
	install -m755 $(BUILT)/lumenctl $(BUILT)/lumen-probe "$(DESTDIR)$(PREFIX)/bin"
	install -m755 $(SERVICES:%=$(BUILT)/lumen-%) "$(DESTDIR)$(PREFIX)/lib/lumen"
	install -D -m644 packaging/udev/60-lumen.rules "$(DESTDIR)$(PREFIX)/lib/udev/rules.d/60-lumen.rules"
	install -D -m644 packaging/sysusers/lumen.conf "$(DESTDIR)$(PREFIX)/lib/sysusers.d/lumen.conf"
	install -D -m644 packaging/modules-load/lumen.conf "$(DESTDIR)$(PREFIX)/lib/modules-load.d/lumen.conf"
	install -m644 systemd/bus.conf "$(DESTDIR)$(PREFIX)/lib/lumen"
	cd systemd && find . -name 'lumen*' -type f -o -path './lumen*.d/*' -type f | while read -r unit; do \
		install -D -m644 "$$unit" "$(DESTDIR)$(PREFIX)/lib/systemd/user/$$unit"; \
		sed -i 's|/usr/lib/lumen|$(PREFIX)/lib/lumen|g' "$(DESTDIR)$(PREFIX)/lib/systemd/user/$$unit"; done

# Installs only what is missing, so that a machine that has it all is asked for no network and no password.
deps:
	@command -v apt-get >/dev/null || { echo "This is no Debian: what corresponds to $(DEPS) has to be there."; exit 0; }; \
	missing=$$(comm -23 <(printf '%s\n' $(DEPS) | sort -u) \
		<(dpkg-query --show --showformat='$${db:Status-Status} $${Package}\n' $(DEPS) 2>/dev/null | sed -n 's/^installed //p' | sort -u)); \
	[ -z "$$missing" ] || { $(ROOT) apt-get update; \
		$(ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $$missing; }

# Says the one command that mends it. Debian 13 packages rustup, Debian 12 does not.
toolchain:
	@minor=$$($(AS_OWNER) rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p' || true); \
	[ "$${minor:-0}" -lt $(RUST_MINOR) ] || exit 0; \
	if $(AS_OWNER) rustup --version >/dev/null 2>&1; then mend="rustup update stable && rustup default stable"; \
	elif [ -n "$$(apt-cache search --names-only '^rustup$$' 2>/dev/null)" ]; then \
		mend="$(strip $(ROOT) apt-get install --yes rustup) && rustup default stable"; \
	else mend="$(strip $(ROOT) apt-get install --yes curl) && curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"; fi; \
	printf 'lumen needs Rust 1.%s or newer; %s. This mends it:\n  %s\n' $(RUST_MINOR) \
		"$${minor:+this machine has 1.}$${minor:-this machine has none}" "$$mend" >&2; exit 1
