from __future__ import annotations

import pytest

from worldloom.catalogs.licences import is_stated, known_licence, terms

CC = "https://creativecommons.org/"


@pytest.mark.parametrize(
    ("stated", "name", "url", "hub"),
    [
        ("CC-BY-4.0", "CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/", "cc-by-4.0"),
        ("cc by nc nd 4.0", "CC-BY-NC-ND-4.0", "https://creativecommons.org/licenses/by-nc-nd/4.0/", "cc-by-nc-nd-4.0"),
        (f"{CC}licenses/by-sa/3.0/", "CC-BY-SA-3.0", f"{CC}licenses/by-sa/3.0/", "cc-by-sa-3.0"),
        ("CC BY-NC-ND", "CC-BY-NC-ND", "", ""),
        ("CC-BY-SA-2.5", "CC-BY-SA-2.5", "https://creativecommons.org/licenses/by-sa/2.5/", ""),
        ("cc0", "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", f"{CC}publicdomain/zero/1.0/", "cc0-1.0"),
        (" apache-2.0 ", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0", "apache-2.0"),
        ("mit", "MIT", "https://spdx.org/licenses/MIT.html", "mit"),
    ],
)  # fmt: skip
def test_a_licence_is_known_in_the_forms_people_write(stated: str, name: str, url: str, hub: str) -> None:
    found = known_licence(stated)
    assert found is not None and (found.name, found.url, found.hub) == (name, url, hub)


@pytest.mark.parametrize("stated", ["", "unknown", "NOASSERTION", "see the web page", "CC-BY-9.0", "cc-by-nd-nc", None])
def test_what_is_no_known_licence_is_none(stated: str | None) -> None:
    assert known_licence(stated) is None


def test_only_words_that_say_nothing_are_no_statement() -> None:
    assert [is_stated(one) for one in ("", None, " Unknown. ", "none", "my own", "MIT")] == [False] * 4 + [True] * 2


def test_terms_follow_the_letters() -> None:
    assert terms("CC-BY-4.0") == ("yes", "yes", "yes")
    assert terms("CC-BY-NC-SA-4.0") == ("under the same licence", "no", "yes")
    assert terms("CC BY-NC-ND") == ("NO", "no", "yes")
    assert terms("CC0-1.0") == ("yes", "yes", "no")
    assert terms("in house") == ("not known",) * 3
    assert terms("") == ("nobody said so",) * 3
