"""Which nodes are unfit, what is remembered of them, and what follows."""

import json

import pytest
from cluster_runs import write_run

from aixmeg.cluster import supervise
from aixmeg.cluster.attempts import read_attempts
from aixmeg.cluster.fit import FILE, fit, unfit, without_bad_nodes
from aixmeg.cluster.supervise import AGAIN, COMPLETE, STOPPED
from aixmeg.config.site import SiteConfig

BAD = {"where": "GPU 3", "what": "2 of 16 PCIe lanes are in use", "remedy": "reseat"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    write_run(tmp_path)
    return tmp_path


def answer(run, **nodes):
    (run / "checked").mkdir(exist_ok=True)
    for node, problems in nodes.items():
        text = json.dumps({"node": node, "rank": 0, "problems": problems})
        (run / "checked" / f"{node}-0.json").write_text(text)
    return run / "checked"


def asked(run, nodes="n1,n2"):
    return fit(run, checked=run / "checked", nodes=nodes, max_restarts=20)


def test_all_fit(run, capsys):
    supervise.begin(run, max_restarts=20)
    answer(run, n1=[], n2=[])
    assert asked(run) == COMPLETE
    assert capsys.readouterr().out == ""
    assert read_attempts(run)[0].kind == "running"
    assert not (run / FILE).exists()


def test_bad_and_silent_nodes_are_named_and_kept(run, capsys):
    supervise.begin(run, max_restarts=20)
    answer(run, n1=[BAD])
    assert asked(run) == AGAIN
    assert capsys.readouterr().out == "n1,n2\n"
    assert read_attempts(run)[0].cause == (
        "n1: GPU 3: 2 of 16 PCIe lanes are in use; n2: gave no answer before the time limit of the look at it "
        "(health_seconds)"
    )
    site = SiteConfig(exclude=("n9", "n2"))
    assert without_bad_nodes(site, run).exclude == ("n9", "n2", "n1")
    assert f"leaving out n1: unfit before, as {run / FILE} says" in capsys.readouterr().err
    (run / FILE).unlink()
    assert without_bad_nodes(site, run) is site


def test_where_no_node_answers_the_nodes_are_not_at_fault(run, capsys):
    assert unfit(run / "checked", ["n1", "n2"]) == {}
    assert "no node has answered" in capsys.readouterr().err


def test_a_broken_answer_is_none(run):
    checked = answer(run, n1=[])
    (checked / "n2-1.json").write_text('{"node": ')
    assert list(unfit(checked, ["n1", "n2"])) == ["n2"]


def test_a_job_that_finds_no_fit_nodes_ends(run):
    answer(run, n1=[BAD], n2=[])
    follows = []
    for _ in range(5):
        supervise.begin(run, max_restarts=20)
        follows.append(asked(run))
    assert follows == [*[AGAIN] * 4, STOPPED]
