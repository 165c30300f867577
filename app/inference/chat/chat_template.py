"""A conversation as one text, by the template that a model's file carries."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from app.domain.errors import ModelDownError, ModelRefusedError
from app.domain.models import Message

# Where a file has none; llama.cpp takes the same (ChatML, of OpenAI).
FALLBACK: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant{{ '\n' }}"
)
FALLBACK_STOPS: Final = ("<|im_end|>", "<|im_start|>")  # a model without such tokens writes them out
_FIRST_MARK: Final = 0xF0000  # private use, plane 15


class ChatTemplate:
    """Renders as transformers' `apply_chat_template` does, in a sandbox: the template came with a file from somewhere.

    What a message holds can't pass for a mark of the template. Where it contains the text of one (`<|im_end|>`), that
    comes back as a piece of its own, to be read as plain text.
    """

    def __init__(self, source: str, *, bos: str = "", eos: str = "", marks: Sequence[str] = ()) -> None:
        """Compile.

        Args:
            source: Jinja2.
            bos: the text of the token that begins a text.
            eos: and of the one that ends it.
            marks: the texts of all tokens that mean more than their letters.

        Raises:
            ModelDownError: it can't be read.
        """
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _Generation]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(
            raise_exception=_raise,
            strftime_now=lambda form: dt.datetime.now(tz=dt.UTC).strftime(form),
            bos_token=bos,
            eos_token=eos,
            add_generation_prompt=True,
            enable_thinking=False,  # thoughts are no answer
        )
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ModelDownError(f"the model's chat template can't be read: {error}") from error
        longest_first = sorted({each for each in marks if each}, key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def render(self, messages: Sequence[Message]) -> list[tuple[str, bool]]:
        """The prompt in pieces, each with whether marks in it are the template's and mean what they say.

        Raises:
            ModelRefusedError: the template takes no such conversation.
        """
        taken = {character for message in messages for character in message.text}
        free = (chr(code) for code in range(_FIRST_MARK, _FIRST_MARK + 0xFFFD) if chr(code) not in taken)
        stand_ins: dict[str, str] = {}  # mark -> a character that stands for it while the template is at work

        def stand_in(found: re.Match[str]) -> str:
            return stand_ins.setdefault(found[0], next(free))

        turns = [{"role": each.role, "content": self._marks.sub(stand_in, each.text)} for each in messages]
        text = self._rendered(turns)
        if not stand_ins:
            return [(text, True)]
        meant = {character: mark for mark, character in stand_ins.items()}
        pieces = re.split(f"([{''.join(meant)}])", text)
        return [(meant.get(each, each), each not in meant) for each in pieces if each]

    def _rendered(self, turns: list[dict[str, str]]) -> str:
        # Some take no system turn, or only turns that alternate. What a stranger's code raises can't be told beforehand.
        try:
            return self._template.render(messages=turns)
        except Exception as error:  # noqa: BLE001 - see above; it is told where the second try fails too
            refused = error
        try:
            return self._template.render(messages=_plain(turns))
        except Exception:  # noqa: BLE001 - see above
            raise ModelRefusedError(f"the model's chat template refuses this conversation: {refused}") from refused


def _plain(turns: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """With users' and assistants' turns alone, which alternate; instructions stand at the head of the first."""
    joined: list[dict[str, str]] = []
    for turn in turns:
        role = "assistant" if turn["role"] == "assistant" else "user"
        if joined and joined[-1]["role"] == role:
            joined[-1]["content"] += "\n\n" + turn["content"]
        else:
            joined.append({"role": role, "content": turn["content"]})
    return joined


def _to_json(value: Any, indent: int | None = None, **_options: Any) -> str:
    """Unlike Jinja2's own it escapes nothing for HTML; so does transformers'."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


class _Generation(jinja2.ext.Extension):
    """Passes over `{% generation %}`, which marks for training what an assistant says."""

    tags = {"generation"}  # noqa: RUF012 - as the base class has it

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """What stands between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
