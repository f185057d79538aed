"""What the engine model says of an engine's iterations, for forecasts that know it exactly."""

from wwwserve.core.routing import Room
from wwwserve.enginemodel import EngineProfile, IterationWork, compute_iteration_us
from wwwserve.values.moments import SECOND


class ExactPace:
    """The pace of one GPU with one model, from its profile."""

    def __init__(self, profile: EngineProfile) -> None:
        self._timing = profile.iteration_model
        self._context_us = self._timing.d_s_per_kv_token * SECOND
        self._bases_us: list[float] = [
            float(compute_iteration_us(self._timing, IterationWork(0, 0.0, count, 0)))
            for count in range(profile.max_num_seqs + 2)
        ]
        self.room = Room(profile.max_num_seqs, profile.kv_capacity_tokens)
        """What it holds at once."""

    @property
    def context_us(self) -> float:
        """See `Pace`."""
        return self._context_us

    def get_base_us(self, sequences: int) -> float:
        """See `Pace`."""
        return self._bases_us[min(sequences, len(self._bases_us) - 1)]

    def compute_prefill_us(self, tokens: int, cached_tokens: int = 0) -> float:
        """See `Pace`."""
        timing = self._timing
        pairs = (tokens + cached_tokens) / 2
        each = timing.g_s_per_token + timing.r_s_per_token + timing.e_s_per_pair * pairs
        return each * (tokens - cached_tokens) * SECOND
