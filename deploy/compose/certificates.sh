#!/bin/sh
# Makes the certificates for deploy/compose/tls.yml: an authority, and for Kafka, Redis and rollcall
# one file each with certificate and key. Leaves them alone if they are good for another 30 days.
#
#   certificates.sh FOLDER
#
# The key of the authority is not kept: nobody can issue more, and the next certificates come with
# a new authority. The containers have different users, so each of them can read every key here.
set -eu

folder=$1
days=365

# valid NAME: the authority vouches for the certificate, now and in 30 days.
valid() {
    openssl verify -CAfile "$folder/ca.pem" "$folder/$1.pem" > /dev/null 2>&1 &&
        openssl x509 -in "$folder/$1.pem" -noout -checkend $((30 * 86400)) > /dev/null
}

# request NAME: a new key and a self-signed certificate, or one of the authority's with -CA.
request() {
    name=$1
    shift
    openssl req -x509 -newkey rsa:2048 -noenc -sha256 -days $days -subj "/O=rollcall/CN=$name" \
        -keyout "$work/$name.key" -out "$work/$name.crt" "$@" 2> "$work/log" ||
        { cat "$work/log" >&2; exit 1; }
}

# issue NAME: what the service with this name, or the host through a published port, presents.
issue() {
    request "$1" -CA "$work/ca.crt" -CAkey "$work/ca.key" \
        -addext basicConstraints=critical,CA:false \
        -addext "subjectAltName=DNS:$1,DNS:localhost,IP:127.0.0.1"
    cat "$work/$1.key" "$work/$1.crt" > "$work/$1.pem"
}

if valid kafka && valid redis && valid rollcall; then
    echo "the certificates in $folder are still good"
    exit 0
fi

work=$folder/new
rm -rf "$work"
mkdir "$work"
trap 'rm -rf "$work"' EXIT
request ca -addext keyUsage=critical,keyCertSign
issue kafka
issue redis
issue rollcall
cat > "$work/client.properties" << END
security.protocol=SSL
request.timeout.ms=20000
ssl.truststore.type=PEM
ssl.truststore.location=/certificates/ca.pem
ssl.keystore.type=PEM
ssl.keystore.location=/certificates/rollcall.pem
END
cp "$work/ca.crt" "$work/ca.pem"
chmod 644 "$work"/*.pem
mv "$work"/*.pem "$work/client.properties" "$folder"
echo "new certificates in $folder, good for $days days"
