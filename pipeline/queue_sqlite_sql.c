/*
 * queue_sqlite_sql.c - every statement that the journal in SQLite runs, and its tables; the
 * only file with SQL in it.  What each is for, and what its parameters mean, stands where it
 * is run.
 */
#include "queue_sqlite.h"

#define DOC_COLUMNS                                                                      \
    "id, lane, path, origin, target, profile, sha256, recipe, state, priority, bytes, "  \
    "added_at, changed_at, next_at, attempts, stalls, code, reason, worker, status, "    \
    "pages, work_ms, giving_up"

#define ACTION_COLUMNS                                                                   \
    "id, document, position, kind, key, state, attempts, next_at, detail, reason"

/* Is the time of a wait over?  Too far away to be one of ours: the clock was set back. */
#define IS_DUE "(next_at<=?1 OR next_at>?1+10800000)"
_Static_assert(DP_WAIT_MAX_MS == 10800000, "the number in the SQL is this one");

/* Something is to be done for it: also `failed` of the routes for one that was given up. */
#define WAITING "worker='' AND (state IN ('settled','failed','published') OR giving_up=1)"

/* A published document that waits for an action's next try counts as failed here. */
#define RETRIED                                                                          \
    " WHERE worker='' AND (?1 IS NULL OR lane=?1) AND (?2=0 OR id=?2) AND (state=?3 OR"  \
    " (state='published' AND next_at>0 AND ?3='failed'))"

