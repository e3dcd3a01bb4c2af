#!/bin/sh
# Builds the Debian package, run as root in a bare Debian 12 or 13.
#
#   build-package.sh SOURCE OUT   builds the package of the tree in SOURCE, puts it into OUT, and has
#                                 lintian look at it
#
# SOURCE/librdkafka, if there, is the source of librdkafka, which is then linked statically. The
# version is that of meson.build; the date is SOURCE_DATE_EPOCH.
set -eu

: "${SOURCE_DATE_EPOCH:=0}"
export SOURCE_DATE_EPOCH DEBIAN_FRONTEND=noninteractive

suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
number=$(sed -n 's/^VERSION_ID="\(.*\)"$/\1/p' /etc/os-release)

changelog() {
    version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build)
    printf 'rollcall (%s-1~deb%s) %s; urgency=medium\n\n' "$version" "$number" "$suite"
    printf '  * Version %s. What is new is in changelog.gz.\n\n' "$version"
    printf ' -- %s  %s\n' "$(sed -n 's/^Maintainer: //p' deploy/debian/control)" \
        "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

cd "$1"
cp -a deploy/debian debian
changelog > debian/changelog
profiles=
[ ! -d librdkafka ] || profiles=pkg.rollcall.static
apt-get -qq update
apt-get -qq -y --no-install-recommends -P "$profiles" build-dep ./
apt-get -qq -y --no-install-recommends install lintian
DEB_BUILD_PROFILES=$profiles dpkg-buildpackage --build=binary --no-sign
mkdir -p "$2"
cp ../rollcall*.deb "$2"
# lintian does not like root.
chown -R nobody "$2"
setpriv --reuid nobody --clear-groups \
    lintian --fail-on error,warning --tag-display-limit 0 --info "$2"/rollcall_*.deb
echo "lintian: no error and no warning"
