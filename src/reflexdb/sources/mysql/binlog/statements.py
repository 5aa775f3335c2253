"""Says what a logged statement does to tables: redefines, empties or fills them, or none of it.

Row changes are not statements; what comes as one is DDL, the marks of transactions, and DML of sessions that left the
row format. The text is cut into words with the session's rules for quotes and escapes, comments left out and
executable comments taken in; only the beginning of a statement is understood, since that is where the tables are.
What is not understood is `Doing.UNKNOWN`, which the caller must treat as a change of anything. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from reflexdb.sources.mysql.binlog.events import Query

Name = tuple[str, str]
"""Schema and table."""


class Doing(Enum):
    NOTHING = "nothing"
    """It concerns no table's rows or definition."""
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    ROLLBACK_TO = "rollback to"
    """Back to a savepoint; what was logged since then does not count."""
    SAVEPOINT = "savepoint"
    XA_START = "xa start"
    XA_END = "xa end"
    XA_COMMIT = "xa commit"
    XA_ROLLBACK = "xa rollback"
    TRUNCATE = "truncate"
    REDEFINE = "redefine"
    KEYS = "keys"
    """Foreign keys may have changed, columns and rows not."""
    UNKEYED = "unkeyed"
    """A foreign key is gone: what it did until here, the present catalog no longer tells."""
    REWRITE = "rewrite"
    """Rows changed without row events: partitions dropped or exchanged, a tablespace imported."""
    DROP_SCHEMA = "drop schema"
    ROWS = "rows"
    """DML as a statement: rows changed, and the log does not say which."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Meaning:
    doing: Doing
    tables: tuple[Name, ...] = ()
    xid: str = ""
    """For XA: what identifies the transaction."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    is_quoted: bool = False
    is_name: bool = True
    """Whether it can be an identifier: a bare word or a quoted name."""


# fmt: off
_NOTHING = {"GRANT", "REVOKE", "ANALYZE", "OPTIMIZE", "CHECK", "CHECKSUM", "FLUSH", "SET", "INSTALL", "UNINSTALL",
            "RELEASE", "USE", "PURGE", "RESET", "KILL", "CHANGE", "BACKUP", "DEALLOCATE", "HELP", "SHOW", "SIGNAL"}
_ROWS = {"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "WITH", "SELECT", "DO", "EXECUTE", "HANDLER",
         "VALUES", "TABLE", "IMPORT", "REPAIR"}
_OTHER_OBJECTS = {"TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "USER", "ROLE", "SERVER", "TABLESPACE", "SEQUENCE",
                  "PACKAGE", "LOGFILE", "UNDO", "RESOURCE", "SPATIAL", "LIBRARY", "CATALOG", "AGGREGATE", "INSTANCE"}
_BEFORE_OBJECT = {"OR", "REPLACE", "ONLINE", "OFFLINE", "IGNORE", "TEMPORARY", "UNIQUE", "FULLTEXT", "SPATIAL",
                  "ALGORITHM", "UNDEFINED", "MERGE", "TEMPTABLE", "SQL", "SECURITY", "INVOKER", "CURRENT_USER",
                  "VECTOR", "EXTERNAL"}
_OBJECTS = {"TABLE", "TABLES", "VIEW", "INDEX", "DATABASE", "SCHEMA", *_OTHER_OBJECTS} - {"SPATIAL"}
_HARMLESS = {"ADD INDEX", "ADD KEY", "ADD UNIQUE", "ADD FULLTEXT", "ADD SPATIAL", "DROP INDEX", "DROP KEY",
             "RENAME INDEX", "RENAME KEY", "ALTER INDEX", "ALTER KEY", "DISABLE KEYS", "ENABLE KEYS", "ADD CONSTRAINT",
             "ADD FOREIGN", "DROP FOREIGN", "DROP CONSTRAINT", "ADD CHECK", "DROP CHECK", "ALTER CHECK",
             "ALTER CONSTRAINT", "ADD PARTITION", "ANALYZE PARTITION", "CHECK PARTITION", "OPTIMIZE PARTITION",
             "REBUILD PARTITION", "REPAIR PARTITION", "REORGANIZE PARTITION", "COALESCE PARTITION",
             "REMOVE PARTITIONING"}
