"""`aixmeg serve` as the `openai` client sees it: whole and streamed answers, gaps, stop words, errors."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aixmeg.convert.native import Native, open_hf
from aixmeg.convert.to_hf import convert
from aixmeg.generate.command import infill
from aixmeg.generate.serve import Service, make_server
from aixmeg.generate.source import Surroundings

sys.path.insert(0, str(Path(__file__).parents[1] / "convert"))
from tiny_run import MODELS, make_run

openai = pytest.importorskip("openai", reason="the openai client is not installed; `make dev` does")
GAP = {"prompt": "def f(x):\n    return ", "suffix": "\n\nprint(f(1))\n", "max_tokens": 16, "model": "any"}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Iterator[Native]:
    place = tmp_path_factory.mktemp("openai")
    convert(make_run(place / "run", MODELS["grouped"], tiny_tokenizer), place / "hf")
    with open_hf(place / "hf") as opened:
        yield opened


@pytest.fixture(scope="module")
def service(native: Native) -> Service:
    return Service(native, mode="psm", max_new_tokens=32, waiting=1)


@pytest.fixture(scope="module")
def address(service: Service) -> Iterator[str]:
    with make_server(service, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def client(address: str) -> Iterator:
    with openai.OpenAI(base_url=address, api_key="none", max_retries=0, timeout=60) as made:
        yield made


def test_a_gap_and_a_continuation(client, native: Native) -> None:
    answer = client.completions.create(**GAP)
    expected = infill(native, Surroundings(GAP["prompt"], GAP["suffix"], ""), max_new_tokens=16)
    choice = answer.choices[0]
    assert choice.text.rstrip("\ufffd") == expected.text.rstrip("\ufffd")
    assert choice.finish_reason == ("length" if expected.stopped == "length" else "stop")
    assert (answer.object, answer.model) == ("text_completion", native.source)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
        expected.prompt_tokens, len(expected.tokens)
    )  # fmt: skip
    onward = client.completions.create(model="any", prompt=[GAP["prompt"]], max_tokens=16)
    assert onward.choices[0].text != choice.text
    drawn = [
        client.completions.create(**GAP, temperature=1.0, top_p=0.9, seed=seed).choices[0].text for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_streams(client, address: str) -> None:
    whole = client.completions.create(**GAP)
    chunks = list(client.completions.create(**GAP, stream=True, stream_options={"include_usage": True}))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert len(chunks) > 4
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    plain = list(client.completions.create(**GAP, stream=True))
    assert [chunk.usage for chunk in plain] == [None] * (len(chunks) - 1)

    async def read() -> str:
        async with openai.AsyncOpenAI(base_url=address, api_key="none", max_retries=0) as other:
            stream = await other.completions.create(**GAP, stream=True)
            return "".join([chunk.choices[0].text async for chunk in stream])

    assert asyncio.run(read()) == whole.choices[0].text


def test_stop_words(client) -> None:
    whole = client.completions.create(**GAP).choices[0].text
    word = whole[5:7]
    for stop in (word, ["never in it", word]):
        choice = client.completions.create(**GAP, stop=stop).choices[0]
        assert (choice.text, choice.finish_reason) == (whole[: whole.index(word)], "stop")
        chunks = list(client.completions.create(**GAP, stop=stop, stream=True))
        assert "".join(chunk.choices[0].text for chunk in chunks) == choice.text


def test_models(client, native: Native) -> None:
    (model,) = client.models.list()
    assert model.id == native.source
    assert client.models.retrieve(model.id) == model
    with pytest.raises(openai.NotFoundError, match="/v1/models/gpt does not exist"):
        client.models.retrieve("gpt")


def test_errors(client, service: Service) -> None:
    for options, message in (
        ({"max_tokens": 1000}, "max_tokens=1000 must be from 1 to 32"), ({"n": 2}, "n=2 is not supported"),
        ({"temperature": 3}, "temperature=3 must be from 0 to 2"), ({"prompt": ["a", "b"]}, "prompt="),
    ):  # fmt: skip
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError, match=message) as caught:
                client.completions.create(**GAP | options, stream=stream)
            assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError, match="/v1/chat/completions does not exist"):
        client.chat.completions.create(model="any", messages=[{"role": "user", "content": "hello"}])
    with service._places, pytest.raises(openai.RateLimitError, match="too many requests wait already"):
        client.completions.create(**GAP)
    assert client.completions.create(**GAP).choices  # and then as before


def test_no_server(address: str) -> None:
    with (
        openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0) as lost,
        pytest.raises(openai.APIConnectionError),
    ):
        lost.completions.create(**GAP)
