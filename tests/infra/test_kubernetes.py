"""infra/k8s: against a cut of KubeRay's schemas, and that everything it refers to exists."""

import copy
import json
import re
import shutil
import subprocess

import jsonschema
import pytest
import yaml

from .conftest import INFRA, ROOT, documents, environment, program, secret_files

K8S = INFRA / "k8s"
SCHEMAS = json.loads((ROOT / "tests" / "infra" / "kuberay.json").read_text())
(KUSTOMIZATION,) = documents(K8S / "kustomization.yaml")
RESOURCES = {d["kind"]: d for name in KUSTOMIZATION["resources"] for d in documents(K8S / name)}
CLUSTER = RESOURCES["RayCluster"]["spec"]
(JOB,) = documents(K8S / "study" / "job.yaml")
PODS = {"head": CLUSTER["headGroupSpec"]["template"]["spec"]} | {
    group["groupName"]: group["template"]["spec"] for group in CLUSTER["workerGroupSpecs"]
}
SECRETS = {made["name"]: [f.partition("=")[0] for f in made["files"]] for made in KUSTOMIZATION["secretGenerator"]}


def check(kind, spec):
    jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": SCHEMAS["$defs"]}).validate(spec)


def test_kuberay_takes_cluster_and_job():
    check("RayCluster", CLUSTER)
    check("RayJob", JOB["spec"])
    assert RESOURCES["RayCluster"]["apiVersion"] == JOB["apiVersion"] == "ray.io/v1"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["authOptions", "mode"], "password"),
        (["headGroupSpec", "rayStartParams", "num-cpus"], 0),
        (["headGroupSpec", "template", "spec", "containers", 0, "image"], None),
        (["workerGroupSpecs", 0, "replica"], 2),
    ],
)
def test_the_schema_refuses_mistakes(path, value):
    spec = copy.deepcopy(CLUSTER)
    place = spec
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check("RayCluster", spec)


def test_kustomize_builds_it(tmp_path):
    kubectl = program("kubectl")
    shutil.copytree(K8S, tmp_path / "k8s", ignore=shutil.ignore_patterns("secrets"))
    subprocess.run([INFRA / "make-secrets.sh", tmp_path / "k8s" / "secrets"], check=True, capture_output=True)
    built = []
    for folder in ("k8s", "k8s/study"):
        done = subprocess.run([kubectl, "kustomize", tmp_path / folder], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        built += list(yaml.safe_load_all(done.stdout))
    kinds = sorted(document["kind"] for document in built)
    pieces = ["Namespace", "NetworkPolicy", "PersistentVolumeClaim", "RayCluster", "RayJob"]
    assert kinds == sorted(["ConfigMap", *pieces, "Secret", "Secret", "Secret"])
    assert {d["metadata"].get("namespace", d["metadata"]["name"]) for d in built} == {"sepray"}
    (cluster,) = (document for document in built if document["kind"] == "RayCluster")
    check("RayCluster", cluster["spec"])
    images = {c["image"] for c in cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]}
    assert images == {"REGISTRY/sepray:latest"}


def test_the_files_of_the_kustomization_exist_or_are_made(tmp_path):
    subprocess.run([INFRA / "make-secrets.sh", tmp_path / "secrets"], check=True, capture_output=True)
    for made in KUSTOMIZATION["secretGenerator"]:
        for entry in made["files"]:
            assert (tmp_path / entry.partition("=")[2]).is_file(), entry
    assert all((K8S / name).is_file() for name in KUSTOMIZATION["resources"])
    assert environment(K8S / "settings.env").keys() >= {"MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL"}


@pytest.mark.parametrize("name", PODS)
def test_what_a_pod_refers_to_exists(name):
    pod, (container,) = PODS[name], PODS[name]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    files = set()
    for volume in pod["volumes"]:
        if "secret" in volume:
            files |= {f"{mounts[volume['name']]}/{key}" for key in SECRETS[volume["secret"]["secretName"]]}
        else:
            claim = volume["persistentVolumeClaim"]["claimName"]
            assert claim == RESOURCES["PersistentVolumeClaim"]["metadata"]["name"]
    assert files == {variable["value"] for variable in container["env"]}
    assert {v["name"] for v in container["env"]} <= secret_files() | {"AWS_SHARED_CREDENTIALS_FILE"}
    maps = {made["name"] for made in KUSTOMIZATION["configMapGenerator"]}
    assert {source["configMapRef"]["name"] for source in container["envFrom"]} == maps


@pytest.mark.parametrize("name", PODS)
def test_pods_have_no_rights_that_they_do_not_need(name):
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
        assert container["resources"]["limits"] == container["resources"]["requests"]


def test_trials_run_on_workers_which_have_no_password_of_the_database():
    assert CLUSTER["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in CLUSTER["workerGroupSpecs"]:
        variables = {variable["name"] for variable in PODS[group["groupName"]]["containers"][0]["env"]}
        assert variables == {"AWS_SHARED_CREDENTIALS_FILE"}


def test_ray_asks_for_the_token_of_the_secret():
    assert CLUSTER["authOptions"] == {"mode": "token", "secretName": "ray-token"}
    assert SECRETS["ray-token"] == ["auth_token"]  # the key that KubeRay reads
    # KubeRay's own field is not known to kustomize, which would give the Secret another name.
    assert KUSTOMIZATION["generatorOptions"]["disableNameSuffixHash"] is True


def test_the_version_of_ray_is_the_locked_one():
    locked = re.search(r"^ray==(\S+)", (ROOT / "requirements" / "constraints.txt").read_text(), re.MULTILINE)
    assert locked
    assert CLUSTER["rayVersion"] == locked[1]


def test_the_network_policy_names_the_pods_and_the_port_for_jobs():
    policy = RESOURCES["NetworkPolicy"]["spec"]
    own = {"ray.io/cluster": RESOURCES["RayCluster"]["metadata"]["name"]}
    assert policy["podSelector"]["matchLabels"] == own
    assert policy["policyTypes"] == ["Ingress"]
    among, jobs = policy["ingress"]
    assert among == {"from": [{"podSelector": {"matchLabels": own}}]}
    ports = {port["name"]: port["containerPort"] for port in PODS["head"]["containers"][0]["ports"]}
    assert [port["port"] for port in jobs["ports"]] == [ports["dashboard"]]


def test_the_job_runs_on_the_cluster_with_secrets_from_files():
    assert JOB["spec"]["clusterSelector"] == {"ray.io/cluster": RESOURCES["RayCluster"]["metadata"]["name"]}
    assert JOB["spec"]["shutdownAfterJobFinishes"] is False  # KubeRay refuses another value with a selector
    assert JOB["spec"]["entrypoint"].startswith("with-secrets sepray run cass_alpha_sweep --address auto ")
    assert not re.search(r"://[^ @]*:[^ @]*@", JOB["spec"]["entrypoint"])
