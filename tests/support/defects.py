"""Defects: each a good stream and what is done to it, by the id of the rule that must name it."""

from __future__ import annotations

from support.answer_defects import ANSWER_DEFECTS
from support.stream_defects import STREAM_DEFECTS

DEFECTS = [*STREAM_DEFECTS, *ANSWER_DEFECTS]
