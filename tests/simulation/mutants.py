"""Mutants of the program: each leaves out one rule, and the simulation must notice.

usage: mutants.py BUILD-DIRECTORY [NAME ...]

A mutant is one source file with a text, or a few, replaced. The file is compiled as the build does
it for the simulation, and linked in its place. A text that is not in the source exactly once is an
error: the program has changed, and the mutant has to be adapted. Output is TAP.
"""

import concurrent.futures
import os
import re
import shlex
import subprocess
import sys
import tempfile

SCHEDULES = 400000  # the rarest takes about 100,000
TIMEOUT_S = 600  # of wall time, on a machine that may be busy

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src")
TARGET = "tests/simulation/test_simulation"

#: name: file, then (text, replacement) ...
MUTANTS = {
    # the gates and watermarks
    "a_rewind_goes_on_where_it_is": ("core/cursor.c", (
        "    track_rewind(counted, stored, lineage);\n    return CURSOR_REWIND;",
        "    counted->stored = stored;\n    counted->generation++;\n    return CURSOR_GO_ON;")),
    "what_is_read_again_is_counted_again": ("core/cursor.c", (
        ".count = track_take(&cursor->counted, offset, epoch),",
        ".count = track_take(&cursor->counted, offset, epoch) || true,")),
    "counted_before_the_first_commit": ("core/cursor.c", (
        "(is_offset(cursor->counted.next) && cursor->published.stored != CURSOR_ABSENT)",
        "is_offset(cursor->counted.next)")),
    "an_answer_to_another_generation_counts": ("core/cursor.c", (
        "    if (generation != counted->generation || cursor->cut_end == CURSOR_ABSENT) return",
        "    if (cursor->cut_end == CURSOR_ABSENT) return")),
    "a_rebuild_begins_at_the_log_and_not_at_the_origin": ("core/cursor.c", (
        "counted->next = cursor->origin != CURSOR_ABSENT ? cursor->origin : log.begin;",
        "counted->next = log.begin;")),
    "the_origin_of_another_owner_is_not_taken_over": ("core/cursor.c", (
        "    if (committed != CURSOR_ABSENT && cursor->origin != origin) {",
        "    if (committed != CURSOR_ABSENT && cursor->origin > origin + LLONG_MAX / 2) {"), (
        "#include <assert.h>", "#include <assert.h>\n#include <limits.h>")),
    "an_end_of_before_the_last_record_counts": ("core/cursor.c", (
        "    if (offset <= cursor->position || cursor->has_strayed) return false;",
        "    if (offset <= cursor->position) offset = cursor->position + 1;")),
    "an_end_is_not_committed": ("flow/ingest.c", (
        "        batch->has_publish = true;\n    if (ingest->cursor.has_strayed)",
        "        (void)0;\n    if (ingest->cursor.has_strayed)")),
    "the_origin_that_redis_has_is_not_taken_over": ("core/cursor.c", (
        "    if (cursor->origin == CURSOR_ABSENT && is_offset(stored)) cursor->origin = origin;",
        "    (void)origin;")),
    "the_origin_is_not_stored": ("flow/checkpoint.c", (
        ".origin = epoch->parts[0]->cut.origin,", ".origin = CURSOR_ABSENT,")),
    "who_knows_the_origin_does_not_adopt": ("core/cursor.c", (
        "is_offset(counted->stored) || (cursor->origin == CURSOR_ABSENT",
        "(cursor->origin == CURSOR_ABSENT")),
    "adopts_where_counting_has_got_to": ("core/cursor.c", (
        "    track->next = other->next;\n    if (!is_offset(other->stored)) return;",
        "    track->next = other->next;\n    if (track != other) return;")),
    "adopts_with_the_lineage_that_counting_has_got_to": ("core/cursor.c", (
        "    if (track->search.high >= track->next) track->search.state = CURSOR_TRUSTED;\n", "")),
    "adopts_without_the_lineage_of_what_was_counted": ("core/cursor.c", (
        "    track->lineage = other->lineage;\n    track->search", "    track->search")),
    "adopts_without_the_search_for_what_was_counted": ("core/cursor.c", (
        "    track->search = other->search;\n    track->next", "    track->next")),
    # logs that lose their ends, and clients that stand still
    "another_log_is_not_noticed": ("core/cursor.c", (
        "    track->is_anchored |= !strays;\n    return strays;",
        "    track->is_anchored |= !strays;\n    return false;")),
    "a_partition_that_stands_still_stays_so": ("flow/ingest.c", (
        "    if (verdict == STALL_FOUND) kafka_source_replace(ingest->options->source);", "")),
    # ingest
    "judged_by_the_clock": ("flow/judge.c", (
        '#include "flow/judge.h"', '#include "flow/judge.h"\n#include "base/clock.h"'), (
            "record->timestamp_ms, headers", "clock_wall_ms(), headers")),
    "who_may_not_read_does_not_rest": ("flow/ingest.c", (
        "return has_mail && !can_mail_wait ?", "return has_mail || !can_mail_wait ?")),
    "the_first_commit_is_sent_once": ("flow/ingest.c", (
        "    if (notice->kind == NOTICE_UNPUBLISHED) ingest->is_begin_sent = false;", "")),
    "a_cut_without_records_is_not_passed_on": ("flow/ingest.c", (
        "        batch->has_cut = true;", "        batch->has_cut = batch->record_count > 0;")),
    "counts_keep_the_generation_of_the_first_batch": ("flow/ingest.c", (
        "    batch->counted_generation = cursor->counted.generation;",
        "    if (batch->counted_generation == 0)\n"
        "        batch->counted_generation = cursor->counted.generation;")),
    "what_cannot_be_read_is_passed_over": ("flow/ingest.c", (
        "    if (verdict == STREAM_UNREADABLE) ingest->is_placed = false;", "")),
    "an_idle_partition_is_not_verified": ("flow/ingest.c", (
        "return !is_draining && now_ms >= ingest->next_verify_ms;", "return false;")),
    "a_batch_comes_home_with_its_counts": ("flow/batch.c", (
        "        delta_clear(delta);", "        if (s > 0) delta_clear(delta);")),
    "headers_stay_behind": ("flow/batch.c", (
        "    if (batch->header_bytes == 0) return;", "    return;")),
    "memory_in_hand_is_not_given_back": ("flow/ingest.c", (
        "    budget_give_back(ingest->options->in_hand, (int64_t)batch_held_bytes(batch));", "")),
    # declared counts
    "rejected_records_are_counted_as_declared": ("flow/batch.c", (
        "    if (field < aggregates->count && login->reason == LOGIN_ACCEPTED)",
        "    if (field < aggregates->count)")),
    "the_first_declared_count_is_left_out": ("flow/batch.c", (
        "unsigned field = aggregates->first_declared; field < aggregates->count",
        "unsigned field = aggregates->first_declared + 1; field < aggregates->count")),
    "an_hour_begins_with_each_minute": ("core/declared.c", (
        "return minute - minute % MINUTES_AN_HOUR;", "return minute;")),
    "joined_values_are_not_escaped": ("core/declared.c", (
        "        if (value.bytes[i] == '|' || value.bytes[i] == '\\\\') *at++ = '\\\\';\n", "")),
    "values_are_joined_in_the_order_of_dimensions": ("core/declared.c", (
        "put_escaped(at, login->values[declared->by[i]])", "put_escaped(at, login->values[i])")),
    "distinct_values_of_a_value_are_of_all": ("flow/batch.c", (
        "            count_distinct(batch, found, login",
        "            count_distinct(batch, delta_value_key(seed, field, (struct slice){key, 8}), "
        "login")),
    "a_distinct_value_is_only_the_first": ("core/delta.c", (
        "    hyperloglog_add(distinct, hash);", "    if (is_new) hyperloglog_add(distinct, hash);")),
    "a_distinct_count_is_not_merged": ("core/delta.c", (
        "? delta_merge_distinct(into, key, &from->distinct[entry->count])",
        "? delta_get_distinct(into, key) == NULL &&\n"
        "      delta_merge_distinct(into, key, &from->distinct[entry->count])")),
    "distinct_values_stay_in_a_batch": ("core/delta.c", (
        "    *distinct = (struct hyperloglog){0};\n", "")),
    "the_last_epoch_leaves_out_a_declared_count": ("flow/count.c", (
        "    part->delta = pending->delta;\n",
        "    part->delta = pending->delta;\n"
        "    const uint32_t last = part->delta.entry_count - 1;\n"
        "    if (batch->is_urgent && last < UINT32_MAX && part->delta.entries[last].length > 8)\n"
        "        part->delta.entry_count--;\n")),
    # count
    "counts_of_an_old_generation_stay": ("flow/count.c", (
        "        drop(pending, batch->pending_bytes);\n", "")),
    "an_epoch_that_left_still_fills_the_limit": ("flow/count.c", (
        "    atomic_fetch_sub_explicit(batch->pending_bytes, delta_request_bytes(&pending->delta),\n"
        "                              memory_order_relaxed);\n    part->partition",
        "    part->partition")),
    # checkpoint
    "what_was_kept_is_taken_for_stored": ("flow/checkpoint.c", (
        "bool is_stored = store_call_is_stored(call) &&", "bool is_stored = true ||")),
    "an_epoch_that_was_overtaken_stays": ("flow/checkpoint.c", (
        "        close_epoch(checkpoint, part->partition, false);\n        epoch->generation",
        "        epoch->generation")),
    "a_share_of_an_old_epoch_is_stored": ("flow/checkpoint.c", (
        "    if (part->cut.generation < epoch->generation) {", "    if (false) {")),
    "a_call_without_an_answer_is_concluded": ("flow/checkpoint.c", (
        "        if (call->verdict == STORE_OK) {",
        "        if (call->verdict != STORE_REFUSED) {")),
    "a_new_master_is_not_followed_at_once": ("flow/checkpoint.c", (
        "    backoff_hurry(retry);\n", "")),
    # publish
    "no_fence": ("flow/publish.c", (
        "if (!fence_lets(publish->options.fence, partition,", "if (partition < 0 && !fence_lets("
        "publish->options.fence, partition,"), (
        "           !fence_lets(publish->options.fence, batch->partition,",
        "           batch->partition < 0 && !fence_lets(publish->options.fence, "
        "batch->partition,")),
    "void_batches_are_published": ("flow/publish.c", (
        "    if (is_void(publish, batch)) { /* I1 */",
        "    if (is_void(publish, batch) && !publish->is_open) {")),
    "the_generation_that_failed_is_not_void": ("flow/publish.c", (
        "share->lowest = share->generation + 1;", "share->lowest = share->generation;")),
    "a_failure_is_not_reported": ("flow/publish.c", (
        "        shares_notify(share, NOTICE_UNPUBLISHED, &members[i]);", "")),
    "a_commit_is_not_reported": ("flow/publish.c", (
        "        shares_notify(share, NOTICE_PUBLISHED, &shares->members[i]);",
        "        (void)share;")),
    "a_published_watermark_never_goes_back": ("flow/shares.c", (
        "    share->end = batch->publish_end;",
        "    if (share->end < batch->publish_end) share->end = batch->publish_end;")),
    "a_partition_that_came_back_joins_the_old_transaction": ("flow/publish.c", (
        "    if (share->is_in && share->generation != batch->published_generation) {",
        "    if (share->is_in && share->generation > batch->published_generation) {")),
    "a_commit_within_a_batch": ("flow/publish.c", (
        "return publish->is_open && publish->batch == NULL &&", "return publish->is_open &&")),
    "a_record_that_finds_no_room_is_dropped": ("flow/publish.c", (
        "            kafka_sink_make_room(publish->options.sink, ROOM_MS);\n            return;",
        "            publish->record = batch_next(publish->batch, publish->record);")),
    "batches_wait_for_a_tick_after_a_commit": ("flow/publish.c", (
        "    return publish->retry.until_ms;",
        "    return publish->state == READY ? CLOCK_NEVER_MS : publish->retry.until_ms;")),
    "what_fails_is_tried_at_once": ("flow/publish.c", (
        "    if (clock_ms() < publish->ask_at_ms) {", "    if (false) {")),
    "the_wait_after_a_failure_does_not_grow": ("flow/setback.c", (
        "clamp(setback->pause_ms * 2, SETBACK", "clamp(0, SETBACK")),
    # assignment and the order of the shutdown
    "not_fenced_before_it_is_stopped": ("app/assignment.c", (
        "    fence_raise(assignment->options.fence, partition);\n"
        "    struct kafka_stream *stream = ingest_stop",
        "    struct kafka_stream *stream = ingest_stop")),
    "answered_before_it_is_stopped": ("app/assignment.c", (
        "    for (size_t i = 0; i < count; i++)\n"
        "        end_ingest(assignment, assignment->change.items[i].partition);\n"
        "    if (is_lost) {",
        "    kafka_source_answer(assignment->options.source);\n"
        "    for (size_t i = 0; i < count; i++)\n"
        "        end_ingest(assignment, assignment->change.items[i].partition);\n"
        "    if (is_lost) {")),
    "a_partition_comes_back_under_its_old_generation": ("app/assignment.c", (
        ".generation = fence_raise(options->fence, item->partition),", ".generation = 1,")),
    "a_loss_is_not_answered": ("app/assignment.c", (
        "        take_all(assignment, true);\n        break;", "        break;")),
    "partitions_without_an_owner_are_not_looked_for": ("app/pipeline.c", (
        "            !kafka_source_look_at_group(pipeline->source, LOOK_WAIT_MS, &error)) {",
        "            false) {")),
    "what_is_in_hand_is_dropped_at_the_end": ("app/pipeline.c", (
        "    pipeline->state = pipeline->assignment != NULL ? DRAINS : ENDED;",
        "    pipeline->state = ENDED;")),
    "checkpoint_ends_before_count": ("app/pipeline.c", (
        "    if (p->publish != NULL) publish_stop(p->publish);\n",
        "    if (p->publish != NULL) publish_stop(p->publish);\n"
        "    if (p->checkpoint != NULL) checkpoint_stop(p->checkpoint);\n"), (
        "        count_stop(p->counts[s]);\n"
        "    if (p->checkpoint != NULL) checkpoint_stop(p->checkpoint);",
        "        count_stop(p->counts[s]);")),
    "count_is_destroyed_before_checkpoint_ends": ("app/pipeline.c", (
        "        count_stop(p->counts[s]);\n"
        "    if (p->checkpoint != NULL) checkpoint_stop(p->checkpoint);",
        "        count_stop(p->counts[s]);")),
}


