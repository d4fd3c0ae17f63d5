import threading

from sepray.tracking.connection import connect


def test_two_that_start_at_once_share_one_database_and_a_half_made_one_is_no_obstacle(tmp_path):
    (tmp_path / ".mlflow.db.creating").write_bytes(b"half")  # of a process that was killed over it
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    made, failed = [], []

    def start(name):
        try:
            made.append(connect(uri).create_experiment(name))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert failed == []
    assert sorted(made) == ["1", "2"]
    assert {e.name for e in connect(uri).search_experiments()} == {"Default", "a", "b"}
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]
