"""What all metrics of a process share beside their network: settings of torch, numpy and Python, and functions.

A metric must leave it as it was; what it changed is named and put back. Random generators are seeded before each
metric, so that it may draw numbers. Not seen: what lies outside of the process, threads, and states of other libraries.
"""

from __future__ import annotations

import gc
import operator
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

UNSEEN = object()
SHOWN = 60
"""Characters of a value in a message."""


@dataclass(frozen=True)
class Setting:
    """A setting of the process: its name in messages, how it is read, how it is put back.

    `default` is the value in a new process where that is the same everywhere; a job begins with it. `library` is the
    module that must be loaded before it can be read. `grows`: libraries add to it while they are imported.
    """

    name: str
    read: Callable[[], Any]
    put_back: Callable[[Any], object]
    library: str = "sys"
    default: Any = UNSEEN
    grows: bool = False


def _signals() -> dict[str, Any]:
    names = ("SIGALRM", "SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD")
    return {name: signal.getsignal(getattr(signal, name)) for name in names if hasattr(signal, name)}


def _set_signals(handlers: Mapping[str, Any]) -> None:
    for name, handler in handlers.items():
        if signal.getsignal(getattr(signal, name)) is not handler:
            signal.signal(getattr(signal, name), handler)


def _alarm_is_set() -> bool:
    return hasattr(signal, "getitimer") and signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _set_environment(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in variables.items() if os.environ.get(name) != value})


def _set_path(folders: Sequence[str]) -> None:
    sys.path[:] = folders


def _flushes_denormals() -> bool:
    return sys.float_info.min / 2 == 0


PYTHON = (
    Setting("the working folder", os.getcwd, os.chdir),
    Setting("os.environ", lambda: dict(os.environ), _set_environment, grows=True),
    Setting("sys.path", lambda: list(sys.path), _set_path, grows=True),
    Setting("the signal handlers", _signals, _set_signals),
    Setting("an alarm", _alarm_is_set, lambda pending: pending or signal.setitimer(signal.ITIMER_REAL, 0)),
    Setting("sys.stdout", lambda: sys.stdout, lambda stream: setattr(sys, "stdout", stream)),
    Setting("sys.stderr", lambda: sys.stderr, lambda stream: setattr(sys, "stderr", stream)),
    Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, grows=True),
    Setting("garbage collection", gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
)


def _numpy_settings() -> tuple[Setting, ...]:
    import numpy as np

    errors = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    return (
        Setting("numpy's error handling", np.geterr, lambda value: np.seterr(**value), "numpy", errors),
        Setting("numpy's print options", np.get_printoptions, lambda value: np.set_printoptions(**value), "numpy"),
    )


def _torch_settings() -> tuple[Setting, ...]:
    """In the order in which they are put back: modes before what they decide."""
    import torch

    c, backends = torch._C, torch.backends
    deterministic = torch.are_deterministic_algorithms_enabled
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled

    def back_end(name: str, owner: Any, attribute: str) -> Setting:
        return Setting(name, lambda: getattr(owner, attribute), lambda v: setattr(owner, attribute, v), "torch")

    def attention(name: str) -> Setting:
        read, write = getattr(backends.cuda, f"{name}_sdp_enabled"), getattr(backends.cuda, f"enable_{name}_sdp")
        return Setting(f"torch's {name} attention", read, write, "torch")

    return (
        Setting("torch's default device", _default_device, torch.set_default_device, "torch", None),
        Setting("a torch function mode", c._len_torch_function_stack, _pop(c, "function"), "torch", 0),
        Setting("a torch dispatch mode", c._len_torch_dispatch_stack, _pop(c, "dispatch"), "torch", 0),
        Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype, "torch", torch.float32),
        Setting("torch's inference mode", torch.is_inference_mode_enabled, _set_inference, "torch", False),
        Setting("torch's grad mode", torch.is_grad_enabled, _set_grad, "torch", True),
        Setting("torch's anomaly detection", torch.is_anomaly_enabled, torch.set_anomaly_enabled, "torch", False),
        *(_autocast(kind) for kind in ("cpu", "cuda")),
        Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads, "torch"),
        Setting(
            "torch's deterministic algorithms",
            lambda: (deterministic(), warn_only()),
            lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
            "torch",
            (False, False),
        ),
        Setting("flushing of denormals", _flushes_denormals, torch.set_flush_denormal, "torch", False),
        Setting(
            "torch's float32 matmul precision",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
            "torch",
        ),
        back_end("torch.backends.cudnn.allow_tf32", backends.cudnn, "allow_tf32"),
        *(back_end(f"torch's {name}", backends.cuda.matmul, f"allow_{name}") for name in REDUCTIONS),
        back_end("torch.backends.cudnn.enabled", backends.cudnn, "enabled"),
        back_end("torch.backends.cudnn.benchmark", backends.cudnn, "benchmark"),
        back_end("torch.backends.cudnn.deterministic", backends.cudnn, "deterministic"),
        back_end("torch.backends.mkldnn.enabled", backends.mkldnn, "enabled"),
        *(attention(name) for name in ("flash", "mem_efficient", "math", "cudnn")),
        *(_hooks(name) for name in sorted(vars(torch.nn.modules.module)) if name.startswith("_global_")),
    )


