"""What is installed: the stubs fit the code, the types check, the library fits every Python that it claims."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import shiftkey
from shiftkey import _native

PACKAGE = Path(shiftkey.__file__).parent
HERE = Path(__file__).parent


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=HERE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.installed
def test_the_stubs_are_what_the_code_is():
    run(sys.executable, "-m", "mypy.stubtest", "shiftkey._native")


@pytest.mark.installed
@pytest.mark.parametrize("tool", [["mypy", "--strict"], ["pyright"]])
def test_a_program_with_types_checks(tool):
    run(sys.executable, "-m", *tool, HERE / "typed.py")


def test_the_names_of_the_options_are_the_codes():
    from shiftkey._options import Overrides

    assert sorted(Overrides.__annotations__) == shiftkey.Session.options


@pytest.mark.installed
@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_a_mistake_in_types_is_found(tool, tmp_path):
    """Or the check above would pass without any types at all."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import shiftkey\nshiftkey.credential('a', port='x')\nnumber: int = shiftkey.credential('a').db_user\n")
    done = subprocess.run([sys.executable, "-m", tool, str(wrong)], capture_output=True, text=True, cwd=HERE)
    assert done.returncode == 1 and ":2:" in done.stdout and ":3:" in done.stdout, done.stdout


def test_the_docstrings_are_those_of_the_stubs():
    """Type checkers and editors read the one, `help` the other."""
    compared = 0
    for stub in ast.parse((PACKAGE / "_native.pyi").read_text()).body:
        if isinstance(stub, ast.ClassDef):
            found = getattr(_native, stub.name)
            assert found.__doc__ == ast.get_docstring(stub), stub.name
            for member in stub.body:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("__"):
                    assert getattr(found, member.name).__doc__ == ast.get_docstring(member), member.name
                    compared += 1
    assert compared == 20


@pytest.mark.installed
def test_the_library_needs_nothing_newer_than_it_claims():
    run(sys.executable, "-m", "abi3audit", "--strict", "--assume-minimum-abi3", "3.9", next(PACKAGE.glob("_native*.so")))


def test_the_documents_programs_compile_and_name_what_there_is():
    root = HERE.parents[2]
    programs = []
    for document in (root / "README.md", root / "docs/python.md", root / "python/README.md"):
        programs += re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)
    for program in programs:
        compile(program, "a document", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    named = set(re.findall(r"\bshiftkey\.(\w+)", "\n".join(programs)))
    modules = {file.stem for file in PACKAGE.iterdir()}
    assert len(programs) > 10 and named <= set(shiftkey.__all__) | modules, named - set(shiftkey.__all__) - modules


def test_importing_brings_nothing_along():
    """What a program does not use costs it nothing: no driver, no event loop."""
    script = "import sys; before = set(sys.modules); import shiftkey; print(*sorted(set(sys.modules) - before))"
    brought = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert {name.split(".")[0] for name in brought} <= {"shiftkey", "__future__"}, brought