const char *const dp_sql[DP_SQL_COUNT] = {
    [DP_SQL_SCHEMA] =
        "CREATE TABLE documents("
        " id INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, path TEXT NOT NULL,"
        " origin TEXT NOT NULL, target TEXT, profile TEXT NOT NULL, sha256 TEXT NOT NULL,"
        " recipe TEXT NOT NULL, state TEXT NOT NULL, priority INTEGER NOT NULL,"
        " bytes INTEGER NOT NULL, added_at INTEGER NOT NULL, changed_at INTEGER NOT NULL,"
        " next_at INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,"
        " stalls INTEGER NOT NULL DEFAULT 0, code TEXT NOT NULL DEFAULT '',"
        " reason TEXT NOT NULL DEFAULT '', worker TEXT NOT NULL DEFAULT '',"
        " lease_wall INTEGER NOT NULL DEFAULT 0, lease_monotonic INTEGER NOT NULL "
        "DEFAULT 0,"
        " status TEXT NOT NULL DEFAULT '', pages INTEGER NOT NULL DEFAULT 0,"
        " work_ms INTEGER NOT NULL DEFAULT 0, giving_up INTEGER NOT NULL DEFAULT 0,"
        " UNIQUE(lane, sha256, recipe)) STRICT;"
        "CREATE INDEX documents_waiting ON documents(priority DESC, id)"
        " WHERE " WAITING ";"
        "CREATE INDEX documents_leased ON documents(worker) WHERE worker<>'';"
        "CREATE INDEX documents_state ON documents(state, changed_at);"
        "CREATE INDEX documents_path ON documents(path);"
        "CREATE INDEX documents_origin ON documents(origin);"
        /* What was looked at, so that an unchanged file is not hashed again. */
        "CREATE TABLE files("
        " lane TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL,"
        " mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,"
        " sha256 TEXT NOT NULL, PRIMARY KEY(lane, path)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE actions("
        " id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,"
        " position INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,"
        " state TEXT NOT NULL DEFAULT 'pending', attempts INTEGER NOT NULL DEFAULT 0,"
        " next_at INTEGER NOT NULL DEFAULT 0, detail TEXT NOT NULL DEFAULT '',"
        " reason TEXT NOT NULL DEFAULT '', UNIQUE(document, position)) STRICT;"
        "CREATE INDEX actions_open ON actions(document) WHERE state IN "
        "('pending','started');"
        "PRAGMA application_id=1685021558;"
        "PRAGMA user_version=2;",
    [DP_SQL_UPGRADE_1] =
        "ALTER TABLE documents ADD COLUMN giving_up INTEGER NOT NULL DEFAULT 0;"
        "DROP INDEX documents_waiting;"
        "CREATE INDEX documents_waiting ON documents(priority DESC, id)"
        " WHERE " WAITING ";"
        "PRAGMA user_version=2;",
    [DP_SQL_SYNC_FULL] = "PRAGMA synchronous=FULL",
    [DP_SQL_SYNC_NORMAL] = "PRAGMA synchronous=NORMAL",
    [DP_SQL_BEGIN] = "BEGIN IMMEDIATE",
    [DP_SQL_COMMIT] = "COMMIT",
    [DP_SQL_ROLLBACK] = "ROLLBACK",
    [DP_SQL_DOC] = "SELECT " DOC_COLUMNS " FROM documents WHERE id=?1",
    [DP_SQL_FILE_PUT] =
        "INSERT INTO files(lane, path, size, mtime_ns, ctime_ns, inode, sha256)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(lane, path) DO UPDATE SET"
        " size=?3, mtime_ns=?4, ctime_ns=?5, inode=?6, sha256=?7",
    [DP_SQL_DOC_ADD] =
        "INSERT INTO documents(lane, path, origin, target, profile, sha256, recipe,"
        " state, priority, bytes, added_at, changed_at)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 'settled', ?8, ?9, ?10, ?10)",
    [DP_SQL_ACTIONS_DROP] = "DELETE FROM actions WHERE document=?1",
    [DP_SQL_DOC_RESET] =
        "UPDATE documents SET state='settled', attempts=0, stalls=0, next_at=0,"
        " status='', code='', reason='', pages=0, work_ms=0, worker='',"
        " giving_up=0, changed_at=?2 WHERE id=?1",
    [DP_SQL_DOC_FORCE] = "UPDATE documents SET path=?2, origin=?3, target=?4, profile=?5,"
                         " priority=?6 WHERE id=?1",
    [DP_SQL_DOC_BY_KEY] =
        "SELECT " DOC_COLUMNS " FROM documents WHERE lane=?1 AND sha256=?2 AND recipe=?3",
    [DP_SQL_FILE_HASH] =
        "SELECT sha256 FROM files WHERE lane=?1 AND path=?2 AND size=?3 AND"
        " mtime_ns=?4 AND ctime_ns=?5 AND inode=?6",
    [DP_SQL_ACTIONS_INTERRUPTED] =
        "UPDATE actions SET attempts=attempts+1 WHERE document=?1 AND"
        " state='started'",
    [DP_SQL_DOC_TAKE_BACK] =
        "UPDATE documents SET state=?2, worker='', attempts=?3, next_at=?4,"
        " code='worker_lost', reason='the process that worked on it died or hung',"
        " changed_at=?5, giving_up=?6 WHERE id=?1",
    [DP_SQL_DOC_TAKE_BACK_GIVEN] =
        "UPDATE documents SET worker='', attempts=?2, next_at=?3, giving_up=?4,"
        " changed_at=?5 WHERE id=?1",
    [DP_SQL_DOCS_LEASED] = "SELECT " DOC_COLUMNS ", lease_wall, lease_monotonic"
                           " FROM documents WHERE worker<>''",
    [DP_SQL_NEXT_BY_ID] = "SELECT " DOC_COLUMNS " FROM documents WHERE id=?2 AND " WAITING
                          " AND " IS_DUE " AND (?3 IS NULL OR lane=?3)",
    [DP_SQL_NEXT] = "SELECT " DOC_COLUMNS " FROM documents WHERE " WAITING " AND " IS_DUE
                    " AND (?2 IS NULL OR lane=?2) ORDER BY priority DESC, id LIMIT 1",
    [DP_SQL_DOC_CLAIM] = "UPDATE documents SET state=?2, worker=?3, lease_wall=?4,"
                         " lease_monotonic=?5, changed_at=?6 WHERE id=?1",
    [DP_SQL_HEARTBEAT] =
        "UPDATE documents SET lease_wall=?2, lease_monotonic=?3 WHERE worker=?1",
    [DP_SQL_NEXT_DUE] = "SELECT min(CASE WHEN " IS_DUE " THEN 0 ELSE next_at-?1 END)"
                        " FROM documents WHERE " WAITING " AND (?2 IS NULL OR lane=?2)",
    [DP_SQL_DOC_ADVANCE] = "UPDATE documents SET state=?2, changed_at=?3 WHERE id=?1",
    [DP_SQL_DOC_PUBLISH] =
        "UPDATE documents SET state=?2, status=?3, pages=?4, work_ms=?5, "
        "attempts=0,"
        " stalls=0, next_at=0, code='', reason='', worker=?6, changed_at=?7"
        " WHERE id=?1",
    [DP_SQL_DOC_FAIL] =
        "UPDATE documents SET state=?2, attempts=?3, stalls=?4, next_at=?5, code=?6,"
        " reason=?7, worker=?8, giving_up=?9, changed_at=?10 WHERE id=?1",
    [DP_SQL_DOC_GIVE_UP] =
        "UPDATE documents SET stalls=?2, next_at=?3, reason=?4, worker=?5, giving_up=?6,"
        " changed_at=?7 WHERE id=?1",
    [DP_SQL_DOC_UNCLAIM] =
        "UPDATE documents SET state=?2, worker='', changed_at=?3 WHERE id=?1",
    [DP_SQL_ACTIONS_UNDONE] =
        "SELECT count(*) FROM actions WHERE document=?1 AND state<>'done'",
    [DP_SQL_DOC_ROUTED] =
        "UPDATE documents SET state='routed', worker='', attempts=0, stalls=0,"
        " next_at=0, code='', reason='', changed_at=?2 WHERE id=?1",
    [DP_SQL_DOC_PATH] = "UPDATE documents SET path=?2 WHERE id=?1",
    [DP_SQL_DOC_ORIGIN] = "UPDATE documents SET path=?2, origin=?2 WHERE id=?1",
    [DP_SQL_DOC_TARGET] = "UPDATE documents SET target=?2 WHERE id=?1",
    [DP_SQL_DOC_DROP] = "DELETE FROM documents WHERE id=?1",
    [DP_SQL_DOC_REKEY] = "UPDATE documents SET sha256=?2, recipe=?3 WHERE id=?1",
    [DP_SQL_ACTIONS] =
        "SELECT " ACTION_COLUMNS " FROM actions WHERE document=?1 ORDER BY position",
    [DP_SQL_ACTION_ADD] = "INSERT INTO actions(document, position, kind, key, detail)"
                          " VALUES(?1, ?2, ?3, ?4, ?5)",
    [DP_SQL_ACTION] = "SELECT " ACTION_COLUMNS " FROM actions WHERE id=?1",
    [DP_SQL_ACTION_START] =
        "UPDATE actions SET state='started', detail=coalesce(?2, detail) WHERE "
        "id=?1",
    [DP_SQL_ACTION_DONE] =
        "UPDATE actions SET state='done', next_at=0, reason='' WHERE id=?1",
    [DP_SQL_ACTION_FAIL] =
        "UPDATE actions SET state=?2, attempts=?3, next_at=?4, reason=?5 WHERE "
        "id=?1",
    [DP_SQL_COUNT_STATES] =
        "SELECT state, count(*), sum(pages), min(added_at) FROM documents"
        " WHERE ?1 IS NULL OR lane=?1 GROUP BY state",
    [DP_SQL_COUNT_ACTIONS] =
        "SELECT count(*) FROM actions JOIN documents ON documents.id=document"
        " WHERE actions.state IN ('pending','started') AND (?1 IS NULL OR lane=?1)",
    [DP_SQL_REASONS] = "SELECT code, count(*) FROM documents WHERE state IN"
                       " ('failed','quarantined') AND (?1 IS NULL OR lane=?1)"
                       " GROUP BY code ORDER BY code",
    [DP_SQL_LIST_BY_PATH] =
        "SELECT " DOC_COLUMNS " FROM documents WHERE (path=?3 OR origin=?3) AND"
        " id>?1 AND (?2 IS NULL OR lane=?2) ORDER BY id LIMIT ?4",
    [DP_SQL_LIST] = "SELECT " DOC_COLUMNS " FROM documents WHERE id>?1 AND"
                    " (?2 IS NULL OR lane=?2) ORDER BY id LIMIT ?3",
    [DP_SQL_RETRY_DROP] =
        "DELETE FROM actions WHERE document IN (SELECT id FROM documents" RETRIED
        " AND status='')",
    [DP_SQL_RETRY_ACTIONS] =
        "UPDATE actions SET state='pending', attempts=0, next_at=0 WHERE state IN"
        " ('failed','pending') AND document IN (SELECT id FROM documents" RETRIED ")",
    [DP_SQL_RETRY] =
        "UPDATE documents SET attempts=0, stalls=0, next_at=0, giving_up=0, "
        "changed_at=?4,"
        " state=CASE WHEN status='' THEN 'settled' ELSE 'published' END" RETRIED,
    [DP_SQL_PRUNE] = "DELETE FROM documents WHERE state='routed' AND changed_at<?2 AND"
                     " (?1 IS NULL OR lane=?1)",
    [DP_SQL_PRUNE_FILES] =
        "DELETE FROM files WHERE (?1 IS NULL OR lane=?1) AND NOT EXISTS"
        " (SELECT 1 FROM documents WHERE documents.lane=files.lane AND"
        " documents.sha256=files.sha256)",
    [DP_SQL_FORGET] =
        "DELETE FROM documents WHERE worker='' AND (?1 IS NULL OR lane=?1) AND"
        " ((?2=0 AND state='quarantined' AND giving_up=0) OR"
        " (id=?2 AND state<>'routed'))",
    [DP_SQL_APPLICATION] = "PRAGMA application_id",
    [DP_SQL_VERSION] = "PRAGMA user_version",
    [DP_SQL_TABLES] = "SELECT count(*) FROM sqlite_master",
    [DP_SQL_WAL] = "PRAGMA journal_mode=WAL",
    [DP_SQL_OPEN] = "PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL;",
};
_Static_assert(DP_SQLITE_APPLICATION == 1685021558 && DP_SQLITE_VERSION == 2,
               "the numbers in the SQL are these");
