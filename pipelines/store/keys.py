"""Every object key, in one place."""

INDEXES = "indexes"  # prefix of those of sources that are read where they lie


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


def learned(root: str) -> str:
    """The record of a version's artifacts: a key of each by its name. The first that learns writes it."""
    return f"{root}/learned.json"


def filter_order(root: str) -> str:
    """In which order the filters are applied, by the version's first images."""
    return f"{root}/filter_order.json"


def early_verdict(root: str) -> str:
    """Thresholds of the early verdict, by the version's first images."""
    return f"{root}/early_verdict.json"


def shard_name(shard: int, shards: int, fence: int | None, distinct: bool) -> str:
    """With the fence of the lease that it is written by: another worker writes another file. `distinct`: written again,
    without what repeats an image of another shard."""
    suffix = ("-distinct" if distinct else "") + ("" if fence is None else f"-f{fence}")
    return f"train-{shard:05d}-of-{shards:05d}{suffix}"


def data_folder(root: str) -> str:
    return f"{root}/data"


def rejected_folder(root: str) -> str:
    return f"{root}/rejected"


def fingerprints_folder(root: str) -> str:
    return f"{root}/fingerprints"


def data(root: str, shard: int, shards: int, fence: int | None = None, distinct: bool = False) -> str:
    """Where a shard's samples are written. To read them, ask `version.files`: the shard's report names the file."""
    return f"{data_folder(root)}/{shard_name(shard, shards, fence, distinct)}.parquet"


def rejected(root: str, shard: int, shards: int, fence: int | None = None, distinct: bool = False) -> str:
    """As `data`, of the dropped candidates."""
    return f"{rejected_folder(root)}/{shard_name(shard, shards, fence, distinct)}.parquet"


def fingerprints(root: str, shard: int, shards: int, fence: int | None = None, distinct: bool = False) -> str:
    """As `data`, of what the samples are compared by with other shards'."""
    return f"{fingerprints_folder(root)}/{shard_name(shard, shards, fence, distinct)}.safetensors"


def reports(root: str) -> str:
    return f"{root}/reports"


def report(root: str, shard: int, distinct: bool = False) -> str:
    """`distinct`: the later one, of a shard that was written again without what repeats an image of another shard."""
    return f"{reports(root)}/{shard:05d}{'-distinct' if distinct else ''}.json"


def duplicates(root: str) -> str:
    """Which samples repeat an image of another shard."""
    return f"{root}/duplicates.json"


def reports_beside(data: str) -> tuple[str, ...]:
    """The reports that may name a data file, the later first; none for a name of another form than ours."""
    root, _, name = data.partition("/data/")
    shard = name.removeprefix("train-").partition("-of-")[0]
    return (report(root, int(shard), distinct=True), report(root, int(shard))) if shard.isdecimal() else ()


def fingerprints_beside(data: str) -> str:
    """Where the fingerprints of a data file's samples lie, if they were compared."""
    root, _, name = data.partition("/data/")
    return f"{fingerprints_folder(root)}/{name.removesuffix('.parquet')}.safetensors"


def beside(data: str) -> tuple[str, ...]:
    """What a later version that carries a data file reads with it: it stays as long as that."""
    return *reports_beside(data), fingerprints_beside(data)


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


def plain(root: str) -> str:
    """Root of the images of the arm text_to_image, which are made like a version."""
    return f"{root}/evaluation/text_to_image"


def probe(root: str) -> str:
    return f"{root}/evaluation/probe.json"


def run(root: str, arm: str, seed: int) -> str:
    return f"{root}/evaluation/{arm}-{seed}.json"


def retrieved(root: str) -> str:
    """The images of the pool that an arm has taken, with their classes."""
    return f"{root}/evaluation/retrieved.json"


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


def source_indexes(source: str) -> str:
    """The indexes of all states of a source that is read where it lies, by the digest of how it is read."""
    return f"{INDEXES}/{source}"


def source_index(source: str, state: str) -> str:
    """What it held in one state, by the digest of its files' tags."""
    return f"{source_indexes(source)}/{state}.parquet"


def archive(token: str) -> str:
    """An upload as it was sent, until it is read."""
    return f"uploads/{token}"
