"""A run as a Kubernetes JobSet, jobset.x-k8s.io/v1alpha2, in Python's data.

A slice of TPUs is a Job, of one pod a host; machines of GPUs are the pods of
one Job. Exit statuses decide what happens next: see `_failure_policy`.
"""

from collections.abc import Sequence
from typing import Any

from launch.accelerators import GPUS, TPUS, Accelerators

# The run was interrupted, hung or lost a peer (75), its runtime aborted (134),
# or it was killed (137): the same command goes on. Others come again.
GOES_ON = (75, 134, 137)
_PORT = 8476  # Of process 0; Google's default firewall lets it through.
_TPU_PORT = 8471  # Of libtpu, between hosts.
_JOB = "workers"
_CONTAINER = "train"
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"


def create(
  accelerators: Accelerators,
  train: Sequence[str],
  *,
  name: str,
  image: str,
  namespace: str,
  service_account: str,
  spot: bool,
  reservation: str,
  queue: str,
  max_restarts: int,
  grace_seconds: int,
) -> dict[str, Any]:
  """Returns the JobSet.

  Args:
    accelerators: to run on.
    train: train.py's flags.
    name: of the JobSet.
    image: of the container.
    namespace: of Kubernetes.
    service_account: of Kubernetes, that may read and write gs://; "" for the
      namespace's default.
    spot: whether on Spot machines.
    reservation: of Compute Engine; "" for none.
    queue: of Kueue; "" without it.
    max_restarts: after which the JobSet fails.
    grace_seconds: between SIGTERM and SIGKILL.
  """
  pods = accelerators.hosts if accelerators.on_tpu else accelerators.slices
  pod = _pod(
    accelerators, spot=spot, reservation=reservation, seconds=grace_seconds
  )
  pod["containers"] = [_container(accelerators, train, name=name, image=image)]
  if service_account:
    pod["serviceAccountName"] = service_account
  job = {
    "parallelism": pods,
    "completions": pods,
    "completionMode": "Indexed",
    "backoffLimit": 0,  # One failure is the Job's.
    "podFailurePolicy": _pod_failure_policy(),
    "template": {"spec": pod},
  }
  slices = {
    "name": _JOB,
    "replicas": accelerators.slices if accelerators.on_tpu else 1,
    "template": {"spec": job},
  }
  return {
    "apiVersion": "jobset.x-k8s.io/v1alpha2",
    "kind": "JobSet",
    "metadata": {
      "name": name,
      "namespace": namespace,
      **_labels(accelerators, queue=queue),
    },
    "spec": {
      "network": {"enableDNSHostnames": True},
      "failurePolicy": _failure_policy(max_restarts),
      "replicatedJobs": [slices],
    },
  }


def _labels(accelerators: Accelerators, *, queue: str) -> dict[str, Any]:
  """Returns labels and annotations of the JobSet."""
  labels = {"app.kubernetes.io/name": "van-jax"}
  if queue:
    labels["kueue.x-k8s.io/queue-name"] = queue
  if not accelerators.on_tpu:
    return {"labels": labels}
  # Pods of a slice must not land in another slice's node pool.
  annotations = {_EXCLUSIVE: "cloud.google.com/gke-nodepool"}
  return {"labels": labels, "annotations": annotations}


def _pod(
  accelerators: Accelerators, *, spot: bool, reservation: str, seconds: int
) -> dict[str, Any]:
  """Returns a host's pod, without its container."""
  pod: dict[str, Any] = {
    "restartPolicy": "Never",  # Whole slices restart; pods alone cannot.
    "terminationGracePeriodSeconds": seconds,
    "nodeSelector": _nodes(accelerators, spot=spot, reservation=reservation),
  }
  if spot:
    pod["tolerations"] = [
      {
        "key": "cloud.google.com/gke-spot",
        "operator": "Equal",
        "value": "true",
        "effect": "NoSchedule",
      }
    ]
  if not accelerators.on_tpu:  # NCCL's, between the GPUs of a machine.
    pod["volumes"] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
  return pod


def _failure_policy(max_restarts: int) -> dict[str, Any]:
  """Returns what a Job's failure does to the others.

  The Job says PodFailurePolicy where a rule of `_pod_failure_policy` matched,
  and BackoffLimitExceeded for any other exit status.
  """
  return {
    "maxRestarts": max_restarts,
    # The old pods are gone, and their chips free, before new ones come.
    "restartStrategy": "BlockingRecreate",
    "rules": [
      {
        "name": "goesOn",
        "action": "RestartJobSet",
        "onJobFailureReasons": ["PodFailurePolicy"],
      },
      {
        "name": "comesAgain",
        "action": "FailJobSet",
        "onJobFailureReasons": ["BackoffLimitExceeded"],
      },
    ],
  }


def _pod_failure_policy() -> dict[str, Any]:
  """Returns which failures of a pod the run goes on from."""
  return {
    "rules": [
      {
        "action": "FailJob",
        "onExitCodes": {
          "containerName": _CONTAINER,
          "operator": "In",
          "values": list(GOES_ON),
        },
      },
      {  # A Spot machine taken away, or a node drained for maintenance.
        "action": "FailJob",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
      },
    ]
  }


def _nodes(
  accelerators: Accelerators, *, spot: bool, reservation: str
) -> dict[str, str]:
  """Returns the labels of the nodes to run on."""
  if accelerators.on_tpu:
    nodes = {
      "cloud.google.com/gke-tpu-accelerator": TPUS[accelerators.kind].label,
      "cloud.google.com/gke-tpu-topology": accelerators.shape,
    }
  else:
    nodes = {"cloud.google.com/gke-accelerator": GPUS[accelerators.kind]}
  if spot:
    nodes["cloud.google.com/gke-spot"] = "true"
  if reservation:
    nodes["cloud.google.com/reservation-name"] = reservation
  return nodes


def _container(
  accelerators: Accelerators, train: Sequence[str], *, name: str, image: str
) -> dict[str, Any]:
  """Returns the container of a host: one process, with all of its chips."""
  resource = "google.com/tpu" if accelerators.on_tpu else "nvidia.com/gpu"
  ports = [_PORT, _TPU_PORT] if accelerators.on_tpu else [_PORT]
  container = {
    "name": _CONTAINER,
    "image": image,
    "command": ["python", "train.py", *train],
    "ports": [{"containerPort": port} for port in ports],
    "resources": {"limits": {resource: accelerators.chips}},
  }
  hosts = accelerators.slices * accelerators.hosts
  if hosts > 1:
    container["command"] = [*container["command"], "--distributed"]
  if accelerators.on_tpu:
    return container  # GKE tells TPUs of one another.
  container["volumeMounts"] = [{"name": "shm", "mountPath": "/dev/shm"}]
  if hosts > 1:
    first = f"{name}-{_JOB}-0-0.{name}"  # Pod 0 of Job 0, by its service.
    container["env"] = [
      {"name": "JAX_COORDINATOR_ADDRESS", "value": f"{first}:{_PORT}"},
      {"name": "JAX_NUM_PROCESSES", "value": str(hosts)},
      {
        "name": "JAX_PROCESS_ID",
        "valueFrom": {"fieldRef": {"fieldPath": _INDEX}},
      },
    ]
  return container
