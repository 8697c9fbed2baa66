from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator

import pytest

from towpath.serve.config import ServeConfig
from towpath.serve.engine import Engine, Job, QueueFullError, StoppingError
from towpath.serve.text_model import Settings

from .doubles import FakeModel, until


def job_of(text: str = "hello", max_tokens: int = 5) -> Job:
    return Job("id", "/test", [ord(character) for character in text], Settings(max_tokens, seed=1))


async def text_of(job: Job) -> str:
    return "".join([text async for text in job.texts()])


class Running:
    """An engine with what it reported."""

    def __init__(self, model: FakeModel, config: ServeConfig) -> None:
        self.ended: list[Job] = []
        self.engine = Engine(model, config, self.ended.append)
        self.engine.start()


@pytest.fixture
def gate() -> threading.Semaphore:
    return threading.Semaphore(0)


@pytest.fixture
def start() -> Iterator[object]:
    made: list[Running] = []

    def make(model: FakeModel, **limits: object) -> Running:
        made.append(Running(model, ServeConfig.model_validate(limits)))
        return made[-1]

    yield make
    for running in made:
        gate = running.engine.model.gate  # type: ignore[attr-defined]
        if gate is not None:
            gate.release(1000)
        running.engine.stop()


def test_a_job_gets_its_text_and_its_reason(start) -> None:
    running = start(FakeModel(says="abcdefgh"))

    async def go() -> None:
        job = job_of(max_tokens=4)
        running.engine.submit(job)
        assert await text_of(job) == "abcd"
        assert (job.finish, job.completion_tokens) == ("length", 4)
        assert running.ended == [job]

    asyncio.run(go())


def test_jobs_are_answered_in_order(start) -> None:
    running = start(FakeModel(), queue_size=10)

    async def go() -> None:
        jobs = [job_of(str(position)) for position in range(8)]
        for job in jobs:
            running.engine.submit(job)
        await asyncio.gather(*map(text_of, jobs))
        assert running.ended == jobs

    asyncio.run(go())


def test_a_cancelled_job_makes_one_more_token_at_most(start, gate) -> None:
    model = FakeModel(gate=gate)
    running = start(model)

    async def go() -> None:
        job = job_of(max_tokens=100)
        running.engine.submit(job)
        gate.release(3)
        await asyncio.to_thread(until, lambda: model.made == 3)
        running.engine.cancel(job)
        gate.release(50)
        await text_of(job)
        assert job.finish == "cancelled"
        assert model.made <= 4

    asyncio.run(go())


def test_a_job_cancelled_while_it_waits_never_runs_and_frees_its_place(start, gate) -> None:
    model = FakeModel(gate=gate)
    running = start(model, queue_size=1)

    async def go() -> None:
        first, second = job_of(max_tokens=1), job_of()
        running.engine.submit(first)
        await asyncio.to_thread(until, lambda: running.engine.running == 1)
        running.engine.submit(second)
        running.engine.cancel(second)
        assert await text_of(second) == ""
        assert (second.finish, second.started, running.engine.waiting) == ("cancelled", None, 0)
        gate.release()
        await text_of(first)
        assert len(model.asked) == 1

    asyncio.run(go())


def test_a_full_queue_refuses_and_says_when_to_come_back(start, gate) -> None:
    running = start(FakeModel(gate=gate), queue_size=2)

    async def go() -> None:
        for _ in range(3):
            running.engine.submit(job_of())
        with pytest.raises(QueueFullError) as refused:
            running.engine.submit(job_of())
        assert 1 <= refused.value.retry_seconds <= 60
        await asyncio.to_thread(until, lambda: running.engine.running == 1)
        assert running.engine.waiting == 2

    asyncio.run(go())


def test_without_a_queue_one_client_after_another_is_answered(start) -> None:
    running = start(FakeModel(), queue_size=0)

    async def go() -> None:
        for _ in range(200):
            job = job_of(max_tokens=1)
            running.engine.submit(job)
            await text_of(job)

    asyncio.run(go())


def test_a_failing_job_does_not_end_the_worker(start) -> None:
    running = start(FakeModel())

    async def go() -> None:
        bad, good = job_of("FAIL"), job_of()
        running.engine.submit(bad)
        running.engine.submit(good)
        assert await text_of(bad) == ""
        assert await text_of(good) == "To be"
        assert (bad.finish, good.finish) == ("error", "length")

    asyncio.run(go())


def test_a_record_that_cannot_be_written_does_not_lose_the_answer() -> None:
    def fail(job: Job) -> None:
        raise OSError("disk full")

    engine = Engine(FakeModel(), ServeConfig(), fail)
    engine.start()

    async def go() -> None:
        for _ in range(2):
            job = job_of()
            engine.submit(job)
            assert await text_of(job) == "To be"

    asyncio.run(go())
    engine.stop()


def test_a_job_whose_turn_does_not_come_is_given_up(start, gate) -> None:
    running = start(FakeModel(gate=gate), queue_seconds=0.05)

    async def go() -> None:
        first, second = job_of(), job_of()
        running.engine.submit(first)
        running.engine.submit(second)
        assert await text_of(second) == ""
        assert second.finish == "waited"
        assert first.finish is None

    asyncio.run(go())


def test_an_answer_whose_time_is_up_ends_with_what_it_has(start) -> None:
    running = start(FakeModel(step_seconds=0.01), generation_seconds=0.05)

    async def go() -> None:
        job = job_of(max_tokens=1000)
        running.engine.submit(job)
        assert await text_of(job) != ""
        assert job.finish == "time"

    asyncio.run(go())


def test_stopping_ends_what_runs_and_what_waits_and_takes_nothing_new(start, gate) -> None:
    model = FakeModel(gate=gate)
    running = start(model)

    async def go() -> None:
        first, second = job_of(max_tokens=100), job_of()
        running.engine.submit(first)
        running.engine.submit(second)
        await asyncio.to_thread(until, lambda: running.engine.running == 1)
        stopping = asyncio.create_task(asyncio.to_thread(running.engine.stop))
        await text_of(second)
        gate.release(100)
        await stopping
        assert (first.finish, second.finish) == ("shutdown", "shutdown")
        assert model.made == 1
        with pytest.raises(StoppingError):
            running.engine.submit(job_of())

    asyncio.run(go())


def test_a_stuck_model_and_a_dead_worker_show(start, gate) -> None:
    running = start(FakeModel(gate=gate))
    assert running.engine.stalled_seconds() == 0.0

    async def go() -> None:
        running.engine.submit(job_of())
        await asyncio.to_thread(until, lambda: running.engine.stalled_seconds() > 0.02)

    asyncio.run(go())
    gate.release(100)
    running.engine.stop()
    assert running.engine.stalled_seconds() == math.inf
