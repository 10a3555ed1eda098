"""The event loop goes on while AWS is asked."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

import shiftkey

TARGET = "prod/analytics"


def test_two_hundred_at_once_make_one_call(sandbox):
    async def main():
        return await asyncio.gather(*(shiftkey.aio.credential(TARGET) for _ in range(200)))

    credentials = asyncio.run(main())
    assert len({str(credential.db_password) for credential in credentials}) == 1
    assert sandbox.calls() == 1
    again = asyncio.run(shiftkey.aio.credential(TARGET))
    assert again.cached and sandbox.calls() == 1


def test_the_loop_goes_on_while_aws_is_silent_and_a_wait_can_be_given_up(sandbox):
    sandbox.fault("GetClusterCredentials:hang@1")

    async def main():
        waiting = asyncio.create_task(shiftkey.aio.credential(TARGET))
        await asyncio.to_thread(sandbox.until_struck)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # Who comes next starts anew.
        return await shiftkey.aio.credential(TARGET)

    assert asyncio.run(main()).db_user == "IAM:alice"


def test_one_that_gives_up_does_not_take_the_others_with_it(sandbox):
    sandbox.fault("GetClusterCredentials:delay=200ms@1")

    async def main():
        waiting = [asyncio.create_task(shiftkey.aio.credential(TARGET)) for _ in range(3)]
        await asyncio.to_thread(sandbox.until_struck)
        waiting[0].cancel()
        return await asyncio.gather(*waiting, return_exceptions=True)

    given_up, *others = asyncio.run(main())
    assert isinstance(given_up, asyncio.CancelledError)
    assert [other.db_user for other in others] == ["IAM:alice"] * 2


def test_an_answer_that_comes_too_late_is_passed_over(sandbox):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        shiftkey.aio._settle(future, None, shiftkey.Error("late"))
        # A loop that has ended raises when it is called.
        _, task = shiftkey.Session().start_credential(_raises, TARGET)
        return task

    asyncio.run(main())
    assert shiftkey.credential(TARGET).db_user == "IAM:alice"


def _raises(_result, _error):
    raise RuntimeError("Event loop is closed")


def test_errors_arrive(sandbox):
    sandbox.fault("GetClusterCredentials:deny")
    with pytest.raises(shiftkey.DeniedError, match="prod/analytics"):
        asyncio.run(shiftkey.aio.credential(TARGET))
    with pytest.raises(shiftkey.ConfigError, match="port"):
        asyncio.run(shiftkey.aio.credential(TARGET, port="x"))


@pytest.mark.installed
def test_a_session(sandbox):
    session = shiftkey.Session(database="dev", db_user="alice")

    async def main():
        connection = await session.aconnect(TARGET, "asyncpg")
        await connection.close()
        return await session.acredential(TARGET)

    assert asyncio.run(main()).cached
    assert sandbox.calls() == 1
    with pytest.raises(shiftkey.ConfigError, match="knows no event loop"):
        asyncio.run(shiftkey.aio.connect(TARGET, "psycopg2"))


def test_a_loop_that_ends_early_leaves_nothing_behind(sandbox):
    """Neither a warning of a future that nobody awaited nor a crash: the answer comes when there is no loop any more."""
    sandbox.fault("GetClusterCredentials:delay=300ms")
    script = """
import asyncio, threading, shiftkey

async def main():
    asyncio.create_task(shiftkey.aio.credential("prod/analytics"))
    await asyncio.sleep(0)

asyncio.run(main())
assert shiftkey.credential("prod/analytics").db_user == "IAM:alice"
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stderr) == (0, "")
