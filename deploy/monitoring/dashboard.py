"""Makes dashboard.json, the Grafana dashboard of rollcall: python3 dashboard.py > dashboard.json

A panel is one line here, so that each has a title, a description and a unit; a test compares the
result with dashboard.json.
"""

import json

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
#: What every query selects by, and what it selects by where no instance is meant.
ONE = 'job=~"$job", instance=~"$instance"'
ALL = 'job=~"$job"'
COLUMNS = 24


def rate(metric, by, labels=ONE):
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(q, histogram, by):
    wanted = ", ".join(part for part in ("le", by) if part)
    return (f"histogram_quantile({q}, sum by ({wanted}) "
            f"(rate({histogram}_bucket{{{ONE}}}[$__rate_interval])))")


#: Rows of (title, kind, width, unit, description, [(query, legend)]). Reading from the top left:
#: is all well, and if not, what is wrong.
ROWS = [
    ("Is all well?", [
        ("Instances up", "stat", 4, "none", "Instances that answered the last scrape.",
         [(f"sum by (job) (up{{{ALL}}})", "{{job}}")]),
        ("Partitions without an owner", "stat", 4, "none",
         "Partitions of the input topic that no instance owns. 0 but for seconds in a rebalance.",
         [(f"max by (job) (rollcall_input_partitions{{{ALL}}}) - "
           f"sum by (job) (rollcall_assigned_partitions{{{ALL}}})", "{{job}}")]),
        ("Late in the last hour", "stat", 4, "percentunit",
         "Records that were not published, or not counted, within 5 s of their Kafka timestamp. "
         "The objective allows 1 %.",
         [(f"rollcall:late:ratio_increase1h{{{ALL}}}", "{{watermark}}")]),
        ("Retention headroom", "stat", 4, "s",
         "Until Kafka deletes the oldest record that is not yet published and counted. Infinite "
         "where nothing waits, or where the topic keeps its records for ever.",
         [(f"min by (job) (rollcall_retention_headroom_seconds{{{ONE}}})", "{{job}}")]),
        ("Records lost or truncated", "stat", 4, "none",
         "Deleted from Kafka before they were done, or taken back by Kafka after they were, since "
         "the instances started. Anything but 0 needs attention.",
         [(f"sum by (job) (rollcall_records_lost_total{{{ONE}}})", "lost"),
          (f"sum by (job) (rollcall_records_truncated_total{{{ONE}}})", "truncated")]),
        ("Threads stuck", "stat", 4, "none", "Threads that make no progress. Always 0.",
         [(f"sum by (instance) (rollcall_threads_stuck{{{ONE}}})", "{{instance}}")]),
    ]),
    ("Records", [
        ("Records a second", "timeseries", 12, "rps",
         "Read, published and counted. Only what is read again after a fault makes the first "
         "higher than the others.",
         [(rate("rollcall_records_consumed_total", "job"), "read"),
          (rate("rollcall_records_published_total", "job"), "published"),
          (rate("rollcall_records_counted_total", "job"), "counted")]),
        ("Rejected, by reason", "timeseries", 6, "rps", "Records that are not valid logins.",
         [(rate("rollcall_records_rejected_total", "reason"), "{{reason}}")]),
        ("Share rejected", "timeseries", 6, "percentunit",
         "Of all counted records, next to the average of the past week.",
         [(f"rollcall:rejected:ratio_rate15m{{{ALL}}}", "last 15 minutes"),
          (f"rollcall:rejected:ratio_avg7d{{{ALL}}}", "past week")]),
    ]),
    ("Lag", [
        ("Age of the oldest record not published", "timeseries", 12, "s",
         "By its Kafka timestamp: the ten partitions that are furthest behind.",
         [(f"topk(10, rollcall_lag_seconds{{{ONE}}})", "partition {{partition}}")]),
        ("Age of the oldest record not counted", "timeseries", 12, "s",
         "By its Kafka timestamp: the ten partitions that are furthest behind.",
         [(f"topk(10, rollcall_counted_lag_seconds{{{ONE}}})", "partition {{partition}}")]),
        ("Records waiting", "timeseries", 12, "none",
         "Offsets between the end of the log and each watermark, over all partitions.",
         [(f"sum by (job) (rollcall_lag_records{{{ONE}}})", "to be published"),
          (f"sum by (job) (rollcall_counted_lag_records{{{ONE}}})", "to be counted")]),
        ("Age of records when done", "timeseries", 12, "s",
         "From a record's Kafka timestamp until it is published, or counted.",
         [(quantile(0.5, "rollcall_record_age_seconds", "watermark"), "{{watermark}}, median"),
          (quantile(0.99, "rollcall_record_age_seconds", "watermark"), "{{watermark}}, p99")]),
        ("Share late, by window", "timeseries", 12, "percentunit",
         "What the burn-rate alerts compare with 1 %, multiplied by 14.4, 6, 3 and 1.",
         [(f"rollcall:late:ratio_increase{window}{{{ALL}}}", "{{watermark}}, " + window)
          for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")]),
        ("Overdue", "timeseries", 6, "none",
         "Records that are not done and wait in a partition whose oldest one is over 5 s old.",
         [(f"rollcall:overdue:records{{{ALL}}}", "{{watermark}}")]),
        ("Waiting before each stage", "timeseries", 6, "none",
         "Items in the queues between the threads.",
         [(f"sum by (stage) (rollcall_queue_depth{{{ONE}}})", "{{stage}}")]),
        ("Memory by part", "timeseries", 6, "bytes",
         "What parts of each instance hold; instance.memory_mb bounds it, with Kafka's queues.",
         [(f"max by (module) (rollcall_memory_bytes{{{ONE}}})", "{{module}}")]),
    ]),
    ("Kafka and Redis", [
        ("Reachable", "timeseries", 6, "bool_yes_no", "Whether each instance reaches them.",
         [(f"min by (instance, target) (rollcall_dependency_up{{{ONE}}})",
           "{{target}}, {{instance}}")]),
        ("Checkpoints", "timeseries", 6, "s", "Time from a complete epoch to its place in Redis.",
         [(quantile(0.5, "rollcall_checkpoint_seconds", ""), "median"),
          (quantile(0.99, "rollcall_checkpoint_seconds", ""), "p99")]),
        ("Transactions", "timeseries", 6, "s", "Time from a transaction's first record to its end.",
         [(quantile(0.5, "rollcall_transaction_seconds", ""), "median"),
          (quantile(0.99, "rollcall_transaction_seconds", ""), "p99")]),
        ("Memory of Redis in use", "timeseries", 6, "percentunit",
         "Of its maxmemory, or of the machine's memory if it has none. When it is full, nothing "
         "is counted.",
         [(f"max by (job) (rollcall_redis_memory_bytes{{{ONE}}} / "
           f"(rollcall_redis_memory_max_bytes{{{ONE}}} > 0))", "{{job}}")]),
        ("Failures", "timeseries", 12, "ops",
         "Checkpoints that Redis did not accept, and aborted transactions. Both are repeated.",
         [(rate("rollcall_checkpoint_failures_total", "instance"), "checkpoints, {{instance}}"),
          (rate("rollcall_transactions_aborted_total", "instance"), "transactions, {{instance}}")]),
        ("Share that failed", "timeseries", 6, "percentunit",
         "Of all attempts. The alerts compare it with 10 %.",
         [(f"max by (job) (rollcall:checkpoint_failures:ratio_rate5m{{{ONE}}})", "checkpoints"),
          (f"max by (job) (rollcall:transactions_aborted:ratio_rate5m{{{ONE}}})",
           "transactions")]),
        ("Rewinds, by cause", "timeseries", 6, "none",
         "Partitions read again: overtaken, rolled_back, vanished, first_read, aborted.",
         [(f"sum by (cause) (increase(rollcall_rewinds_total{{{ONE}}}[$__rate_interval]))",
           "{{cause}}")]),
    ]),
    ("Logins", [
        ("Anomalies", "timeseries", 8, "none", "Minutes with more logins than anomaly.threshold.",
         [(f"sum by (job) (increase(rollcall_anomalies_total{{{ONE}}}[$__rate_interval]))",
           "{{job}}")]),
        ("Declared counts", "timeseries", 8, "none",
         "Of each [count.NAME] without dimensions, what its newest bucket in Redis has: events, or "
         "different values.",
         [(f"max by (job, count) (rollcall_count_number{{{ONE}}})", "{{count}}")]),
        ("Values of declared counts", "timeseries", 8, "none",
         "Of each [count.NAME] by dimensions, how many values its newest bucket in Redis has. One "
         "that stays at max_values + 1 is full: further values count under __other__.",
         [(f"max by (job, count) (rollcall_count_values{{{ONE}}})", "{{count}}")]),
    ]),
    ("Instances", [
        ("Partitions owned", "timeseries", 6, "none", "By each instance.",
         [(f"rollcall_assigned_partitions{{{ONE}}}", "{{instance}}")]),
        ("Processor", "timeseries", 6, "percentunit", "Share of one core.",
         [(rate("process_cpu_seconds_total", "instance"), "{{instance}}")]),
        ("Resident memory", "timeseries", 6, "bytes",
         "instance.memory_mb bounds it, and it may exceed that by a quarter.",
         [(f"process_resident_memory_bytes{{{ONE}}}", "{{instance}}")]),
        ("Open files", "timeseries", 6, "none",
         "Connections, mostly; and how many each instance may have.",
         [(f"process_open_fds{{{ONE}}}", "{{instance}}"),
          (f"process_max_fds{{{ONE}}}", "limit of {{instance}}")]),
        ("Reloads of the configuration", "timeseries", 6, "none",
         "By SIGHUP. A refused one changed nothing; the log says why.",
         [("sum by (instance, result) "
           f"(increase(rollcall_config_reloads_total{{{ONE}}}[$__rate_interval]))",
           "{{result}}, {{instance}}")]),
        ("Running since", "stat", 6, "dateTimeAsIso", "When each instance was started.",
         [(f"process_start_time_seconds{{{ONE}}} * 1000", "{{instance}}")]),
        ("Versions", "stat", 6, "none", "Instances by version of rollcall and of librdkafka.",
         [(f"count by (version, librdkafka) (rollcall_build_info{{{ONE}}})",
           "{{version}}, librdkafka {{librdkafka}}")]),
        ("Ids", "stat", 6, "none", "Instances by group and instance.id: 1 each.",
         [(f"count by (group, id) (rollcall_instance_info{{{ONE}}})", "{{group}}: {{id}}")]),
    ]),
]


def panel(number, x, y, row):
    title, kind, width, unit, description, queries = row
    return {
        "id": number, "type": kind, "title": title, "description": description,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": 4 if kind == "stat" else 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0 if kind == "timeseries" else None},
                        "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"},
                    "tooltip": {"mode": "multi", "sort": "desc"}} if kind == "timeseries" else {
                        "reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"},
        "targets": [{"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": query,
                     "legendFormat": legend} for n, (query, legend) in enumerate(queries)],
    }


def panels():
    number, y = 0, 0
    for title, rows in ROWS:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}
        y, x, height = y + 1, 0, 0
        for row in rows:
            number += 1
            if x + row[2] > COLUMNS:
                y, x, height = y + height, 0, 0
            made = panel(number, x, y, row)
            x, height = x + row[2], max(height, made["gridPos"]["h"])
            yield made
        y += height


def variable(name, query):
    return {"name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE,
            "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1,
            "multi": True, "includeAll": True,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}


DASHBOARD = {
    "uid": "rollcall", "title": "rollcall", "tags": ["rollcall"], "editable": True,
    "schemaVersion": 38, "version": 1, "refresh": "30s", "timezone": "utc",
    "time": {"from": "now-3h", "to": "now"},
    "templating": {"list": [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
         "current": {}, "hide": 0},
        variable("job", "label_values(rollcall_build_info, job)"),
        variable("instance", 'label_values(rollcall_build_info{job=~"$job"}, instance)'),
    ]},
    "panels": list(panels()),
}

if __name__ == "__main__":
    print(json.dumps(DASHBOARD, indent=1))
