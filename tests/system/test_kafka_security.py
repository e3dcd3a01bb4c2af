"""Logging in to Kafka: what works, and that each thing that is wrong is named with its fix."""

import os
import subprocess
import time

import pytest
from confluent_kafka.admin import (ScramCredentialInfo, ScramMechanism, UserScramCredentialDeletion,
                                   UserScramCredentialUpsertion)

import kafka
import process
from test_waits import wait_not_ready

USER, PASSWORD, WRONG = "scram-user", "scram-secret-72", "wrong-secret-73"
#: How the broker's certificate is, by the suffix of a listener.
CERTIFICATES = {"": "good", "_expired": "expired", "_other": "other"}
SECURED = [f"{kind}{suffix}" for kind in ("tls", "sasl_tls") for suffix in CERTIFICATES] + ["mtls"]
TOKEN_SCOPE = "rollcall"

LOGIN_LINES = """
listener.name.{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.{name}.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.{name}.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.{name}.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.{name}.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
unsecuredLoginStringClaim_sub="unused" unsecuredValidatorRequiredScope="{scope}";
"""
TLS_LINES = """
listener.name.{name}.ssl.keystore.type=PEM
listener.name.{name}.ssl.keystore.location={folder}/{certificate}.pem
listener.name.{name}.ssl.truststore.type=PEM
listener.name.{name}.ssl.truststore.location={folder}/{trusted}
listener.name.{name}.ssl.client.auth={clients}
"""


class Certificates:
    """Two authorities, and certificates that the first of them signed."""

    def __init__(self, folder):
        self.folder = str(folder)
        for authority in ("ours", "another"):
            self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                          "-noenc", "-days", "2", "-subj", f"/CN={authority}",
                          "-keyout", self.path(f"{authority}.key"),
                          "-out", self.path(f"{authority}.crt"))
        self.sign("good", "IP:127.0.0.1")
        self.sign("other", "DNS:other.example")
        self.sign("expired", "IP:127.0.0.1", start="20200101000000Z", end="20200201000000Z")
        self.sign("client", "DNS:client.example")

    def path(self, name):
        """The path of one of the files."""
        return os.path.join(self.folder, name)

    def put(self, name, *parts):
        """Makes a file of other files, one after the other."""
        with open(self.path(name), "w") as out:
            for part in parts:
                with open(self.path(part)) as text:
                    out.write(text.read())

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.folder)

    def sign(self, name, subject, start=None, end=None, by="ours"):
        """Makes NAME.key, NAME.crt, and both together in NAME.pem."""
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-noenc", "-subj", f"/CN={name}", "-addext", f"subjectAltName={subject}",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")
        database = self.path(f"{name}.index")
        with open(database, "w"):
            pass
        with open(self.path(f"{name}.cnf"), "w") as out:
            out.write(f"[ca]\ndefault_ca=ours\n[ours]\ndatabase={database}\nnew_certs_dir=.\n"
                      f"rand_serial=yes\ndefault_md=sha256\npolicy=any\ncopy_extensions=copy\n"
                      f"[any]\ncommonName=supplied\n")
        dates = ("-startdate", start, "-enddate", end) if start else ("-days", "2")
        self._openssl("ca", "-batch", "-notext", "-config", f"{name}.cnf", "-cert", f"{by}.crt",
                      "-keyfile", f"{by}.key", "-in", f"{name}.csr", "-out", f"{name}.crt", *dates)
        self.put(f"{name}.pem", f"{name}.key", f"{name}.crt")


class UsersKafka(kafka.Kafka):
    """A broker with a user whose SCRAM passwords can be set."""

    def set_password(self, mechanism, password):
        """Sets the user's SCRAM password; None removes the user."""
        kind = ScramMechanism[mechanism.replace("-", "_")]
        change = (UserScramCredentialDeletion(USER, kind) if password is None else
                  UserScramCredentialUpsertion(USER, ScramCredentialInfo(kind, 4096),
                                               password.encode()))
        for done in self.admin().alter_user_scram_credentials([change]).values():
            done.result(30)


