"""What a run has measured, in all of its files."""

from van_jax import storage
from van_jax.training.run import history, metrics


def test_an_object_store_has_what_was_written_after_the_last_save(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(storage, "is_remote", lambda path: True)
  with metrics.opened(tmp_path, last_step=4) as writer:
    writer.write(4, {"eval/top1": 0.5})  # Made up; no save follows.
  monkeypatch.undo()
  assert history.read_history(tmp_path)["eval/top1"].steps.tolist() == [4]
