# holdfast: one non-recursive Makefile. It is also the map of what runs in which process: every
# program lists its sources here, and there is no archive that could pull in more.
#
#   make            release build: build/release/bin (musl, static; but for holdfast-secrets-remote)
#                   and build/host/bin (tools)
#   make asan       the same programs under AddressSanitizer and UBSan: build/asan/bin
#   make check      installs what is missing, builds both, lints, and runs every test
#   make image      builds all that images/build makes of images/demo (as root)
#   make run        builds the demo image and boots it (as root); QEMU=1: on a machine of its own
#   make bench | fuzz | soak | lint | install DESTDIR= PREFIX= | clean

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-builtin-rules
.SUFFIXES:

VERSION     := $(shell cat VERSION)
ARCH        := $(shell uname -m)
MULTIARCH   := $(ARCH)-linux-gnu
PREFIX      ?= /usr
# All programs lie beside each other: PID 1 finds its own by where it lies itself.
LIBEXECDIR  := $(PREFIX)/lib/holdfast
B           := build

# ---------------------------------------------------------------- programs and their sources

LIB_CORE    := lib/fd.c lib/elf.c lib/io.c lib/str.c lib/path.c lib/clock.c lib/json.c lib/event.c lib/sys.c lib/crash.c
LIB_FINGER  := lib/fingerprint.c lib/siphash.c lib/unescape.c
LIB_SHARED  := lib/store.c lib/plan.c lib/board.c lib/journal.c lib/proto.c lib/gateboard.c
UNITS       := $(wildcard units/*.c)
LIB_LOCK    := lib/sandbox.c lib/landlock.c

# Where a list is still a wildcard the program is one folder and nothing else.
holdfast_SRCS             := $(wildcard init/pid1/*.c) lib/machine.c lib/options.c lib/proc.c lib/room.c lib/signals.c \
                             lib/termination.c $(LIB_CORE) $(LIB_SHARED)
holdfast-boot_SRCS        := $(wildcard init/boot/*.c) lib/options.c lib/reference.c lib/resolvconf.c lib/signals.c lib/termination.c \
                             lib/template.c lib/trust.c lib/walk.c lib/ring.c lib/secretfile.c lib/secretreport.c \
                             lib/condition.c lib/secretrequest.c lib/mountinfo.c lib/proc.c lib/room.c lib/tty.c lib/landlock.c lib/device.c lib/dm.c $(LIB_FINGER) $(UNITS) $(LIB_CORE) $(LIB_SHARED)
holdfast-supervisor_SRCS  := $(wildcard supervisor/*.c) lib/condition.c lib/landlock.c lib/proc.c lib/reference.c lib/secretfile.c lib/secretreport.c \
                             lib/secretrequest.c lib/scrub.c lib/signals.c lib/template.c lib/trust.c lib/walk.c lib/termination.c $(LIB_FINGER) \
                             $(LIB_CORE) $(LIB_SHARED)
holdfast-log_SRCS         := $(wildcard log/*.c) lib/ring.c $(LIB_LOCK) lib/scan.c lib/scrub.c \
                             $(LIB_FINGER) $(LIB_CORE) $(LIB_SHARED)
holdfast-health_SRCS      := $(wildcard health/*.c) lib/protection.c lib/ring.c $(LIB_LOCK) $(LIB_CORE) $(LIB_SHARED)
holdfast-gate_SRCS        := $(wildcard gate/*.c) lib/mountinfo.c lib/proc.c $(LIB_LOCK) $(LIB_CORE) $(LIB_SHARED)
SECRETS                   := secrets/main.c secrets/run.c secrets/collect.c secrets/source.c \
                             secrets/certificate.c secrets/hide.c lib/secretfile.c lib/secretrequest.c lib/secretreport.c \
                             $(LIB_LOCK) $(LIB_FINGER) $(LIB_CORE) $(LIB_SHARED)
holdfast-secrets_SRCS     := secrets/local.c $(SECRETS)
# The one program that is not of the image's libc alone: it speaks TLS.
holdfast-secrets-remote_SRCS := secrets/remote.c secrets/identity.c secrets/pick.c secrets/shared.c \
                             secrets/secmem.c secrets/address.c secrets/http.c secrets/easy.c \
                             secrets/pace.c secrets/trust.c secrets/decode.c secrets/state.c \
                             secrets/sign.c secrets/endpoint.c secrets/imds.c secrets/aws.c \
                             secrets/awscall.c secrets/awserror.c secrets/awsref.c secrets/ssm.c secrets/asm.c \
                             secrets/lease.c secrets/vault.c secrets/vaultauth.c \
                             secrets/vaultcall.c secrets/vaultconf.c secrets/vaultmount.c \
                             secrets/vaultread.c secrets/vaultref.c secrets/vaultwrap.c \
                             secrets/vaultaws.c $(SECRETS)
holdfast-secrets-remote_LIBS := -lcurl -lssl -lcrypto -lcjson
holdfastctl_SRCS          := $(wildcard ctl/*.c) $(LIB_LOCK) lib/proc.c lib/protection.c lib/ring.c lib/scan.c $(LIB_CORE) $(LIB_SHARED)
holdfast-check_SRCS       := tools/check.c tools/image.c tools/unpack.c tools/oci.c tools/lint.c \
                             tools/lint_files.c tools/lint_secrets.c lib/reference.c lib/resolvconf.c lib/signals.c \
                             lib/template.c lib/trust.c lib/walk.c $(UNITS) $(LIB_CORE) $(LIB_SHARED)
holdfast-explain_SRCS     := tools/explain.c tools/failures.c tools/refusals.c tools/evidence.c $(LIB_CORE)
# Run by dhcpcd for each thing that it hears (units/dist/dhcpcd.service).
holdfast-lease_SRCS       := $(wildcard network/*.c) lib/resolvconf.c $(LIB_LOCK) $(LIB_CORE)
# In PID 1's room, under the names of shells.
holdfast-refuse_SRCS      := init/refuse/main.c
# /init of an initramfs: in no image, but in what boots one (images/initramfs.py).
holdfast-initramfs_SRCS   := init/initramfs/main.c init/initramfs/cmdline.c init/initramfs/early.c \
                             init/initramfs/end.c init/initramfs/modules.c lib/device.c \
                             lib/dm.c init/initramfs/verity.c init/initramfs/root.c \
                             init/initramfs/switch.c lib/tty.c lib/machine.c $(LIB_CORE)

# In the image: static, linked to libc alone. Beside it: the offline tools.
IMAGE_PROGRAMS := holdfast holdfast-boot holdfast-supervisor holdfast-log holdfast-health \
                  holdfast-gate holdfast-secrets holdfastctl holdfast-lease holdfast-refuse
INITRAMFS_PROGRAM := holdfast-initramfs
REMOTE_PROGRAM := holdfast-secrets-remote
TOOL_PROGRAMS  := holdfast-check holdfast-explain
holdfast-check_LIBS := -larchive -lcjson
holdfast-explain_LIBS := -lcjson

# ---------------------------------------------------------------- flavours

WARN     := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -Wformat=2 -Wundef -Werror
CPPFLAGS := -I. -I$(B) -D_GNU_SOURCE -DHOLDFAST_VERSION='"$(VERSION)"'
CBASE    := -std=gnu17 $(WARN) -fno-strict-aliasing -ffunction-sections -fdata-sections -g \
            -ffile-prefix-map=$(CURDIR)=.

CC_release  := musl-gcc
CF_release  := $(CBASE) -O2 -fstack-protector-strong -fno-plt -fno-pie -idirafter $(B)/uapi
LF_release  := -static -no-pie -Wl,--gc-sections,--fatal-warnings,-z,noexecstack,-z,relro,-z,norelro
# As released, but for places where a test can kill it (lib/crash.h).
CC_crash    := $(CC_release)
CF_crash    := $(CF_release) -DHOLDFAST_CRASH_POINTS
LF_crash    := $(LF_release)
CC_host     := gcc
CF_host     := $(CBASE) -O2 -fstack-protector-strong -fPIE
LF_host     := -pie -Wl,--gc-sections,-z,relro,-z,now
CC_asan     := gcc
CF_asan     := $(CBASE) -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
LF_asan     := -fsanitize=address,undefined
CC_clang    := clang
CF_clang    := $(CBASE) -O1 -Wno-gnu-statement-expression -Wno-gnu-zero-variadic-macro-arguments
CC_fuzz     := clang
CF_fuzz     := $(CBASE) -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
LF_fuzz     := -fsanitize=fuzzer,address,undefined

.PHONY: all asan check run bench fuzz lint install clean deps soak image
all: $(IMAGE_PROGRAMS:%=$(B)/release/bin/%) $(B)/release/bin/$(REMOTE_PROGRAM) $(B)/release/bin/$(INITRAMFS_PROGRAM) $(TOOL_PROGRAMS:%=$(B)/host/bin/%)
asan: $(IMAGE_PROGRAMS:%=$(B)/asan/bin/%) $(B)/asan/bin/$(REMOTE_PROGRAM) $(TOOL_PROGRAMS:%=$(B)/asan/bin/%)

# musl-gcc sees musl's headers alone: the kernel's own stand behind them, through this folder.
$(B)/uapi:
	mkdir -p $@
	ln -sfn /usr/include/linux $@/linux
	ln -sfn /usr/include/asm-generic $@/asm-generic
	ln -sfn /usr/include/$(MULTIARCH)/asm $@/asm

# Seccomp filters: x/filter.list becomes build/gen/x/filter.h, included as "gen/x/filter.h". The
# generator runs here, so libseccomp is needed to build and by nothing in the image.
# A program's list that shares its folder is x/y-filter.list and becomes build/gen/x/y-filter.h.
FILTERS := $(patsubst %.list,$(B)/gen/%.h,$(wildcard */filter.list */*-filter.list))
# All calls by number, with the group of services' filters that denies each.
CALLS := $(B)/gen/gate/call-names.h
$(CALLS): supervisor/service-filter.list $(B)/host/bin/mkfilter
	@mkdir -p $(@D)
	$(B)/host/bin/mkfilter --calls $< gate >$@
$(B)/host/bin/mkfilter: tools/mkfilter.c tools/shorten.c tools/shorten.h Makefile
	@mkdir -p $(@D)
	$(CC_host) $(CPPFLAGS) $(CF_host) $(LF_host) -o $@ $(filter %.c,$^) -lseccomp
$(FILTERS): $(B)/gen/%.h: %.list $(B)/host/bin/mkfilter
	@mkdir -p $(@D)
	$(B)/host/bin/mkfilter $< $(subst -,_,$(subst /,_,$(patsubst %/filter,%,$(patsubst %-filter,%,$*)))) >$@

# What a program goes by when it is started: memory that it shares with the others has their layout.
BUILD_ID := $(B)/gen/lib/build.h
$(BUILD_ID): VERSION $(wildcard lib/*.h)
	@mkdir -p $(@D)
	echo "#define BUILD_ID 0x$$(cat $^ | sha256sum | cut -c 1-8)U" >$@

# $(1) flavour
define flavour_rules
$(B)/$(1)/%.o: %.c Makefile VERSION | $(B)/uapi $(FILTERS) $(CALLS) $(BUILD_ID)
	@mkdir -p $$(@D)
	$$(CC_$(1)) $$(CPPFLAGS) $$(CF_$(1)) -MMD -MP -c -o $$@ $$<
endef
$(foreach f,release crash host asan clang fuzz,$(eval $(call flavour_rules,$(f))))

# $(1) flavour, $(2) program
define program_rules
$(B)/$(1)/bin/$(2): $$($(2)_SRCS:%.c=$(B)/$(1)/%.o)
	@mkdir -p $$(@D)
	$$(CC_$(1)) $$(LF_$(1)) -o $$@ $$^ $$($(2)_LIBS)
endef
$(foreach p,$(IMAGE_PROGRAMS) $(INITRAMFS_PROGRAM),$(eval $(call program_rules,release,$(p))))
$(foreach p,$(IMAGE_PROGRAMS),$(eval $(call program_rules,crash,$(p))))
$(foreach p,$(TOOL_PROGRAMS) $(REMOTE_PROGRAM),$(eval $(call program_rules,host,$(p))))
$(foreach p,$(IMAGE_PROGRAMS) $(TOOL_PROGRAMS) $(REMOTE_PROGRAM),$(eval $(call program_rules,asan,$(p))))
# It lies beside the others, since that is where PID 1 looks.
$(foreach f,release crash,$(B)/$(f)/bin/$(REMOTE_PROGRAM)): %: $(B)/host/bin/$(REMOTE_PROGRAM)
	@mkdir -p $(@D)
	ln -f $< $@

# ---------------------------------------------------------------- tests

# What a line "TESTS: lib/a.c units/%.c" in that file names: % stands for all, as * would end a comment.
tested_sources = $(foreach s,$(shell sed -n 's,^.*TESTS: *\([^*]*\).*,\1,p' $(1)),$(wildcard $(subst %,*,$(s))))

# tests/unit/test_x.c names what it links beside cmocka in a line "TESTS: lib/a.c lib/b.c".
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
define unit_test_rules
$(1)_SRCS := tests/unit/$(1).c $$(call tested_sources,tests/unit/$(1).c)
$(1)_FLAGS := $$(shell sed -n 's,^.*LDFLAGS: *\([^*]*\).*,\1,p' tests/unit/$(1).c)
$(B)/asan/tests/$(1): $$($(1)_SRCS:%.c=$(B)/asan/%.o)
	@mkdir -p $$(@D)
	$$(CC_asan) $$(LF_asan) -o $$@ $$^ $$($(1)_FLAGS) -lcmocka
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call unit_test_rules,$(t))))

# tests/fuzz/fuzz_x.c likewise; its corpus is tests/fuzz/corpus/x, replayed by make check.
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
define fuzz_rules
$(1)_SRCS := tests/fuzz/$(1).c $$(call tested_sources,tests/fuzz/$(1).c)
$(1)_FLAGS := $$(shell sed -n 's,^.*LDFLAGS: *\([^*]*\).*,\1,p' tests/fuzz/$(1).c)
$(B)/fuzz/bin/$(1): $$($(1)_SRCS:%.c=$(B)/fuzz/%.o)
	@mkdir -p $$(@D)
	$$(CC_fuzz) $$(LF_fuzz) -o $$@ $$^ $$($(1)_FLAGS)
endef
$(foreach t,$(FUZZERS),$(eval $(call fuzz_rules,$(t))))

# Helpers that tests run: tests/apps/x.c becomes build/release/apps/x (static, libc alone), linked
# with the sources of ours that a line "TESTS: lib/a.c lib/b.c" names. One with a line "LIBS: -lcurl"
# is the machine's own kind of program, and is in no image.
APPS := $(patsubst tests/apps/%.c,%,$(wildcard tests/apps/*.c))
HOST_APPS := $(patsubst tests/apps/%.c,%,$(shell grep -l '^/\* LIBS: ' tests/apps/*.c))
define app_rules
app_$(1)_SRCS := tests/apps/$(1).c $$(call tested_sources,tests/apps/$(1).c)
app_$(1)_LIBS := $$(shell sed -n 's,^/\* LIBS: *\([^*]*\).*,\1,p' tests/apps/$(1).c)
app_$(1)_AS := $(if $(filter $(1),$(HOST_APPS)),host,release)
$(B)/release/apps/$(1): $$(app_$(1)_SRCS:%.c=$(B)/$$(app_$(1)_AS)/%.o)
	@mkdir -p $$(@D)
	$$(CC_$$(app_$(1)_AS)) $$(LF_$$(app_$(1)_AS)) -o $$@ $$^ $$(app_$(1)_LIBS)
$(B)/asan/apps/$(1): $$(app_$(1)_SRCS:%.c=$(B)/asan/%.o)
	@mkdir -p $$(@D)
	$$(CC_asan) $$(LF_asan) -o $$@ $$^ $$(app_$(1)_LIBS)
endef
$(foreach a,$(APPS),$(eval $(call app_rules,$(a))))

FUZZ_SECONDS ?= 60
.PHONY: check-build test
check-build: all asan $(IMAGE_PROGRAMS:%=$(B)/crash/bin/%) $(B)/crash/bin/$(REMOTE_PROGRAM) $(UNIT_TESTS:%=$(B)/asan/tests/%) $(FUZZERS:%=$(B)/fuzz/bin/%) $(APPS:%=$(B)/release/apps/%) $(B)/asan/apps/spawnbed
test: check-build
	python3 tests/run.py $(TESTS)

check: deps
	$(MAKE) -s $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc)) check-build
	python3 tests/run.py

fuzz: $(FUZZERS:%=$(B)/fuzz/bin/%)
	for f in $(FUZZERS); do c=tests/fuzz/corpus/$${f#fuzz_}; mkdir -p $$c $(B)/fuzz/new/$$f; \
	  $(B)/fuzz/bin/$$f -max_total_time=$(FUZZ_SECONDS) $(B)/fuzz/new/$$f $$c; done

bench: deps-bench
	$(MAKE) all $(APPS:%=$(B)/release/apps/%)
	for b in tests/bench/*.py; do echo "== $$b"; python3 $$b; done

# The random part of the recovery tests, for long. CHAOS_SEED=N repeats a run.
CHAOS_SECONDS ?= 600
soak: check-build
	CHAOS_SECONDS=$(CHAOS_SECONDS) python3 tests/integration/test_chaos.py

lint:
	python3 tests/lint/run.py

# Sources as clang sees them: a second compiler's warnings are errors too.
.PHONY: clang
ALL_SRCS := $(sort $(foreach p,$(IMAGE_PROGRAMS) $(INITRAMFS_PROGRAM) $(TOOL_PROGRAMS) $(REMOTE_PROGRAM),$($(p)_SRCS)))
clang: $(ALL_SRCS:%.c=$(B)/clang/%.o)

deps:
	tests/deps.sh
.PHONY: deps-run deps-image deps-machine deps-bench
deps-run:
	tests/deps.sh run
deps-image:
	tests/deps.sh image
deps-machine:
	tests/deps.sh machine
deps-bench:
	tests/deps.sh bench

# ---------------------------------------------------------------- the demo image

# Its programs are built here; images/build takes the rest from Debian's packages, fetched once.
DEMO_IMAGE := $(B)/image/demo.squashfs
$(B)/image/demo-api: images/demo/api.c Makefile
	@mkdir -p $(@D)
	gcc $(CPPFLAGS) $(CF_host) $(LF_host) -o $@ $<
DEMO_PARTS := $(IMAGE_PROGRAMS:%=$(B)/release/bin/%) $(B)/release/bin/$(REMOTE_PROGRAM) $(B)/image/demo-api \
              $(B)/host/bin/holdfast-check images/build $(wildcard images/builder/*.py) VERSION \
              $(shell find images/demo -type f)
$(DEMO_IMAGE): $(DEMO_PARTS)
	images/build --only squashfs

# Everything that images/build makes: make run needs none of it but the squashfs.
$(B)/image/demo.manifest.json: $(DEMO_PARTS) $(B)/release/bin/$(INITRAMFS_PROGRAM) \
                               images/initramfs.py images/kernel.py
	images/build
image: deps-image
	$(MAKE) $(B)/image/demo.manifest.json

# With QEMU=1 on a kernel of its own; RUN_SECONDS=N ends it N seconds after /health said pass.
DEMO_DISK := $(B)/image/demo.raw
$(DEMO_DISK): $(DEMO_PARTS) $(B)/release/bin/$(INITRAMFS_PROGRAM) images/initramfs.py images/kernel.py
	images/build --only disk
ifdef QEMU
run: deps-machine
	$(MAKE) -s -j$$(nproc) $(DEMO_DISK)
	@images/machine $(RUN_SECONDS:%=--seconds %)
else
run: deps-run
	$(MAKE) -s -j$$(nproc) $(DEMO_IMAGE)
	@images/run
endif

install: all
	install -d $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
	  $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 0755 -s $(IMAGE_PROGRAMS:%=$(B)/release/bin/%) $(B)/release/bin/$(REMOTE_PROGRAM) \
	  $(B)/release/bin/$(INITRAMFS_PROGRAM) $(DESTDIR)$(LIBEXECDIR)
	install -d $(DESTDIR)$(LIBEXECDIR)/units
	install -m 0644 units/dist/*.service $(DESTDIR)$(LIBEXECDIR)/units
	install -m 0644 units/dist/*.conf $(DESTDIR)$(LIBEXECDIR)
	install -m 0755 -s $(TOOL_PROGRAMS:%=$(B)/host/bin/%) $(DESTDIR)$(PREFIX)/bin
	for p in holdfast holdfastctl; do ln -sfn ../lib/holdfast/$$p $(DESTDIR)$(PREFIX)/bin/$$p; done
	for m in docs/man/*.[158]; do [ -e $$m ] || continue; \
	  install -m 0644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}; done

clean:
	rm -rf $(B)

-include $(shell find $(B) -path $(B)/image -prune -o -name '*.d' -type f -print 2>/dev/null)
