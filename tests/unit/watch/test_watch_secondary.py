"""Which errors are a rank's own."""

import pytest

from aixmeg.errors import OthersError, UserError
from aixmeg.watch.secondary import report_of

GLOO = RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:9541")


def from_cause(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "secondary"),
    [
        (KeyError("peer"), "raised", False),
        (ConnectionError("no connection to the tracker"), "raised", False),
        (RuntimeError("shape mismatch"), "raised", False),
        (GLOO, "raised", True),
        (UserError("the disk is full"), "refused", False),
        (OthersError("the disk is full"), "refused", True),
        (from_cause(UserError("cannot save the checkpoint"), OSError(28, "full")), "refused", False),
        (from_cause(UserError("cannot save the checkpoint"), GLOO), "refused", True),
        (
            from_cause(UserError("cannot save"), from_cause(UserError("once more"), OthersError("full"))),
            "refused",
            True,
        ),
    ],
)
def test_whose_error_it_is(error, kind, secondary):
    found = report_of(error)
    assert (found["kind"], found["secondary"]) == (kind, secondary)


def test_a_cause_is_one_line_and_not_endless():
    assert report_of(ValueError("one\ntwo"))["cause"] == "ValueError: one two"
    assert len(report_of(UserError("x" * 10_000))["cause"]) == 500