class SecureKafka(UsersKafka):
    """A broker with a listener for each kind of log-in and of certificate."""

    def __init__(self, folder, certificates):
        self.ports = {name: process.free_port() for name in SECURED + ["sasl"]}
        extra = LOGIN_LINES.format(name="sasl", user=USER, password=PASSWORD, scope=TOKEN_SCOPE)
        for name in SECURED:
            if name.startswith("sasl"):
                extra += LOGIN_LINES.format(name=name, user=USER, password=PASSWORD,
                                            scope=TOKEN_SCOPE)
            extra += TLS_LINES.format(name=name, folder=certificates.folder, trusted="ours.crt",
                                      certificate=CERTIFICATES.get(
                                          name.removeprefix("sasl_")[3:], "good"),
                                      clients="required" if name == "mtls" else "none")
        super().__init__(folder, extra=extra, listeners={
            name.upper(): (port, protocol_of(name)) for name, port in self.ports.items()})


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """The certificates of this module's broker and of its clients."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker(certificates, tmp_path_factory):
    """A broker with all the listeners."""
    server = SecureKafka(str(tmp_path_factory.mktemp("kafka")), certificates)
    server.start()
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        server.set_password(mechanism, PASSWORD)
    yield server
    server.kill()


def tls(certificates, **changes):
    """Settings for a listener with TLS; those in changes are other files."""
    files = {"ca.location": "ours.crt", **changes}
    return {f"kafka.ssl.{name}": certificates.path(file) for name, file in files.items() if file}


def login(mechanism, password=PASSWORD, user=USER):
    """Settings for a listener with SASL."""
    if mechanism != "OAUTHBEARER":
        return {"kafka.sasl.mechanisms": mechanism, "kafka.sasl.username": user,
                "kafka.sasl.password": password}
    scope = f" scope={TOKEN_SCOPE}" if password == PASSWORD else ""
    return {"kafka.sasl.mechanisms": mechanism, "kafka.enable.sasl.oauthbearer.unsecure.jwt": "true",
            "kafka.sasl.oauthbearer.config": f"principal={user}{scope}"}


def protocol_of(listener):
    """The security protocol of a listener."""
    return ("SASL_" if listener.startswith("sasl") else "") + (
        "SSL" if "tls" in listener else "PLAINTEXT")


def at(broker, listener):
    """Settings that lead to a listener of the broker."""
    return {"kafka.bootstrap.servers": f"127.0.0.1:{broker.ports[listener]}",
            "kafka.security.protocol": protocol_of(listener)}


MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
CLIENT = {"certificate.location": "client.crt", "key.location": "client.key"}
LOGIN_WORDS = ("authentication failed", "sasl.username", "sasl.password", "sasl.mechanisms")
TOKEN_WORDS = ("authentication failed", "sasl.oauthbearer")
CA_WORDS = ("authority that is not trusted", "ssl.ca.location")
EXPIRED_WORDS = ("has expired", "renew it")
HOST_WORDS = ("for another host name", "kafka.bootstrap.servers")
CLIENT_WORDS = ("certificate of this client", "ssl.certificate.location", "ssl.key.location")
MECHANISM_WORDS = ("authentication failed", "sasl.mechanisms", "SCRAM-SHA-512")
NO_TLS_WORDS = ("TLS", "security.protocol", "PLAINTEXT")


def cases():
    """Yields (name, listener, SASL settings or None, changed files, words of the error)."""
    for kind, sasl in [("tls", [None]), ("sasl_tls", MECHANISMS)]:
        for mechanism in sasl:
            name = mechanism or "TLS"
            yield f"{name}-right", kind, mechanism and login(mechanism), {}, None
            yield f"{name}-wrong_ca", kind, mechanism and login(mechanism), {
                "ca.location": "another.crt"}, CA_WORDS
            for suffix, words in (("_expired", EXPIRED_WORDS), ("_other", HOST_WORDS)):
                yield (f"{name}{suffix}", kind + suffix, mechanism and login(mechanism), {}, words)
    for mechanism in MECHANISMS:
        words = TOKEN_WORDS if mechanism == "OAUTHBEARER" else LOGIN_WORDS
        for listener in ("sasl", "sasl_tls"):
            yield (f"{mechanism}-wrong_password-{listener}", listener, login(mechanism, WRONG), {},
                   words)
        yield f"{mechanism}-right-sasl", "sasl", login(mechanism), {}, None
    yield "PLAIN-wrong_user", "sasl", login("PLAIN", user="nobody"), {}, LOGIN_WORDS
    yield "SCRAM-wrong_user", "sasl", login("SCRAM-SHA-256", user="nobody"), {}, LOGIN_WORDS
    yield "mTLS-right", "mtls", None, CLIENT, None
    yield "mTLS-missing_certificate", "mtls", None, {}, CLIENT_WORDS
    yield "mTLS-wrong_ca", "mtls", None, {**CLIENT, "ca.location": "another.crt"}, CA_WORDS
    yield "mTLS-certificate_of_another", "mtls", None, {
        "certificate.location": "another.crt", "key.location": "another.key"}, CLIENT_WORDS


def settings(broker, certificates, listener, sasl, files):
    """All settings of a case."""
    return {**at(broker, listener), **(sasl or {}),
            **(tls(certificates, **files) if "tls" in listener else {})}


def underscored(options):
    """As World's methods take them."""
    return {name.replace(".", "__"): value for name, value in options.items()}


