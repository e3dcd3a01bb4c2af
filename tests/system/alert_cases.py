"""For each alert of deploy/monitoring: when it fires, a near miss, and when it resolves.

Time is in steps of `step_m` minutes. Values are in promtool's notation: `1x5` is 1 six times,
`0+10x5` is 0, 10, ... 50.
"""

import dataclasses

A, B = 'job="rollcall", instance="a:9464"', 'job="rollcall", instance="b:9464"'
JOB = 'job="rollcall"'


def series(name, labels=A, **more):
    """A series of instance a, unless `labels` says otherwise."""
    inner = ", ".join([labels, *(f'{key}="{value}"' for key, value in more.items())])
    return f"{name}{{{inner}}}"


@dataclasses.dataclass
class Case:
    """One alert. `fires` and `near_miss` are series -> values; the others are steps."""
    alert: str
    fires: dict
    near_miss: dict
    fires_at: int
    resolved_at: int
    long: str = ""  # which of several alerts of this name
    also: tuple = ()  # alerts that must fire with it
    step_m: int = 1


def _late(percent, steps, healthy):
    """A thousand records a step, of which some are late; then none."""
    return {
        series("rollcall_record_age_seconds_count", watermark="counted"):
            f"0+1000x{steps + healthy}",
        series("rollcall_record_age_seconds_bucket", watermark="counted", le="5"):
            f"0+{1000 - percent * 10:.0f}x{steps} "
            f"{(1000 - percent * 10) * steps + 1000:.0f}+1000x{healthy - 1}",
        series("rollcall_lag_records", partition="0"): f"0x{steps + healthy}",
        series("rollcall_lag_seconds", partition="0"): f"0x{steps + healthy}",
        series("rollcall_counted_lag_records", partition="0"): f"0x{steps + healthy}",
        series("rollcall_counted_lag_seconds", partition="0"): f"0x{steps + healthy}",
    }


def _stands(prefix, records, steps=29):
    """A partition that is done, then stands for half an hour, then is done again."""
    return {series(f"{prefix}_seconds", partition="3"): f"0x5 0+60x{steps} 0x40",
            series(f"{prefix}_records", partition="3"): f"0x5 {records} 0x40"}


def _rejected(percent):
    """A hundred records a minute: 1 % is rejected for five hours, then more for one, then 1 %."""
    return {series("rollcall_records_counted_total"): "0+100x440",
            series("rollcall_records_rejected_total", reason="not_json"):
                f"0+1x300 {300 + percent}+{percent}x59 {301 + 60 * percent}+1x80"}


def _share(failures, successes, failed, steps=20):
    return {series(failures): f"0+{failed}x{steps} {failed * steps}x{50 - steps}",
            series(successes): "0+90x50"}


