"""Builds with other middles are trained on in turn; each of their samples comes once before any comes again."""

from pathlib import Path

from test_data_stream import numbered, write_stream

from aixmeg.data.stream import TrainDataset
from aixmeg.data.turns import Turns, epoch_folder


def test_each_build_has_its_turn(tmp_path):
    datasets = []
    for number, lengths in enumerate(([40, 25], [50, 10, 13])):
        folder = tmp_path / str(number)
        folder.mkdir()
        prefix = write_stream(folder / "train", numbered(lengths))
        datasets.append(TrainDataset(prefix, seq_length=8, seed=number, vocab_size=1000))
    first, second = (dataset.samples_per_epoch for dataset in datasets)
    turns = Turns(datasets)
    assert turns.samples_per_epoch == first + second
    seen = [turns[index].tolist() for index in range(2 * (first + second))]
    for turn in range(2):
        begin = turn * (first + second)
        expected = [datasets[0][turn * first + index].tolist() for index in range(first)]
        expected += [datasets[1][turn * second + index].tolist() for index in range(second)]
        assert seen[begin : begin + first + second] == expected
    assert seen[: first + second] != seen[first + second :]
    assert turns.filled(first + second + 1) == 9


def test_folders():
    assert [str(epoch_folder(Path("data"), number)) for number in range(3)] == ["data", "data/epoch-1", "data/epoch-2"]
