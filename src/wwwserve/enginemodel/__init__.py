"""How long a GPU takes: an LLM engine with continuous batching, in virtual time.

`find_profile` names a GPU with a model, `BatchingEngine` is the engine itself (a machine without
clock or input: demands in, iterations out), `replay` runs a list of demands through it, and
`MEASURED_RUNS` are three runs of a real engine to hold it against.

Rules: an engine works in iterations, and what it computes in one is decided at its start; running
sequences go before waiting ones, and those in the order they came; nothing is started unless its
whole context fits into the KV cache; when the cache runs out, the newest sequence gives its place
up and is computed again later. The same demands at the same instants give the same iterations.
"""

from wwwserve.enginemodel.batching import BatchingEngine
from wwwserve.enginemodel.catalogue import find_profile, list_profiles
from wwwserve.enginemodel.demands import Demand, EngineLoad, Iteration, SequenceId, Thread
from wwwserve.enginemodel.estimating import (
    compute_alone_first_us,
    compute_alone_us,
    compute_saturated_us,
    compute_share_us,
    create_plain_profile,
    speed_up,
)
from wwwserve.enginemodel.measured import MEASURED_RUNS, MeasuredRun, MeasuredTimes, load_times
from wwwserve.enginemodel.prefix_cache import KV_BLOCK_TOKENS
from wwwserve.enginemodel.profiles import EngineProfile
from wwwserve.enginemodel.replaying import Arrival, Lateness, replay
from wwwserve.enginemodel.timing import IterationTiming, IterationWork, compute_iteration_us

__all__ = [
    "KV_BLOCK_TOKENS",
    "MEASURED_RUNS",
    "Arrival",
    "BatchingEngine",
    "Demand",
    "EngineLoad",
    "EngineProfile",
    "Iteration",
    "IterationTiming",
    "IterationWork",
    "Lateness",
    "MeasuredRun",
    "MeasuredTimes",
    "SequenceId",
    "Thread",
    "compute_alone_first_us",
    "compute_alone_us",
    "compute_iteration_us",
    "compute_saturated_us",
    "compute_share_us",
    "create_plain_profile",
    "find_profile",
    "list_profiles",
    "load_times",
    "replay",
    "speed_up",
]
