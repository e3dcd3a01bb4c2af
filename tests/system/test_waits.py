"""What rollcall waits for is named in time with its fix, and waiting is not taken for being
stuck."""

import pytest

import wait


def wait_not_ready(instance, *words, seconds=30):
    """Waits until /readyz answers 503 with all these words."""
    def is_named():
        status, body = instance.get("/readyz")
        return status == 503 and all(word in body for word in words)

    wait.until(is_named, seconds, lambda: f"/readyz to name {words}: {instance.get('/readyz')}",
               alive=instance.check_alive)


@pytest.mark.timeout(180)
def test_an_output_topic_that_is_deleted(world):
    """Publishing is tried less and less often; once the topic is there again, all is published."""
    load = world.make_load()
    instance = world.run(producer__topic__metadata__propagation__max__ms=500,
                         producer__topic__metadata__refresh__interval__ms=500).wait_ready()
    instance.wait_assigned(4)
    world.broker.delete_topic(world.output)
    load.produce(2000)
    wait_not_ready(instance, "publishing fails", world.output, "create the topic", seconds=60)
    instance.wait_log("Publishing fails each time it is tried")
    assert instance.metric("rollcall_transactions_aborted_total") < 20
    assert instance.get("/healthz")[0] == 200
    world.broker.create_topic(world.output, 4)
    world.verify(load, instance)
    instance.wait_ready()
    instance.stop()
