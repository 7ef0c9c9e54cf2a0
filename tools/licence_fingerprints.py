"""Makes aixmeg/corpus/licence/fingerprints.json from the texts of the SPDX licence list.

    npm pack spdx-license-list && tar xf spdx-license-list-*.tgz
    python tools/licence_fingerprints.py package/licenses aixmeg/corpus/licence/fingerprints.json

The texts are JSON files named after their ids, with the text under `licenseText`. Only hashes are kept of them.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
from pathlib import Path

import numpy as np

from aixmeg.corpus.licence.texts import SKETCH, word_grams
from aixmeg.files import atomic_write

_NAMES = """0BSD AAL AFL-2.1 AFL-3.0 AGPL-1.0-only AGPL-3.0-only APSL-2.0 Apache-1.0 Apache-1.1 Apache-2.0 Artistic-1.0
Artistic-1.0-Perl Artistic-2.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause
BSD-4-Clause BSD-Source-Code BSL-1.0 BUSL-1.1 Bitstream-Vera BitTorrent-1.1 BlueOak-1.0.0 CC-BY-2.0 CC-BY-2.5
CC-BY-3.0 CC-BY-4.0 CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0
CC-BY-ND-3.0 CC-BY-ND-4.0 CC-BY-SA-2.0 CC-BY-SA-2.5 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDDL-1.0 CDDL-1.1
CDLA-Permissive-2.0 CECILL-2.1 CECILL-B CECILL-C CNRI-Python CPAL-1.0 CPL-1.0 CPOL-1.02 ECL-2.0 EPL-1.0 EPL-2.0
EUPL-1.1 EUPL-1.2 Elastic-2.0 FTL GFDL-1.1-only GFDL-1.2-only GFDL-1.3-only GPL-1.0-only GPL-2.0-only GPL-3.0-only HPND
HPND-sell-variant ICU IJG IPL-1.0 ISC ImageMagick Info-ZIP Intel JSON LGPL-2.0-only LGPL-2.1-only LGPL-3.0-only
LPPL-1.3c Libpng libpng-2.0 libtiff MIT MIT-0 MIT-CMU MIT-Modern-Variant MPL-1.0 MPL-1.1 MPL-2.0 MS-PL MS-RL MirOS
MulanPSL-2.0 NCSA NPL-1.1 NTP ODbL-1.0 OFL-1.1 OSL-3.0 OpenSSL PHP-3.01 PSF-2.0 PostgreSQL
PolyForm-Noncommercial-1.0.0 Python-2.0 QPL-1.0 RPL-1.5 Ruby SGI-B-2.0 SISSL SSPL-1.0 Sleepycat TCL
Unicode-3.0 Unicode-DFS-2016 UPL-1.0 Unlicense Vim W3C WTFPL X11 XFree86-1.1 ZPL-2.1 Zlib bzip2-1.0.6 curl
zlib-acknowledgement"""
IDS = _NAMES.split()


def main() -> None:
    """Read the texts, write the fingerprints."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("texts", type=Path)
    arguments.add_argument("output", type=Path)
    given = arguments.parse_args()
    texts = {one: _own_text(one, json.loads((given.texts / f"{one}.json").read_text())["licenseText"]) for one in IDS}
    grams = {one: np.unique(word_grams(_without_blanks(text).encode())) for one, text in texts.items()}
    prints = {one: hashes[:SKETCH] for one, hashes in grams.items()}
    with atomic_write(given.output) as file:
        rows = []
        for one, print_ in prints.items():
            shares = {other: float(np.isin(print_, grams[other]).mean()) for other in IDS if other != one}
            row = {
                "words": len(re.findall(r"\w+", texts[one])),
                "hashes": base64.b64encode(print_.astype("<u4").tobytes()).decode(),
                "inside": {other: round(share, 2) for other, share in shares.items() if share >= 0.1},
            }
            rows.append(f"{json.dumps(one)}: {json.dumps(row)}")
        file.write("{\n" + ",\n".join(rows) + "\n}\n")


def _own_text(name: str, text: str) -> str:
    """The list's LGPL 3 has the GPL, which it adds to, behind it."""
    return text[: text.index("GNU GENERAL PUBLIC LICENSE")] if name == "LGPL-3.0-only" else text


def _without_blanks(text: str) -> str:
    """Without the copyright line and the blanks that each user fills in, <year> or [name of owner]."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*copyright .*[<[]", line, re.IGNORECASE)]
    return re.sub(r"<[^<>\n]{1,60}>|\[[^\[\]\n]{1,60}\]", " ", "\n".join(lines))


if __name__ == "__main__":
    main()
