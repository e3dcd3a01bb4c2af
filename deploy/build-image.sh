#!/bin/sh
# The steps of deploy/Dockerfile, run as root in a bare Debian 13.
#
#   build-image.sh compile SOURCE OUT   builds the program and puts the image's files into OUT
#   build-image.sh install OUT          installs those files and the shared libraries they need
#
# With the same packages, the same image comes out: every time stamp in it is SOURCE_DATE_EPOCH.
set -eu

: "${SOURCE_DATE_EPOCH:=0}"
export SOURCE_DATE_EPOCH

libraries='libjansson4 liburcu8t64 libhiredis1.1.0 librdkafka1 libssl3t64'
headers='libjansson-dev liburcu-dev libhiredis-dev librdkafka-dev libssl-dev'

packages() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq -y --no-install-recommends install "$@" > /dev/null
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
}

compile() {
    # shellcheck disable=SC2086
    packages gcc libc6-dev pkg-config python3 meson ninja-build $headers
    build=/tmp/rollcall-build # it is in the program: another path would be another image
    meson setup "$build" "$1" --prefix=/usr/local -Dtests=false -Dstrip=true
    meson install -C "$build" --destdir "$2" --quiet
    cp "$1/deploy/build-image.sh" "$2"
    rm -rf "$build"
}

# SPDX 2.3: the program, and every package in the image.
sbom() {
    version=$(/usr/local/bin/rollcall --version | sed -n 's/^rollcall //p')
    created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
    cat << END
{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
 "name": "rollcall-$version", "documentNamespace": "https://spdx.org/spdxdocs/rollcall-image-$version",
 "creationInfo": {"created": "$created", "creators": ["Tool: build-image.sh"]},
 "packages": [
  {"SPDXID": "SPDXRef-rollcall", "name": "rollcall", "versionInfo": "$version", "downloadLocation": "NOASSERTION",
   "filesAnalyzed": false, "licenseDeclared": "MIT", "licenseConcluded": "MIT", "copyrightText": "NOASSERTION"}
END
    # shellcheck disable=SC2016
    dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | while read -r name version architecture; do
        id=SPDXRef-$(printf %s "$name" | tr -c 'A-Za-z0-9.-' -)
        printf '  ,{"SPDXID": "%s", "name": "%s", "versionInfo": "%s", ' "$id" "$name" "$version"
        printf '"downloadLocation": "NOASSERTION", "filesAnalyzed": false, "externalRefs": [{'
        printf '"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", '
        printf '"referenceLocator": "pkg:deb/debian/%s@%s?arch=%s"}]}\n' "$name" "$version" "$architecture"
    done
    printf ' ],\n "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", '
    printf '"relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-rollcall"}]}\n'
}

install_into_image() {
    # shellcheck disable=SC2086
    packages ca-certificates $libraries
    install -m 755 "$1/usr/local/bin/rollcall" /usr/local/bin/
    groupadd --gid 10001 rollcall
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir / --shell /usr/sbin/nologin rollcall
    install -d /usr/local/share/rollcall
    sbom > /usr/local/share/rollcall/sbom.spdx.json
    rm -rf /var/log/apt /var/log/*.log /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old \
        /var/lib/dpkg/*-old /etc/*- /var/lib/systemd
}

case ${1:-} in
    compile) compile "$2" "$3" ;;
    install) install_into_image "$2" ;;
    *)
        echo "usage: $0 compile SOURCE OUT | install OUT" >&2
        exit 2
        ;;
esac