CASES = [
    Case("RollcallAbsent",
         {series("up"): "1x5 0x9 1x20", series("up", B): "1x5 0x9 1x20"},
         {series("up"): "0x35", series("up", B): "1x35"}, 10, 30, also=("RollcallDown",)),
    Case("RollcallAbsent",
         {series("up", 'job="other", instance="a"'): "1x40", series("up"): "_x15 1x40"},
         {series("up"): "1x5 0 0 1x20"}, 10, 35, also=()),
    Case("RollcallDown",
         {series("up"): "1x5 0x9 1x20", series("up", B): "1x35"},
         {series("up"): "1x5 0 0 1x20", series("up", B): "1x35"}, 10, 30),
    Case("RollcallRestarting",
         {series("process_start_time_seconds"): "0 0 100 100 200 200 300x60"},
         {series("process_start_time_seconds"): "0 0 100 100 200x60"}, 8, 50),
    Case("RollcallDuplicateInstanceId",
         {series("rollcall_instance_info", A, id="a", group="g"): "1x20 stale",
          series("rollcall_instance_info", B, id="a", group="g"): "1x40"},
         {series("rollcall_instance_info", A, id="a", group="g"): "1x5 stale",
          series("rollcall_instance_info", B, id="a", group="g"): "_x6 1x40",
          series("rollcall_instance_info", 'job="other", instance="c"', id="a", group="g"):
              "1x40"}, 10, 36),
    Case("RollcallThreadStuck",
         {series("rollcall_threads_stuck"): "0x5 1x5 0x20"},
         {series("rollcall_threads_stuck"): "0x5 1 0x20"}, 9, 25),
    Case("RollcallDependencyDown",
         {series("rollcall_dependency_up", target="redis"): "1x5 0x5 1x20"},
         {series("rollcall_dependency_up", target="redis"): "1x5 0 1x20"}, 9, 25),
    Case("RollcallPartitionUnowned",
         {series("rollcall_input_partitions"): "4x40",
          series("rollcall_assigned_partitions", A): "2x40",
          series("rollcall_assigned_partitions", B): "2x5 1x9 2x24"},
         {series("rollcall_input_partitions"): "4x40",
          series("rollcall_assigned_partitions", A): "2x40",
          series("rollcall_assigned_partitions", B): "2x5 0 1 2x34"}, 10, 30),
    # the watermark of a partition stands: the same record is the oldest one, minute by minute
    Case("RollcallPartitionStuck", _stands("rollcall_lag", "5x29"),
         # a backlog in which all have the same timestamp: it ages, but it shrinks
         _stands("rollcall_lag", "5000-100x29"), 20, 60),
    Case("RollcallPartitionStuck", _stands("rollcall_counted_lag", "0+10x29"),
         # moving, but slower than records come in: that is for the objective to judge
         {series("rollcall_counted_lag_seconds", partition="3"): "0x5 0+40x29 0x40",
          series("rollcall_counted_lag_records", partition="3"): "0x5 0+10x29 0x40"}, 20, 60),
    # for some minutes only: a broker that was restarted
    Case("RollcallPartitionStuck", _stands("rollcall_lag", "5x29"),
         _stands("rollcall_lag", "5x8", 8), 20, 60),
    Case("RollcallLateRecords", _late(20, 60, 60), _late(14, 60, 60), 14, 100, "1h"),
    # a counted watermark that stands altogether: nothing is done late, all of it is overdue
    Case("RollcallLateRecords",
         {series("rollcall_record_age_seconds_count", watermark="counted"): "0+100x60 6000x60",
          series("rollcall_record_age_seconds_bucket", watermark="counted", le="5"):
              "0+100x60 6000x60",
          series("rollcall_counted_lag_records", partition="0"): "0x60 0+100x19 0x40",
          series("rollcall_counted_lag_seconds", partition="0"): "0x60 0+60x19 0x40"},
         {series("rollcall_record_age_seconds_count", watermark="counted"): "0+100x60 6000x60",
          series("rollcall_record_age_seconds_bucket", watermark="counted", le="5"):
              "0+100x60 6000x60",
          # as many wait, but none for 5 s
          series("rollcall_counted_lag_records", partition="0"): "0x60 0+100x19 0x40",
          series("rollcall_counted_lag_seconds", partition="0"): "0x60 4x19 0x40"}, 76, 110, "1h",
         also=("RollcallPartitionStuck",)),
    Case("RollcallLateRecords", _late(7, 90, 120), _late(5.9, 90, 120), 60, 190, "6h"),
    Case("RollcallLateRecords", _late(4, 60, 60), _late(2.9, 60, 60), 40, 110, "1d", step_m=10),
    Case("RollcallLateRecords", _late(2, 100, 140), _late(0.9, 100, 140), 70, 230, "3d",
         step_m=10),
    Case("RollcallRecordsLost",
         {series("rollcall_records_lost_total"): "0x5 3x100"},
         {series("rollcall_records_lost_total"): "0x100"}, 7, 100),
    # lost before the first scrape: no increase is ever seen
    Case("RollcallRecordsLost",
         {series("rollcall_records_lost_total"): "_x5 3x100"},
         {series("rollcall_records_lost_total"): "_x5 0x100"}, 7, 100),
    Case("RollcallRecordsTruncated",
         {series("rollcall_records_truncated_total"): "0x5 3x100"},
         {series("rollcall_records_truncated_total"): "0x100"}, 7, 100),
    Case("RollcallHeadroomLow",
         {series("rollcall_retention_headroom_seconds", partition="2"): "21540x20 90000x40"},
         {series("rollcall_retention_headroom_seconds", partition="2"): "21600x20 90000x40",
          series("rollcall_retention_headroom_seconds", partition="3"): "100x3 90000x40"}, 10, 50),
    Case("RollcallCheckpointsFailing",
         _share("rollcall_checkpoint_failures_total", "rollcall_checkpoint_seconds_count", 11),
         _share("rollcall_checkpoint_failures_total", "rollcall_checkpoint_seconds_count", 9),
         15, 45),
    Case("RollcallTransactionsAborted",
         _share("rollcall_transactions_aborted_total", "rollcall_transaction_seconds_count", 11),
         _share("rollcall_transactions_aborted_total", "rollcall_transaction_seconds_count", 9),
         15, 45),
    # for some minutes only: Redis was restarted
    Case("RollcallCheckpointsFailing",
         _share("rollcall_checkpoint_failures_total", "rollcall_checkpoint_seconds_count", 50),
         _share("rollcall_checkpoint_failures_total", "rollcall_checkpoint_seconds_count", 15, 3),
         15, 45),
    Case("RollcallTransactionsAborted",
         _share("rollcall_transactions_aborted_total", "rollcall_transaction_seconds_count", 50),
         _share("rollcall_transactions_aborted_total", "rollcall_transaction_seconds_count", 15, 3),
         15, 45),
    Case("RollcallRewindStorm",
         {series("rollcall_rewinds_total", cause="rolled_back"): "0x5 0+1.4x10 14x60",
          series("rollcall_input_partitions"): "4x80"},
         {series("rollcall_rewinds_total", cause="rolled_back"): "0x5 0+1.1x10 11x60",
          series("rollcall_input_partitions"): "4x80"}, 18, 60),
    Case("RollcallRejectedShareHigh", _rejected(4.6), _rejected(3.6), 330, 410),
    Case("RollcallNothingAccepted",
         {series("rollcall_records_counted_total"): "0+10x80",
          series("rollcall_records_rejected_total", reason="empty"): "0+10x20 200+1x60"},
         {series("rollcall_records_counted_total"): "0+10x80",
          series("rollcall_records_rejected_total", reason="empty"): "0+9.9x80"}, 15, 50),
    Case("RollcallNothingAccepted",
         {series("rollcall_records_counted_total"): "0+2.5x20 50+10x60",
          series("rollcall_records_rejected_total", reason="empty"): "0+2.5x20 50+1x60"},
         # all are rejected, but few come
         {series("rollcall_records_counted_total"): "0+1.9x80",
          series("rollcall_records_rejected_total", reason="empty"): "0+1.9x80"}, 18, 50),
    Case("RollcallInputSilent",
         {series("rollcall_records_consumed_total"): "0+40x1010 40400x20 40440+40x20"},
         # nearly as silent as a week ago
         {series("rollcall_records_consumed_total"): "0+30x1010 30300x20 30330+30x20"},
         1020, 1045, step_m=10),
    Case("RollcallRedisMemoryHigh",
         {series("rollcall_redis_memory_bytes"): "91x15 50x40",
          series("rollcall_redis_memory_max_bytes"): "100x55"},
         {series("rollcall_redis_memory_bytes"): "90x55",
          series("rollcall_redis_memory_max_bytes"): "100x55",
          series("rollcall_redis_memory_bytes", B): "90x55",
          series("rollcall_redis_memory_max_bytes", B): "0x55"}, 10, 45),
    Case("RollcallRedisMemoryHigh",
         {series("rollcall_redis_memory_bytes"): "91x15 50x40",
          series("rollcall_redis_memory_max_bytes"): "100x55"},
         {series("rollcall_redis_memory_bytes"): "50x5 95x3 50x45",
          series("rollcall_redis_memory_max_bytes"): "100x55"}, 10, 45),
    Case("RollcallReloadFailed",
         {series("rollcall_config_reloads_total", result="refused"): "0x5 1x50"},
         {series("rollcall_config_reloads_total", result="refused"): "2x50",
          series("rollcall_config_reloads_total", result="ok"): "0x5 1x50"}, 7, 50),
    Case("RollcallAnomaly",
         {series("rollcall_anomalies_total"): "0x5 2x50"},
         {series("rollcall_anomalies_total"): "2x50"}, 7, 30),
]
