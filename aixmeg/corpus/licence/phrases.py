"""Wordings that name a licence: (SPDX id or expression, words one of which must be there, regular expression).

The expressions read text as `notices.words_of` makes it: lower case, one blank between words. The second column is only
for speed: it is looked for first.
"""

from __future__ import annotations

from typing import Final

from aixmeg.corpus.licence.table import PROPRIETARY, PUBLIC_DOMAIN

PHRASES: Final[tuple[tuple[str, str, str], ...]] = (
    ("Apache-2.0", "apache",
     r"apache licen[sc]e,? (?:version |v ?)?2(?:\.0)?\b|apache software licen[sc]e (?:version |v ?)?2|"
     r"apache 2(?:\.0)? licen[sc]e|apache.org licenses license 2\.0"),
    ("Apache-1.1", "apache", r"apache software licen[sc]e version 1\.1"),
    ("MPL-2.0", "mozilla|mpl",
     r"mozilla public licen[sc]e,? (?:version |v ?|v\. )?2(?:\.0)?|mpl 2\.0|mozilla\.org mpl 2\.0"),
    ("MPL-1.1", "mozilla|mpl", r"mozilla public licen[sc]e,? (?:version |v ?)?1\.1|mpl 1\.1"),
    ("EPL-2.0", "eclipse|epl", r"eclipse public licen[sc]e,? (?:version |v ?|v\. )?2(?:\.0)?|epl 2\.0|legal epl v20"),
    ("EPL-1.0", "eclipse|epl", r"eclipse public licen[sc]e,? (?:version |v ?|v\. )?1(?:\.0)?|epl 1\.0|legal epl v10"),
    ("BSD-3-Clause", "eclipse dist", r"eclipse distribution licen[sc]e"),
    ("CPL-1.0", "common public",
     r"common public licen[sc]e (?:version |v ?)?1|(?:of|under) the common public licen[sc]e"),
    ("CDDL-1.1", "common dev|cddl",
     r"common development and distribution licen[sc]e (?:version |v ?)?1\.1|cddl[ +]gpl[ _]1[._]1"),
    ("CDDL-1.0", "common dev", r"common development and distribution licen[sc]e"),
    ("BSL-1.0", "boost", r"boost software licen[sc]e|boost.org license 1 0"),
    ("EUPL-1.2", "eupl", r"eupl,? (?:version |v ?|v\. )?1\.2"),
    ("EUPL-1.1", "european union|eupl", r"european union public licen[sc]e|\beupl\b"),
    ("SSPL-1.0", "server side", r"server side public licen[sc]e"),
    ("BUSL-1.1", "business source", r"business source licen[sc]e"),
    ("Elastic-2.0", "elastic", r"(?:under|licensed) (?:the )?elastic licen[sc]e"),
    ("LicenseRef-Commons-Clause", "commons clause", r"commons clause licen[sc]e condition"),
    ("LicenseRef-FSL", "functional source", r"functional source licen[sc]e"),
    ("LicenseRef-Noncommercial", "commercial",
     r"(?:for|restricted to) non ?commercial (?:use|purposes|research)(?: purposes)? only"),
    ("Artistic-2.0", "artistic", r"artistic licen[sc]e (?:version |v ?)?2"),
    ("Artistic-1.0-Perl OR GPL-1.0-or-later", "as perl|as the perl",
     r"same terms as (?:the )?perl|under the same terms and conditions as perl"),
    ("Artistic-1.0", "artistic", r"(?:of|under) the artistic licen[sc]e(?! (?:version |v ?)?2)"),
    ("MIT", "mit|expat|permission is hereby",
     r"permission is hereby granted,? free of charge,? to any person obtaining a copy of (?:this|the) "
     r"software and associated|"
     r"(?:under|of|use) (?:the )?(?:terms (?:and conditions )?of )?(?:the )?(?:an? )?(?:(?:very )?"
     r"(?:permissive|liberal|open source) )?(?:mit|expat|mit x11)(?: style)? licen[sc]e|"
     r"^mit licen[sc]ed?\b|^the mit licen[sc]e|"
     r"mit licen[sc]ed\b|licen[sc]ed? (?:under )?(?:the )?mit\b|released under (?:the )?mit|"
     r"opensource.org licenses mit\b|distributed under (?:the )?mit|mit license"),
    ("ISC", "isc|permission to use",
     r"permission to use,? copy,? modify,? and or distribute this software for any purpose with or without "
     r"fee|"
     r"permission to use,? copy,? modify,? and distribute this software for any purpose with or without "
     r"fee|(?:under|of) the isc licen[sc]e|isc licen[sc]ed?\b"),
    ("Zlib", "zlib|altered source",
     r"altered source versions must be plainly marked as such|(?:under|of) (?:the )?zlib licen[sc]e|"
     r"zlib libpng licen[sc]e"),
    ("Unlicense", "unencumbered|unlicense",
     r"this is free and unencumbered software|unlicense\.org|under the unlicense"),
    ("CC0-1.0", "cc0|creative",
     r"creative commons (?:cc0|zero)|creativecommons\.org publicdomain zero|\bcc0 1\.0\b|"
     r"under (?:the )?cc0"),
    ("WTFPL", "fuck|wtfpl", r"do what the fuck you want|\bwtfpl\b"),
    ("0BSD", "0bsd|zero clause", r"zero clause bsd|\b0bsd\b"),
    ("OFL-1.1", "open font", r"sil open font licen[sc]e"),
    ("PSF-2.0", "psf|python software",
     r"licensed to psf under a contributor agreement|python software foundation licen[sc]e|psf licen[sc]e"),
    ("PHP-3.01", "php", r"version 3\.01 of the php licen[sc]e"),
    ("PHP-3.0", "php", r"version 3\.0 of the php licen[sc]e"),
    ("MS-PL", "microsoft public|ms pl", r"microsoft public licen[sc]e|\bms pl\b"),
    ("W3C", "w3c", r"w3c (?:r )?software (?:notice and )?licen[sc]e"),
    ("Unicode-DFS-2016", "unicode.org", r"unicode\.org copyright\.html"),
    ("NCSA", "illinois|uiuc", r"university of illinois(?: ncsa)? open source licen[sc]e|uiuc licen[sc]e"),
    ("curl", "curl", r"curl\.se docs copyright|curl\.haxx\.se docs copyright"),
    ("Vim", "vim licen", r"(?:under|of) the vim licen[sc]e"),
    ("PostgreSQL", "postgresql", r"(?:under|of) the postgresql licen[sc]e|^postgresql licen[sc]e"),
    ("OpenSSL", "openssl", r"(?:under|of) the openssl licen[sc]e"),
    ("Ruby", "ruby", r"(?:same terms|same licence|same license) as ruby|(?:under|of) (?:the )?ruby s? ?licen[sc]e"),
    ("UPL-1.0", "universal permissive", r"universal permissive licen[sc]e"),
    ("ZPL-2.1", "zope public", r"zope public licen[sc]e"),
    ("NPL-1.1", "netscape", r"netscape public licen[sc]e"),
    ("QPL-1.0", "q public", r"q public licen[sc]e"),
    ("MulanPSL-2.0", "mulan", r"mulan psl ?v2"),
    ("FSFAP", "without royalty",
     r"copying and distribution of this file with or without modification are permitted in any medium "
     r"without royalty"),
    ("FSFULLR", "unlimited permission",
     r"gives unlimited permission to copy and or distribute it with or without modifications"),
    ("HPND", "permission to use",
     r"permission to use,? copy,? modify,? (?:and )?distribute,?(?: and sell)? (?:and sell )?this software "
     r"and its documentation"),
    ("Beerware", "beer", r"the beer ?ware licen[sc]e"),
    (PUBLIC_DOMAIN, "public domain|disclaims copyright",
     r"(?:released|placed|put|dedicated|is|are|given) (?:to |in |in to |into |hereby )*(?:the )?public "
     r"domain|public domain software|disclaims copyright to this source code|^public domain"),
    (PROPRIETARY, "propriet|confidential|unauthori|may not be",
     r"proprietary and confidential|confidential and proprietary|proprietary (?:and )?(?:trade )?secrets?|"
     r"unauthori[sz]ed (?:copying|use|reproduction|distribution)|"
     r"may not be (?:used )?(?:copied|reproduced)(?: or)? (?:\w+ ){0,8}without (?:the )?(?:express |prior "
     r")*(?:written )?(?:permission|consent)|company confidential|proprietary information|"
     r"unpublished proprietary"),
)  # fmt: skip
