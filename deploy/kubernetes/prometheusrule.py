#!/usr/bin/env python3
"""Makes the PrometheusRule from the rules and alerts of deploy/monitoring.

    cd deploy/kubernetes && ./prometheusrule.py > components/monitoring/prometheusrule.yaml
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RULES = [os.path.join(os.path.dirname(HERE), "monitoring", f"rollcall.{kind}.yml")
         for kind in ("rules", "alerts")]
HEAD = """\
# Made by deploy/kubernetes/prometheusrule.py from deploy/monitoring: change the rules there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: rollcall
  labels:
    app.kubernetes.io/name: rollcall
spec:
  groups:
"""


def made():
    """The text of the PrometheusRule."""
    lines = []
    for path in RULES:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        before, marker, groups = text.partition("\ngroups:\n")
        if not marker or any(not line.startswith("#") for line in before.splitlines()):
            sys.exit(f"{path}: only comments may stand before `groups:`")
        lines += ["  " + line if line else "" for line in groups.splitlines()]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(made())
