"""All protections that are switched off, one at a time: see `tests.faults.switched_off`."""

from tests.faults.protections.hosts import HOSTS
from tests.faults.protections.lessons import LESSONS
from tests.faults.protections.locks import LOCKS
from tests.faults.protections.preemption import PREEMPTION
from tests.faults.protections.processes import PROCESSES
from tests.faults.protections.protection import Protection
from tests.faults.protections.records import RECORDS
from tests.faults.protections.restarts import RESTARTS

__all__ = ["PROTECTIONS", "Protection"]

PROTECTIONS = (*LOCKS, *RECORDS, *PROCESSES, *RESTARTS, *PREEMPTION, *HOSTS, *LESSONS)
