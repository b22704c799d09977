"""The JobSet: by its schema, and by what it asks for and restarts after."""

import json
import pathlib

import jsonschema
import kubernetes_validate
import pytest
from commands import ROOT, TRAIN

from launch import accelerators, jobset
from van_jax.cli import command

SCHEMA = json.loads(
  (pathlib.Path(__file__).parent / "jobset.schema.json").read_text()
)
TOPOLOGIES = ("v5e:16x16", "2xv5e:16x16", "tpu7x:2x2x1", "h100:8", "4xh100:8")


def create(topology, **changes):
  arguments = {
    "name": "vans",
    "image": "registry/vans:1",
    "namespace": "default",
    "service_account": "",
    "spot": False,
    "reservation": "",
    "queue": "",
    "max_restarts": 50,
    "grace_seconds": 120,
  }
  found = accelerators.parse(topology)
  return jobset.create(found, TRAIN, **(arguments | changes))


def job(manifest):
  return manifest["spec"]["replicatedJobs"][0]["template"]["spec"]


def container(manifest):
  return job(manifest)["template"]["spec"]["containers"][0]


def environment(manifest):
  return {row["name"]: row for row in container(manifest).get("env", ())}


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize(
  "changes", [{}, {"spot": True, "queue": "q", "service_account": "trainer"}]
)
def test_kubernetes_takes_the_jobset(topology, changes):
  manifest = json.loads(json.dumps(create(topology, **changes)))
  jsonschema.validate(manifest, SCHEMA)
  whole = {"apiVersion": "batch/v1", "kind": "Job", "spec": job(manifest)}
  kubernetes_validate.validate(whole, "1.31", strict=True)


def what_follows(manifest, exit_status):
  """Returns the JobSet's action after a container's exit status.

  As Kubernetes and the JobSet controller decide: the first pod failure rule
  that matches gives the Job's reason, and the first rule for it the action.
  """
  reason = "BackoffLimitExceeded"
  for rule in job(manifest)["podFailurePolicy"]["rules"]:
    if exit_status in rule.get("onExitCodes", {"values": ()})["values"]:
      assert rule["action"] == "FailJob"
      assert rule["onExitCodes"]["operator"] == "In"
      named = rule["onExitCodes"]["containerName"]
      assert named == container(manifest)["name"]
      reason = "PodFailurePolicy"
  rules = manifest["spec"]["failurePolicy"]["rules"]
  return next(
    rule["action"] for rule in rules if reason in rule["onJobFailureReasons"]
  )


@pytest.mark.parametrize("status", [command.EXIT_AGAIN, 134, 137])
def test_it_restarts_after_what_passes(status):
  assert what_follows(create("v5e:16x16"), status) == "RestartJobSet"


@pytest.mark.parametrize("status", [command.EXIT_ERROR, 2, 130, 139])
def test_it_fails_after_what_comes_again(status):
  assert what_follows(create("v5e:16x16"), status) == "FailJobSet"


def test_one_failed_pod_is_the_jobs_failure():
  spec = job(create("v5e:16x16"))
  assert spec["backoffLimit"] == 0
  assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_machines_that_are_taken_away_restart_it():
  rules = job(create("v5e:16x16", spot=True))["podFailurePolicy"]["rules"]
  conditions = [r["onPodConditions"] for r in rules if "onPodConditions" in r]
  assert conditions == [[{"type": "DisruptionTarget", "status": "True"}]]


@pytest.mark.parametrize(
  ("topology", "jobs", "pods", "chips"),
  [
    ("v5e:16x16", 1, 64, 4),
    ("2xv5e:16x16", 2, 64, 4),
    ("v5e:2x4", 1, 1, 8),
    ("v5p:4x4x8", 1, 32, 4),
    ("4xh100:8", 1, 4, 8),
  ],
)
def test_every_host_has_a_pod_with_all_of_its_chips(
  topology, jobs, pods, chips
):
  manifest = create(topology)
  assert manifest["spec"]["replicatedJobs"][0]["replicas"] == jobs
  spec = job(manifest)
  assert spec["parallelism"] == spec["completions"] == pods
  limits = container(manifest)["resources"]["limits"]
  kind = "nvidia.com/gpu" if "h100" in topology else "google.com/tpu"
  assert limits == {kind: chips}


def test_gpus_are_told_of_one_another():
  found = environment(create("4xh100:8"))
  address = found["JAX_COORDINATOR_ADDRESS"]["value"]
  assert address == "vans-workers-0-0.vans:8476"
  assert found["JAX_NUM_PROCESSES"]["value"] == "4"
  path = found["JAX_PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
  assert "job-completion-index" in path


@pytest.mark.parametrize(
  ("topology", "several"),
  [("v5e:2x4", False), ("h100:8", False), ("v5e:4x4", True), ("2xl4:1", True)],
)
def test_only_several_hosts_are_distributed(topology, several):
  words = container(create(topology))["command"]
  assert words[:2] == ["python", "train.py"]
  assert words[2:4] == TRAIN
  assert words[4:] == ["--distributed"] * several


def test_the_container_has_what_is_started():
  lines = (ROOT / "launch" / "Dockerfile").read_text()
  assert "COPY train.py" in lines
