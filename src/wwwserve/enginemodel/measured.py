"""Three measured runs of a real engine, and what the same demands take in the model.

Each run is 300 requests against vLLM 0.19.0; `data/README.md` says where they come from.
"""

import csv
from dataclasses import dataclass

import msgspec

from wwwserve.enginemodel.catalogue import find_profile
from wwwserve.enginemodel.demands import Demand
from wwwserve.enginemodel.profiles import EngineProfile
from wwwserve.enginemodel.replaying import Arrival, Lateness, compute_lateness
from wwwserve.enginemodel.shipped import read_shipped
from wwwserve.values.moments import SECOND, Moment


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One run: what it was measured on, and which profile stands for it."""

    name: str
    file: str
    profile_name: str
    max_num_seqs: int
    """What the engine was started with."""

    def get_profile(self) -> EngineProfile:
        """The profile as this run's engine was set."""
        profile = find_profile(self.profile_name)
        return msgspec.structs.replace(profile, max_num_seqs=self.max_num_seqs)


MEASURED_RUNS = (
    MeasuredRun(
        "RTX 4090 Llama-3.1-8B",
        "vllm019_rtx4090_llama31-8b_tp1.csv",
        "RTX-4090:Llama-3-8B",
        max_num_seqs=256,
    ),
    MeasuredRun(
        "RTX PRO 6000 Llama-3.1-8B",
        "vllm019_rtxpro6000_llama31-8b_tp1.csv",
        "RTX-PRO-6000:Llama-3-8B",
        max_num_seqs=128,
    ),
    MeasuredRun(
        "2 x RTX PRO 6000 Qwen3-32B",
        "vllm019_rtxpro6000_qwen3-32b_tp2.csv",
        "RTX-PRO-6000:Qwen3-32B:tp2",
        max_num_seqs=128,
    ),
)


@dataclass(frozen=True, slots=True)
class MeasuredTimes:
    """One request of a measured run: what it asked for, and how long it took."""

    arrival: Arrival
    lateness: Lateness


def load_times(run: MeasuredRun) -> list[MeasuredTimes]:
    """The requests of a run, in the order they came."""
    lines = read_shipped(f"measured/{run.file}").decode().splitlines()
    return [_read_times(row) for row in csv.DictReader(lines)]


def _read_times(row: dict[str, str]) -> MeasuredTimes:
    demand = Demand(int(row["prompt_tokens"]), int(row["output_tokens"]))
    arrival = Arrival(_read_moment(row["arrival_s"]), demand)
    first, last = _read_moment(row["first_token_s"]), _read_moment(row["last_token_s"])
    return MeasuredTimes(arrival, compute_lateness(arrival, first, last))


def _read_moment(seconds: str) -> Moment:
    return Moment(round(float(seconds) * SECOND))
