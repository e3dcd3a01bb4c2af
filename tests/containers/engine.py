"""podman with storage and networks of its own, and the images that no registry gives.

The base image is made by debootstrap. RC_CONTAINERS is the folder for everything that the engine
keeps, RC_TRIXIE the archive of a bare Debian 13, RC_KAFKA_JARS that of Kafka.
"""

import glob
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
FOLDER = os.environ["RC_CONTAINERS"]
BASE = "docker.io/library/debian:13.1-slim"
IMAGE = "rollcall:0.1.0"

#: Images of the compose files that are built from the folders beside this file.
STAND_INS = {
    "kafka": "docker.io/apache/kafka:4.2.2",
    "redis": "docker.io/library/redis:8.2.3-alpine",
    "prometheus": "docker.io/prom/prometheus:v3.5.0",
}

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
driver = "{driver}"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


def run(*command, seconds=600):
    """Runs a command in the engine's environment; returns how it ended, and its output."""
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False,
                          stdin=subprocess.DEVNULL, cwd=REPO)


def call(*command, seconds=600):
    """Runs a command that must succeed; returns what it printed."""
    done = run(*command, seconds=seconds)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout.strip()


def until(condition, seconds, what):
    """Waits until condition() is true; returns what it returned. what: a text, or a function."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(1)
    raise AssertionError(f"waited {seconds} s for {what() if callable(what) else what}")


def inspect(name):
    """What the engine knows of an image or a container."""
    return json.loads(call("podman", "inspect", name))[0]


def build(tag, context, dockerfile=None, *more):
    """Builds an image."""
    call("podman", "build", "--network", "host", "--isolation", "oci", "--format", "docker", *more,
         "-f", dockerfile or os.path.join(context, "Dockerfile"), "-t", tag, context, seconds=1200)


def _driver():
    """How images are stored: as overlays where the file system of FOLDER allows it, else as copies,
    which takes minutes longer."""
    parts = {name: os.path.join(FOLDER, "try", name) for name in ("lower", "upper", "work", "all")}
    for path in parts.values():
        os.makedirs(path)
    options = "lowerdir={lower},upperdir={upper},workdir={work}".format(**parts)
    works = run("mount", "-t", "overlay", "overlay", "-o", options, parts["all"]).returncode == 0
    if works:
        call("umount", parts["all"])
    shutil.rmtree(os.path.join(FOLDER, "try"))
    return "overlay" if works else "vfs"


def _write(name, text):
    """Writes a file of the engine's configuration; returns its path."""
    path = os.path.join(FOLDER, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.format(folder=FOLDER, driver=_driver(),
                               shim=os.path.join(HERE, "runtime-shim")))
    return path


def _import_base():
    """The base image: a bare Debian with this machine's way to its packages."""
    root, archive = os.path.join(FOLDER, "root"), os.path.join(FOLDER, "base.tar")
    os.makedirs(root)
    call("tar", "-xf", os.environ["RC_TRIXIE"], "-C", root)
    for path in glob.glob("/etc/apt/apt.conf.d/99*"):
        shutil.copy(path, os.path.join(root, "etc/apt/apt.conf.d"))
    call("tar", "-C", root, "-cf", archive, ".")
    call("podman", "import", archive, BASE)
    shutil.rmtree(root)
    os.remove(archive)


def _has(image):
    return run("podman", "image", "exists", image).returncode == 0


def start():
    """Configures the engine for this process and its children, and imports the base image."""
    os.makedirs(FOLDER, exist_ok=True)
    os.environ["CONTAINERS_CONF"] = _write("containers.conf", _CONTAINERS_CONF)
    os.environ["CONTAINERS_STORAGE_CONF"] = _write("storage.conf", _STORAGE_CONF)
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    if not _has(BASE):
        _import_base()


def stop():
    """Removes every container that is left."""
    run("podman", "rm", "-af", "-t", "5")


def stand_in(name):
    """Builds the stand-in for an image of a compose file, unless it is there."""
    image = STAND_INS[name]
    if _has(image):
        return
    context = os.path.join(FOLDER, name)
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(os.path.join(HERE, name), context)
    if name == "kafka":
        shutil.copytree(os.environ["RC_KAFKA_JARS"], os.path.join(context, "libs"))
    build(image, context)