_HARMLESS_FIRST = {"ENGINE", "AUTO_INCREMENT", "COMMENT", "ROW_FORMAT", "KEY_BLOCK_SIZE", "STATS_PERSISTENT",
                   "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "AVG_ROW_LENGTH", "MAX_ROWS", "MIN_ROWS", "ALGORITHM",
                   "LOCK", "FORCE", "CHECKSUM", "DELAY_KEY_WRITE", "PACK_KEYS", "PAGE_CHECKSUM", "COMPRESSION",
                   "ENCRYPTION", "PARTITION", "NOWAIT", "WAIT"}
_REWRITING = {"DROP PARTITION", "TRUNCATE PARTITION", "EXCHANGE PARTITION", "IMPORT TABLESPACE", "DISCARD TABLESPACE",
              "CONVERT PARTITION", "CONVERT TABLE", "IMPORT PARTITION", "DISCARD PARTITION"}
# fmt: on
_PIECES = re.compile(
    r"""(?P<space>\s+|/\*!\d*|/\*M!\d*|\*/)|(?P<comment>/\*.*?\*/|\#[^\n]*|--(?=[\s\x00-\x1f]|\Z)[^\n]*)
    |`(?P<backtick>(?:[^`]|``)*)`
    |(?P<hex>[xX]'[0-9A-Fa-f]*'|0x[0-9A-Fa-f]+)
    |(?P<word>[0-9A-Za-z_$@\x80-\U0010ffff]+)|(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_QUOTES = {
    (quote, escapes): re.compile(
        f"{quote}(?:[^{quote}\\\\]|{quote}{quote}|\\\\.)*{quote}"
        if escapes
        else f"{quote}(?:[^{quote}]|{quote}{quote})*{quote}",
        re.DOTALL,
    )
    for quote in "'\""
    for escapes in (True, False)
}
_WORDS_READ = 20_000
"""Words of a statement that are looked at: the longest DDL is far shorter, and DML is known by its first."""


def words(query: Query, limit: int = _WORDS_READ) -> list[Word]:
    """The statement's words and signs without comments."""
    found: list[Word] = []
    text, at = query.statement, 0
    while at < len(text) and len(found) < limit:
        if text[at] in "'\"":
            match = _QUOTES[text[at], query.backslash_escapes].match(text, at)
            end = match.end() if match else len(text)
            is_name = text[at] == '"' and query.ansi_quotes
            inner = text[at + 1 : end - 1]
            found.append(Word(inner.replace('""', '"') if is_name else inner, True, is_name))
            at = end
            continue
        piece = _PIECES.match(text, at)
        assert piece is not None
        at = piece.end()
        kind = piece.lastgroup
        if kind == "backtick":
            found.append(Word(piece["backtick"].replace("``", "`"), True))
        elif kind in ("word", "hex"):
            found.append(Word(piece[0], False, kind == "word"))
        elif kind == "sign":
            found.append(Word(piece[0], False, False))
    return found


def meaning(query: Query) -> Meaning:
    """What the statement does."""
    statement = _Statement(words(query, 12), query.schema)
    if statement.first() in _ROWS:
        return Meaning(Doing.ROWS, tuple(_Statement(words(query, 40), query.schema).target()))
    statement = _Statement(words(query), query.schema)
    verb = statement.first()
    if verb == "SET" and "STATEMENT" in statement.upper[1:2] and "FOR" in statement.upper:
        statement = statement.after(statement.upper.index("FOR") + 1)  # MariaDB: SET STATEMENT x = 1 FOR ALTER ...
        verb = statement.first()
        if verb in _ROWS:
            return Meaning(Doing.ROWS, tuple(statement.target()))
    if verb in _NOTHING or not verb:
        return Meaning(Doing.NOTHING)
    return statement.meaning()


class _Statement:
    """The words of one statement."""

    def __init__(self, found: list[Word], schema: str) -> None:
        self.words = found
        self.upper = ["" if word.is_quoted else word.text.upper() for word in found]
        self.schema = schema

    def first(self) -> str:
        return self.upper[0] if self.upper else ""

    def after(self, at: int) -> _Statement:
        return _Statement(self.words[at:], self.schema)

    def meaning(self) -> Meaning:
        first, second = (*self.upper, "", "")[:2]
        if first == "BEGIN" or (first, second) == ("START", "TRANSACTION"):
            return Meaning(Doing.BEGIN)
        if first == "COMMIT":
            return Meaning(Doing.COMMIT)
        if first == "ROLLBACK":
            return Meaning(Doing.ROLLBACK_TO if "TO" in self.upper[1:3] else Doing.ROLLBACK)
        if first == "SAVEPOINT":
            return Meaning(Doing.SAVEPOINT)
        if first == "XA":
            return self._xa(second)
        if first == "TRUNCATE":
            name, _ = self._name(2 if second == "TABLE" else 1)
            return Meaning(Doing.TRUNCATE, (name,)) if name else Meaning(Doing.UNKNOWN)
        if first == "RENAME":
            return self._rename() if second in ("TABLE", "TABLES") else Meaning(Doing.NOTHING)
        if first in ("CREATE", "ALTER", "DROP"):
            return self._definition(first)
        return Meaning(Doing.UNKNOWN)

    def _xa(self, second: str) -> Meaning:
        doing = {"START": Doing.XA_START, "BEGIN": Doing.XA_START, "END": Doing.XA_END, "PREPARE": Doing.XA_END,
                 "COMMIT": Doing.XA_COMMIT, "ROLLBACK": Doing.XA_ROLLBACK}.get(second, Doing.UNKNOWN)  # fmt: skip
        return Meaning(doing, xid=xid_of([word.text for word in self.words[2:]]))

    def _definition(self, verb: str) -> Meaning:
        at = next((at for at, word in enumerate(self.upper[:40]) if word in _OBJECTS), None)
        if at is None:
            return Meaning(Doing.UNKNOWN)
        kind = self.upper[at]
        if kind in _OTHER_OBJECTS or (kind == "INDEX" and verb in ("CREATE", "DROP")):
            return Meaning(Doing.NOTHING)
        if kind in ("DATABASE", "SCHEMA"):
            name, _ = self._name(self._past_if(at + 1))
            return Meaning(Doing.DROP_SCHEMA, ((name[1], ""),)) if verb == "DROP" and name else Meaning(Doing.NOTHING)
        if "TEMPORARY" in self.upper[1:at]:
            return Meaning(Doing.NOTHING)
        if verb == "CREATE" and self.upper[at + 1 : at + 4] == ["IF", "NOT", "EXISTS"]:
            return Meaning(Doing.NOTHING)  # where the table is there, nothing happens; where it is not, DROP was seen
        names, end = self._names(self._past_if(at + 1))
        if not names:
            return Meaning(Doing.UNKNOWN)
        if verb != "ALTER" or kind == "VIEW":
            return Meaning(Doing.REDEFINE, tuple(names))
        return self._alter(names[0], end)

    def _alter(self, name: Name, at: int) -> Meaning:
        """ALTER TABLE: harmless if all its parts are; a part is known by its first two words."""
        others, doing = [], Doing.KEYS
        for part in self._parts(at):
            head = " ".join(word for word in part.upper if word not in ("IF", "EXISTS", "NOT", "="))
            two = " ".join(head.split()[:2])
            if two in _REWRITING:
                doing = Doing.REWRITE if doing in (Doing.KEYS, Doing.UNKEYED) else doing
                others += part.names_after({"TABLE"})
            elif two in ("DROP FOREIGN", "DROP CONSTRAINT"):
                doing = Doing.UNKEYED if doing is Doing.KEYS else doing
            elif two not in _HARMLESS and head.split()[:1] not in [[word] for word in _HARMLESS_FIRST]:
                doing = Doing.REDEFINE
                if head.startswith("RENAME") and two not in ("RENAME COLUMN",):
                    others += part.names_after({"TO", "AS", "RENAME"})
            elif "PRIMARY" in part.upper:
                doing = Doing.REDEFINE
        return Meaning(doing, (name, *others))

    def _parts(self, at: int) -> list[_Statement]:
        """What is between commas outside of parentheses; table options may stand without commas behind each other."""
        parts, depth, start = [], 0, at
        for index in range(at, len(self.upper)):
            sign = self.upper[index]
            depth += (sign == "(") - (sign == ")")
            if sign == "," and depth == 0:
                parts.append(_Statement(self.words[start:index], self.schema))
                start = index + 1
        parts.append(_Statement(self.words[start:], self.schema))
        return parts

    def names_after(self, marks: set[str]) -> list[Name]:
        """The table name behind the last of these words."""
        places = [index for index, word in enumerate(self.upper) if word in marks]
        if not places:
            return []
        name, _ = self._name(places[-1] + 1)
        return [name] if name else []

    def _rename(self) -> Meaning:
        names: list[Name] = []
        at = self._past_if(2)
        while at < len(self.words):
            name, at = self._name(at)
            if name is None:
                at += 1
                continue
            names.append(name)
            while (at < len(self.words) and self.upper[at] in ("TO", ",", "WAIT", "NOWAIT")) or self._is_number(at):
                at += 1
        return Meaning(Doing.REDEFINE, tuple(names)) if names else Meaning(Doing.UNKNOWN)

    def target(self) -> list[Name]:
        """The table that DML names first, where it is plain."""
        verb = self.first()
        skipped = {"INSERT", "INTO", "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "IGNORE", "REPLACE", "UPDATE",
                   "DELETE", "FROM", "QUICK"}  # fmt: skip
        if verb not in ("INSERT", "REPLACE", "UPDATE", "DELETE"):
            return []
        at = 0
        while at < len(self.upper) and self.upper[at] in skipped:
            at += 1
        name, _ = self._name(at)
        return [name] if name else []

    def _names(self, at: int) -> tuple[list[Name], int]:
        names: list[Name] = []
        while True:
            name, at = self._name(at)
            if name is None:
                return names, at
            names.append(name)
            if at >= len(self.words) or self.upper[at] != ",":
                return names, at
            at += 1

    def _name(self, at: int) -> tuple[Name | None, int]:
        """A table's name at this word, and the word after it."""
        if at >= len(self.words) or not self.words[at].is_name:
            return None, at
        if at + 2 < len(self.words) and self.upper[at + 1] == "." and self.words[at + 2].is_name:
            return (self.words[at].text, self.words[at + 2].text), at + 3
        return (self.schema, self.words[at].text), at + 1

    def _past_if(self, at: int) -> int:
        """Behind IF EXISTS and IF NOT EXISTS."""
        while at < len(self.upper) and self.upper[at] in ("IF", "NOT", "EXISTS"):
            at += 1
        return at

    def _is_number(self, at: int) -> bool:
        return at < len(self.words) and not self.words[at].is_quoted and self.words[at].text.isdigit()


def xid_of(parts: list[str]) -> str:
    """What identifies an XA transaction, from its literals `X'71',X'',1`."""
    return "".join(part for part in parts if part not in ("ONE", "PHASE")).upper()


def xid_written(form: int, name: bytes, branch: bytes) -> str:
    """The same from the parts of a prepare event."""
    return xid_of([f"X'{name.hex()}'", ",", f"X'{branch.hex()}'", ",", str(form)])
