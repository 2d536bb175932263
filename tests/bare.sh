#!/bin/bash
# tests/bare.sh - a bare Debian 12 with a system manager of its own: the README, and the units.
set -euo pipefail
cd "$(dirname "$0")/.."
. samples/common.sh

usage() {
    cat <<'END'
usage: tests/bare.sh [--tests] [FOLDER]

Makes a bare Debian 12 in FOLDER (debootstrap), or takes the one that is there, and boots it
(systemd-nspawn).  In it: a clone of what is committed here, samples/run.sh, meson install, and
the installed units as an administrator uses them, under the systemd of that system: start,
work, reload, a wrong configuration, a kill, a watcher that hangs, no model, batch and timer.
With --tests also tests/run.sh.

Needs root; installs debootstrap and systemd-container.  Six minutes, with --tests fifteen.
Without FOLDER all is removed at the end.  Ends with 0 when all holds.
END
}

is_testing=no
folder=
for arg in "$@"; do
    case "$arg" in
    -h | --help) usage; exit 0 ;;
    --tests) is_testing=yes ;;
    -*) usage >&2; exit 1 ;;
    *) folder=$arg ;;
    esac
done
[ "$(id -u)" -eq 0 ] || die "needs root"
install_packages debootstrap systemd-container

work=$(mktemp -d)
root=${folder:-$work/root}
nspawn=
leader=
end() {
    if [ -n "$nspawn" ] && kill "$nspawn"; then # it shuts the system down
        wait "$nspawn" || true
    fi
    rm -rf "$work"
}
trap end EXIT

if [ ! -x "$root/lib/systemd/systemd" ]; then
    say "making a bare system"
    quietly "$work/debootstrap" debootstrap --variant=minbase \
        --include=systemd,systemd-sysv,dbus,git,ca-certificates bookworm "$root"
fi
rm -rf "$root/usr/src/docvl"
git clone -q . "$root/usr/src/docvl"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"

say "booting it"
systemd-nspawn --quiet --directory="$root" --boot --resolv-conf=off --register=no --keep-unit \
    --console=pipe >"$work/console" 2>&1 &
nspawn=$!

