# `make demo` and `make test` work as the first command typed on Debian 12 with Rust and gcc: what is missing is
# installed when this is root, and named with the exact line otherwise.

CARGO ?= cargo
# What every test and the demo need; the lists are the same in CI.
PACKAGES = acl apparmor bash crun curl e2fsprogs gcc gcc-multilib iproute2 keyutils libcap2-bin libseccomp-dev \
	nginx-light openssh-client openssh-server pkg-config podman python3 redis-server redis-tools runc
BENCH_PACKAGES = bpftrace redis-server redis-tools strace wrk
# What `make test-vm` needs: a kernel with AppArmor in a virtual machine, and the workloads that run there.
VM_PACKAGES = apparmor bash busybox-static curl git kmod logrotate nginx-light openssh-server python3 \
	qemu-system-x86 redis-server redis-tools sqlite3
# What tests may not do without, see LEARN_TEST_REQUIRE in CONTRIBUTING.md.
TOOLS = apparmor_parser,bash,chattr,crun,curl,gcc,gcc-multilib,ip,keyctl,nginx,podman,python3,redis-cli,redis-server,runc
REQUIRE = ptrace,setcap,setfacl,ssh,sshd,$(TOOLS)

.PHONY: all demo test test-vm lint bench setup bench-setup clean

all: test

setup:
	@.ci/install $(PACKAGES)

bench-setup: setup
	@.ci/install $(BENCH_PACKAGES)

demo: setup
	$(CARGO) build --release
	sh samples/nginx/run.sh target/release/learn

test: setup
	$(CARGO) build --examples
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; LEARN_TEST_REQUIRE=$${LEARN_TEST_REQUIRE-$(REQUIRE)} $(CARGO) nextest run; \
	else \
		set -x; LEARN_TEST_REQUIRE=$${LEARN_TEST_REQUIRE-$(REQUIRE)} $(CARGO) test; \
	fi

# Learned profiles in a real kernel; CASES="nginx sqlite" runs these only.
test-vm: setup
	@.ci/install $(VM_PACKAGES)
	$(CARGO) build --release
	tests/vm/run target/release/learn $(CASES)

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps

bench: bench-setup
	$(CARGO) bench --bench million
	$(CARGO) bench --bench merge
	$(CARGO) bench --bench flat
	$(CARGO) bench --bench speed

clean:
	$(CARGO) clean
