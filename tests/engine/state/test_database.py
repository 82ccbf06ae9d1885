"""What the database promises beyond SQLAlchemy."""

from pathlib import Path

from sqlalchemy import text

from engine.state.database import Database


def test_connections_that_are_open_learn_how_many_rows_there_are(tmp_path: Path) -> None:
    writer, other = Database(f"sqlite:///{tmp_path}/db"), Database(f"sqlite:///{tmp_path}/db")
    with writer.write() as db:
        db.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)"))
        db.execute(text("CREATE INDEX narrow ON t (a, b)"))
        db.execute(text("CREATE INDEX ordered ON t (a, c)"))
        db.execute(text("INSERT INTO t (a, b, c) VALUES (1, 1, 1)"))
    writer.learn_sizes()
    asked = "EXPLAIN QUERY PLAN SELECT * FROM t WHERE a = 1 AND b = 7 ORDER BY c LIMIT 100"
    with other.reader.connect() as connection:
        assert "ordered" in connection.execute(text(asked)).all()[0][3]
        connection.rollback()
        with writer.write() as db:
            row = text("INSERT INTO t (a, b, c) VALUES (1, :n, :n)")
            db.execute(row, [{"n": n} for n in range(5000)])
        writer.learn_sizes()
        connection.execute(text("SELECT 1 FROM t LIMIT 1")).all()
        # Spelled otherwise, for an explanation that was prepared before is given again.
        assert "narrow" in connection.execute(text(f"{asked} -- again")).all()[0][3]
    writer.close()
    other.close()
