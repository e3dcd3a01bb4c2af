"""docs/runbook.md as its readers use it: the commands, and the programs that they call."""

import os
import re

import kafka
import monitoring
import rollcall

RUNBOOK = os.path.join(monitoring.REPO, "docs", "runbook.md")
SHELL = ["bash", "-euo", "pipefail", "-c"]

#: Its parts: what to look at while instances run, and what to do once something was lost.
ON_CALL, RECOVERY = "on call", "Recovery"

#: Kafka's command-line programs, as the classes that their scripts start.
KAFKA_PROGRAMS = {
    "kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-get-offsets.sh": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions.sh": "org.apache.kafka.tools.TransactionsCommand",
}


def blocks(part=None):
    """The commands of a part of the runbook, or of all: (heading, text). The first of each part
    sets the names."""
    heading, found, in_recovery = "", [], False
    for level, title, block in re.findall(r"^(#+) ([^\n]*)$|^```sh\n(.*?)^```$",
                                          monitoring.text_of(RUNBOOK), re.MULTILINE | re.DOTALL):
        heading = title or heading
        if level == "##":
            in_recovery = title == RECOVERY
        if block and part in (None, RECOVERY if in_recovery else ON_CALL):
            found.append((heading, block))
    return found


def section(heading):
    """The commands of one section."""
    return [block for title, block in blocks() if title == heading]


def write_ini(path, options):
    """Writes {"section.key": value} as a configuration file."""
    sections = {}
    for name, value in options.items():
        section, key = name.split(".", 1)
        sections.setdefault(section, []).append(f"{key} = {value}")
    path.write_text("".join(f"[{section}]\n" + "\n".join(lines) + "\n\n"
                            for section, lines in sections.items()))


def make_programs(folder, more):
    """A folder for PATH with the programs that the runbook calls; more: name -> shell script."""
    folder.mkdir()
    scripts = {name: f'exec java -Xshare:auto -XX:TieredStopAtLevel=1 '
                     f'-cp "{kafka.JARS}/*" {main} "$@" 2>&1'
               for name, main in KAFKA_PROGRAMS.items()}
    scripts["rollcall"] = f'exec {rollcall.BINARY} "$@"'
    for name, script in {**scripts, **more}.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)


def environment(programs, names):
    """The environment in which the commands run."""
    return {**os.environ, **{name: str(value) for name, value in names.items()},
            "PATH": f"{programs}:{os.environ['PATH']}"}
