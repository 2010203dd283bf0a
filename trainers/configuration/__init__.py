"""The configuration of a run: flat keys composed by Hydra, checked before anything heavy is imported, handed on typed.

`compose` makes it, `settings` declares its keys, `server_layout` says where models are served, and
`trainers.configuration.resume.decision` whether a run starts, continues or is complete.
"""

from trainers.configuration.checks.rules import validate
from trainers.configuration.composition.compose import Composition, compose, finish, load, save
from trainers.configuration.devices.placement import server_layout, teachers
from trainers.configuration.trl_arguments import trl_arguments
from trainers.problems import ConfigurationError, Problem

__all__ = [
    "Composition",
    "ConfigurationError",
    "Problem",
    "compose",
    "finish",
    "load",
    "save",
    "server_layout",
    "teachers",
    "trl_arguments",
    "validate",
]
