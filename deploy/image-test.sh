#!/usr/bin/env bash
# Builds the service image without a container engine and a registry, runs it, asks it something, and weighs it.
#
# The base is a Debian made here by debootstrap (it stands in for python:slim); buildah builds and runs with chroot
# isolation. pip's own settings on this machine fetch the locked wheels; the build then sees nothing but these files.
# Needs root, buildah, debootstrap and .venv. Leaves its base and its wheels in .build/image, for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly suite=${SUITE:-bookworm} # its Python must be the one of .venv, because .venv's pip picks the wheels
readonly work=$PWD/.build/image
readonly base=localhost/seqserve-base:$suite
readonly image=localhost/seqserve-service:test
readonly python=$PWD/.venv/bin/python
readonly user=10001
run_pid=
command=()

say() { printf '%s\n' "$*"; }
fail() {
    printf 'image-test: %s\n' "$*" >&2
    exit 1
}
build_tool() { buildah --storage-driver vfs --root "$work/storage" --runroot "$work/runroot" "$@"; }

require() {
    local missing=()
    for program in buildah debootstrap pgrep; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    ((${#missing[@]} == 0)) || fail "missing: ${missing[*]} (Debian: apt-get install buildah debootstrap procps)"
    ((EUID == 0)) || fail "needs root: debootstrap and chroot isolation do"
    [[ -x $python ]] || fail "missing: .venv (make creates it)"
}

make_base() {
    local archive=$work/base-$suite.tar root=$work/base-root mirror
    if [[ ! -f $archive ]]; then
        say "making the base: Debian $suite with python3 (log: $work/debootstrap.log)"
        # the mirror that this machine's own package sources name, if they know the suite
        mirror=$(apt-get indextargets --format "\$(CODENAME) \$(REPO_URI)" 'Created-By: Packages' 2>/dev/null |
            awk -v suite="$suite" '$1 == suite { print $2; exit }') || mirror=
        rm -rf "$root"
        debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$suite" "$root" ${mirror:+"$mirror"} \
            >"$work/debootstrap.log" 2>&1 || fail "debootstrap failed, see $work/debootstrap.log"
        # what slim images leave out as well
        rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
        find "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/info "$root"/usr/share/locale \
            -mindepth 1 -not -type d -not -name copyright -delete
        tar --numeric-owner -C "$root" -cf "$archive.part" .
        mv "$archive.part" "$archive"
        rm -rf "$root"
    fi
    local container
    container=$(build_tool from scratch)
    build_tool add --quiet "$container" "$archive" / >/dev/null
    build_tool commit --quiet --rm "$container" "$base" >/dev/null
}

fetch_wheels() {
    say "fetching the locked wheels"
    "$python" -m pip download --quiet --only-binary :all: --require-hashes --requirement requirements/service.txt \
        --dest "$work/wheels" >"$work/pip.log" 2>&1 || {
        cat "$work/pip.log" >&2
        fail "the locked wheels could not be fetched"
    }
}

build_image() {
    say "building target service"
    build_tool bud --quiet --isolation chroot --format docker --pull-never --target service --tag "$image" \
        --build-arg "BASE=$base" --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/wheels \
        --volume "$work/wheels:/wheels:ro" . >/dev/null
}

make_tiny_models() {
    say "no models in .build/models: making tiny ones"
    mkdir -p "$models"
    "$python" -c '
import sys, pathlib
from tests.bundles import publish_tiny
for task in ("classification", "labelling", "labelling-features", "generation", "translation"):
    publish_tiny(pathlib.Path(sys.argv[1]), task)' "$models"
}

# A list of the image's configuration, one word per line, for mapfile.
configured() { build_tool inspect --type image --format "{{range $1}}{{println .}}{{end}}" "$image" | sed '/^$/d'; }

inside() { build_tool run --isolation chroot "$container" -- "$@"; }

# The process that the entry point became, some steps below `buildah run`; its engine processes are its children.
service_pid() {
    local pid=$run_pid
    while [[ -n $pid ]]; do
        [[ $(tr '\0' '\n' <"/proc/$pid/cmdline" | head -n 1) == "${command[0]}" ]] && break
        pid=$(pgrep --parent "$pid" | head -n 1) || true
    done
    echo "$pid"
}

start_service() {
    local health
    mapfile -t command < <(configured .Docker.Config.Entrypoint && configured .Docker.Config.Cmd)
    mapfile -t health < <(configured .Docker.Config.Healthcheck.Test | tail -n +2)
    ((${#command[@]} > 0 && ${#health[@]} > 0)) || fail "the image has no ENTRYPOINT or no HEALTHCHECK"
    read -r grpc_port metrics_port < <("$python" -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
    say "starting: ${command[*]}"
    container=$(build_tool from --pull-never "$image")
    build_tool config --env "SEQSERVE_GRPC_ADDRESS=0.0.0.0:$grpc_port" \
        --env "SEQSERVE_METRICS_ADDRESS=0.0.0.0:$metrics_port" --env "SEQSERVE_TARGET=127.0.0.1:$grpc_port" "$container"
    touch "$work/started"
    build_tool run --isolation chroot --volume "$models:/models:ro" "$container" -- "${command[@]}" \
        >"$work/service.log" 2>&1 &
    run_pid=$!
    for _ in {1..60}; do
        inside "${health[@]}" >"$work/health.log" 2>&1 && return
        kill -0 "$run_pid" 2>/dev/null || break
        sleep 0.5
    done
    cat "$work/service.log" "$work/health.log" >&2
    fail "the image's health check did not pass"
}

stop_service() {
    local pid
    pid=$(service_pid)
    [[ -n $pid ]] || fail "the service is gone"
    say "stopping: SIGTERM"
    kill -TERM "$pid"
    wait "$run_pid" || fail "the service ended with code $? after SIGTERM, see $work/service.log"
    run_pid=
}

clean_up() {
    local pid
    if [[ -n $run_pid ]]; then
        pid=$(service_pid)
        kill -KILL "${pid:-$run_pid}" 2>/dev/null || true
        wait "$run_pid" 2>/dev/null || true
    fi
    build_tool rm --all >/dev/null 2>&1 || true
    rm -rf "$work/storage" "$work/runroot" "$work/archive"
}

check_contents() {
    say "checking what is in the image"
    ! inside python -c 'import torch' 2>/dev/null || fail "torch can be imported"
    ! inside python -c 'import training' 2>/dev/null || fail "the training package is there"
    ! inside python -c 'import pip' 2>/dev/null || fail "pip is there"
    [[ $(inside id -u) == "$user" ]] || fail "commands do not run as uid $user"
    [[ $(inside pwd) == /app ]] || fail "the working directory is not /app"
}

check_process() {
    local pid mount written
    pid=$(service_pid)
    [[ -n $pid && $(awk '/^Uid:/ { print $2 }' "/proc/$pid/status") == "$user" ]] || fail "the service is no process of uid $user"
    mount=$(build_tool mount "$container")
    # what buildah itself puts in place: resolv.conf, hosts, mount points
    written=$(find "$mount" -xdev -newer "$work/started" -type f -not -path "$mount/etc/*" -not -path "$mount/run/*")
    [[ -z $written ]] || fail "the service wrote into its image: $written"
    say "runs as uid $user (process $pid), wrote nothing into its root"
}

# Bytes with a thousand's separator would need a locale; MB of 1,000,000 bytes as registries count.
megabytes() { awk -v bytes="$1" 'BEGIN { printf "%.1f MB", bytes / 1e6 }'; }

layer_sizes() {
    local name=$1 format=$2
    rm -rf "$work/archive"
    build_tool push --quiet --format oci "$format" "$name" "dir:$work/archive"
    find "$work/archive" -type f -not -name manifest.json -not -name version -printf '%s\n' | awk '{ sum += $1 } END { print sum }'
}

weigh() {
    local part size compressed
    for part in "$base" "$image"; do
        size=$(layer_sizes "$part" --disable-compression)
        compressed=$(layer_sizes "$part" --disable-compression=false)
        say "size of $part: $(megabytes "$size"), compressed (gzip layers) $(megabytes "$compressed")"
    done
}

require
mkdir -p "$work/wheels"
trap clean_up EXIT
models=$PWD/.build/models
if [[ ! -d $models ]] || [[ -z $(find "$models" -name manifest.json -print -quit) ]]; then
    models=$work/models
    [[ -d $models ]] || make_tiny_models
fi
make_base
fetch_wheels
build_image
start_service
check_contents
say "asking every model:"
"$python" deploy/ask_every_model.py "127.0.0.1:$grpc_port" "http://127.0.0.1:$metrics_port/metrics"
check_process
stop_service
weigh
say "image-test: passed"
