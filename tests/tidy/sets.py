"""Finds places that walk a set, whose order differs from one run to the next.

Only what can be seen in one file is found: set displays, `set(...)`, names and fields annotated or
assigned as sets, and set arithmetic on them. Walking into something that forgets the order again
(`any`, `sum`, another set, `sorted` without a key) is fine.
"""

import ast
from collections.abc import Iterator
from itertools import chain

SET_TYPES = {"set", "frozenset", "Set", "MutableSet", "AbstractSet"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
VIEW_METHODS = {"keys", "items"}
SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)

ORDER_KEEPERS = {"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "deque", "dict"}
ORDER_KEEPING_METHODS = {"join", "extend", "fromkeys"}
ORDER_FORGETTERS = {"set", "frozenset", "any", "all", "sum", "len"}
# A key can make two members equal, and then their order shows.
FORGETTERS_WITHOUT_KEY = {"sorted", "min", "max"}

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Walk = ast.ListComp | ast.GeneratorExp | ast.DictComp


def find_walked_sets(tree: ast.Module) -> Iterator[ast.expr]:
    """Give each expression that is a set and whose order is looked at."""
    fields = _list_set_fields(tree)
    for scope, names in _list_scopes(tree):
        nodes = list(_own_nodes(scope))
        forgiven = {
            id(argument)
            for node in nodes
            if isinstance(node, ast.Call) and _forgets_order(node)
            for argument in node.args
        }
        for node in nodes:
            if id(node) not in forgiven:
                yield from (walked for walked in _walked_by(node) if _is_set(walked, names, fields))


def _walked_by(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.For() | ast.Starred():
            yield node.iter if isinstance(node, ast.For) else node.value
        case ast.ListComp() | ast.GeneratorExp() | ast.DictComp():
            yield from (generator.iter for generator in node.generators)
        case ast.Call(func=ast.Name(id=name)) if name in ORDER_KEEPERS:
            yield from node.args
        case ast.Call(func=ast.Name(id=name)) if name in FORGETTERS_WITHOUT_KEY:
            yield from node.args if node.keywords else ()
        case ast.Call(func=ast.Attribute(attr=name)) if name in ORDER_KEEPING_METHODS:
            yield from node.args
        case ast.Call(func=ast.Attribute(attr="pop", value=value), args=[]):
            yield value
        case _:
            pass


def _forgets_order(call: ast.Call) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    return name in ORDER_FORGETTERS or (name in FORGETTERS_WITHOUT_KEY and not call.keywords)


def _is_set(node: ast.expr, names: set[str], fields: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name():
            return node.id in names
        case ast.Attribute():
            return node.attr in fields
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(func=ast.Attribute(attr=method, value=value)) if method in SET_METHODS:
            return _is_set(value, names, fields)
        case ast.BinOp(op=operator) if isinstance(operator, SET_OPERATORS):
            sides = (node.left, node.right)
            return any(_is_view(side) or _is_set(side, names, fields) for side in sides)
        case ast.IfExp():
            return _is_set(node.body, names, fields) or _is_set(node.orelse, names, fields)
        case _:
            return False


def _is_view(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in VIEW_METHODS
    )


def _is_set_type(annotation: ast.expr | None) -> bool:
    match annotation:
        case ast.Subscript(value=value):
            return _is_set_type(value)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in SET_TYPES
        case ast.BinOp(left=left, right=right):
            return _is_set_type(left) or _is_set_type(right)
        case _:
            return False


def _list_set_fields(tree: ast.Module) -> set[str]:
    """Names of fields declared as sets: in a class body, or on `self`."""
    fields: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            fields |= set(_declared_as_set(node.body))
        for target, is_set in _assignments(node):
            if is_set and isinstance(target, ast.Attribute):
                fields.add(target.attr)
    return fields


def _declared_as_set(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        for target, is_set in _assignments(statement):
            if is_set and isinstance(target, ast.Name):
                yield target.id


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
    """Each target assigned or declared by a statement, and whether it becomes a set."""
    match node:
        case ast.AnnAssign():
            yield node.target, _is_set_type(node.annotation)
        case ast.Assign():
            for target in node.targets:
                yield target, _is_set(node.value, set(), set())
        case _:
            pass


def _list_scopes(tree: ast.Module) -> Iterator[tuple[ast.AST, set[str]]]:
    """The module and each function, with the names that are sets in it."""
    yield tree, set(_declared_as_set(tree.body))
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node, set(chain(_set_parameters(node), _set_locals(node)))


def _set_parameters(function: Function) -> Iterator[str]:
    arguments = function.args
    for argument in chain(arguments.posonlyargs, arguments.args, arguments.kwonlyargs):
        if _is_set_type(argument.annotation):
            yield argument.arg


def _set_locals(function: Function) -> Iterator[str]:
    for node in _own_nodes(function):
        if isinstance(node, ast.stmt):
            yield from _declared_as_set([node])


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Everything inside a scope, but not what is inside the functions it defines."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, Function):
            waiting += ast.iter_child_nodes(node)
