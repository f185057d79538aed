"""Seed the ledger with every small bug that can be made by rule, and say which its tests miss.

    .venv/bin/python tools/mutate_ledger.py [MODULE]...

In each function of `core/ledger` (or the modules named) one place at a time is changed: a
comparison turned or shifted, a sum made a difference, the smaller taken for the larger, a condition
dropped or turned, a number one off, a statement left out. The quick part of the suite runs against
each (see `tests/property/ledger_mutants.py`). Survivors are printed with their place; some change
nothing that anybody could notice.
"""

import ast
import copy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.property.ledger_mutants import find_killer  # noqa: E402 - needs the path above

FOLDER = ROOT / "src" / "wwwserve" / "core" / "ledger"
SECONDS_MAX = 30
"""A mutant that runs longer does not end: noticed."""
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
SUMS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
}  # fmt: skip
EXTREMES = {"min": "max", "max": "min"}

Change = Callable[[ast.AST], str]


def list_changes(node: ast.AST) -> Iterator[Change]:
    """What can be done to one node; each changes it in place and says what it did."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield _turn_comparison
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SUMS:
            yield _turn_sum
        case ast.BoolOp():
            yield _turn_condition
        case ast.Call(func=ast.Name(id=name)) if name in EXTREMES:
            yield _turn_extreme
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            yield _shift
        case ast.If():
            yield _always
            yield _never
        case _:
            pass


def _turn_comparison(node: ast.AST) -> str:
    assert isinstance(node, ast.Compare)
    node.ops = [COMPARISONS[type(node.ops[0])]()]
    return f"now {ast.unparse(node)}"


def _turn_sum(node: ast.AST) -> str:
    assert isinstance(node, ast.BinOp | ast.AugAssign)
    node.op = SUMS[type(node.op)]()
    return f"now {ast.unparse(node)}"


def _turn_condition(node: ast.AST) -> str:
    assert isinstance(node, ast.BoolOp)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return f"now {ast.unparse(node)}"


def _turn_extreme(node: ast.AST) -> str:
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    node.func.id = EXTREMES[node.func.id]
    return f"now {ast.unparse(node)}"


def _shift(node: ast.AST) -> str:
    assert isinstance(node, ast.Constant)
    assert isinstance(node.value, int)
    node.value += 1
    return f"now {node.value}"


def _always(node: ast.AST) -> str:
    assert isinstance(node, ast.If)
    text = ast.unparse(node.test)
    node.test = ast.Constant(value=True)
    return f"always, not if {text}"


def _never(node: ast.AST) -> str:
    assert isinstance(node, ast.If)
    text = ast.unparse(node.test)
    node.test = ast.Constant(value=False)
    return f"never, not if {text}"


def list_mutants(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, what was done, and the whole mutated source, for each place in a function."""
    places = [
        (index, node)
        for index, node in enumerate(ast.walk(tree))
        if any(node in function for function in _list_bodies(tree))
    ]
    for index, node in places:
        for position in range(len(list(list_changes(node)))):
            mutated = copy.deepcopy(tree)
            twin = next(other for count, other in enumerate(ast.walk(mutated)) if count == index)
            said = list(list_changes(twin))[position](twin)
            yield getattr(node, "lineno", 0), said, ast.unparse(mutated)
    yield from _leave_out(tree)


def _leave_out(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    for index, node in enumerate(ast.walk(tree)):
        if not isinstance(node, ast.FunctionDef | ast.If | ast.For):
            continue
        for position, statement in enumerate(node.body):
            if not isinstance(statement, ast.Expr | ast.AugAssign | ast.Assign):
                continue
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            mutated = copy.deepcopy(tree)
            twin = next(other for count, other in enumerate(ast.walk(mutated)) if count == index)
            assert isinstance(twin, ast.FunctionDef | ast.If | ast.For)
            twin.body[position] = ast.Pass()
            text = ast.unparse(statement).splitlines()[0]
            yield statement.lineno, f"left out: {text}", ast.unparse(mutated)


def _list_bodies(tree: ast.Module) -> list[set[ast.AST]]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [set(ast.walk(function)) for function in functions]


def _is_noticed(module: str, source: str) -> bool:
    signal.alarm(SECONDS_MAX)
    try:
        return bool(find_killer(module, source))
    except TimeoutError:
        return True
    finally:
        signal.alarm(0)


def _on_alarm(_signal: int, _frame: object) -> None:
    raise TimeoutError


def main(names: list[str]) -> int:
    """Mutate the modules named, or all; 0 whatever the score."""
    signal.signal(signal.SIGALRM, _on_alarm)
    paths = [FOLDER / f"{name}.py" for name in names] or sorted(FOLDER.glob("*.py"))
    noticed_in_all, made_in_all = 0, 0
    for path in paths:
        if path.stem in {"__init__", "facts"}:
            continue
        made, missed = 0, []
        for line, said, source in list_mutants(ast.parse(path.read_text(encoding="utf-8"))):
            made += 1
            if not _is_noticed(f"wwwserve.core.ledger.{path.stem}", source):
                missed.append(f"  {path.relative_to(ROOT)}:{line}: {said}")
        print(f"{path.stem}: {made - len(missed)} of {made} noticed", *missed, sep="\n", flush=True)
        noticed_in_all += made - len(missed)
        made_in_all += made
    score = 100 * noticed_in_all // max(made_in_all, 1)
    print(f"noticed: {noticed_in_all} of {made_in_all}, {score} %")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
