"""Many at once: threads, forks, and forks of processes with threads."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback

import pytest

import shiftkey

TARGET = "prod/analytics"


def in_a_fork(work):
    """Runs `work` in a forked child, and gives what a function that waits for its answer gives."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            answer = (True, work())
        except BaseException:  # noqa: BLE001 - the parent raises it
            answer = (False, traceback.format_exc())
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(write)

    def wait():
        with os.fdopen(read, "rb") as pipe:
            good, answer = pickle.load(pipe)
        os.waitpid(child, 0)
        assert good, answer
        return answer

    return wait


def ask():
    return str(shiftkey.credential(TARGET).db_password)


def in_threads(count, work):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_two_hundred_forks_and_two_hundred_threads_make_one_call(sandbox):
    forks = [in_a_fork(ask) for _ in range(200)]
    answers = in_threads(200, ask)
    answers += [wait() for wait in forks]
    assert len(answers) == 400 and len(set(answers)) == 1
    assert (sandbox.calls(), sandbox.calls("DescribeClusters")) == (1, 1)


def test_a_fork_while_threads_wait_for_aws(sandbox):
    """The threads hold locks and sockets that the children inherit and nobody there will ever let go of."""
    sandbox.fault("GetClusterCredentials:delay=300ms@1")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask())) for _ in range(8)]
    for thread in threads:
        thread.start()
    sandbox.until_struck()
    forks = [in_a_fork(lambda: in_threads(2, ask)) for _ in range(20)]
    for wait in forks:
        answers += wait()
    for thread in threads:
        thread.join()
    assert len(answers) == 48 and len(set(answers)) == 1
    assert sandbox.calls() == 1


def test_parent_and_children_go_on_after_a_fork(sandbox):
    """Each has sockets of its own: what a child closes is not its parent's."""
    session, kept = shiftkey.Session(), shiftkey.credential(TARGET)
    session.credential(TARGET, duration=900)

    def child():
        kept.reject()
        answers = [str(session.credential(TARGET, duration=duration).db_password) for duration in (1000, 1100)]
        gc.collect()
        return answers

    for wait in [in_a_fork(child) for _ in range(5)]:
        assert len(wait()) == 2
    for duration in (1200, 1300, 1400):
        session.credential(TARGET, duration=duration)
    # Of the calls for an hour the first was rejected; those of 1000 and 1100 s were shared by five children.
    assert sandbox.calls() == 1 + 1 + 2 + 3
    assert not shiftkey.Session().credential(TARGET).cached


def test_a_session_that_is_dropped_in_a_child_is_the_parents_still(sandbox):
    sessions = [shiftkey.Session(cache=False)]
    sessions[0].credential(TARGET)

    def child():
        sessions.clear()
        gc.collect()
        return ask() != ""

    assert in_a_fork(child)()
    # The parent's connection to AWS is used again.
    assert not sessions[0].credential(TARGET, duration=900).cached


def test_event_loops_of_parent_and_child(sandbox):
    """The thread that serves the parent's event loops is not in the child, which starts its own and does not wait for that one."""

    def ask_in_a_loop(duration):
        return str(asyncio.run(shiftkey.aio.credential(TARGET, duration=duration)).db_password)

    ask_in_a_loop(900)
    children = [in_a_fork(lambda: [ask_in_a_loop(1000), ask_in_a_loop(1100)]) for _ in range(3)]
    answers = [wait() for wait in children]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0] == [ask_in_a_loop(1000), ask_in_a_loop(1100)] and ask_in_a_loop(1200)
    assert sandbox.calls() == 4


def test_grandchildren(sandbox):
    shiftkey.credential(TARGET, duration=900)
    assert in_a_fork(lambda: in_a_fork(lambda: in_a_fork(ask)())())() == ask()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(sandbox, method):
    with multiprocessing.get_context(method).Pool(4) as pool:
        answers = pool.map(_in_a_pool, range(16))
    assert len(set(answers)) == 1
    assert sandbox.calls() == 1


def _in_a_pool(_):
    return ask()


def test_the_interpreter_is_let_go_of_while_waiting(sandbox):
    sandbox.fault("GetClusterCredentials:hang@1")
    waiting = in_a_fork(lambda: _interrupted(sandbox))
    assert waiting() == "KeyboardInterrupt"
    # It did not go on to the next attempt.
    assert sandbox.calls() == 1


def _interrupted(sandbox):
    """Ctrl-C ends a wait: another thread, which can run only while this one waits, sends it."""

    def press():
        sandbox.until_struck()
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=press).start()
    try:
        ask()
    except KeyboardInterrupt:
        return "KeyboardInterrupt"
    return "no interruption"


def test_no_thread_stays_behind(sandbox):
    """From Python 3.12 on a fork of a process with threads is a warning; under pytest, an error."""

    def threads():
        ask()
        # Those that are told to end may need a moment.
        return next((1 for _ in range(100_000) if len(os.listdir("/proc/self/task")) == 1), "a thread stayed")

    assert in_a_fork(threads)() == 1
    assert sandbox.calls() == 1


def test_a_process_ends_while_a_thread_waits(sandbox):
    sandbox.fault("GetClusterCredentials:hang@1")
    script = """
import os, sys, threading, shiftkey
threading.Thread(target=shiftkey.credential, args=("prod/analytics",), daemon=True).start()
sys.stdin.readline()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        sandbox.until_struck()
        _, told = process.communicate(b"end\n")
    assert (process.returncode, told) == (0, b"")


def test_a_subinterpreter_is_refused_in_words(sandbox):
    subinterpreters = pytest.importorskip("_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters")
    interpreter = subinterpreters.create()
    script = """
try:
    import shiftkey
except ImportError as error:
    assert "subinterpreter" in str(error), error
else:
    assert shiftkey.credential("prod/analytics").db_user == "IAM:alice"
"""
    failed = subinterpreters.run_string(interpreter, script)
    subinterpreters.destroy(interpreter)
    assert failed is None, failed
