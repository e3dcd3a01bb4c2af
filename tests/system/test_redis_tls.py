"""rediss://: the certificate must be signed by a trusted authority and match redis.url."""

import contextlib
import socket
import ssl
import subprocess
import threading

import pytest

import process
import rollcall
import wait
from test_refusals import refused


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _make_certificate(folder, name, *arguments):
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
             "-days", "2", "-subj", f"/CN={name}", "-keyout", str(folder / f"{name}.key"),
             "-out", str(folder / f"{name}.crt"), *arguments)


def _make_certificates(folder, host):
    """Makes two authorities, and a certificate for the host signed by ours."""
    for authority in ("ours", "another"):
        _make_certificate(folder, authority)
    kind = "IP" if host[0].isdigit() else "DNS"
    _make_certificate(folder, "redis", "-CA", str(folder / "ours.crt"), "-CAkey",
                      str(folder / "ours.key"), "-addext", f"subjectAltName={kind}:{host}")


def skip_without_tls():
    """Skips the test if the program was built with a hiredis that has no TLS."""
    output = rollcall.execute("snapshot", options={"redis.url": "rediss://localhost:1"}).stderr
    if "this build's hiredis has none" in output:
        pytest.skip("this build's hiredis has no TLS")


class Tls:
    """A world whose Redis has a TLS port besides the plain one, which the checks use."""

    def __init__(self, world, folder, host):
        self.world = world
        self.port = process.free_port()
        _make_certificates(folder, host)
        server = world.redis_server
        server.extra = ["--tls-port", str(self.port), "--tls-auth-clients", "no",
                        "--tls-ca-cert-file", str(folder / "ours.crt"),
                        "--tls-cert-file", str(folder / "redis.crt"),
                        "--tls-key-file", str(folder / "redis.key")]
        server.stop()
        server.start()

    def run(self, host, port=None):
        """Starts an instance that connects to Redis as `host`."""
        return self.world.run(redis__url=f"rediss://{host}:{port or self.port}/0",
                              redis__timeout_ms=1500)


class Greeter:
    """A server that only completes TLS handshakes. It records the server names that clients send,
    and the result of each handshake: a TLS version or an alert."""

    def __init__(self, folder):
        self.names, self.endings = [], []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "redis.crt", folder / "redis.key")
        self._context.sni_callback = lambda _, name, __: self.names.append(name)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def speak_only(self, version):
        """Accepts only this version of TLS; old versions need weak ciphers."""
        self._context.set_ciphers("ALL:@SECLEVEL=0")
        self._context.minimum_version = self._context.maximum_version = version

    def _serve(self):
        while True:
            try:
                plain = self._listener.accept()[0]
            except OSError:
                return
            plain.settimeout(10)
            try:
                with self._context.wrap_socket(plain, server_side=True) as secure:
                    self.endings.append(secure.version())
            except OSError as error:
                self.endings.append(getattr(error, "reason", None) or str(error))

    def close(self):
        """Closes the listener, which ends the thread."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def make_tls(world, tmp_path, monkeypatch):
    """Makes a Tls for the host in the certificate, with only one trusted authority."""
    skip_without_tls()

    def make(host, trusted="ours"):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / f"{trusted}.crt"))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
        return Tls(world, tmp_path, host)

    return make


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_host_in_the_certificate_is_accepted(world, make_tls, host):
    """The certificate is accepted at the start and after Redis was down."""
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
def test_a_certificate_for_another_host_is_rejected(world, make_tls, named, held):
    world.create_input()
    instance = make_tls(held).run(named)
    refused(instance, f"not for {named}", "redis.url", "subjectAltName")
    assert "Waiting for Redis" not in instance.log()


def test_an_unknown_authority_is_rejected(world, make_tls):
    world.create_input()
    refused(make_tls("localhost", trusted="another").run("localhost"), "not trusted",
            "SSL_CERT_FILE")


def test_a_port_without_tls_is_reported(world, make_tls):
    world.create_input()
    refused(make_tls("localhost").run("localhost", port=world.redis_server.port),
            "port for TLS?")


@pytest.fixture
def make_greeter(make_tls, tmp_path):
    """Makes a Greeter with a certificate for the host."""
    greeters = []

    def make(host):
        make_tls(host)  # makes the certificate and sets the trusted authority
        greeters.append(Greeter(tmp_path))
        return greeters[-1]

    yield make
    for greeter in greeters:
        greeter.close()


@pytest.mark.parametrize("host, name", [("localhost", "localhost"), ("127.0.0.1", None)])
def test_the_client_sends_the_server_name(world, make_greeter, host, name):
    """SNI lets one address serve several names. An IP address is not a name (RFC 6066)."""
    world.create_input()
    greeter = make_greeter(host)
    world.run(redis__url=f"rediss://{host}:{greeter.port}/0")
    wait.until(lambda: greeter.endings, 30, "a handshake")
    assert greeter.names[0] == name
    assert greeter.endings[0] in ("TLSv1.2", "TLSv1.3")


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
@pytest.mark.parametrize("version, is_taken", [(ssl.TLSVersion.TLSv1_1, False),
                                               (ssl.TLSVersion.TLSv1_2, True)])
def test_tls_before_1_2_is_rejected(world, make_greeter, tmp_path, version, is_taken):
    """It is rejected even if the machine's OpenSSL settings would accept it."""
    settings = tmp_path / "weak.cnf"
    settings.write_text("openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = weak\n"
                        "[weak]\nMinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n")
    world.create_input()
    greeter = make_greeter("localhost")
    greeter.speak_only(version)
    instance = world.run(env={"OPENSSL_CONF": str(settings)},
                         redis__url=f"rediss://localhost:{greeter.port}/0")
    wait.until(lambda: greeter.endings, 30, "a handshake")
    assert (greeter.endings[0] == "TLSv1.2") is is_taken, greeter.endings
    if not is_taken:
        instance.wait_log("Waiting for Redis")
        assert "TLS with Redis at" in instance.log()
