"""The Debian package, installed, run as its service, upgraded and purged in a bare Debian.

RC_PACKAGE is the package, RC_ROOT the folder of a Debian that has the packages which it depends on,
RC_KAFKA_JARS as for the system tests. The tests are one story, in this order. They need a network
of their own, because the configuration as shipped names the usual ports.
"""

import hashlib
import itertools
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import unittest.mock

import pytest

import kafka
import process
import redis_server
import rollcall
import test_hardening
import wait

PACKAGE, ROOT = os.environ["RC_PACKAGE"], os.environ["RC_ROOT"]
CONFIGURATION = "/etc/rollcall/rollcall.ini"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNITS = "/lib/systemd/system/"


def inside(path):
    """The path of a file of the Debian."""
    return ROOT + path


def text_of(path):
    with open(inside(path), encoding="utf-8") as file:
        return file.read()


def run(*command, is_checked=True):
    """Runs a command as root in the Debian; returns the CompletedProcess."""
    done = subprocess.run(
        ["chroot", ROOT, "env", "-i", f"PATH={PATH}", "DEBIAN_FRONTEND=noninteractive", *command],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert not is_checked or done.returncode == 0, done.stdout + done.stderr
    return done


def install(path, *options):
    shutil.copy(path, inside("/tmp/rollcall.deb"))
    try:
        return run("dpkg", *options, "--install", "/tmp/rollcall.deb")
    finally:
        os.remove(inside("/tmp/rollcall.deb"))


def snapshot():
    """Everything in the Debian: path -> type, rights, owner and content. Not what dpkg writes."""
    passed_over = re.compile(
        r"/(proc|sys|dev|run|tmp|var/log/.*|var/cache/(ldconfig|debconf)/.*"
        r"|var/lib/dpkg/(status|available|diversions|lock.*|triggers/.*|statoverride)(-old)?"
        r"|etc/(passwd|group|shadow|gshadow)-)")
    found = {}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders
                      if not passed_over.fullmatch(os.path.join(folder, name)[len(ROOT):])]
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content = ""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            if not passed_over.fullmatch(path[len(ROOT):]):
                found[path[len(ROOT):]] = (oct(status.st_mode), status.st_uid, status.st_gid,
                                           content)
    return found


def later(tmp_path, number):
    """The package as it would be in a later version, with another default in its configuration."""
    folder = str(tmp_path / number)
    subprocess.run(["dpkg-deb", "--raw-extract", PACKAGE, folder], check=True)
    control = os.path.join(folder, "DEBIAN/control")
    with open(control, encoding="utf-8") as file:
        text = file.read()
    with open(control, "w", encoding="utf-8") as file:
        file.write(re.sub(r"(?m)^Version: .*$", f"Version: {number}", text))
    with open(folder + CONFIGURATION, "a", encoding="utf-8") as file:
        file.write(f"\n# a setting of {number}\n")
    path = f"{folder}.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", folder, path], check=True,
                   stdout=subprocess.DEVNULL)
    return path


