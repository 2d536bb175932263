#!/bin/bash
# tests/run.sh - packages, build, every test; the logs of what failed.
set -euo pipefail
cd "$(dirname "$0")/.."
. samples/common.sh

usage() {
    cat <<'END'
usage: tests/run.sh [--asan | --tsan | --plain | --ci] [--slow] [TEST...]

Installs the Debian packages that are missing (with sudo when not root), builds, and
runs the tests of Meson; the logs of those that failed are printed at the end.

  --asan    build in build-asan/ with address and undefined behaviour sanitizers
            (compiler: $CC, else clang where there is one, else gcc) and run the tests
            of the parts and the quick ones of the programs
  --tsan    build in build-tsan/ with the thread sanitizer and run what has threads:
            batch, watch, routing, the journal (20 minutes)
  --plain   the tests of --asan, built in build-plain/ with every optional part left out
  --ci      what each change is checked with: all tests, with the tools that check
            style, manuals and scripts; then --asan with clang, then --plain
  --slow    also the suite "slow", left out otherwise
  TEST      names of tests, as `meson test --list` shows them
END
}

mode=all slow=no
tests=()
for arg in "$@"; do
    case $arg in
    -h | --help) usage; exit 0 ;;
    --asan | --tsan | --plain | --ci) mode=${arg#--} ;;
    --slow) slow=yes ;;
    -*) usage >&2; exit 1 ;;
    *) tests+=("$arg") ;;
    esac
done

# shellcheck disable=SC2086  # lists of words
install_packages $packages_build $packages_run $packages_test
if [ "$mode" = ci ]; then
    # shellcheck disable=SC2086
    install_packages $packages_ci
    tests/run.sh ${tests[@]+"${tests[@]}"}
    # A slow machine ends in time with what matters most: it says what it left out.
    if [ $SECONDS -gt 660 ]; then
        say "left out after $SECONDS s: the builds with sanitizers and without options"
        exit 0
    fi
    CC=clang tests/run.sh --asan ${tests[@]+"${tests[@]}"}
    if [ $SECONDS -gt 840 ]; then
        say "left out after $SECONDS s: the build without options"
        exit 0
    fi
    exec tests/run.sh --plain ${tests[@]+"${tests[@]}"}
fi

build=build options=() run=()
case $mode in
asan)
    build="build-asan"
    if [ -z "${CC-}" ]; then
        CC=$(command -v clang || command -v clang-14 || command -v gcc)
        export CC
    fi
    # Without b_lundef=false clang cannot leave the sanitizer's symbols to run time.
    # shellcheck disable=SC2054  # one option with a comma in it
    options=(-Db_sanitize=address,undefined -Db_lundef=false)
    export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=1:abort_on_error=0}
    export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1:halt_on_error=1}
    run=(--timeout-multiplier 5 --suite unit --suite fuzz --suite quick)
    ;;
tsan)
    build="build-tsan"
    options=(-Db_sanitize=thread -Db_lundef=false)
    export G_SLICE=always-malloc # GLib's own heap goes from thread to thread unseen
    run=(--timeout-multiplier 5)
    [ ${#tests[@]} -gt 0 ] || tests=(queue claims route batch watch shares route-actions)
    ;;
plain)
    build="build-plain"
    options=(-Dauto_features=disabled)
    run=(--suite unit --suite fuzz --suite quick)
    ;;
esac
build_tree "$build" ${options[@]+"${options[@]}"}

run=(meson test -C "$build" --no-rebuild --print-errorlogs ${run[@]+"${run[@]}"})
[ $slow = yes ] || run+=(--no-suite slow)
status=0
"${run[@]}" ${tests[@]+"${tests[@]}"} || status=$?
say
if [ "$status" -eq 0 ]; then
    say "all tests passed ($build)"
else
    say "some tests failed; whole log: $build/meson-logs/testlog.txt"
fi
exit "$status"
