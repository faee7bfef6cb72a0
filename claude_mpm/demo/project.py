"""The project the story works on: its files, what becomes of them, and what is said about that. Data only."""

from __future__ import annotations

WORDS, REPORT, TEST = "src/tally/words.py", "src/tally/report.py", "tests/test_unicode.py"
README, CHANGES = "README.md", "CHANGELOG.md"

OLD = 'WORD = re.compile(r"[a-zA-Z]+")'
NEW = 'WORD = re.compile(r"\\w+")  # any script: café, 日本語'

FILES = {
    WORDS: f'''"""Splits a text into words."""

import re

{OLD}


def words(text):
    """The words of `text`, in their order."""
    return WORD.findall(text)
''',
    REPORT: """from collections import Counter

from tally.words import words


def report(text, count=10):
    return Counter(words(text)).most_common(count)
""",
    README: """# tally

Counts words.

## Limits

Only English text is supported.
""",
    CHANGES: """# Changes

## 1.4

- `report` takes a count.
""",
}
NEW_TEST = """import pytest

from tally.words import words


@pytest.mark.parametrize("text", ["cafe", "café", "日本語", "naïve"])
def test_a_word_in_any_script_is_one_word(text):
    assert words(text) == [text]
"""
README_EDITS = (
    {"old_string": "Counts words.", "new_string": "Counts words in any script: café, 日本語."},
    {"old_string": "Only English text is supported.", "new_string": "Emoji are not words and are skipped."},
)
OLD_CHANGES = "## 1.4\n"
NEW_CHANGES = "## 1.5\n\n- Words in every script are counted.\n\n## 1.4\n"

REPRODUCED = """Reproduced: “café” becomes “caf”. The pattern knows **ASCII letters only**:

```python
>>> words("café")
['caf']
```

An agent looks for other places."""

FIXED = """Fixed: words in every script are counted now. ✨

| text | before | after |
|---|---|---|
| `café` | `caf` | `café` |
| `日本語` | nothing | `日本語` |
| `naïve` | `na`, `ve` | `naïve` |

- **One line changed** in `src/tally/words.py`: `[a-zA-Z]+` became `\\w+`.
- Four test cases were added; all 48 tests pass."""
