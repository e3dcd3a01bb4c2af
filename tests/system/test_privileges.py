"""The program needs no root, no home and no writable folder, and hides its secrets."""

import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

import process
import rollcall
import wait
from confined import NOBODY, NO_LANDLOCK

_CONFINED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "confined.py")


class Confined:
    """A world-readable folder with the program and the libraries that the system does not have."""

    def __init__(self, folder):
        self.folder = folder
        self.writable = ""
        os.chmod(folder, 0o755)
        for path in (rollcall.BINARY, _CONFINED, *self._libraries()):
            shutil.copy(path, folder)
        os.chmod(os.path.join(folder, "confined.py"), 0o644)

    @staticmethod
    def _libraries():
        done = subprocess.run(["ldd", rollcall.BINARY], check=True, capture_output=True, text=True)
        return [path for path in re.findall(r"=> (/\S+)", done.stdout)
                if not path.startswith(("/lib", "/usr/lib"))]

    def command(self, *command):
        """Returns a command that runs another one confined."""
        return [sys.executable if os.geteuid() else "/usr/bin/python3",
                os.path.join(self.folder, "confined.py"), self.writable, *command]

    def program(self):
        """Writes a script that runs rollcall confined; returns its path."""
        path = os.path.join(self.folder, "confined-rollcall")
        words = ["env", f"LD_LIBRARY_PATH={self.folder}",
                 *self.command(os.path.join(self.folder, "rollcall"))]
        with open(path, "w") as script:
            script.write(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        os.chmod(path, 0o755)
        return path

    def run(self, *command):
        """Runs a command confined, to completion."""
        return subprocess.run(self.command(*command), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)


@pytest.fixture
def confined(monkeypatch):
    """Makes a test run every rollcall confined."""
    with tempfile.TemporaryDirectory(prefix="rollcall-confined-") as folder:
        made = Confined(folder)
        if made.run("true").returncode == NO_LANDLOCK:
            pytest.skip("the kernel has no Landlock")
        monkeypatch.setattr(rollcall, "BINARY", made.program())
        yield made


def test_the_confinement_confines(confined):
    probe = "test $(id -u) != 0 && test -z \"$HOME\" && test -r /etc/passwd && > "
    for path in ("/tmp/x", "/dev/shm/x", os.path.join(confined.folder, "x"), "x", "/dev/null"):
        done = confined.run("sh", "-c", probe + path)
        assert done.returncode != 0 and "Permission denied" in done.stderr, (path, done.stderr)


def test_run_needs_no_root_and_nothing_to_write(world, confined):
    load = world.make_load()
    load.produce(2000)
    instance = world.run()
    world.verify(load, instance)
    with open(f"/proc/{instance.pid()}/status") as status:
        facts = dict(line.split(":\t", 1) for line in status.read().splitlines())
    assert "0" not in facts["Uid"].split() and int(facts["CapEff"], 16) == 0
    instance.stop()


def test_the_other_commands_need_neither(world, confined):
    world.create_input()
    for command in (["generate", "--count", "100", "--rate", "0"], ["check"], ["snapshot"]):
        done = world.execute(*command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_demo_writes_in_its_temporary_folder_alone(confined, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", confined.folder)
    done = rollcall.execute("demo", "--count", "2000")
    assert done.returncode == 1 and f"cannot make a folder in {confined.folder}" in done.stderr

    confined.writable = tempfile.mkdtemp(dir=confined.folder)
    os.chmod(confined.writable, 0o777)
    monkeypatch.setenv("TMPDIR", confined.writable)
    confined.program()
    done = rollcall.execute("demo", "--count", "2000")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "All counts are equal" in done.stdout
    finally:
        for port in re.findall(r"redis-cli -p (\d+) shutdown", done.stdout):
            subprocess.run(["redis-cli", "-p", port, "shutdown", "nosave"], check=True)


@pytest.mark.redis(password="right-secret-1")
def test_a_process_of_the_same_user_sees_no_password(world, confined):
    """Another process cannot read the password, neither from memory nor from the environment."""
    world.create_input()
    url = world.options.pop("redis.url")
    instance = world.run(env={"ROLLCALL_REDIS_URL": url})
    instance.wait_ready()
    other = process.spawn(confined.command("sleep", "60"), os.devnull)
    try:
        wait.until(lambda: not _peep(other.pid, "environ"), 10,
                   "an ordinary process of that user to be readable")
        assert "Permission denied" in _peep(instance.pid(), "environ")
        assert "Permission denied" in _peep(instance.pid(), "mem")
    finally:
        process.kill(other)
    instance.stop()


def _peep(pid, name):
    """Reads /proc/PID/NAME as the same user, but not confined; returns the error message."""
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.run(["head", "-c", "1", f"/proc/{pid}/{name}"], capture_output=True,
                          text=True, timeout=10, cwd="/", **user).stderr


def test_no_core_dump(world, tmp_path, monkeypatch):
    """rollcall leaves no core dump where an ordinary process that aborts leaves one."""
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    monkeypatch.chdir(tmp_path)
    resource.setrlimit(resource.RLIMIT_CORE, (limits[1], limits[1]))
    try:
        other = process.spawn(["sleep", "60"], tmp_path / "sleep.log")
        world.create_input()
        instance = world.run()
        instance.wait_ready()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, limits)
    ends = []
    for pid in (other.pid, instance.pid()):
        os.kill(pid, signal.SIGABRT)
        ends.append(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_code)
    process.kill(other)
    if ends[0] != os.CLD_DUMPED:
        pytest.skip("this machine writes no core dumps")
    assert ends[1] == os.CLD_KILLED