def version_of(path):
    return subprocess.run(["dpkg-deb", "--field", path, "Version"], check=True,
                          capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def before():
    """The Debian without the package."""
    assert not os.path.exists(inside("/usr/bin/rollcall"))
    return snapshot()


def settings_of(unit):
    """key -> value of a unit; of several the last."""
    return dict(re.findall(r"(?m)^(\w+)=(.*)$", text_of(UNITS + unit)))


def user_id(name):
    return int(run("id", "-u", name).stdout)


# ------------------------------------------------------------------------------------- the story

def test_it_is_installed():
    install(PACKAGE)
    assert run("dpkg-query", "-W", "-f", "${Status} ${Version}", "rollcall").stdout == \
        f"install ok installed {version_of(PACKAGE)}"
    assert run("dpkg", "--verify", "rollcall").stdout == ""
    assert not run("ldd", "/usr/bin/rollcall").stdout.count("not found")


@pytest.mark.parametrize("check", [
    test_hardening.test_it_can_be_loaded_anywhere,
    test_hardening.test_no_segment_is_writable_and_executable_and_the_stack_is_not,
    test_hardening.test_relocated_data_is_read_only,
    test_hardening.test_calls_that_write_into_buffers_know_their_size])
def test_the_program_is_hardened(check, monkeypatch):
    monkeypatch.setattr(rollcall, "BINARY", inside("/usr/bin/rollcall"))
    check()


def test_the_version_is_that_of_the_program():
    first = run("rollcall", "--version").stdout.splitlines()[0]
    assert version_of(PACKAGE).split("-")[0] == first.split()[1]


def test_the_configuration_is_that_of_the_tables_and_for_the_service_alone():
    assert text_of(CONFIGURATION) == run("rollcall", "help", "rollcall.ini").stdout
    assert not re.search(r"(?m)^[^#\[\n]", text_of(CONFIGURATION))
    conffiles = run("dpkg-query", "-W", "-f", "${Conffiles}", "rollcall").stdout.split()
    assert conffiles[::2] == [CONFIGURATION]
    status = os.stat(inside("/etc/rollcall"))
    assert stat.S_IMODE(status.st_mode) == 0o750 and status.st_uid == 0
    assert status.st_gid == int(run("id", "-g", "rollcall").stdout)
    assert "nologin" in run("getent", "passwd", "rollcall").stdout


@pytest.mark.parametrize("path", [
    "/usr/share/man/man1/rollcall.1.gz", "/usr/share/man/man5/rollcall.ini.5.gz",
    "/usr/share/bash-completion/completions/rollcall",
    "/usr/share/zsh/vendor-completions/_rollcall",
    "/usr/share/fish/vendor_completions.d/rollcall.fish", "/usr/share/doc/rollcall/changelog.gz",
    "/usr/share/doc/rollcall/copyright", "/usr/share/doc/rollcall/examples/secrets.conf"])
def test_it_brings(path):
    assert os.path.getsize(inside(path)) > 300


@pytest.mark.parametrize("unit", ["rollcall.service", "rollcall@.service"])
def test_units_are_valid_and_not_started(unit):
    done = run("systemd-analyze", "--man=no", "verify", UNITS + unit.replace("@", "@one"),
               is_checked=False)
    assert not [line for line in done.stderr.splitlines() if "rollcall" in line], done.stderr
    settings = settings_of(unit)
    assert settings["User"] == "rollcall"
    assert os.access(inside(shlex.split(settings["ExecStart"])[0]), os.X_OK)
    assert not os.path.exists(inside(f"/etc/systemd/system/multi-user.target.wants/{unit}"))


@pytest.fixture
def servers(tmp_path):
    """Kafka and Redis at their usual ports."""
    usual = itertools.chain([9092], iter(process.free_port, None))
    with unittest.mock.patch.object(process, "free_port", lambda: next(usual)):
        broker = kafka.Kafka(str(tmp_path / "kafka"))
    server = redis_server.RedisServer(str(tmp_path / "redis"))
    server.port = 6379
    broker.start()
    server.start()
    yield broker, server
    server.stop()
    broker.stop()


def test_the_service_counts_as_shipped(servers, tmp_path):
    """Its command line, user and configuration, with what systemd would set."""
    broker, server = servers
    events = 1000
    broker.create_topic("user-login", 4)
    settings = settings_of("rollcall.service")
    # In the Debian, where the service's user may write.
    address = "/tmp/notify"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(inside(address))
    os.chmod(inside(address), 0o777)
    manager.settimeout(60 * wait.factor)
    number = str(user_id(settings["User"]))
    log_path = str(tmp_path / "service.log")
    service = process.spawn(
        ["chroot", ROOT, "setpriv", "--reuid", number, "--regid", settings["User"], "--init-groups",
         "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "env", "-i", f"PATH={PATH}",
         f"NOTIFY_SOCKET={address}", *shlex.split(settings["ExecStart"])], log_path)
    try:
        while b"READY=1" not in manager.recv(4096).splitlines():
            pass
        run("rollcall", "generate", "--count", str(events), "--rate", "0", "--invalid", "0")
        with server.client() as client:
            wait.until(lambda: sum(map(int, client.hvals("{user-login}:offsets"))) == events, 30,
                       lambda: f"all to be counted: {process.tail(log_path)}")
            scores = dict(client.zrange("{user-login}:device_type_counts", 0, -1, withscores=True))
            assert sum(scores.values()) == events
        service.terminate()
        assert service.wait(30) == 0, process.tail(log_path)
    finally:
        process.kill(service)
        manager.close()
        os.remove(inside(address))


def test_an_upgrade_brings_new_defaults_and_keeps_what_was_changed(tmp_path):
    install(later(tmp_path, "99.1"))
    assert text_of(CONFIGURATION).endswith("# a setting of 99.1\n")
    own = "[log]\nlevel = warn\n"
    with open(inside(CONFIGURATION), "w", encoding="utf-8") as file:
        file.write(own)
    secret = inside("/etc/rollcall/redis-url")
    with open(secret, "w", encoding="utf-8") as file:
        file.write("redis://localhost\n")
    os.chmod(inside("/etc/rollcall"), 0o700)
    install(later(tmp_path, "99.2"), "--force-confold")
    assert text_of(CONFIGURATION) == own
    assert text_of(CONFIGURATION + ".dpkg-dist").endswith("# a setting of 99.2\n")
    assert stat.S_IMODE(os.stat(inside("/etc/rollcall")).st_mode) == 0o700
    assert run("rollcall", "--version").returncode == 0


def test_removing_keeps_the_configuration():
    run("dpkg", "--remove", "rollcall")
    assert not os.path.exists(inside("/usr/bin/rollcall"))
    assert os.path.exists(inside(CONFIGURATION)) and user_id("rollcall")


def test_purging_leaves_nothing(before):
    run("dpkg", "--purge", "rollcall")
    after = snapshot()
    changed = {path: (before.get(path), after.get(path)) for path in before.keys() | after.keys()
               if before.get(path) != after.get(path)}
    assert not changed
