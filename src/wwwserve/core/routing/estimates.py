"""When a request would begin and finish on an own engine, and what it would cost the others there.

How long an answer will be comes from `Lengths` (an own user's) or from what its origin says, as far
as that origin can be believed (`Statements`); how fast the engine is and what else runs there, from
its `Batch`. All is learned from what happened here, and before anything did, a usual engine is
assumed.
"""

from msgspec.structs import replace

from wwwserve.core.placing import Estimate, LoadView, RunBegun, RunMeasured
from wwwserve.core.routing.batch import Batch, BatchRun
from wwwserve.core.routing.forecast import FOR_EVER, Load, Room
from wwwserve.core.routing.lengths import Lengths, Statements, predict_stated
from wwwserve.core.sessions import SessionId
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import TOKENS_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.wire import Endpoint, RequestSummary

ENGINES_FORESEEN_MAX = 64
"""Engines with a batch of their own; the longest known without runs makes room."""
WAITING_FORESEEN_MAX = 32
"""Own users' waiting requests whose turns are foreseen one by one; what more of them wait for is
taken to be in proportion."""
FOREIGN_FORESEEN_MAX = 256
"""Requests that others sent an engine directly, of those it says it runs."""
ROOMY = 1 << 30
"""Slots of an engine of which it is known that it has some."""
ESTIMATE_MAX_US = 24 * 3600 * SECOND
"""Nothing is expected to take longer; so a quote stays a number that can travel, whatever was asked
and learned."""


