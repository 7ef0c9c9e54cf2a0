"""One file per benchmark."""

from collections.abc import Mapping
from typing import Final

from aixmeg.eval.benchmark import Benchmark
from aixmeg.eval.benchmarks.crosscodeeval import CROSSCODEEVAL
from aixmeg.eval.benchmarks.fim_eval import FIM_EVAL
from aixmeg.eval.benchmarks.humaneval_infilling import HUMANEVAL_INFILLING
from aixmeg.eval.benchmarks.nl2code import NL2CODE
from aixmeg.eval.benchmarks.safim import SAFIM
from aixmeg.eval.benchmarks.santacoder import SANTACODER

BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    benchmark.name: benchmark
    for benchmark in (HUMANEVAL_INFILLING, SANTACODER, SAFIM, CROSSCODEEVAL, FIM_EVAL, NL2CODE)
}
