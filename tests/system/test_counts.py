"""Declared counts, [count.NAME]: exact, through crashes too."""

import oracle

RATE = 3000

HOURS = {"locale_by_hour": oracle.Count(("locale",), "hour")}


def options(counts):
    """The options that declare these counts."""
    found = {}
    for name, count in counts.items():
        if count.by:
            found[f"count__{name}__by"] = ", ".join(count.by)
        found[f"count__{name}__every"] = count.every
    return found


def test_a_count_by_hour_is_exact_through_a_crash(world):
    load = world.make_load()
    first = world.run("first", **options(HOURS))
    with load.feed(RATE) as feed:
        feed.wait_for_more(4000)
        first.kill()
        second = world.run("second", **options(HOURS))
        feed.wait_for_more(4000)
    world.verify(load, second, counts=HOURS)
