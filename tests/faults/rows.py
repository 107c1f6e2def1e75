"""The fault matrix: each row's number, what is done, and how the program is set up for it."""

from tests.faults import engine_rows as engines
from tests.faults import outside_rows as outside
from tests.faults import platform_rows as platforms
from tests.faults import process_rows as processes
from tests.faults.machines import HASTE
from tests.faults.runs import Row

POSTGRES, SQLITE = ("postgres",), ("sqlite",)
ONE_CONNECTION = (*HASTE, ("integration.database.engine", "POOL_SIZE", 1))

# The library shifts what watches for a loop that stands still, too.
UNWATCHED = (*HASTE, ("config.worker", "STUCK_SECONDS", 100_000))

ROWS: tuple[Row, ...] = (
    Row(0, "no fault: duplicates and disorder alone", processes.nothing),
    Row(1, "kill -9 receiver at a point", processes.receiver_killed, mails_may_repeat=True),
    Row(2, "kill -9 worker at a point", processes.worker_killed, mails_may_repeat=True),
    Row(3, "kill -9 group commit, 128 waiting", processes.writer_killed, at_once=128, mails_may_repeat=True),
    Row(4, "Redis killed, at start too", engines.redis_killed),
    Row(5, "Redis flushed", engines.redis_flushed),
    Row(6, "Redis full or stopped", engines.redis_full_or_slow),
    Row(7, "PostgreSQL fast, immediate, kill -9", engines.database_restarted, POSTGRES),
    Row(8, "database read-only", engines.database_read_only, POSTGRES),
    Row(9, "disk full", engines.disk_full, SQLITE, disk=engines.SMALL_DISK, cannot=engines.disk_cannot),
    Row(9, "disk full", engines.disk_full, POSTGRES, disk=engines.SMALL_DISK_OF_POSTGRES, cannot=engines.disk_cannot),
    Row(10, "files copied at a moment", engines.power_cut, SQLITE, may_hang=True),
    Row(11, "slow statements, lock held", engines.database_slow),
    Row(
        12, "clock jumps", processes.clock_jumps, environment=processes.clock_environment,
        cannot=processes.clock_cannot, may_refuse=frozenset({400, 401, 503}), replaced=UNWATCHED,
    ),
    Row(13, "2 to 64 copies at once", outside.duplicated),
    Row(14, "in any order", outside.disordered, disorder=True),
    Row(20, "mail server fails", outside.mail_fails, mails_may_repeat=True),
    Row(21, "Admin API throttled, down, late", platforms.api_fails),
    Row(22, "token taken away", platforms.access_revoked),
    Row(23, "poison: kills, loops, raises", processes.poisoned, mails_may_repeat=True),
    Row(24, "one shop floods", processes.flooded),
    Row(25, "rolling restart by SIGTERM", processes.restarted),
    Row(26, "worker stopped past its lease", processes.stalled, mails_may_repeat=True, may_hang=True),
    Row(27, "64 file descriptors", processes.nothing, at_once=128, before=("prlimit", "--nofile=64")),
    Row(27, "one database connection", processes.nothing, POSTGRES, at_once=128, replaced=ONE_CONNECTION),
    Row(28, "backup put back, reconciled", platforms.backup_restored, mails_may_repeat=True, keeps_journal=False),
    Row(29, "deliveries never come, reconciled", platforms.never_told),
    Row(30, "half-open, reset, sent again", outside.broken_connections),
)  # fmt: skip
