#!/bin/bash
# tests/bench/unattended.sh - the figures of unattended work, on a machine that does nothing else.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/bench/unattended.sh OUT

Takes every figure of unattended work in about ten minutes: what a sync costs, journal and
routing on the disk of OUT and in memory (/dev/shm), throughput of batch, memory after 500
and 5,000 documents, an idle watch over 10,000 files, the time from a settled file to its
result, and a spread of the points at which docvl is killed or a call fails.  OUT gets
unattended.txt, which is also printed.

docvl is build/pipeline/docvl, or $DOCVL.
TEXT
}

case ${1-} in
-h | --help) usage; exit 0 ;;
esac
[ $# -eq 1 ] || { usage >&2; exit 1; }
out=$(realpath -m "$1")
here=$(dirname "$(realpath "$0")")
export DOCVL=${DOCVL-$(realpath "$here/../../build/pipeline/docvl")}
DOCVL_RENDER=${DOCVL_RENDER-$(dirname "$DOCVL")/docvl-render}
export DOCVL_RENDER
build=$(dirname "$(dirname "$DOCVL")")
mkdir -p "$out"
log=$out/unattended.txt
: >"$log"
say() { printf '%s\n' "$*" | tee -a "$log"; }
figure() { "$@" 2>&1 | tee -a "$log"; }

say "$(date -u +%FT%TZ), $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg)"
read -r load _ </proc/loadavg
if awk "BEGIN { exit !($load > 0.5) }"; then
    say "the machine does other things: take no wall clock from here"
fi
for folder in "$out" /dev/shm; do
    say "---- $folder ($(stat -f -c %T "$folder"))"
    figure python3 "$here/unattended.py" disk "$folder"
    figure env TMPDIR="$folder" "$build/tests/pipeline/test_queue" -p /queue/cost |
        grep '# journal' || true
    figure python3 "$here/unattended.py" journal "$folder"
    figure python3 "$here/unattended.py" routing "$folder"
done
say "---- throughput, the model that ships"
figure python3 "$here/batch.py" --documents 10
say "---- memory"
figure python3 "$here/unattended.py" memory /dev/shm
say "---- watch"
figure python3 "$here/../test_watch.py" --long Rest.test_idle Arriving.test_latency |
    grep '^#' || true
say "---- points"
figure python3 "$here/../test_faults.py" --points 6 | tail -n 1
say "load at the end $(cut -d' ' -f1-3 /proc/loadavg)"
