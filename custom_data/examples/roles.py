"""A check that the teacher's chat template takes the conversations of SFT examples, told by who speaks in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from custom_data.examples.encoding import ExampleEncoder
from custom_data.rows.bad_rows import SHOWN
from custom_data.rows.formats import ROLES
from custom_data.tables.arrow_tables import Table
from trainers.generation.chat_templates.accepted_roles import taken
from trainers.problems import ConfigurationError, Problem


def check_roles(table: Table, encoder: ExampleEncoder, model: str) -> None:
    """Render one conversation for every order of roles in the examples, which are few however many rows there are.

    Raises:
        ConfigurationError: for what the template refuses, or would leave out silently, with the rows concerned.
    """
    column = table.data.data.column(ROLES).take(table.rows)
    faults = defaultdict[tuple[str, str], list[str]](list)
    for spoken in pc.unique(column).to_pylist():
        if spoken and (fault := _fault(encoder, spoken.split())):
            faults[fault].append(spoken)
    problems = [_problem(table, column, spoken, model, *fault) for fault, spoken in faults.items()]
    if problems:
        raise ConfigurationError(problems)


def _fault(encoder: ExampleEncoder, roles: Sequence[str]) -> tuple[str, str] | None:
    """Return what the template does wrong with such a conversation, and what helps; `None` if it takes it."""
    found = taken(encoder.tokenizer, roles, encoder.chat_template_kwargs)
    if found.whole:
        return None
    left_out = " and ".join(dict.fromkeys(found.unwritten))
    does = f"refuses that: {found.refusal}" if found.refusal else f"leaves out {left_out}: nobody would read it"
    others = [role for role in roles if role != "system"]
    if len(others) < len(roles) and taken(encoder.tokenizer, others, encoder.chat_template_kwargs).whole:
        return does, "begin the user message that follows the system message with its text"
    return does, "join messages so that user and assistant speak in turn"


def _problem(table: Table, column: pa.ChunkedArray, spoken: list[str], model: str, does: str, remedy: str) -> Problem:
    numbers = np.flatnonzero(pc.is_in(column, pa.array(spoken)).to_numpy())
    places = table.data.data.column("place").take(table.rows[numbers[:SHOWN]]).to_pylist()
    more = ", …" if len(numbers) > len(places) else ""
    given = f"{table.reading.source}: {len(numbers):,} of {len(table):,} examples ({', '.join(places)}{more})"
    shown = "; ".join(", ".join(each.split()) for each in spoken[:2])
    expected = f"messages of {shown}: the chat template of {model} {does}"
    return Problem(given, expected, f"{remedy}; or leave these rows out, or choose another teacher")