REDUCTIONS = ("fp16_reduced_precision_reduction", "bf16_reduced_precision_reduction")


def of_policy(numeric: Mapping[str, Any]) -> dict[str, Any]:
    """Setting -> value under a numeric policy, which holds the parts that have an effect (`bench.spec.numeric`)."""
    values: dict[str, Any] = {}
    if "tf32" in numeric:
        tf32 = numeric["tf32"]
        values["torch.backends.cudnn.allow_tf32"] = tf32 in (True, "conv")
        values["torch's float32 matmul precision"] = "high" if tf32 in (True, "matmul") else "highest"
    if "cudnn_benchmark" in numeric:
        values["torch.backends.cudnn.benchmark"] = numeric["cudnn_benchmark"]
    if "reduced_precision_reduction" in numeric:
        values |= {f"torch's {name}": numeric["reduced_precision_reduction"] for name in REDUCTIONS}
    if "deterministic" in numeric:
        values["torch's deterministic algorithms"] = (numeric["deterministic"], False)
        values["torch.backends.cudnn.deterministic"] = numeric["deterministic"]
    return values


CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
"""What makes cuBLAS deterministic, in the words of its documentation; torch asks for it."""


def _default_device() -> Any:
    """The default device that was set; None where there is none."""
    import torch

    device = torch.get_default_device()
    return None if device == torch.device("cpu") else device


_ENTERED: list[Any] = []
"""Inference modes that were entered for good: one ends where nothing refers to it."""


def _set_inference(enabled: bool) -> None:
    import torch

    _ENTERED.append(torch.inference_mode(enabled))  # there is no function that sets it
    _ENTERED[-1].__enter__()


def _set_grad(enabled: bool) -> None:
    import torch

    torch.set_grad_enabled(enabled)


def _pop(c: Any, kind: str) -> Callable[[int], None]:
    def put_back(depth: int) -> None:
        while getattr(c, f"_len_torch_{kind}_stack")() > depth:
            getattr(c, f"_pop_torch_{kind}_stack")()

    return put_back


def _autocast(device: str) -> Setting:
    import torch

    return Setting(
        f"torch's autocast on {device}",
        lambda: torch.is_autocast_enabled(device),
        lambda enabled: torch.set_autocast_enabled(device, enabled),
        "torch",
        False,
    )


def _hooks(name: str) -> Setting:
    """Hooks that torch runs for every module."""
    import torch

    owner = torch.nn.modules.module

    def put_back(value: Any) -> None:
        if isinstance(value, dict):
            getattr(owner, name).clear()
            getattr(owner, name).update(value)
        else:
            setattr(owner, name, value)

    def read() -> Any:
        value = getattr(owner, name)
        return dict(value) if isinstance(value, dict) else value

    return Setting(f"torch's {name.removeprefix('_global_').replace('_', ' ')}", read, put_back, "torch")


