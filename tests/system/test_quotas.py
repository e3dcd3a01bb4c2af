"""Quotas of Kafka's: what they hold back comes later, and is not taken for standing still."""

import subprocess

import pytest

pytestmark = pytest.mark.timeout(300)


def _set_quota(broker, change):
    """Changes what each client may do: `--add-config name=value` or `--delete-config name`."""
    done = subprocess.run(broker.command("kafka.admin.ConfigCommand", "--bootstrap-server",
                                         broker.address, "--alter", *change, "--entity-type",
                                         "clients", "--entity-default"),
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def quota(world):
    """Sets a quota for all clients up to the end of the test."""
    names = []

    def set_one(name, value):
        _set_quota(world.broker, ["--add-config", f"{name}={value}"])
        names.append(name)

    yield set_one
    for name in names:
        _set_quota(world.broker, ["--delete-config", name])


@pytest.mark.parametrize("name, value", [("consumer_byte_rate", 60000),
                                         ("producer_byte_rate", 60000)])
def test_a_quota_only_slows_down(world, quota, name, value):
    load = world.make_load()
    load.produce(7000)
    quota(name, value)
    instance = world.run(producer__transaction__timeout__ms=10000)
    instance.wait_log("A quota of Kafka holds this client back")
    world.verify(load, instance, seconds=120)
    log = instance.log()
    assert "makes no progress" not in log and "joining with a new" not in log, log
    audited = world.execute("audit", timeout=100)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert (name == "consumer_byte_rate") == ("holds this client back" in audited.stderr), audited
