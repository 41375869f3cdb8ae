#!/bin/sh
# Fuzzes each target for so many seconds. Says what is missing where fuzzing cannot be done, and is skipped there.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")"
if ! command -v cargo-fuzz >/dev/null 2>&1; then
    echo "fuzz-wire skipped: cargo-fuzz is not installed (cargo install cargo-fuzz)"
    exit 0
fi
# A nightly compiler, or the stable one that is told to act as such.
if rustc +nightly --version >/dev/null 2>&1; then
    toolchain=+nightly
elif RUSTC_BOOTSTRAP=1 rustc -Zhelp >/dev/null 2>&1; then
    toolchain=
    export RUSTC_BOOTSTRAP=1
else
    echo "fuzz-wire skipped: no nightly Rust (rustup toolchain install nightly)"
    exit 0
fi
for target in connection framing; do
    # shellcheck disable=SC2086 # an empty toolchain is no argument
    cargo $toolchain fuzz run --fuzz-dir . "$target" -- -max_total_time="$seconds" -max_len=8192 -rss_limit_mb=1024 -timeout=10
done
