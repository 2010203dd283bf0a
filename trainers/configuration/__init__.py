"""One flat configuration per run: composed by Hydra, checked before anything heavy is imported, handed on by name.

`compose` makes it, `pick` and `trl_arguments` hand its keys to components, `server_layout` says where models are
served, and `trainers.configuration.resume` whether a run starts, continues or is complete.
"""

from trainers.configuration.composition import Composition, compose, finish, load, save
from trainers.configuration.pick import pick, trl_arguments
from trainers.configuration.placement import server_layout, teachers
from trainers.configuration.problems import ConfigurationError, Problem
from trainers.configuration.rules import validate

__all__ = [
    "Composition",
    "ConfigurationError",
    "Problem",
    "compose",
    "finish",
    "load",
    "pick",
    "save",
    "server_layout",
    "teachers",
    "trl_arguments",
    "validate",
]
