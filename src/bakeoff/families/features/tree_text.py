# pyright: basic
# LightGBM comes without complete types
"""LightGBM's text of a model, made once: `Booster.model_to_string` makes one of more than a megabyte twice.

Source: LightGBM's C API, `LGBM_BoosterSaveModelToString`.
"""

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import lightgbm as lgb

__all__ = ["tree_text"]

BYTES = 1 << 24
"""Room that is asked for at first; what is not written to takes no memory."""
FIRST, SPLITS = 0, 0
"""Constants of the C API: the iteration to begin with, and what importance of features is told."""


def tree_text(booster: "lgb.Booster", trees: int, room: int = BYTES) -> str:
    """What `booster.model_to_string(num_iteration=trees)` gives, to the last character."""
    from bakeoff.families.features.lightgbm_library import lgb

    length = ctypes.c_int64(0)
    while True:
        text_b = np.empty(room, np.uint8)
        handle: Any = booster._handle  # noqa: SLF001 - there is no other way to it
        lgb.basic._safe_call(  # noqa: SLF001
            lgb.libpath._LIB.LGBM_BoosterSaveModelToString(  # noqa: SLF001
                handle,
                ctypes.c_int(FIRST),
                ctypes.c_int(trees),
                ctypes.c_int(SPLITS),
                ctypes.c_int64(room),
                ctypes.byref(length),
                ctypes.c_char_p(text_b.ctypes.data),
            )
        )
        if length.value <= room:
            text = text_b[: length.value - 1].tobytes().decode()
            return text + lgb.basic._dump_pandas_categorical(booster.pandas_categorical)  # noqa: SLF001
        room = length.value
