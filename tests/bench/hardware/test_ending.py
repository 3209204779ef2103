"""A process ends at once, with its status and all that it printed, where a library would not let it end."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys, time
from bench.hardware.ending import end_at_once, ended
atexit.register(time.sleep, 600)
end_at_once()
print("a table")
ended({status!r})
"""


@pytest.mark.parametrize(("status", "code"), [(None, 0), (0, 0), (2, 2), ("an error", 1)])
def test_a_process_that_python_would_not_end_ends_with_its_status(status, code):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(status=status)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (code, "a table\n")
