"""The engine, and rollcall's image."""

import os

import pytest

import engine


@pytest.fixture(scope="session", autouse=True)
def started_engine():
    """An engine of its own."""
    engine.start()
    yield
    engine.stop()


def build(tag):
    """Builds rollcall's image from nothing."""
    engine.build(tag, engine.REPO, os.path.join(engine.REPO, "deploy/Dockerfile"), "--no-cache",
                 "--timestamp", "0")
    return engine.inspect(tag)


@pytest.fixture(scope="session")
def image():
    """rollcall's image: what the engine knows of it."""
    return build(engine.IMAGE)


@pytest.fixture(scope="session")
def images(image):
    """That image and a second build of it."""
    return [image, build("rollcall:again")]