def commands_of(build):
    """How the build compiles each source for the simulation, by its path, and how it links."""
    text = subprocess.run(["ninja", "-C", build, "-t", "commands", TARGET], check=True,
                          capture_output=True, text=True).stdout
    compile_commands, link_command = {}, None
    for line in text.splitlines():
        words = shlex.split(line)
        if "-c" in words and "simulated_program" in words[words.index("-o") + 1]:
            source = os.path.join(build, words[words.index("-c") + 1])
            compile_commands[os.path.realpath(source)] = words
        elif "-o" in words and words[words.index("-o") + 1] == TARGET:
            link_command = words
    return compile_commands, link_command


def mutate(file, replacements):
    with open(os.path.join(SOURCES, file), encoding="utf-8") as source:
        text = source.read()
    for old, new in replacements:
        if text.count(old) != 1:
            raise ValueError(f"{file} has this {text.count(old)} times: {old.strip()}")
        text = text.replace(old, new)
    return text


def replaced(words, option, value):
    place = words.index(option) + 1
    return words[:place] + [value] + words[place + 1:]


def try_mutant(name, build, commands, folder):
    """What became of it: (is caught, how)."""
    file, *replacements = MUTANTS[name]
    source, program = os.path.join(folder, name + ".c"), os.path.join(folder, name)
    compile_commands, link_command = commands
    with open(source, "w", encoding="utf-8") as out:
        out.write(mutate(file, replacements))
    words = compile_commands[os.path.realpath(os.path.join(SOURCES, file))]
    for option in ("-MQ", "-MF"):
        words = replaced(words, option, source + ".d")
    words = replaced(replaced(words, "-c", source), "-o", source + ".o")
    folder_of_source = os.path.dirname(os.path.join(SOURCES, file))
    subprocess.run(words + ["-w", "-iquote", folder_of_source], cwd=build, check=True)
    words = replaced(link_command, "-o", program)
    words.insert(words.index("-o") + 2, source + ".o")  # the first definition wins
    subprocess.run(words, cwd=build, check=True)
    environment = dict(os.environ, SIM_SCHEDULES=str(SCHEDULES), SIM_SEED="1", SIM_JOBS="1",
                       SIM_ONLY="1")
    try:
        run = subprocess.run([program], env=environment, timeout=TIMEOUT_S, capture_output=True,
                             text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return False, f"not within {TIMEOUT_S} s"
    found = re.search(r"broken by SIM_SEED=\d+", run.stdout)
    reason = re.search(r"seed \d+: (.*)|Assertion .*", run.stderr)
    if run.returncode == 0 or found is None:
        return False, f"not by {SCHEDULES} schedules"
    return True, found[0] + (": " + (reason[1] or reason[0]) if reason else "")


def main():
    build, names = os.path.abspath(sys.argv[1]), sys.argv[2:] or list(MUTANTS)
    commands = commands_of(build)
    caught = 0
    print(f"1..{len(names)}")
    with tempfile.TemporaryDirectory(dir=build) as folder, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = [(name, pool.submit(try_mutant, name, build, commands, folder)) for name in names]
        for number, (name, result) in enumerate(results, 1):
            try:
                is_caught, how = result.result()
            except (ValueError, subprocess.CalledProcessError) as error:
                is_caught, how = False, str(error)[-200:]
            caught += is_caught
            print(f"# {how}".replace("\n", " "))
            print(f"{'' if is_caught else 'not '}ok {number} - {name}", flush=True)
    print(f"# simulation: {caught} of {len(names)} mutants of the program caught")
    return 0 if caught == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
