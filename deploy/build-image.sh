#!/bin/sh
# The steps of deploy/Dockerfile, run as root in a bare Debian 13.
#
#   build-image.sh compile SOURCE OUT   builds the program and puts the image's files into OUT
#   build-image.sh install OUT          installs those files and the shared libraries they need
set -eu

libraries='libjansson4 liburcu8t64 libhiredis1.1.0 librdkafka1 libssl3t64'
headers='libjansson-dev liburcu-dev libhiredis-dev librdkafka-dev libssl-dev'

packages() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq -y --no-install-recommends install "$@" > /dev/null
    rm -rf /var/lib/apt/lists/*
}

compile() {
    # shellcheck disable=SC2086
    packages gcc libc6-dev pkg-config meson ninja-build $headers
    build=$(mktemp -d)
    meson setup "$build" "$1" --prefix=/usr/local -Dtests=false -Dstrip=true
    meson install -C "$build" --destdir "$2" --quiet
    cp "$1/deploy/build-image.sh" "$2"
    rm -rf "$build"
}

install_into_image() {
    # shellcheck disable=SC2086
    packages ca-certificates $libraries
    install -m 755 "$1/usr/local/bin/rollcall" /usr/local/bin/
    groupadd --gid 10001 rollcall
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir / --shell /usr/sbin/nologin rollcall
}

case ${1:-} in
    compile) compile "$2" "$3" ;;
    install) install_into_image "$2" ;;
    *)
        echo "usage: $0 compile SOURCE OUT | install OUT" >&2
        exit 2
        ;;
esac
