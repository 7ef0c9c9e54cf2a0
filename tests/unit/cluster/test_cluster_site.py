"""Site profiles: one error lists everything wrong, what is valid survives a round trip, the examples are valid."""

from pathlib import Path

import pytest

from aixmeg.config.site import SiteConfig
from aixmeg.config.site_file import dump_site, load_site
from aixmeg.errors import UserError

PROFILES = sorted((Path(__file__).parents[3] / "slurm/profiles").glob("*.yaml"))


def test_every_problem_is_listed_at_once(tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text("""
partiton: gpu
gpus_per_node: "8"
time: tomorrow
qos: "a b"
cpus_per_rank: 0
umask: "9"
environment: {1BAD: x}
sbatch_options: [--mail-type, END]
launcher: mpirun
mpi: pmix
container: {kind: pyxis, imag: x}
""")
    with pytest.raises(UserError) as caught:
        load_site(file)
    for part in (
        "partiton is not an option; did you mean partition?",
        "gpus_per_node='8': input should be a valid integer",
        "container.imag is not an option; did you mean container.image?",
        "time='tomorrow' is no time limit",
        "qos='a b' must be a word",
        "cpus_per_rank=0 must be positive",
        "umask='9'",
        "'1BAD', which is no name",
        "sbatch_options holds 'END'",
        "mpi=pmix is an option of srun",
    ):
        assert part in str(caught.value), caught.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("container: {kind: pyxis}", "container.kind=pyxis needs container.image"),
        ("container: {image: x.sif}", "container.kind is none"),
        ("{launcher: mpirun, container: {kind: apptainer, image: x}}", "launcher=mpirun does not start containers"),
        ("{gpus_per_node: 4, ranks_per_node: 8}", "ranks_per_node=8 exceeds gpus_per_node=4"),
    ],
)
def test_rules_across_fields(tmp_path, text, message):
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_site(tmp_path / "site.yaml")


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_examples_are_valid_and_survive_a_round_trip(file, tmp_path):
    site = load_site(file)
    (tmp_path / "site.yaml").write_text(dump_site(site))
    assert load_site(tmp_path / "site.yaml") == site != SiteConfig()


def test_the_command_line_wins(tmp_path):
    (tmp_path / "site.yaml").write_text("{partition: slow, time: '10'}")
    site = load_site(tmp_path / "site.yaml", {"partition": "fast"})
    assert (site.partition, site.time) == ("fast", "10")


@pytest.mark.parametrize(("gpus", "ranks", "expected"), [(8, None, 8), (8, 4, 4), (0, None, 1), (0, 6, 6)])
def test_ranks_of_a_node(gpus, ranks, expected):
    assert SiteConfig(gpus_per_node=gpus, ranks_per_node=ranks).ranks == expected
