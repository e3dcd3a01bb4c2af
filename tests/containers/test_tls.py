"""deploy/compose/tls.yml: counts are right with TLS on both sides of rollcall."""

import os
import socket
import ssl

import pytest

import stack as stacks
from engine import FOLDER, call

PORTS = {"kafka": 29092, "redis": 6379}


@pytest.fixture(scope="module")
def stack(image):
    yield from stacks.up("tls")


@pytest.fixture(scope="module")
def files(stack):
    """The certificates, copied out of a container as the overlay says: their folder."""
    folder = os.path.join(FOLDER, "certificates")
    call("podman", "cp", f"{stack.container('redis')}:/certificates", folder)
    return folder


@pytest.fixture
def clients(files):
    authority, own = os.path.join(files, "ca.pem"), os.path.join(files, "rollcall.pem")
    return stacks.Clients(
        kafka={"security.protocol": "ssl", "ssl.ca.location": authority,
               "ssl.certificate.location": own, "ssl.key.location": own},
        redis_options={"ssl": True, "ssl_ca_certs": authority, "ssl_certfile": own,
                       "ssl_keyfile": own, "host": "localhost"})


def test_counts_equal_what_was_sent_and_outlive_the_stack(stack, clients):
    sent = stacks.wait_counted(stack, clients, 500)
    assert clients.counted() == sent
    first, second = stacks.outlive(stack, clients)
    assert "are still good" in stack.logs("certificates")
    print(f"with TLS, {first} records before the stack was taken down, {second} after it came back")


@pytest.mark.parametrize("service", PORTS)
def test_no_one_is_let_in_without_a_certificate(stack, files, service):
    """Neither in clear nor with TLS alone."""
    context = ssl.create_default_context(cafile=os.path.join(files, "ca.pem"))
    with socket.create_connection(("localhost", PORTS[service]), timeout=10) as plain:
        plain.sendall(b"PING\r\n")
        with pytest.raises((OSError, AssertionError)):
            assert plain.recv(100).startswith(b"+PONG")
    # Nothing is sent, as that could fail before the reason is read.
    with pytest.raises(ssl.SSLError, match="certificate required"):
        with socket.create_connection(("localhost", PORTS[service]), timeout=10) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as secured:
            secured.recv(100)


def test_nothing_runs_with_rights_that_it_does_not_need(stack):
    stacks.check_rights(stack)
