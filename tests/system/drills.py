"""The drills of docs/runbook.md, by name: what is lost, and the section that says what to do.

Each returns what came out, of which `./dev drill` makes a line of the runbook's table.
"""


def redis_lost(scene):
    """Redis is gone with its disk, and there is no backup."""
    scene.settle()
    with scene.feed():
        scene.pass_time()
        scene.lose()
        scene.wipe_redis()
        exact = scene.recover("Redis is lost")
    scene.verify()
    return exact


#: name -> (drill, options of the scene)
DRILLS = {
    "redis-lost": (redis_lost, {}),
}

#: Those that `./dev test` runs, with a short load.
SHORT = ["redis-lost"]