_NESTED = ("torch's default device", "a torch function mode", "a torch dispatch mode")
"""What a metric may be inside of while it asks for the network, and what cannot be suspended."""

_MODULES = ("builtins", "math", "random", "time", "json", "numpy", "torch", "torch.nn.functional", "torch.nn.init")
"""Modules whose functions all metrics use, beside those of fovbench itself."""

_LAYERS = "torch.nn"
"""The module of the classes whose methods all networks use."""


def _is_watched(name: str) -> bool:
    return name in _MODULES or name == _LAYERS or name.split(".")[0] in ("bench", "architectures")


def _owners(names: Collection[str]) -> Iterator[tuple[str, Any]]:
    """(name, module or class) of the functions that a metric must not replace, of these loaded modules."""
    modules = {name: sys.modules.get(name) for name in names if _is_watched(name)}
    if layers := modules.pop(_LAYERS, None):
        yield "torch.Tensor", sys.modules["torch"].Tensor
        yield from ((f"{_LAYERS}.{name}", layer) for name, layer in vars(layers).items() if isinstance(layer, type))
    yield from ((name, module) for name, module in modules.items() if isinstance(module, ModuleType))


class ProcessState:
    """The state at the beginning of a job: later compared, and put back. Libraries loaded later count as unchanged.

    The numeric policy of a workload is part of it. Used as a context, it puts back at the end what the policy changed.
    """

    def __init__(self, numeric: Mapping[str, Any] | None = None) -> None:
        self._policy = of_policy(numeric or {})
        self._before_policy: dict[str, Any] = {}
        self._cublas = bool((numeric or {}).get("deterministic")) and CUBLAS[0] not in os.environ
        if self._cublas:
            os.environ[CUBLAS[0]] = CUBLAS[1]
        self._values: dict[str, Any] = {}
        self._functions: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._settings: list[Setting] = []
        self._libraries: set[str] = set()
        self._noticed: set[str] = set()
        self._modules = 0
        self._notice()
        self.put_back()

    def __enter__(self) -> ProcessState:
        return self

    def __exit__(self, *_: object) -> None:
        for setting in self._settings:
            if setting.name in self._before_policy:
                setting.put_back(self._before_policy[setting.name])
        if self._cublas:
            os.environ.pop(CUBLAS[0], None)

    def begin(self, seed: int) -> None:
        """Before a metric: seed the random generators, and note the libraries that were loaded meanwhile."""
        self._notice()
        self._modules = len(sys.modules)
        seed_generators(seed)

    def put_back(self) -> list[str]:
        """Put back what differs; a text for each difference: `left torch's default dtype at torch.float64`."""
        self._notice_settings()
        texts = [text for setting in self._settings if (text := self._put_back(setting))]
        return texts + [f"replaced {name}" for name in self._functions_put_back()]

    @contextmanager
    def kept(self, seed: int | None = None) -> Iterator[None]:
        """Run code that is nobody's fault (a builder, an import) in the state of a new job, then put back what was.

        The random generators too, so that what comes next draws the same numbers whether this ran or not.
        """
        self._notice_settings()
        before = {setting.name: setting.read() for setting in self._settings}
        with generators_kept(), warnings.catch_warnings():
            self._set({**self._values, **{name: before[name] for name in _NESTED if name in before}})
            if seed is not None:
                seed_generators(seed)
            try:
                yield
            finally:
                self._notice()
                self._set({**self._values, **before, **self._grown(before)})
                list(self._functions_put_back())

    def _grown(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """What was added to `sys.path` and `os.environ`; it stays, since a plug-in adds folders for its imports."""
        now = {setting.name: setting.read() for setting in self._settings if setting.grows}
        grown = {name: value for name, value in now.items() if name in before and _only_added(before[name], value)}
        self._values |= grown
        return grown

    def _set(self, values: Mapping[str, Any]) -> None:
        for setting in self._settings:
            if setting.read() != values[setting.name]:
                setting.put_back(values[setting.name])

    def _notice(self) -> None:
        self._notice_settings()
        new = {name for name in set(sys.modules) - self._noticed if not _is_watched(name) or _is_loaded(name)}
        for name, owner in _owners(new):
            if name not in self._functions:
                callables = {key: value for key, value in vars(owner).items() if callable(value)}
                self._functions[name] = (owner, callables)
        self._noticed |= new

    def _notice_settings(self) -> None:
        """Add the settings of the libraries that have been loaded meanwhile, with the values of a new process."""
        for library, settings in (
            ("sys", lambda: PYTHON),
            ("numpy", _numpy_settings),
            ("torch", _torch_settings),
        ):
            if library in sys.modules and library not in self._libraries and _is_loaded(library):
                self._libraries.add(library)
                for setting in settings():
                    self._settings.append(setting)
                    self._values[setting.name] = self._first(setting)

    def _first(self, setting: Setting) -> Any:
        """The value of a setting at the beginning of the job: that of the policy, else that of a new process.

        The policy is set at once, since torch imports libraries for it, which add to `os.environ`.
        """
        if setting.name in self._policy:
            self._before_policy[setting.name] = setting.read()
            setting.put_back(self._policy[setting.name])
            return self._policy[setting.name]
        return setting.read() if setting.default is UNSEEN else setting.default

    def _put_back(self, setting: Setting) -> str:
        before, now = self._values[setting.name], setting.read()
        if before == now:
            return ""
        if setting.grows and self._imported() and _only_added(before, now):
            self._values[setting.name] = now
            return ""
        setting.put_back(before)
        return _difference(setting.name, before, now)

    def _imported(self) -> bool:
        """Whether libraries were imported since the metric began."""
        return len(sys.modules) > self._modules

    def _functions_put_back(self) -> Iterator[str]:
        for name, (owner, before) in self._functions.items():
            now = vars(owner)
            for key in _replaced(owner, before, now):
                if self._imported() and _is_of(now.get(key), name):
                    before[key] = now[key]
                    continue
                setattr(owner, key, before[key]) if key in before else delattr(owner, key)
                yield f"{name}.{key}"


def _replaced(owner: Any, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The functions that have another value, and those that a class has where it inherited them."""
    same = all(map(operator.is_, map(now.get, before), before.values()))  # the loop is in C: this is asked very often
    replaced = [] if same else [key for key, value in before.items() if now.get(key) is not value]
    if isinstance(owner, type) and len(now) > len(before):
        replaced += [key for key, value in now.items() if key not in before and callable(value)]
    return replaced


def _is_of(function: Any, owner: str) -> bool:
    """Whether a function is defined in the package of its owner, as where torch wraps its own while it is imported."""
    folder = getattr(sys.modules[owner.split(".")[0]], "__path__", None)
    code = getattr(function, "__code__", None)
    return bool(folder and code and code.co_filename.startswith(folder[0]))


def _is_loaded(library: str) -> bool:
    """Whether its import has ended: a fork may come in between."""
    spec = getattr(sys.modules.get(library), "__spec__", None)
    return getattr(spec, "_initializing", False) is not True


def _only_added(before: Any, now: Any) -> bool:
    """Whether a list, mapping or limit only grew, as `os.environ` and `sys.path` do while libraries are imported."""
    if isinstance(before, dict):
        return bool(before.items() <= now.items())
    if type(before) is int:
        return bool(before <= now)
    return isinstance(before, list) and [each for each in now if each in before] == before


def _difference(name: str, before: Any, now: Any) -> str:
    """Of a mapping only the names: values of environment variables may be secret."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(str(key) for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        return f"changed {name} ({', '.join(names)})"[: 2 * SHOWN]
    if isinstance(now, (list, bool)) or now is None:
        return f"changed {name}"
    return f"left {name} at {str(now)[:SHOWN]}"


def seed_generators(seed: int) -> None:
    """Seed the global random generators of Python and of the libraries that are loaded."""
    random.seed(seed)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seed)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Global random generators on the CPU continue afterwards as if nothing had been drawn."""
    state = random.getstate()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    states = (numpy.random.get_state() if numpy else None, torch.get_rng_state() if torch else None)
    try:
        yield
    finally:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(states[0])
        if torch:
            torch.set_rng_state(states[1])
