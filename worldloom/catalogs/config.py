"""Strict configuration: a key that nobody reads is an error that names the nearest key that somebody does."""

from __future__ import annotations

import difflib
import hashlib
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from worldloom.catalogs.errors import UsageError

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises besides its own errors."""

_MERGE = "tag:yaml.org,2002:merge"
_MAX_VALUES = 100_000
_MAX_DEPTH = 100
_MAX_SHOWN = 300


class Strict(BaseModel):
    """Base of every configuration class: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


Model = TypeVar("Model", bound=BaseModel)


def load(kind: type[Model], values: Mapping[str, Any], *, where: str = "") -> Model:
    """Check `values` against `kind`.

    Args:
        kind: the configuration class.
        values: plain data, as read from YAML.
        where: the file or command-line part named in the message.

    Raises:
        UsageError: one line per problem, each with its place and, for an unknown key, the nearest right one.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(kind, dict(problem)) for problem in error.errors()]
        head = f"{where}: " if where else ""
        raise UsageError(head + ("; ".join(lines) if len(lines) == 1 else "\n  " + "\n  ".join(lines))) from None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping as `safe_load` does.

    Raises:
        UsageError: the file is missing, is not YAML, or is not a mapping.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    return parse_yaml(data, path)


def parse_yaml(data: bytes, path: str | Path) -> dict[str, Any]:
    """As `read_yaml`, of the content of a file that was read before; `path` is for messages."""
    import yaml

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            _check_merges(node, path)
            values = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML ({error})") from None
    except _UNREADABLE as error:  # a date of the 45th, a number of 5,000 digits, lists within lists without end
        raise UsageError(f"{path}: a value in it cannot be read ({str(error)[:200]})") from None
    _check_extent(values, path)
    if not isinstance(values, dict):
        raise UsageError(f"{path}: a mapping of keys to values was expected, found {type(values).__name__}")
    return values


def _check_merges(document: Any, path: str | Path) -> None:
    """Refuse merge keys (`<<: [*a, *a]`) that copy without end: `safe_load` follows them before any value is there."""
    import yaml

    entries: dict[int, int] = {}

    def extent(node: Any) -> int:
        """Entries of a mapping once its merges are followed, or of all mappings of a list."""
        if id(node) not in entries:
            entries[id(node)] = 0  # of one that merges itself, which adds nothing
            if isinstance(node, yaml.MappingNode):
                merges = [value for key, value in node.value if key.tag == _MERGE]
                entries[id(node)] = len(node.value) - len(merges) + sum(extent(value) for value in merges)
            elif isinstance(node, yaml.SequenceNode):
                entries[id(node)] = sum(extent(value) for value in node.value)
        return entries[id(node)]

    left, seen, total = [document], set[int](), 0
    while left:
        node = left.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(None, value) for value in node.value]
        if any(key is not None and key.tag == _MERGE for key, _ in pairs):
            total += extent(node)
        if total > _MAX_VALUES:
            raise UsageError(f"{path}: its merge keys stand for more than {_MAX_VALUES} values, no such file was meant")
        left += [one for pair in pairs for one in pair if one is not None]


def _check_extent(values: Any, path: str | Path) -> None:
    """Refuse what grows without end once aliases are followed: YAML of a few lines can stand for a billion values."""
    left = [(values, 0)]
    seen = 0
    while left:
        value, depth = left.pop()
        seen += 1
        if seen > _MAX_VALUES or depth > _MAX_DEPTH:
            limit = f"more than {_MAX_DEPTH} levels" if depth > _MAX_DEPTH else f"more than {_MAX_VALUES} values"
            raise UsageError(f"{path}: its aliases and lists stand for {limit}, no such file was meant")
        if isinstance(value, dict):
            left += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list | tuple | set):
            left += [(one, depth + 1) for one in value]


def _shown(value: Any) -> str:
    """A value as a message shows it."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a whole number of {value.bit_length()} bits"
    try:
        text = repr(value)
    except ValueError:  # it holds such a number
        text = type(value).__name__
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def nearest(word: str, words: list[str] | tuple[str, ...]) -> str:
    """`; did you mean 'x'?` for the word closest to `word`, or the list of choices where none is close."""
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; choose from {', '.join(sorted(words))}" if words else ""


def digest(value: Any, *, length: int = 16) -> str:
    """Hex digest of plain data or a configuration, independent of key order."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _explain(kind: type[BaseModel], problem: dict[str, Any]) -> str:
    place = [part for part in problem["loc"] if not _is_union_tag(part)]
    name = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        parent = _model_at(kind, tuple(problem["loc"][:-1]))
        words = sorted(parent.model_fields) if parent else []
        return f"unknown key '{name}'" + nearest(str(problem["loc"][-1]), words)
    if problem["type"] == "missing":
        return f"key '{name}' is missing"
    if problem["type"] == "union_tag_invalid":
        tags = [tag.strip().strip("'") for tag in str(problem["ctx"]["expected_tags"]).split(",")]
        return f"{name}: unknown kind '{problem['ctx']['tag']}'" + nearest(str(problem["ctx"]["tag"]), tags)
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name or 'value'}: {message[0].lower() + message[1:]} (got {_shown(problem['input'])})"


def _is_union_tag(part: Any) -> bool:
    return isinstance(part, str) and part.startswith("function-")


def _model_at(kind: type[BaseModel], place: tuple[Any, ...]) -> type[BaseModel] | None:
    """The configuration class that a location of a validation error stands in."""
    current: list[type[BaseModel]] = [kind]
    for part in place:
        if isinstance(part, int):
            continue
        fields = [one.model_fields[part] for one in current if part in one.model_fields]
        found = [model for field in fields for model in _models_in(field.annotation)]
        if not found:  # the tag of a discriminated union stands in the location as well
            tagged = [one for one in current if _tag_of(one) == part]
            found = tagged or current
        current = found
    return current[0] if current else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, list, dict, tuple) or get_args(annotation):
        return [model for part in get_args(annotation) for model in _models_in(part)]
    return []


def _tag_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return None if field is None else next(iter(get_args(field.annotation)), None)
