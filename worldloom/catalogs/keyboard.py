"""Actions as a person types them: `w w a a`, one word per held key combination.

`w s a d` move forward, back, left and right; `i k j l` turn up, down, left and right. Letters of one word are held
together (`wj` walks on while turning left), `w*3` is `w w w`, `.` holds nothing, `?` is the uncertain action.
"""

from __future__ import annotations

import numpy as np

from worldloom.catalogs.actions import SIDE_AHEAD, UNCERTAIN
from worldloom.catalogs.errors import UsageError

KEYS = {"d": (1, 0), "a": (-1, 0), "w": (0, 1), "s": (0, -1), "l": (1, 0), "j": (-1, 0), "i": (0, 1), "k": (0, -1)}
"""Direction of each key: (right, forward) of `wasd`, (right, up) of `ijkl`."""
MOVE_KEYS, VIEW_KEYS = "wasd", "ijkl"


def parse_keys(text: str, hold: int = 16) -> np.ndarray:
    """Action numbers of a keyboard string.

    Args:
        text: words between blanks, see the module's text.
        hold: frames that each word is held; 16 is one second of video at Wan's 16 frames/s.

    Returns:
        (words x hold, 2) uint8: move and view, numbered as in `worldloom.catalogs.actions`.

    Raises:
        UsageError: no word, a letter that is no key, two keys that undo each other, or a bad repetition.
    """
    if hold < 1:
        raise UsageError(f"hold: a key is held for at least one frame (got {hold})")
    labels = [label for number, word in enumerate(text.split(), start=1) for label in _word(word, number)]
    if not labels:
        raise UsageError("actions: no key given; type for example 'w w a a'")
    return np.repeat(np.array(labels, np.uint8), hold, axis=0)


def keys_of(move: int, view: int) -> str:
    """The word that stands for one action, such as `wj`, `.` or `?`."""
    if UNCERTAIN in (move, view):
        return "?"
    return _held(int(move), MOVE_KEYS) + _held(int(view), VIEW_KEYS) or "."


def _word(word: str, number: int) -> list[tuple[int, int]]:
    keys, star, count = word.lower().partition("*")
    if star and not (count.isdigit() and int(count) > 0):
        raise UsageError(f"actions: word {number}, '{word}': a whole number is expected after the star, as in w*3")
    if keys == "?":
        label = (UNCERTAIN, UNCERTAIN)
    else:
        unknown = sorted(set(keys) - set(KEYS) - {"."})
        if unknown or not keys:
            raise UsageError(
                f"actions: word {number}, '{word}', holds '{''.join(unknown) or word}', which is no key; "
                "w s a d move, i k j l turn, . holds nothing, ? is uncertain"
            )
        label = (_number(keys, MOVE_KEYS, word, number), _number(keys, VIEW_KEYS, word, number))
    return [label] * (int(count) if star else 1)


def _number(keys: str, group: str, word: str, number: int) -> int:
    held = [KEYS[key] for key in sorted(set(keys) & set(group))]
    for right, forward in held:
        if (-right, -forward) in held:
            raise UsageError(f"actions: word {number}, '{word}', holds two keys that undo each other")
    right, forward = (sum(one[axis] for one in held) for axis in (0, 1))
    return SIDE_AHEAD.index((right, forward))


def _held(action: int, group: str) -> str:
    right, forward = SIDE_AHEAD[action]
    return "".join(key for key in group if KEYS[key] in ((right, 0), (0, forward)))
