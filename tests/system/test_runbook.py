"""docs/runbook.md: its commands run, and it has an entry for every way to exit."""

import glob
import os
import re
import subprocess

import pytest

import monitoring
import runbook
from runbook import RUNBOOK

#: The modules whose errors can end `rollcall run` with status 1.
MODULES = ("src/app/pipeline.c", "src/app/preflight.c", "src/app/assignment.c", "src/app/run.c",
           "src/edge/http_listen.c", "src/edge/kafka_client.c", "src/edge/kafka_conf.c",
           "src/edge/kafka_rejoin.c", "src/edge/kafka_sink.c", "src/edge/kafka_source.c",
           "src/edge/kafka_topics.c",
           "src/edge/redis_fault.c", "src/edge/redis_link.c", "src/edge/redis_master.c", "src/edge/redis_sentinel.c",
           "src/edge/redis_store.c", "src/edge/redis_url.c", "src/edge/redis_wire.c",
           "src/edge/redis_tls.c", "src/flow/checkpoint.c", "src/flow/ingest.c",
           "src/flow/ingest_finding.c", "src/flow/publish.c", "src/flow/twins.c")

#: Errors of these modules that end nothing: words of each, and why.
NO_EXIT = {
    # of the configuration: status 2
    "redis.url is not redis": "status 2",
    'redis.url has "@/" twice': "status 2",
    "redis.sentinel_user and redis.sentinel_password are for": "status 2",
    "redis.ca_file, redis.cert_file and redis.key_file are for": "status 2",
    "redis.ca_file %s": "status 2",
    "redis.cert_file": "status 2",
    "redis.key_file %s": "status 2",
    "cannot be set up by this OpenSSL": "status 2",
    "thread or descriptor for a Sentinel": "status 2",
    "redis.url has a raw '/'": "status 2",
    "redis.url has a comma before": "status 2",
    "redis.url has a wrong host": "status 2",
    "redis.url holds %%00": "status 2",
    "redis.url: no spaces": "status 2",
    "%s is set by rollcall": "status 2",
    "clients use one cluster": "status 2",
    "%s names no broker": "status 2",
    "%s names hosts and ports alone": "status 2",
    "%s: no blanks or quotes": "status 2",
    "=consumer needs librdkafka": "status 2",
    "this build's hiredis has none": "status 2",
    "no TLS for %s": "status 2",
    "is at most 5: the producer": "status 2",
    "is at least 1: the producer": "status 2",
    "is at most %d: a partition from which": "status 2",
    "is not a librdkafka property": "status 2",
    "%s: librdkafka rejects it": "status 2",
    "%s: %.*s": "status 2",
    "%s is for programs": "status 2",
    "%s belongs in [%s]": "status 2",
    "%s is longer than %d bytes": "status 2",
    "OAUTHBEARER has no way": "status 2",
    "no token can be made of it": "status 2",
    "%s is set and security.protocol is not": "status 2",
    "has no effect on connections to brokers": "a line of check",
    # waits and retries
    "a partition was given away": "the transaction is aborted and its records are read again",
    "partition %d was given away": "the same",
    "the group was left meanwhile": "the same",
    "Kafka takes no records": "the same",
    "and Kafka has not created it yet": "waits for Kafka",
    "counting waits for Redis": "waits for Redis",
    "replicas that must have a checkpoint": "the checkpoint is made again",
    "the connection broke": "the same",
    "another partition is looked at": "its log is searched later",
    "many partitions are asking for": "its place is looked for later",
    "the partition is given back": "its log is searched no further",
    "Redis at %s cannot be reached": "waits for Redis; at start with more words",
    "the connection to Redis at %s": "the same",
    "is moving to another node": "the same",
    "answers, but a broker that it advertises": "waits for Kafka",
    "no longer exists; create it again": "the same",
    "topic %s does not exist; %s": "the same",
    "has not answered yet; start": "shown in /readyz at start",
    "waiting for %s: %s": "the same",
    "what is new is counted from now on": "a warning",
    "is named by the Sentinels as the master": "the same",
    "Sentinel at %s changes too fast": "the same",
    "is not the master any more": "the same",
    "did not answer within": "the same",
    "answers with more than %d MB": "the same",
    "out of memory for a command": "the same",
    "answered: %.300s": "the same; what needs a fix has one from the list in redis_fault.c",
    "change too often for a checkpoint": "the same",
    "it is full": "the same",
    "it cannot save": "the same",
    "another script holds it up": "the same",
    "it is reading its data": "the same",
    "is moving to the node": "the same",
    "a part of the cluster is gone": "the same",
    "cannot be read: make sure that it is": "a warning",
    # parts of others
    "allow this user": "follows \"Kafka denies access\"",
    "add the ACL Read on the group": "the same",
    "%s: %s (%s)": "begins with what failed: \"a transaction cannot begin\" and so on",
    "Sentinel: %.900s": "begins a reason, which is one of the others",
    "(of Sentinels these are": "ends one",
    "no answer in time": "follows \"TLS with Redis\"",
    "out of memory": "hiredis has no memory for a connection: it is tried again",
}