# inside COMMAND...: in the system that was booted
inside() {
    nsenter --target "$leader" --all --wdns=/ -- /usr/bin/env -i HOME=/root LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

for _ in $(seq 100); do
    leader=$(pgrep -P "$nspawn" || true)
    state=
    [ -z "$leader" ] || state=$(inside systemctl is-system-running 2>&1 || true)
    [ "$state" != running ] || break
    sleep 0.3
done
[ "${state-}" = running ] || die "does not boot: ${state-} $(tail -n 5 "$work/console")"

say "samples/run.sh"
inside sh -c 'cd /usr/src/docvl && samples/run.sh' | tail -n 3
if [ $is_testing = yes ]; then
    say "tests/run.sh"
    inside sh -c 'cd /usr/src/docvl && tests/run.sh' | tail -n 3
fi
inside sh -c 'cd /usr/src/docvl && meson install -C build' >"$work/install"
inside systemd-sysusers
inside systemctl daemon-reload

# ---- units ------------------------------------------------------------------------------------

failed=0
# holds WHAT COMMAND...: within a minute
holds() {
    local what=$1 tries
    shift
    for tries in $(seq 120); do
        if "$@" >"$work/last" 2>&1; then
            say "ok      $what"
            return
        fi
        sleep 0.5
    done
    say "FAILED  $what (after $tries looks: $(tail -n 3 "$work/last"))"
    failed=1
}

unit=docvl-watch@scan
value() { inside systemctl show --property "$1" --value "$unit"; }
is() { [ "$(value "$1")" = "$2" ]; }
told() { inside journalctl --unit "$unit" --output cat --no-pager | grep -q -- "$1"; }
is_file() { [ -f "$root/srv/$1" ]; }
drop() {
    cp "samples/$1" "$root/srv/scan/in/.$2"
    printf '%% %s\n' "$2" >>"$root/srv/scan/in/.$2" # other content each time
    mv "$root/srv/scan/in/.$2" "$root/srv/scan/in/$2"
}
configure() { # SETTLING
    cat >"$root/etc/docvl/scan.yaml" <<END
journal: /var/lib/docvl/scan.db
defaults: {schema: auto}
folders:
  - {path: /srv/scan/in, out: /srv/scan/out, done: /srv/scan/done, $1}
END
}
override() { # UNIT SECTION LINE
    mkdir -p "$root/etc/systemd/system/$1.d"
    printf '[%s]\n%s\n' "$2" "$3" >"$root/etc/systemd/system/$1.d/test.conf"
    inside systemctl daemon-reload
}
plain() { # UNIT
    rm -rf "$root/etc/systemd/system/$1.d"
    inside systemctl daemon-reload
}

inside systemctl stop "$unit" || true
rm -rf "$root"/var/lib/docvl/* "$root/srv/scan" "$root/srv/night"
mkdir -p "$root/etc/docvl" "$root/srv/scan/in"
configure 'settle: 1s'
inside chown -R docvl: /srv/scan

holds "the units are sound" inside systemd-analyze --man=no verify "$unit.service" \
    docvl-batch@night.service docvl-batch@night.timer
holds "starts" inside systemctl start "$unit"
holds "ready, and says so" is ActiveState active
drop invoice-de.pdf a.pdf
holds "works below /srv" is_file scan/out/a.pdf.json
configure 'settle: 2s'
holds "reloads" inside systemctl reload "$unit"
holds "the new configuration is taken" told 'scan.yaml: reloaded'
configure 'setle: 2s'
inside systemctl reload "$unit"
holds "a wrong one is not" told 'going on with the configuration as it was'
holds "and is named with its place" told 'scan.yaml:4:.*unknown key "setle"'
configure 'settle: 1s'
inside systemctl reload "$unit"
for i in 1 2 3 4; do drop invoice-scan.pdf "b$i.pdf"; done
sleep 3
inside systemctl kill --signal KILL --kill-whom main "$unit"
holds "comes again after a kill" is NRestarts 1
for i in 1 2 3 4; do holds "and loses nothing: b$i.pdf" is_file "scan/done/b$i.pdf"; done
holds "each has one result" test "$(find "$root/srv/scan/out" -name 'b*.json' | wc -l)" = 4
override "$unit.service" Service WatchdogSec=5
inside systemctl restart "$unit"
inside sh -c "kill -STOP $(value MainPID)"
holds "is killed when it hangs" told 'Watchdog timeout'
holds "and comes again" is NRestarts 1
override "$unit.service" Service Environment=DOCVL_MODEL=/nowhere
inside systemctl restart "$unit" 2>"$work/last" || true
holds "without a model there is no second try" is Result exit-code
sleep 6
holds "it stays down, with status 7" is ExecMainStatus 7
plain "$unit.service"
configure 'setle: 2s'
inside systemctl reset-failed "$unit"
inside systemctl start "$unit" 2>"$work/last" || true
holds "nor for a wrong configuration, status 9" is ExecMainStatus 9
configure 'settle: 1s'
inside systemctl reset-failed "$unit"
holds "starts again" inside systemctl start "$unit"
holds "stops" inside systemctl stop "$unit"
holds "without a failure" is Result success

unit=docvl-batch@night
mkdir -p "$root/srv/night/in"
cp samples/*.pdf "$root/srv/night/in"
inside chown -R docvl: /srv/night
cat >"$root/etc/docvl/night.yaml" <<'END'
journal: /var/lib/docvl/night.db
batch: {from: [/srv/night/in], out: /srv/night/out}
END
holds "a batch" inside systemctl start "$unit"
holds "has its results" is_file night/out/invoice-en.pdf.json
echo nothing >"$root/srv/night/in/bad.pdf"
inside systemctl start "$unit" 2>"$work/last" || true
holds "a document that failed is a failure of the run" is ExecMainStatus 3
rm "$root/srv/night/in/bad.pdf"
override "$unit.timer" Timer $'OnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\nAccuracySec=1s'
cp samples/receipt-it.png "$root/srv/night/in"
inside systemctl start "$unit.timer"
holds "the timer" is_file night/out/receipt-it.png.json
inside systemctl stop "$unit.timer"
plain "$unit.timer"

[ $failed -eq 0 ] || die "something does not hold"
say "all holds"
