"""What a user's node tells its peer of a request, as a gateway would."""

from wwwserve.sim.conversations import compute_prefixes
from wwwserve.sim.truth import UserRequest
from wwwserve.wire import Endpoint, RequestSummary


def create_summary(
    request: UserRequest, *, body_bytes_per_token: int, is_prefix_told: bool
) -> RequestSummary:
    """A request without its truth: its prompt is estimated, its answer unknown."""
    return RequestSummary(
        request=request.request,
        endpoint=Endpoint.CHAT,
        models=(request.model,),
        prompt_tokens=request.prompt_tokens_estimate,
        completion_tokens_max=request.completion_tokens_max,
        body_bytes=request.prompt_tokens * body_bytes_per_token,
        deadline_us=request.deadline_us,
        prefixes=compute_prefixes(request) if is_prefix_told else (),
        is_streamed=request.is_streamed,
    )
