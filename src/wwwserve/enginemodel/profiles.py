"""One GPU with one model: how fast it computes and how much it holds."""

import msgspec

from wwwserve.enginemodel.timing import IterationTiming


class EngineProfile(msgspec.Struct, frozen=True):
    """One row of the published profiles (`data/profiles.json`)."""

    gpu: str
    model: str
    tp: int
    """GPUs one copy of the model is spread over (tensor parallel)."""
    dtype: str
    iteration_model: IterationTiming
    kv_bytes_per_token: int
    kv_capacity_tokens: int
    """Tokens of context the KV cache holds, for all running sequences together."""
    max_num_seqs: int
    """Sequences that may run at once."""
    max_batched_tokens: int
    """Tokens one iteration may compute."""
    confidence: str
    """`high`, `medium` or `low`: how far it was checked against measurements."""
    evidence: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a person calls it: `GPU:MODEL`, with `:tpN` when it takes several GPUs."""
        suffix = f":tp{self.tp}" if self.tp > 1 else ""
        return f"{self.gpu}:{self.model}{suffix}"