@pytest.mark.parametrize("listener, sasl, files, words",
                         [pytest.param(*case[1:], id=case[0]) for case in cases()])
def test_check_names_what_is_wrong_at_once(world, certificates, listener, sasl, files, words):
    if world.broker.partition_count(world.topic) == 0:
        world.create_input()
    options = underscored(settings(world.broker, certificates, listener, sasl, files))
    began = time.monotonic()
    done = world.execute("check", **options)
    took = time.monotonic() - began
    assert PASSWORD not in done.stdout + done.stderr and WRONG not in done.stdout + done.stderr
    if words is None:
        assert done.returncode == 0, done.stdout + done.stderr
        return
    assert done.returncode == 1, done.stdout
    bad = [line for line in done.stdout.splitlines() if line.startswith("bad")]
    assert len(bad) == 1 and all(word in bad[0] for word in words), done.stdout
    assert took < 6, f"{took:.1f} s"


@pytest.mark.parametrize("listener, sasl, files, words", [
    pytest.param("sasl", login("PLAIN", WRONG), {}, LOGIN_WORDS, id="password"),
    pytest.param("tls", None, {"ca.location": "another.crt"}, CA_WORDS, id="authority"),
    pytest.param("tls_expired", None, {}, EXPIRED_WORDS, id="expired"),
    pytest.param("tls_other", None, {}, HOST_WORDS, id="host"),
    pytest.param("mtls", None, {}, CLIENT_WORDS, id="client_certificate"),
])
def test_run_names_what_is_wrong(world, certificates, listener, sasl, files, words):
    """In the log and in /readyz, while it waits."""
    world.create_input()
    instance = world.run(**underscored(settings(world.broker, certificates, listener, sasl, files)))
    wait_not_ready(instance, *words, seconds=10)
    for word in words:
        instance.wait_log(word, seconds=1)
    assert instance.get("/healthz")[0] == 200
    instance.stop()


def test_a_mechanism_that_the_broker_does_not_have(world):
    world.create_input()
    done = world.execute("check", kafka__bootstrap__servers=world.broker.sasl_address,
                         kafka__security__protocol="SASL_PLAINTEXT",
                         **underscored(login("SCRAM-SHA-512")))
    assert done.returncode == 1 and all(word in done.stdout for word in MECHANISM_WORDS), done.stdout


def test_tls_to_a_listener_without(world, certificates):
    world.create_input()
    done = world.execute("check", kafka__security__protocol="SSL",
                         **underscored(tls(certificates)))
    assert done.returncode == 1 and all(word in done.stdout for word in NO_TLS_WORDS), done.stdout


def test_it_goes_on_once_the_password_is_right(world):
    """A SCRAM password is set on the broker after the instance has started."""
    load = world.make_load()
    load.produce(500)
    world.broker.set_password("SCRAM-SHA-512", None)
    instance = world.run(**underscored({**at(world.broker, "sasl"), **login("SCRAM-SHA-512")}))
    wait_not_ready(instance, *LOGIN_WORDS, seconds=10)
    world.broker.set_password("SCRAM-SHA-512", PASSWORD)
    instance.wait_ready()
    world.verify(load, instance)
    instance.stop()


def test_a_password_that_is_withdrawn_from_a_running_instance(world):
    """It is named when the broker asks for it again: here, after a restart."""
    load = world.make_load()
    load.produce(500)
    options = {**at(world.broker, "sasl"), **login("SCRAM-SHA-256")}
    instance = world.run(**underscored(options)).wait_ready()
    world.wait_quiet()
    world.broker.set_password("SCRAM-SHA-256", WRONG)
    world.broker.stop()
    world.broker.start()
    wait_not_ready(instance, *LOGIN_WORDS, seconds=15)
    world.broker.set_password("SCRAM-SHA-256", PASSWORD)
    load.produce(500)
    world.verify(load, instance)
    instance.wait_ready()
    instance.stop()
