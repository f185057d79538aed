"""Types of settings in a person's words, for messages about values that do not fit."""

from enum import Enum

from msgspec import inspect


def is_list(kind: object) -> bool:
    """Whether a setting of this type holds several values."""
    return isinstance(_get_info(kind), inspect.VarTupleType | inspect.ListType)


def describe_type(kind: object) -> str:
    """What a setting of this type must be, as in "expected a whole number from 0 to 65535"."""
    info = _get_info(kind)
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _describe_range(info.ge, info.le)
        case inspect.FloatType():
            return "a number" + _describe_range(info.ge, info.le)
        case inspect.EnumType():
            return "one of " + ", ".join(_list_choices(info.cls))
        case inspect.VarTupleType():
            most = "" if info.max_length is None else f" at most {info.max_length}"
            return f"a list of{most} texts"
        case inspect.StrType():
            return "a text" + _describe_length(info.min_length, info.max_length)
        case _:
            return _describe_money(info)


def _describe_money(info: inspect.Type) -> str:
    """What only amounts and prices are made of."""
    match info:
        case inspect.UnionType():
            return 'credits: a whole number, or a decimal one in quotes like "0.25"'
        case inspect.DictType():
            return "tables named by model, each with prompt and completion in credits"
        case _:
            return "another type"


def _get_info(kind: object) -> inspect.Type:
    info = inspect.type_info(kind)
    return info.type if isinstance(info, inspect.Metadata) else info


def _describe_range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f" from {low} to {high}"


def _describe_length(low: int | None, high: int | None) -> str:
    if high is None:
        return ""
    return f" of {low or 0} to {high} characters"


def _list_choices(kind: type[Enum]) -> list[str]:
    return [repr(choice.value) for choice in kind]
