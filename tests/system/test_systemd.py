"""The units in deploy/systemd, and what rollcall reports to a service manager."""

import os
import socket
import subprocess
import sys

import pytest

import monitoring
import process
import rollcall
import wait

FOLDER = os.path.join(monitoring.REPO, "deploy", "systemd")
UNITS = ("rollcall.service", "rollcall@.service")
#: `systemd-analyze security` counts in tenths: 1.5 at most.
EXPOSURE_MAX = 15


def settings_of(name):
    """The settings of a unit: (section, key, value) in their order."""
    section, found = "", []
    for line in monitoring.text_of(os.path.join(FOLDER, name)).splitlines():
        if line.startswith("["):
            section = line
        elif line and not line.startswith("#"):
            found.append((section, *line.split("=", 1)))
    return found


def analyze(*arguments):
    """Runs systemd-analyze; returns the CompletedProcess."""
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("name", UNITS)
def test_units_expose_little(name):
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE_MAX}",
                   os.path.join(FOLDER, name))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ignoring" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_units_are_valid(name, tmp_path):
    """As they are, but for the path of the program; together with the drop-in for secrets."""
    text = monitoring.text_of(os.path.join(FOLDER, name))
    path = tmp_path / name.replace("@", "@one")
    path.write_text(text.replace("/usr/bin/rollcall", "/bin/true"))
    drop_in = tmp_path / f"{path.name}.d"
    drop_in.mkdir()
    (drop_in / "secrets.conf").write_text(
        monitoring.text_of(os.path.join(FOLDER, "secrets.conf")))
    done = analyze("verify", "--man=no", str(path))
    complaints = [line for line in done.stderr.splitlines() if path.name in line]
    assert not complaints, done.stderr


def test_units_are_the_same_but_for_what_makes_a_template():
    single, template = settings_of(UNITS[0]), settings_of(UNITS[1])
    assert [item for item in single if item not in template] == \
        [item for item in single if item[1] == "Description"]
    assert {key for _, key, value in template if (_, key, value) not in single} == \
        {"Description", "Environment", "EnvironmentFile"}


def test_variables_of_the_units_are_settings(tmp_path):
    """Every variable that a unit sets is one that rollcall takes."""
    names = [value.split("=")[0] for name in (*UNITS, "secrets.conf")
             for _, key, value in settings_of(name) if key == "Environment"]
    assert len(names) == 3
    secret = tmp_path / "secret"
    secret.write_text("redis://127.0.0.1:1/0\n")
    for name in names:
        done = subprocess.run(
            [rollcall.BINARY, "check", "-v", "-X", "kafka.bootstrap.servers=127.0.0.1:1",
             "-X", "redis.timeout_ms=100"], capture_output=True, text=True, timeout=60,
            env={**os.environ, name: str(secret) if name.endswith("_FILE") else "one"})
        assert done.returncode == 1, f"{name}: {done.stderr}"  # neither 0 nor 2: it was taken


class Manager:
    """The end of NOTIFY_SOCKET that systemd has."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)
        self.lines = []

    def read(self):
        """All lines so far."""
        while True:
            try:
                self.lines += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.lines

    def wait_for(self, line, seconds=30):
        """Waits for a line, and returns those before it; forgets all."""
        wait.until(lambda: line in self.read(), seconds, lambda: f"{line} among {self.lines}")
        before = self.lines[:self.lines.index(line)]
        self.lines = self.lines[self.lines.index(line) + 1:]
        return before

    def close(self):
        """Closes the socket."""
        self._socket.close()


@pytest.fixture
def manager(tmp_path):
    """A Manager."""
    made = Manager(str(tmp_path))
    yield made
    made.close()


def test_ready_watchdog_status_and_stopping(world, manager):
    world.create_input()
    world.broker.stop()
    instance = world.run(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "3000000"})
    begin = f"STATUS=not started: waiting for Kafka: Kafka at {world.broker.address} does not answer"
    wait.until(lambda: any(line.startswith(begin) for line in manager.read()), 30, begin)
    assert "READY=1" not in manager.lines
    manager.wait_for("WATCHDOG=1")  # it is alive: there is nothing to restart
    assert "READY=1" not in manager.lines
    world.broker.start()
    manager.wait_for("READY=1")
    assert instance.is_ready()
    manager.wait_for("STATUS=Running with 4 partitions")
    world.redis_server.pause()
    wait.until(lambda: any("Redis" in line for line in manager.read()), 30, "Redis in the status")
    world.redis_server.resume()
    manager.wait_for("STATUS=Running with 4 partitions")
    for _ in range(3):
        manager.wait_for("WATCHDOG=1", seconds=3)
    instance.stop()
    manager.wait_for("STOPPING=1")
    assert "READY=1" not in manager.lines


def test_a_suspended_process_feeds_no_watchdog(world, manager):
    world.create_input()
    instance = world.run(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "300000"})
    manager.wait_for("READY=1")
    manager.wait_for("WATCHDOG=1")
    instance.pause()
    manager.read()
    manager.lines.clear()
    with pytest.raises(wait.TimedOut):
        wait.until(manager.read, 1 / wait.factor, "nothing")
    instance.resume()
    manager.wait_for("WATCHDOG=1")


def test_runs_under_the_units_filter(world, tmp_path):
    """All of its work under the unit's system-call filter, which kills here: exact."""
    load = world.make_load()
    load.produce(2000)
    filters = [value for _, key, value in settings_of(UNITS[0]) if key == "SystemCallFilter"]
    allowed, denied = filters[0], filters[1].removeprefix("~")
    options = {**world.options, "http.listen": f"127.0.0.1:{process.free_port()}"}
    log = str(tmp_path / "filtered.log")
    child = process.spawn(
        [sys.executable, os.path.join(os.path.dirname(__file__), "filtered.py"),
         allowed.replace(" ", ","), denied.replace(" ", ","), rollcall.BINARY, "run",
         *rollcall.flags(options)], log)
    try:
        wait.until(lambda: world.counted_total() >= 2000 or child.poll() is not None, 60,
                   lambda: f"2000 records to be counted: {process.tail(log)}")
        assert child.poll() is None, f"status {child.returncode}: {process.tail(log)}"
    finally:
        status = process.terminate(child, 30)
    assert status == 0, process.tail(log)
    checker = world.run()
    world.verify(load, checker)
    checker.stop()


def test_the_filter_of_the_tests_kills():
    """Otherwise the test above would show nothing."""
    done = subprocess.run(
        [sys.executable, os.path.join(os.path.dirname(__file__), "filtered.py"),
         "@system-service", "@privileged,@resources", sys.executable, "-c",
         "import os; os.sched_setaffinity(0, [0])"], capture_output=True, timeout=60)
    assert done.returncode == -31, done.stderr