class Estimates:
    """What this node expects of its own engines, and of answers."""

    def __init__(self) -> None:
        self._lengths = Lengths()
        self._statements = Statements()
        self._batches: dict[str, Batch] = {}
        self._engines: dict[SessionId, str] = {}
        """Where each run is."""

    # -- lengths ---------------------------------------------------------------------------------

    def learn_length(self, run: RunMeasured) -> None:
        """An answer of a model, from wherever it came, was so long."""
        self._lengths.learn(run.client, run.model, run.completion_tokens)

    def expect(self, client: str, summary: RequestSummary) -> RequestSummary:
        """An own user's request with what is expected of its answer; nothing where nobody knows.

        What was only assumed would be held against this node by those who run the request.
        """
        model = ModelId(summary.models[0])
        if summary.endpoint is Endpoint.EMBEDDINGS or not self._lengths.is_known(model):
            return summary
        expected = self._lengths.predict(client, model)
        return replace(summary, completion_tokens_expected=_bound(expected, summary))

    def believe(self, asker: NodeId, summary: RequestSummary) -> RequestSummary:
        """Another node's request with what its word about the answer has meant so far."""
        if summary.endpoint is Endpoint.EMBEDDINGS:
            return summary
        expected = self._read_stated(summary)
        if summary.completion_tokens_expected:
            expected = self._statements.correct(asker, expected)
        return replace(summary, completion_tokens_expected=_bound(expected, summary))

    def predict_tokens(self, summary: RequestSummary, model: ModelId) -> int:
        """What a request will come to: its prompt and its answer."""
        return summary.prompt_tokens + self._predict_completion(summary, model)

    # -- what runs here --------------------------------------------------------------------------

    def begin_run(self, begun: RunBegun, saved_tokens: int, now: Moment) -> None:
        """An own engine begins to run a request, of whose prompt it is said to hold so much."""
        self._engines[begun.session] = begun.engine
        self._get_batch(begun.engine).begin(begun, saved_tokens, now)

    def note_first_output(self, session: SessionId, now: Moment) -> None:
        """A run's first token came; nothing if it is not one of an own engine."""
        engine = self._engines.get(session)
        if engine is not None:
            self._batches[engine].note_first(session, now)

    def note_progress(self, session: SessionId, completion_tokens: int, now: Moment) -> None:
        """A run has made so many tokens; nothing if it is not one of an own engine."""
        engine = self._engines.get(session)
        if engine is not None:
            self._batches[engine].note_tokens(session, completion_tokens, now)

    def end_run(
        self, session: SessionId, completion_tokens: int, now: Moment, *, is_whole: bool
    ) -> None:
        """A run is over, and so many tokens were made; nothing if it is not of an own engine."""
        engine = self._engines.pop(session, None)
        if engine is None:
            return
        batch = self._batches[engine]
        batch.note_tokens(session, completion_tokens, now)
        run = batch.end(session)
        begun, tokens = run.begun, run.made_tokens
        stated = begun.stated_tokens
        if begun.asker is None or not stated or begun.summary.endpoint is Endpoint.EMBEDDINGS:
            return
        # An answer that broke off says something only if it was longer than stated by then.
        if is_whole or tokens > stated:
            self._statements.learn(begun.asker, stated, tokens)

    # -- what is asked ---------------------------------------------------------------------------

    def estimate(
        self, summary: RequestSummary, model: ModelId, load: LoadView, saved_tokens: int = 0
    ) -> Estimate:
        """When a request would begin and finish here, its turn in the queue included.

        `saved_tokens` of its prompt are held by the engine already and need not be read.
        """
        wanted = Load(
            context_tokens=summary.prompt_tokens,
            remaining_tokens=self._predict_completion(summary, model),
            cached_tokens=saved_tokens,
        )
        batch = self._get_batch(load.engine)
        if load.has_room:
            # It is sent at once; whom the engine itself lets wait, the forecast knows.
            room = Room(ROOMY)
        else:
            free = (load.slots_most or load.slots) - load.used
            room = Room(max(len(batch) + load.foreign + free, 1), load.kv_tokens or FOR_EVER)
        foreign = self._assume_foreign(model, load.foreign)
        forecast = batch.foretell(model, room, foreign, load.at)
        burden_us, harmed = forecast.compute_burden_us(wanted), forecast.count_harmed(wanted)
        seen = min(load.own_waiting, WAITING_FORESEEN_MAX)
        if seen and not load.has_room:
            # Who waits before it is taken to be like it.
            forecast = forecast.copy()
            for _ in range(seen):
                forecast.admit(wanted)
        prospect = forecast.foresee(wanted)
        assert prospect is not None, "it never gives up"
        start_us = prospect.start_us - load.at
        later_us = start_us * (load.own_waiting - seen) / seen if seen else 0.0
        return Estimate(
            first_token_us=_to_span(prospect.first_us - load.at + later_us),
            # With nothing to decode the first output is the last.
            finish_us=_to_span(max(prospect.finish_us, prospect.first_us) - load.at + later_us),
            burden_us=_to_span(burden_us),
            harmed=harmed,
            saved_prompt_tokens=saved_tokens,
        )

    def _assume_foreign(self, model: ModelId, count: int) -> list[Load]:
        """What others sent an engine directly is taken for usual answers, half made."""
        if not count:
            return []
        usual = self._lengths.predict("", model)
        return [Load(usual, usual / 2, is_begun=True)] * min(count, FOREIGN_FORESEEN_MAX)

    def _predict_completion(self, summary: RequestSummary, model: ModelId) -> int:
        if summary.endpoint is Endpoint.EMBEDDINGS:
            return 0
        return _bound(self._read_stated(summary, model), summary)

    def _read_stated(self, summary: RequestSummary, model: ModelId | None = None) -> float:
        """What is said of an answer; where nothing is, the usual."""
        usual = model or ModelId(summary.models[0])
        return summary.completion_tokens_expected or self._lengths.predict("", usual)

    def _predict_run(self, run: BatchRun) -> float:
        """What the whole answer of one that runs will be."""
        begun = run.begun
        if begun.summary.endpoint is Endpoint.EMBEDDINGS:
            return 0.0
        if begun.asker is None:
            expected = self._lengths.predict(begun.client, begun.model, run.made_tokens)
        else:
            expected = predict_stated(begun.summary.completion_tokens_expected, run.made_tokens)
        return min(expected, begun.summary.completion_tokens_max or expected)

    def _get_batch(self, engine: str) -> Batch:
        batch = self._batches.get(engine)
        if batch is None:
            if len(self._batches) >= ENGINES_FORESEEN_MAX:
                self._forget_idle()
            batch = self._batches[engine] = Batch(self._predict_run)
        return batch

    def _forget_idle(self) -> None:
        """Forget the longest known engine on which nothing runs."""
        idle = next((engine for engine, batch in self._batches.items() if not len(batch)), None)
        if idle is not None:
            del self._batches[idle]


def _bound(expected: float, summary: RequestSummary) -> int:
    """A whole number of tokens that a user allows and that can travel."""
    most = summary.completion_tokens_max or TOKENS_MAX
    return max(min(round(expected), most), 1)


def _to_span(span_us: float) -> int:
    return round(max(min(span_us, ESTIMATE_MAX_US), 0))
