"""What has to survive: notifications, who has read them, and what is still to be published. SQLite.

Knows nothing of HTTP. A change and its publication are written in one transaction, so that neither is there
without the other (the pattern is called a transactional outbox).
"""

import json
import sqlite3
import threading
import time
import uuid

SHOWN_MAX = 200
UNSENT_MAX = 10_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL,
    created REAL NOT NULL -- Unix seconds
);
CREATE TABLE IF NOT EXISTS recipients (
    user TEXT NOT NULL,
    notification INTEGER NOT NULL REFERENCES notifications,
    is_read INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user, notification)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL -- body of a call of the server API's method `broadcast`
);
"""


class OutboxFull(Exception):
    """The messaging server has been away for so long that no more is taken."""


class Store:
    def __init__(self, path):
        self._lock = threading.Lock()  # one connection, used by every thread in turn
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript(SCHEMA)
        self.changed = threading.Event()  # something was put into the outbox

    def notify(self, users, text):
        """Stores a notification for `users`; its id."""
        created = time.time()
        with self._lock, self._db as db:
            row = (text, created)
            id = db.execute("INSERT INTO notifications (text, created) VALUES (?, ?)", row).lastrowid
            rows = [(user, id) for user in users]
            db.executemany("INSERT INTO recipients (user, notification) VALUES (?, ?)", rows)
            self._enqueue(db, users, {"type": "notification", "id": id, "text": text, "created": created})
        self.changed.set()
        return id

    def mark_read(self, user, id):
        """Marks a notification of `user` as read; whether there is such a one. Doing it again changes nothing."""
        with self._lock, self._db as db:
            where = "WHERE user = ? AND notification = ?"
            found = db.execute(f"SELECT is_read FROM recipients {where}", (user, id)).fetchone()
            if found == (0,):
                db.execute(f"UPDATE recipients SET is_read = 1 {where}", (user, id))
                self._enqueue(db, [user], {"type": "read", "id": id})
        self.changed.set()
        return found is not None

    def newest(self, user):
        """The newest notifications of `user`, oldest first."""
        query = """
            SELECT id, text, created, is_read FROM recipients JOIN notifications ON id = notification
            WHERE user = ? ORDER BY id DESC LIMIT ?
        """
        with self._lock:
            rows = self._db.execute(query, (user, SHOWN_MAX)).fetchall()
        names = ("id", "text", "created", "read")
        return [dict(zip(names, (*row[:3], bool(row[3])))) for row in reversed(rows)]

    def unsent(self):
        with self._lock:
            return self._db.execute("SELECT count(*) FROM outbox").fetchone()[0]

    def next_unsent(self):
        """Position and request of what is to be published next, or None."""
        with self._lock:
            return self._db.execute("SELECT position, request FROM outbox ORDER BY position LIMIT 1").fetchone()

    def sent(self, position):
        with self._lock, self._db as db:
            db.execute("DELETE FROM outbox WHERE position = ?", (position,))

    @staticmethod
    def _enqueue(db, users, event):
        if db.execute("SELECT count(*) FROM outbox").fetchone()[0] >= UNSENT_MAX:
            raise OutboxFull
        request = {
            "channels": [f"user:#{user}" for user in users],
            "data": event,
            # Made here and stored: every attempt has the same. Not the notification's id, which a new database
            # would give out again.
            "idempotency_key": str(uuid.uuid4()),
        }
        db.execute("INSERT INTO outbox (request) VALUES (?)", (json.dumps(request),))
