import pytest
import slurm_lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running cluster of two nodes with two cores each."""
    if why := slurm_lab.missing():
        pytest.skip(f"no SLURM: {why}")
    with slurm_lab.Lab(tmp_path_factory.mktemp("slurm")) as lab:
        yield lab
