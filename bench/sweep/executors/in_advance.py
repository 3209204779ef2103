"""Only the fork server imports this module: importing it imports what the environment variable names.

The environment that jobs inherit is that of the command again.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys

from bench.registry import RegistryError
from bench.registry.catalogue import own_declarations
from bench.sweep.executors.imports import VARIABLE, imported, restore
from bench.sweep.imported_files import remember

restore(os.environ)
for line in imported(filter(None, os.environ.get(VARIABLE, "").split(","))):
    print(line, file=sys.stderr, flush=True)
with contextlib.suppress(RegistryError):  # each job says it, as an error of its own
    own_declarations()
remember()
gc.collect()
gc.freeze()  # a search for garbage in a job would write to every object of the libraries, and so copy their memory
