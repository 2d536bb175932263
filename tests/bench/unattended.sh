#!/bin/bash
# tests/bench/unattended.sh - the figures of unattended work, on a machine that does nothing else.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/bench/unattended.sh [--quick] OUT

Takes every figure of unattended work in about fifteen minutes: what a sync costs, journal and
routing on the disk of OUT and in memory (/dev/shm), throughput of batch, memory after 500
and 5,000 documents, an idle watch over 10,000 files, the time from a settled file to its
result, and a spread of the points at which docvl is killed or a call fails.  OUT gets
unattended.txt, which is also printed.

  --quick   a tenth of the documents and ten seconds of rest, in about three minutes: to
            see that it works; its figures are not to be quoted

docvl is build/pipeline/docvl, or $DOCVL.
TEXT
}

long=--long quick='' documents=10 points=6
case ${1-} in
-h | --help) usage; exit 0 ;;
--quick)
    long='' quick=--quick documents=2 points=1
    shift
    ;;
esac
[ $# -eq 1 ] || { usage >&2; exit 1; }
out=$(realpath -m "$1")
here=$(dirname "$(realpath "$0")")
export DOCVL=${DOCVL-$(realpath "$here/../../build/pipeline/docvl")}
DOCVL_RENDER=${DOCVL_RENDER-$(dirname "$DOCVL")/docvl-render}
export DOCVL_RENDER
build=$(dirname "$(dirname "$DOCVL")")
python=/usr/bin/python3 # the one that Debian's packages belong to
[ -x $python ] || python=python3
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
    figure $python "$here/unattended.py" disk "$folder" $quick
    figure env TMPDIR="$folder" "$build/tests/pipeline/test_queue" -p /queue/cost |
        grep '# journal' || true
    figure $python "$here/unattended.py" journal "$folder" $quick
    figure $python "$here/unattended.py" routing "$folder" $quick
done
say "---- throughput, the model that ships"
figure $python "$here/batch.py" --documents $documents
say "---- memory"
figure $python "$here/unattended.py" memory /dev/shm $quick
say "---- watch"
figure $python "$here/../test_watch.py" $long Rest.test_idle Arriving.test_latency |
    grep -o '# .*' || true
say "---- points"
figure $python "$here/../test_faults.py" --points $points | tail -n 1
say "$SECONDS s in all, load at the end $(cut -d' ' -f1-3 /proc/loadavg)"