def fragments():
    """What the tables of exit messages quote, in the order of the runbook."""
    text = monitoring.text_of(RUNBOOK).split("\n## Exit messages\n")[1]
    cells = re.findall(r"^\| ([^|]*`[^|]*) \|", text, re.MULTILINE)
    return [fragment for cell in cells for fragment in re.findall(r"`([^`]+)`", cell)]


def strings(text):
    """The strings of C code, those that stand next to each other joined, behind an error call."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    string = r'"(?:[^"\\]|\\.)*"'
    for call in re.finditer(
            r"\b(error_set|stop_fail|give_up)\s*\(((?:[^;\"]|" + string + r")*);", text):
        for joined in re.findall(rf"{string}(?:\s*{string})*", call[2]):
            yield "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', joined)).replace('\\"', '"')


def exit_messages():
    """Every error text of the modules, and the fixes of Redis' errors: (path, text)."""
    for path in MODULES:
        code = monitoring.text_of(os.path.join(monitoring.REPO, path))
        for text in strings(code):
            if len(text) > 12 or "%" in text and ": " in text:
                yield path, text
    table = re.search(r"\} known\[\] = \{(.*?)\n\};", monitoring.text_of(
        os.path.join(monitoring.REPO, "src/edge/redis_fault.c")), re.DOTALL)[1]
    for entry in re.findall(r'REDIS_FAULT_\w+,\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\}', table):
        yield "src/edge/redis_fault.c", "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', entry))


def test_every_exit_message_is_in_the_runbook():
    known = [*fragments(), *NO_EXIT]
    missing = [f"{path}: {text}" for path, text in exit_messages()
               if not any(words in text for words in known)]
    assert not missing, "describe these in docs/runbook.md:\n" + "\n".join(missing)


def test_everything_that_the_runbook_quotes_is_in_the_program():
    texts = [text for _, text in exit_messages()]
    texts += [re.sub(r'"\s*"', "", monitoring.text_of(path))
              for path in glob.glob(os.path.join(monitoring.REPO, "src", "*", "*.c"))]
    for words in [*fragments(), *NO_EXIT]:
        assert any(words in text for text in texts), f"no message contains {words!r}"


def test_links_lead_somewhere():
    """Each link of the runbook leads to a heading of it, or to a heading of a file."""
    def headings(path):
        return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in
                re.findall(r"^#+ (.*)$", monitoring.text_of(path), re.MULTILINE)}

    for target in re.findall(r"\]\(([^)]+)\)", monitoring.text_of(RUNBOOK)):
        path, _, anchor = target.partition("#")
        full = os.path.join(os.path.dirname(RUNBOOK), path) if path else RUNBOOK
        assert os.path.exists(full), target
        assert not anchor or anchor in headings(full), target


@pytest.mark.timeout(300)
def test_commands_run(world, tmp_path):
    """Every command, in order, next to an instance that works."""
    world.options["output.rejected_topic"] = f"{world.topic}-rejected"
    load = world.make_load()
    load.produce(500)
    instance = world.run(instance__id="runbook").wait_ready()
    world.wait_quiet()
    runbook.write_ini(tmp_path / "rollcall.ini", instance.options)
    runbook.make_programs(tmp_path / "programs", {"pgrep": f"echo {instance.pid()}"})
    names = {"INI": tmp_path / "rollcall.ini", "HTTP": f"http://127.0.0.1:{instance.http_port}",
             "REDIS": world.redis_server.url(), "PREFIX": world.prefix,
             "KAFKA": world.broker.address, "GROUP": world.group, "TOPIC": world.topic}
    (_, settings), *commands = runbook.blocks(runbook.ON_CALL)
    assert set(re.findall(r"^(\w+)=", settings, re.MULTILINE)) == set(names)
    assert len(commands) > 20
    for heading, block in commands:
        done = subprocess.run(
            runbook.SHELL + [block], capture_output=True, text=True, timeout=100, errors="replace",
            stdin=subprocess.DEVNULL, env=runbook.environment(tmp_path / "programs", names))
        assert done.returncode == 0, f"{heading}:\n{block}\n{done.stdout}{done.stderr}"
        assert done.stdout, f"{heading}: no output"
    instance.check_alive()


def test_every_kafka_program_is_known():
    used = set(re.findall(r"\bkafka-[\w-]+\.sh", "".join(block for _, block in runbook.blocks())))
    assert used == set(runbook.KAFKA_PROGRAMS)
