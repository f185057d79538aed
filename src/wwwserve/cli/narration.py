"""Facts of running nodes, told as one readable line each.

A narrator hears the facts of several nodes. Most of what happens is told by its origin alone; what
every node reports (a member came or went) is told once.
"""

from collections import deque
from collections.abc import Mapping

from rich.text import Text

from wwwserve.values.credits import credits_text

NAME_LENGTH = 5
"""Characters of a node's name that tell a few nodes apart."""
NEWS_REMEMBERED_MAX = 1_024
"""News about members that are not told again; the oldest are forgotten."""
_MICROSECONDS = 1_000_000
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red", "bright_cyan", "white")

Json = Mapping[str, object]


class Narrator:
    """Turns facts into lines."""

    def __init__(self) -> None:
        self._colours: dict[str, str] = {}
        self._models: dict[str, tuple[str, ...]] = {}
        self._told: deque[tuple[str, str, str]] = deque(maxlen=NEWS_REMEMBERED_MAX)

    def introduce(self, node: str, models: tuple[str, ...]) -> None:
        """A node serves these models: why a request leaves it can be told."""
        self._models[node] = models

    def name(self, node: str) -> Text:
        """A node's short name, always in the same colour."""
        colour = self._colours.setdefault(node, _COLOURS[len(self._colours) % len(_COLOURS)])
        return Text(node[:NAME_LENGTH], style=colour)

    def tell(self, node: str, fact: Json) -> Text | None:
        """One line about a fact that `node` reported, or None if it is not worth one."""
        line: Text | None = None
        match fact.get("event"):
            case "AttemptStarted":
                line = self._tell_attempt(node, fact)
            case "AttemptFailed":
                line = self._tell_failed_attempt(fact)
            case "RequestQueued":
                line = Text(f"{_request(fact)} waits, {_number(fact, 'queue_length')} in line here")
            case "RequestFinished":
                line = self._tell_finished(node, fact)
            case "MemberChanged":
                line = self._tell_member(fact)
            case "EngineChanged":
                line = self._tell_engine(node, fact)
            case "HoldSettled" | "PeerRefused":
                line = self._tell_peer(node, fact)
            case _:
                pass
        return None if line is None else Text.assemble(self.name(node), " ", line)

    def _tell_attempt(self, node: str, fact: Json) -> Text:
        executor = _text(fact, "executor")
        if executor == node:
            return Text(f"{_request(fact)} runs here", style="dim")
        model = _text(fact, "model")
        serves = self._models.get(node, (model,))
        reason = "is busy" if model in serves else f"has no {model.rpartition('/')[2]}"
        line = Text(f"{reason}: {_request(fact)} offered to ")
        line.append_text(self.name(executor))
        quotes = _list(fact, "alternatives")
        best = [quote for quote in quotes if quote.get("node") == executor]
        if best and isinstance(best[0].get("finish_us"), int):
            line.append(f" (quote {_seconds(best[0], 'finish_us')})", style="dim")
        return line

    def _tell_failed_attempt(self, fact: Json) -> Text:
        line = Text(f"{_request(fact)} failed at ", style="red")
        line.append_text(self.name(_text(fact, "executor")))
        reason = fact.get("decline") or fact.get("kind")
        return line.append(f" ({str(reason).lower()}): looking for another place")

    def _tell_peer(self, node: str, fact: Json) -> Text | None:
        """What one node has with another beside requests."""
        if fact.get("event") == "HoldSettled":
            return self._tell_payment(node, fact)
        line = Text("refused a message of ").append_text(self.name(_text(fact, "peer")))
        return line.append(f": {_text(fact, 'detail')}")

    def _tell_payment(self, node: str, fact: Json) -> Text | None:
        """Who paid whom; both know it, and the payer tells."""
        if _text(fact, "payer") != node:
            return None
        paid, returned = _number(fact, "paid"), _number(fact, "returned")
        payee = self.name(_text(fact, "payee"))
        if not paid:
            return Text("has back what it set aside for ").append_text(payee)
        line = Text(f"paid {credits_text(paid)} to ", style="green").append_text(payee)
        line.append(" for an answer", style="green")
        return line.append(f" ({credits_text(returned)} of what it set aside is back)", style="dim")

    def _tell_finished(self, node: str, fact: Json) -> Text:
        if error := _text(fact, "error"):
            return Text(f"{_request(fact)} ended without an answer: {error}", style="bold red")
        executor = _text(fact, "executor")
        line = Text(f"{_request(fact)} answered ")
        if executor == node:
            line.append("here")
        else:
            line.append("by ").append_text(self.name(executor))
        tokens, total = _number(fact, "completion_tokens"), _seconds(fact, "total_us")
        first = _seconds(fact, "first_output_us")
        return line.append(f": first token after {first}, {tokens} tokens in {total}")

    def _tell_member(self, fact: Json) -> Text | None:
        member, status = _text(fact, "node"), _text(fact, "status").lower()
        news = (member, status, str(fact.get("version")))
        if news in self._told:
            return None
        self._told.append(news)
        says = {
            "alive": ("is in the network", "green"),
            "suspect": ("does not answer; nothing is sent there", "yellow"),
            "dead": ("is gone", "red"),
            "left": ("has left", "yellow"),
        }
        what, colour = says.get(status, (status, ""))
        return Text("sees that ").append_text(self.name(member)).append(f" {what}", style=colour)

    def _tell_engine(self, node: str, fact: Json) -> Text | None:
        health = _text(fact, "health").lower()
        news = (node, "engine", health)
        if self._told and self._told[-1] == news:
            return None
        self._told.append(news)
        detail = _text(fact, "detail")
        return Text(f"its engine is {health}" + (f": {detail}" if detail else ""), style="dim")


def _request(fact: Json) -> str:
    return f"request {_text(fact, 'request').removeprefix('req-')[:4]}"


def _text(fact: Json, name: str) -> str:
    value = fact.get(name)
    return value if isinstance(value, str) else ""


def _number(fact: Json, name: str) -> int:
    value = fact.get(name)
    return value if isinstance(value, int) else 0


def _seconds(fact: Json, name: str) -> str:
    return f"{_number(fact, name) / _MICROSECONDS:.1f} s"


def _list(fact: Json, name: str) -> list[Json]:
    value = fact.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
