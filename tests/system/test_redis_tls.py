"""rediss://: the server's certificate must be of a known authority, and for the host in redis.url."""

import subprocess

import pytest

import process
import rollcall
from test_refusals import refused


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _make_certificate(folder, name, *arguments):
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
             "-days", "2", "-subj", f"/CN={name}", "-keyout", str(folder / f"{name}.key"),
             "-out", str(folder / f"{name}.crt"), *arguments)


class Tls:
    """A world whose Redis has a port for TLS beside the plain one, which the checks use."""

    def __init__(self, world, folder, host):
        self.world = world
        self.port = process.free_port()
        for authority in ("ours", "another"):
            _make_certificate(folder, authority)
        kind = "IP" if host[0].isdigit() else "DNS"
        _make_certificate(folder, "redis", "-CA", str(folder / "ours.crt"), "-CAkey",
                          str(folder / "ours.key"), "-addext", f"subjectAltName={kind}:{host}")
        server = world.redis_server
        server.extra = ["--tls-port", str(self.port), "--tls-auth-clients", "no",
                        "--tls-ca-cert-file", str(folder / "ours.crt"),
                        "--tls-cert-file", str(folder / "redis.crt"),
                        "--tls-key-file", str(folder / "redis.key")]
        server.stop()
        server.start()

    def run(self, host, port=None):
        """An instance that takes Redis for `host`."""
        return self.world.run(redis__url=f"rediss://{host}:{port or self.port}/0",
                              redis__timeout_ms=1500)


@pytest.fixture
def make_tls(world, tmp_path, monkeypatch):
    """Makes a Tls for a host in the certificate, and has one authority alone trusted."""
    told = rollcall.execute("snapshot", options={"redis.url": "rediss://localhost:1"}).stderr
    if "this build's hiredis has none" in told:
        pytest.skip("this build's hiredis has no TLS")

    def make(host, trusted="ours"):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / f"{trusted}.crt"))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
        return Tls(world, tmp_path, host)

    return make


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_host_in_the_certificate_is_taken(world, make_tls, host):
    """Again after Redis was away, too."""
    tls = make_tls(host)
    load = world.make_load()
    load.produce(500)
    instance = tls.run(host)
    world.wait_quiet()
    world.redis_server.kill()
    load.produce(500)
    world.redis_server.start()
    world.verify(load, instance)
    instance.stop()


@pytest.mark.parametrize("named, held", [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost"),
                                         ("127.0.0.1", "127.0.0.2")])
def test_a_certificate_for_another_host_is_refused(world, make_tls, named, held):
    world.create_input()
    instance = make_tls(held).run(named)
    refused(instance, f"not for {named}", "redis.url", "subjectAltName")
    assert "Waiting for Redis" not in instance.log()


def test_an_unknown_authority_is_refused(world, make_tls):
    world.create_input()
    refused(make_tls("localhost", trusted="another").run("localhost"), "not trusted",
            "SSL_CERT_FILE")


def test_a_port_without_tls_is_named(world, make_tls):
    world.create_input()
    refused(make_tls("localhost").run("localhost", port=world.redis_server.port),
            "port for TLS?")
