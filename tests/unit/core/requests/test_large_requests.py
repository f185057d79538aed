"""A request that does not fit an engine yet waits at its node, and is not passed for ever.

A desk plays an engine that tells its cache and not its slots, as in `test_untold_slots`.
"""

from tests.unit.core.desk import Desk, ended, pick_all
from tests.unit.core.requests.test_untold_slots import GENEROUS, guess, submit, tell_cache
from wwwserve.core.effects import StartLocal
from wwwserve.core.engines import REQUEST_TOKENS_USUAL


def test_a_large_request_waits_here_until_it_fits_and_is_not_passed_for_ever() -> None:
    # [REQUESTS-KV.6]
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(0))
    first, second = submit(desk, 0, 1, prompt_tokens=3 * REQUEST_TOKENS_USUAL)
    large = {"prompt_tokens": 5 * REQUEST_TOKENS_USUAL}
    assert submit(desk, 2, **large) == [], "there is room for three of the usual size"
    assert submit(desk, 3) == [], "nor may one that would fit keep it waiting"
    effects = [*desk.tell(ended(first)), *desk.tell(ended(second))]
    assert len(list(pick_all(effects, StartLocal))) == 2, "the large one, and who fits beside it"
