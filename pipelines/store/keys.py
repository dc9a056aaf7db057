"""Every object key, in one place."""


def version(name: str, number: int) -> str:
    return f"datasets/{name}/v{number}"


def spec(root: str) -> str:
    return f"{root}/spec.json"


def source(root: str) -> str:
    """What the source held: every image by its content."""
    return f"{root}/source.json"


def verdicts(root: str) -> str:
    """What people decided about the samples of the version that this one refreshes, as it was when this one was planned."""
    return f"{root}/verdicts.json"


def plan(root: str) -> str:
    return f"{root}/plan.json"


def skipped(root: str) -> str:
    """Source images that the method could not use: the outcome of the learn stage."""
    return f"{root}/skipped.json"


def early_verdict(root: str) -> str:
    """Thresholds of the early verdict, by the version's first images."""
    return f"{root}/early_verdict.json"


def shard_file(shard: int, shards: int, fence: int | None) -> str:
    """With the fence of the lease that it is written by: another worker writes another file."""
    return f"train-{shard:05d}-of-{shards:05d}{'' if fence is None else f'-f{fence}'}.parquet"


def data_folder(root: str) -> str:
    return f"{root}/data"


def rejected_folder(root: str) -> str:
    return f"{root}/rejected"


def data(root: str, shard: int, shards: int, fence: int | None = None) -> str:
    """Where a shard's samples are written. To read them, ask `version.files`: the shard's report names the file."""
    return f"{data_folder(root)}/{shard_file(shard, shards, fence)}"


def rejected(root: str, shard: int, shards: int, fence: int | None = None) -> str:
    """As `data`, of the dropped candidates."""
    return f"{rejected_folder(root)}/{shard_file(shard, shards, fence)}"


def reports(root: str) -> str:
    return f"{root}/reports"


def report(root: str, shard: int) -> str:
    return f"{reports(root)}/{shard:05d}.json"


def quality(root: str) -> str:
    return f"{root}/quality.json"


def card(root: str) -> str:
    return f"{root}/README.md"


def figure(root: str, name: str) -> str:
    return f"{root}/figures/{name}"


def manifest(root: str) -> str:
    return f"{root}/manifest.json"


def after_manifest(root: str) -> tuple[str, ...]:
    """The manifest, and prefixes of what is derived from a version once it is published."""
    return f"{root}/evaluation", f"{root}/report/", manifest(root), seconds(root), diff(root)


def evaluation(root: str) -> str:
    return f"{root}/evaluation.json"


def diff(root: str) -> str:
    """A refreshed version against the one before it; made once it is evaluated."""
    return f"{root}/diff.json"


def run(root: str, arm: str, seed: int) -> str:
    return f"{root}/evaluation/{arm}-{seed}.json"


def concept(kind: str, digest: str, file: str) -> str:
    """A file of an artifact, at the hash of all facts that determine it; shared by every version that needs it."""
    return f"concepts/{kind}/{digest}/{file}"


def croissant(root: str) -> str:
    return f"{root}/croissant.json"


def report_file(root: str, name: str) -> str:
    """A file of the report for people, written after the version was published."""
    return f"{root}/report/{name}"


def seconds(root: str) -> str:
    """Time spent so far, over all runs: the one object of a version that differs from run to run."""
    return f"{root}/seconds.json"


def blob(sha256: str) -> str:
    """An uploaded image, by its content; shared by every source that holds it."""
    return f"blobs/{sha256[:2]}/{sha256}"


def index(source: str, digest: str) -> str:
    """What an uploaded source held at one time."""
    return f"sources/{source}/{digest}.json"


def newest(source: str) -> str:
    return f"sources/{source}/newest.json"


def summary(source: str, digest: str) -> str:
    """The same in numbers, with the first images that were refused: small, however large the source."""
    return f"sources/{source}/{digest}.summary.json"


def archive(token: str) -> str:
    """An upload as it was sent, until it is read."""
    return f"uploads/{token}"
