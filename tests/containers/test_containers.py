"""deploy/Dockerfile and docker-compose.yml, built and brought up by podman.

No registry is asked. The base image is made by debootstrap, and two images of docker-compose.yml
have stand-ins, built from the folders beside this file: see STAND_INS. RC_CONTAINERS is the folder
for everything that the engine keeps, RC_TRIXIE the archive of a bare Debian 13, RC_KAFKA_JARS that
of Kafka.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
import redis
from confluent_kafka import Consumer, TopicPartition
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
FOLDER = os.environ["RC_CONTAINERS"]
BASE = "docker.io/library/debian:13.1-slim"
IMAGE = "rollcall:0.1.0"
STAND_INS = {"kafka": "docker.io/apache/kafka:4.1.2", "redis": "docker.io/library/redis:8.0.3-alpine"}
ADDED_MB_MAX = 60
SERVICES = ["kafka", "redis", "generator", "rollcall"]

_CONTAINERS_CONF = """[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[engine.runtimes]
runc = ["{shim}"]
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
_STORAGE_CONF = """[storage]
driver = "vfs"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


def write(name, text):
    """Writes a file of the engine's configuration; returns its path."""
    path = os.path.join(FOLDER, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.format(folder=FOLDER, shim=os.path.join(HERE, "runtime-shim")))
    return path


def call(*command, seconds=600, is_checked=True, **options):
    """Runs a command in the engine's environment; returns its output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False,
                          stdin=subprocess.DEVNULL, **options)
    if is_checked and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout.strip() if is_checked else done


def until(condition, seconds, what):
    """Waits until condition() is true; returns what it returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(1)
    raise AssertionError(f"waited {seconds} s for {what}")


def build(tag, context, dockerfile=None, *more):
    """Builds an image."""
    call("podman", "build", "--network", "host", "--isolation", "oci", "--format", "docker", *more,
         "-f", dockerfile or os.path.join(context, "Dockerfile"), "-t", tag, context, seconds=1200)


def import_base(folder):
    """The base image: a bare Debian with this machine's way to its packages."""
    root = os.path.join(folder, "root")
    os.makedirs(root)
    call("tar", "-xf", os.environ["RC_TRIXIE"], "-C", root)
    for path in glob.glob("/etc/apt/apt.conf.d/99*"):
        shutil.copy(path, os.path.join(root, "etc/apt/apt.conf.d"))
    archive = os.path.join(folder, "base.tar")
    call("tar", "-C", root, "-cf", archive, ".")
    call("podman", "import", archive, BASE)
    shutil.rmtree(root)
    os.remove(archive)


@pytest.fixture(scope="session", autouse=True)
def engine():
    """An engine with storage and networks of its own, and all images but rollcall's."""
    os.makedirs(FOLDER, exist_ok=True)
    os.environ["CONTAINERS_CONF"] = write("containers.conf", _CONTAINERS_CONF)
    os.environ["CONTAINERS_STORAGE_CONF"] = write("storage.conf", _STORAGE_CONF)
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    has = call("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    if BASE not in has:
        import_base(FOLDER)
    for name, image in STAND_INS.items():
        if image in has:
            continue
        context = os.path.join(FOLDER, name)
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(os.path.join(HERE, name), context)
        if name == "kafka":
            shutil.copytree(os.environ["RC_KAFKA_JARS"], os.path.join(context, "libs"))
        build(image, context)
    yield
    call("podman", "rm", "-af", "-t", "5", is_checked=False)


@pytest.fixture(scope="session")
def images():
    """rollcall's image, built twice: their ids."""
    dockerfile = os.path.join(REPO, "deploy/Dockerfile")
    for tag in ("rollcall:again", IMAGE):
        build(tag, REPO, dockerfile, "--no-cache", "--timestamp", "0")
    yield [inspect("rollcall:again"), inspect(IMAGE)]


def inspect(name):
    """What the engine knows of an image or a container."""
    return json.loads(call("podman", "inspect", name))[0]


def test_image_is_small(images):
    added = (images[1]["Size"] - inspect(BASE)["Size"]) / 1e6
    print(f"the image adds {added:.1f} MB to its base")
    assert 1 < added <= ADDED_MB_MAX


def test_image_is_reproducible(images):
    first, second = images
    assert first["RootFS"]["Layers"] == second["RootFS"]["Layers"]
    assert first["Config"] == second["Config"]


def test_image_says_what_it_is(images):
    labels = images[1]["Labels"]
    version = call("podman", "run", "--rm", IMAGE, "--version").split()[1]
    assert labels["org.opencontainers.image.version"] == version == IMAGE.split(":")[1]
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert images[1]["Config"]["User"] == "10001:10001"


def test_image_has_a_bill_of_materials(images):
    path = os.path.join(FOLDER, "sbom.spdx.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(call("podman", "run", "--rm", "--entrypoint", "cat", IMAGE,
                        "/usr/local/share/rollcall/sbom.spdx.json"))
    document = parse_file(path)
    assert validate_full_spdx_document(document) == []
    packages = call("podman", "run", "--rm", "--entrypoint", "dpkg-query", IMAGE, "-W", "-f",
                    "${Package} ${Version}\n").splitlines()
    listed = {f"{package.name} {package.version}" for package in document.packages}
    assert set(packages) <= listed and any(name.startswith("rollcall ") for name in listed)


def compose(*words, seconds=300):
    """Runs podman-compose."""
    return call("podman-compose", "--in-pod", "false", *words, seconds=seconds, is_checked=False,
                cwd=REPO)


def container(service):
    return f"rollcall_{service}_1"


def is_healthy(service):
    return call("podman", "healthcheck", "run", container(service),
                is_checked=False).returncode == 0


def wait_healthy(service):
    until(lambda: is_healthy(service), 120, f"{service} to be healthy")


def is_running(service):
    return inspect(container(service))["State"]["Running"]


def start_all():
    """Starts what does not run. podman 4.3 cannot start one container that depends on others."""
    def is_done():
        call("podman", "start", "--all", is_checked=False)
        return all(map(is_running, SERVICES))

    until(is_done, 120, "all containers to run")


def bring_up():
    """Brings the stack up. podman 4.3 leaves the conditions of depends_on aside, so what they
    demand is waited for here: Kafka and Redis are healthy before the rest starts."""
    compose("up", "-d", "--no-build", "kafka", "redis")
    wait_healthy("kafka")
    wait_healthy("redis")
    compose("up", "-d", "--no-build")
    start_all()
    wait_healthy("rollcall")


@pytest.fixture(scope="module")
def stack(images):
    compose("down", "-v")
    bring_up()
    yield
    compose("down", "-v")


def log_end():
    """How many records the input topic holds."""
    consumer = Consumer({"bootstrap.servers": "localhost:29092", "group.id": "look"})
    try:
        return sum(consumer.get_watermark_offsets(TopicPartition("user-login", p), 10)[1]
                   for p in range(4))
    finally:
        consumer.close()


def counted():
    """How many records Redis has counted, by device type and as rejected."""
    with redis.Redis(host="127.0.0.1", port=6379, decode_responses=True) as client:
        devices = client.zrange("{user-login}:device_type_counts", 0, -1, withscores=True)
        rejected = client.hvals("{user-login}:rejected_counts")
    return sum(int(count) for _, count in devices) + sum(map(int, rejected))


def wait_counted(at_least):
    """Stops the generator, and waits until all that it sent is counted; returns how many."""
    until(lambda: counted() > at_least, 60, f"more than {at_least} records to be counted")
    call("podman", "stop", container("generator"))
    line = call("podman", "logs", container("generator"), is_checked=False).stderr
    sent = log_end()
    assert re.search(r"delivered=(\d+)", line)
    until(lambda: counted() == sent, 60, f"{sent} records to be counted, now {counted()}")
    return sent


def test_counts_equal_what_was_sent_and_outlive_the_stack(stack):
    first = wait_counted(500)
    start_all()
    down = compose("down")
    assert call("podman", "ps", "-aq") == "", down.stderr
    bring_up()
    assert log_end() >= first
    second = wait_counted(first)
    print(f"{first} records before the stack was taken down, {second} after it came back")
    start_all()


def test_nothing_runs_with_rights_that_it_does_not_need(stack):
    for service in SERVICES:
        found = inspect(container(service))
        status = call("podman", "exec", container(service), "cat", "/proc/1/status")
        assert re.search(r"CapEff:\s+0+$", status, re.M), f"{service} has capabilities"
        assert re.search(r"NoNewPrivs:\s+1$", status, re.M), f"{service} may gain privileges"
        assert not re.search(r"Uid:\s+0\s", status), f"{service} runs as root"
        if service != "kafka":
            assert found["HostConfig"]["ReadonlyRootfs"], f"{service} may write to its root"
        assert "-m" in found["Config"]["CreateCommand"], f"{service} has no memory limit"
        for bindings in (found["HostConfig"]["PortBindings"] or {}).values():
            assert all(one["HostIp"] == "127.0.0.1" for one in bindings or []), bindings


def test_health_check_notices(stack):
    """It reads the configuration of the instance, and fails while Redis is away."""
    assert inspect(container("rollcall"))["Config"]["Healthcheck"]["Test"][1:] == ["rollcall",
                                                                                   "ready"]
    call("podman", "stop", container("redis"))
    until(lambda: not is_healthy("rollcall"), 60, "the health check to fail")
    start_all()
    wait_healthy("rollcall")
